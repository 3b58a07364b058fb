/* A host with a loop of its own, which knows nothing of Sluice: it loads a plugin and polls its descriptor beside its own.
 *
 *     cc host.c -o host          (with -ldl where dlopen is not in libc)
 *     ./host ./plugin.so localhost 7000 "a line" */

#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"

static int run(const struct plugin *plugin)
{
    /* The host's own descriptor is a pipe to itself that it reads one byte from, to show that both are served. */
    int own[2];
    if (pipe(own) != 0 || write(own[1], "x", 1) != 1) {
        perror("host: pipe");
        return 1;
    }
    int own_events = 0, plugin_events = 0;
    while (plugin->status() < 0) {
        struct pollfd watched[] = {{own[0], POLLIN, 0}, {plugin->descriptor(), POLLIN, 0}};
        if (poll(watched, 2, 30000) <= 0) {
            fprintf(stderr, "host: nothing happened for 30 s\n");
            break;
        }
        if (watched[0].revents & POLLIN) {
            char byte;
            own_events += (int)read(own[0], &byte, 1);
        }
        if (watched[1].revents & POLLIN) {
            plugin->turn();
            plugin_events++;
        }
    }
    printf("host: %d event of my own, %s of the plugin\n", own_events, plugin_events > 0 ? "some" : "none");
    close(own[0]);
    close(own[1]);
    return plugin->status() == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: host PLUGIN.so ARGUMENT...\n");
        return 2;
    }
    /* Loaded, used and unloaded twice: a guest must leave as cleanly as it came. */
    for (int round = 0; round < 2; round++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) {
            fprintf(stderr, "host: %s\n", dlerror());
            return 1;
        }
        /* POSIX's way from the void pointer of dlsym to a function pointer. */
        plugin_entry_function entry;
        void *symbol = dlsym(library, PLUGIN_ENTRY);
        memcpy(&entry, &symbol, sizeof entry);
        if (symbol == NULL) {
            fprintf(stderr, "host: %s has no %s\n", argv[1], PLUGIN_ENTRY);
            return 1;
        }
        const struct plugin *plugin = entry();
        if (!plugin->start(argc - 2, argv + 2))
            return 1;
        int status = run(plugin);
        plugin->stop();
        if (status != 0)
            return status;
        dlclose(library);
    }
    return 0;
}
