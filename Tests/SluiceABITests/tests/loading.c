/* The library as a guest: loading, using and unloading it leaves the process as it was. */
#include "common.h"

#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>

#define SIGNALS 65

extern char **environ;

static int entries(const char *folder) {
    DIR *listing = opendir(folder);
    int count = 0;
    CHECK(listing != NULL);
    while (readdir(listing) != NULL)
        count += 1;
    closedir(listing);
    return count;
}

static void note_signals(struct sigaction *actions) {
    int i;
    memset(actions, 0, SIGNALS * sizeof *actions);
    for (i = 1; i < SIGNALS; i++)
        sigaction(i, NULL, &actions[i]);
}

static void check_signals(const struct sigaction *before) {
    struct sigaction now[SIGNALS];
    stack_t stack;
    int i;
    note_signals(now);
    for (i = 1; i < SIGNALS; i++) {
        CHECK(now[i].sa_handler == before[i].sa_handler);
        CHECK_EQUAL(now[i].sa_flags, before[i].sa_flags);
    }
    CHECK(sigaltstack(NULL, &stack) == 0);
    CHECK(stack.ss_flags & SS_DISABLE);
}

static void use(void *library) {
    sluice_handle (*loop_create)(void);
    sluice_handle (*socket_create)(sluice_handle);
    int64_t (*run_once)(sluice_handle, int64_t);
    sluice_error (*destroy)(sluice_handle);
    int32_t (*abi_version)(void);
    sluice_handle loop;
    /* ISO C has no conversion from an object's to a function's pointer: POSIX's way around that. */
    *(void **)&loop_create = dlsym(library, "sluice_loop_create");
    *(void **)&socket_create = dlsym(library, "sluice_tcp_socket_create");
    *(void **)&run_once = dlsym(library, "sluice_loop_run_once");
    *(void **)&destroy = dlsym(library, "sluice_handle_destroy");
    *(void **)&abi_version = dlsym(library, "sluice_abi_version");
    CHECK(loop_create && socket_create && run_once && destroy && abi_version);
    CHECK_EQUAL(abi_version(), SLUICE_ABI_VERSION);
    loop = loop_create();
    CHECK(loop != 0);
    CHECK(socket_create(loop) != 0);
    CHECK(run_once(loop, 0) >= 0);
    CHECK_EQUAL(destroy(loop), 0);
}

/* A process that has the library only by dlopen: this program again, without it. */
static void as_plugin(const char *path) {
    struct sigaction before[SIGNALS];
    int round, descriptors, threads;
    char **environment = environ;
    note_signals(before);
    descriptors = entries("/proc/self/fd");
    threads = entries("/proc/self/task");
    for (round = 0; round < 20; round++) {
        void *first = dlopen(path, RTLD_NOW | RTLD_LOCAL), *second;
        if (first == NULL)
            fprintf(stderr, "%s\n", dlerror());
        CHECK(first != NULL);
        second = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        CHECK(second != NULL);
        check_signals(before);
        use(first);
        CHECK(dlclose(first) == 0);
        use(second);
        CHECK(dlclose(second) == 0);
        check_signals(before);
        CHECK_EQUAL(entries("/proc/self/fd"), descriptors);
        CHECK_EQUAL(entries("/proc/self/task"), threads);
    }
    CHECK(environ == environment);
}

int main(void) {
    const char *path = getenv("LIBSLUICE");
    struct sigaction before[SIGNALS];
    CHECK(path != NULL);
    /* Loaded with the program, the library has run its constructors by now: all signals are as execve left them. */
    note_signals(before);
    CHECK(before[SIGSEGV].sa_handler == SIG_DFL);
    CHECK(before[SIGABRT].sa_handler == SIG_DFL);
    CHECK(before[SIGQUIT].sa_handler == SIG_DFL);
    CHECK(before[SIGPIPE].sa_handler == SIG_DFL);
    CHECK_TEXT(sluice_version(), SLUICE_VERSION);
    as_plugin(path);

    /* Writing to a peer that is gone raises no SIGPIPE: its default action would end this program. */
    {
        sluice_handle loop = new_loop(), client;
        int peer, i;
        client = new_raw_pair(loop, &peer);
        raw_reset(peer);
        for (i = 0; i < 3; i++) {
            sluice_socket_write(client, "x", 1);
            sluice_socket_flush(client);
        }
        CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    }
    check_signals(before);
    return 0;
}
