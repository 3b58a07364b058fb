/* A plugin that does network work inside somebody else's loop: it asks a server for one line and prints it.
 *
 *     cc -shared -fPIC plugin.c $(pkg-config --cflags --libs sluice) -o plugin.so
 *
 * The library starts no thread of its own until a name must be looked up, touches no signal, and works only inside the calls made to
 * it, so it can live in any process. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"
#include "sluice.h"

enum { WORKING = -1 };

static sluice_handle loop, client;
static const char *question;
static int exit_status = WORKING;

static void on_event(const sluice_event *event, void *context)
{
    (void)context;
    char line[1024];
    int64_t length;
    switch (event->type) {
    case SLUICE_EVENT_CONNECTED:
        sluice_socket_write(client, question, (int64_t)strlen(question));
        sluice_socket_put_char(client, '\n');
        break;
    case SLUICE_EVENT_LINE_AVAILABLE:
        length = sluice_socket_read_line(client, line, sizeof line);
        printf("plugin: the answer is %.*s", (int)(length > 0 ? length : 0), line);
        exit_status = 0;
        break;
    case SLUICE_EVENT_ERROR_OCCURRED:
        if (exit_status == WORKING) {
            fprintf(stderr, "plugin: %s\n", event->message);
            exit_status = 1;
        }
        break;
    default:
        break;
    }
}

static bool start(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "plugin: expected HOST PORT LINE\n");
        return false;
    }
    question = argv[2];
    exit_status = WORKING;
    loop = sluice_loop_create();
    client = sluice_tcp_socket_create(loop);
    sluice_handle_set_callback(client, on_event, NULL);
    sluice_error error = sluice_socket_connect_to_host(client, argv[0], atoi(argv[1]), SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
    if (error != SLUICE_ERROR_NONE)
        fprintf(stderr, "plugin: %s\n", sluice_error_name(error));
    return error == SLUICE_ERROR_NONE;
}

static int descriptor(void)
{
    return sluice_loop_descriptor(loop);
}

/* 0: do what is due and come back at once; waiting is the host's part. */
static void turn(void)
{
    sluice_loop_run_once(loop, 0);
}

static int status(void)
{
    return exit_status;
}

static void stop(void)
{
    sluice_handle_destroy(client);
    sluice_loop_destroy(loop);
}

const struct plugin *plugin_entry(void)
{
    static const struct plugin plugin = {start, descriptor, turn, status, stop};
    return &plugin;
}
