/* What the host asks of a plugin. Nothing here knows of sockets: a host that was written before its plugins needs no more than
 * a descriptor to put into its poll(2), and a function to call when that is readable. */

#ifndef EXAMPLE_PLUGIN_H
#define EXAMPLE_PLUGIN_H

#include <stdbool.h>

#define PLUGIN_ENTRY "plugin_entry"

struct plugin {
    /* Begins the plugin's work; false, with a line on stderr, when it cannot. */
    bool (*start)(int argc, char **argv);
    /* Readable whenever turn() has something to do. */
    int (*descriptor)(void);
    /* Does what is to be done now, and returns without waiting. */
    void (*turn)(void);
    /* -1 while the plugin works, then its exit status. */
    int (*status)(void);
    /* Gives everything back; start() may follow again. */
    void (*stop)(void);
};

typedef const struct plugin *(*plugin_entry_function)(void);

#endif
