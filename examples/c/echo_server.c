/* echo_server: sends back to every client what it sends, with callbacks.
 *
 *     cc echo_server.c $(pkg-config --cflags --libs sluice) -o echo_server
 *     ./echo_server 7000
 *
 * One loop, one thread, any number of clients. A client that sends and never reads costs no memory without end: past MOST_UNSENT
 * its bytes are left in the socket's limited read buffer, the system's buffers fill, and the client has to wait. */

#include <stdio.h>
#include <stdlib.h>

#include "sluice.h"

enum { CHUNK = 65536, MOST_UNSENT = 1 << 20 };

/* Takes what is there, as long as the client takes what comes back. */
static void echo(sluice_handle client)
{
    char chunk[CHUNK];
    int64_t length;
    while (sluice_socket_bytes_to_write(client) < MOST_UNSENT && (length = sluice_socket_read(client, chunk, sizeof chunk)) > 0) {
        if (sluice_socket_write(client, chunk, length) != length)
            return; /* the connection is gone, and its own event tells it */
    }
}

static void end(const sluice_event *event)
{
    if (event->type == SLUICE_EVENT_DISCONNECTED)
        sluice_handle_destroy(event->handle);
    else if (event->error != SLUICE_ERROR_NONE && event->error != SLUICE_ERROR_REMOTE_HOST_CLOSED)
        fprintf(stderr, "echo_server: %s\n", event->message);
}

/* A client that sends no more, and has not got everything back yet. */
static void on_finished_client(const sluice_event *event, void *context)
{
    (void)context;
    if (event->type == SLUICE_EVENT_BYTES_WRITTEN || event->type == SLUICE_EVENT_READY_READ) {
        echo(event->handle);
        if (sluice_socket_bytes_available(event->handle) == 0)
            sluice_socket_disconnect_from_host(event->handle); /* sends what is left first */
    } else {
        end(event);
    }
}

static void on_client(const sluice_event *event, void *context)
{
    switch (event->type) {
    case SLUICE_EVENT_READY_READ:
    case SLUICE_EVENT_BYTES_WRITTEN: /* there may be room again for what was left unread */
        echo(event->handle);
        break;
    case SLUICE_EVENT_READ_CHANNEL_FINISHED:
        sluice_handle_set_callback(event->handle, on_finished_client, context);
        echo(event->handle);
        if (sluice_socket_bytes_available(event->handle) == 0)
            sluice_socket_disconnect_from_host(event->handle);
        break;
    default:
        end(event);
        break;
    }
}

static void on_server(const sluice_event *event, void *context)
{
    (void)context;
    if (event->type == SLUICE_EVENT_ACCEPT_ERROR) {
        fprintf(stderr, "echo_server: %s\n", event->message);
        return;
    }
    if (event->type != SLUICE_EVENT_NEW_CONNECTION)
        return;
    sluice_handle client;
    while ((client = sluice_server_next_pending_connection(event->handle)) != 0) {
        sluice_socket_set_read_buffer_size(client, CHUNK);
        sluice_socket_set_allow_half_open(client, true);
        sluice_handle_subscribe(client, SLUICE_EVENTS_ALL); /* bytesWritten too, which is off at first */
        sluice_handle_set_callback(client, on_client, NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: echo_server [PORT]     without a port, the system picks one\n");
        return 2;
    }
    sluice_handle loop = sluice_loop_create();
    sluice_handle server = sluice_tcp_server_create(loop);
    if (server == 0) {
        fprintf(stderr, "echo_server: %s\n", sluice_error_name(sluice_last_error()));
        return 1;
    }
    sluice_handle_set_callback(server, on_server, NULL);
    sluice_error error = sluice_tcp_server_listen(server, "any", argc == 2 ? atoi(argv[1]) : 0, SLUICE_BIND_DEFAULT);
    if (error != SLUICE_ERROR_NONE) {
        char text[512];
        sluice_server_error_string(server, text, sizeof text);
        fprintf(stderr, "echo_server: %s: %s\n", sluice_error_name(error), text);
        return 1;
    }
    printf("listening on port %d\n", (int)sluice_server_port(server));
    fflush(stdout);

    error = sluice_loop_run(loop); /* until the process is ended */
    sluice_loop_destroy(loop);
    return error == SLUICE_ERROR_NONE ? 0 : 1;
}
