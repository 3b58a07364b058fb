/* udp_echo_server: sends back every datagram to who sent it, with callbacks.
 *
 *     cc udp_echo_server.c $(pkg-config --cflags --libs sluice) -o udp_echo_server
 *     ./udp_echo_server 7000
 *
 * Datagrams are taken and sent in batches: however many came together, it is a few system calls for all of them. */

#include <stdio.h>
#include <stdlib.h>

#include "sluice.h"

enum { BATCH = 32, LARGEST = 65535 };

static char room[BATCH][LARGEST];

static void echo(sluice_handle socket)
{
    sluice_datagram came[BATCH];
    sluice_outgoing_datagram back[BATCH];
    for (int i = 0; i < BATCH; i++)
        came[i] = (sluice_datagram){.size = sizeof came[i], .data = room[i], .capacity = LARGEST};

    int64_t count;
    while ((count = sluice_udp_socket_read_datagrams(socket, came, BATCH)) > 0) {
        for (int64_t i = 0; i < count; i++) {
            back[i] = (sluice_outgoing_datagram){
                .size = sizeof back[i],
                .data = came[i].data,
                .length = came[i].length,
                .address = came[i].sender_address,
                .port = came[i].sender_port,
            };
        }
        sluice_udp_socket_write_datagrams(socket, back, count);
    }
}

/* What could not be sent concerns one datagram; the others go on. */
static void on_event(const sluice_event *event, void *context)
{
    (void)context;
    if (event->type == SLUICE_EVENT_READY_READ)
        echo(event->handle);
    else if (event->type == SLUICE_EVENT_ERROR_OCCURRED)
        fprintf(stderr, "udp_echo_server: %s\n", event->message);
}

int main(int argc, char **argv)
{
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        fprintf(stderr, "usage: udp_echo_server [PORT]     without a port, the system picks one\n");
        return 2;
    }
    sluice_handle loop = sluice_loop_create();
    sluice_handle socket = sluice_udp_socket_create(loop);
    if (socket == 0) {
        fprintf(stderr, "udp_echo_server: %s\n", sluice_error_name(sluice_last_error()));
        return 1;
    }
    sluice_handle_set_callback(socket, on_event, NULL);
    sluice_error error = sluice_socket_bind(socket, "any", argc == 2 ? atoi(argv[1]) : 0, SLUICE_BIND_DEFAULT);
    if (error != SLUICE_ERROR_NONE) {
        char text[512];
        sluice_socket_error_string(socket, text, sizeof text);
        fprintf(stderr, "udp_echo_server: %s: %s\n", sluice_error_name(error), text);
        return 1;
    }
    printf("receiving at port %d\n", (int)sluice_socket_local_port(socket));
    fflush(stdout);

    error = sluice_loop_run(loop); /* until the process is ended */
    sluice_loop_destroy(loop);
    return error == SLUICE_ERROR_NONE ? 0 : 1;
}
