/* blocking_client: sends lines to a server and prints the line that answers each, without a single callback.
 *
 *     cc blocking_client.c $(pkg-config --cflags --libs sluice) -o blocking_client
 *     ./blocking_client localhost 7000 "first line" "second line"
 *
 * The waitFor... functions wait on their socket alone, each with its limit in milliseconds, and need no running loop. */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice.h"

enum { LIMIT = 10000 };

static int tell(sluice_handle socket, const char *what)
{
    char text[512];
    sluice_socket_error_string(socket, text, sizeof text);
    fprintf(stderr, "blocking_client: %s: %s\n", what, text);
    return 1;
}

/* A line may come in pieces: wait until it is whole. */
static bool wait_for_line(sluice_handle socket)
{
    while (!sluice_socket_can_read_line(socket)) {
        if (!sluice_socket_wait_for_ready_read(socket, LIMIT))
            return false;
    }
    return true;
}

static int talk(sluice_handle socket, const char *host, int port, char **lines, int count)
{
    sluice_error error = sluice_socket_connect_to_host(socket, host, port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
    if (error != SLUICE_ERROR_NONE || !sluice_socket_wait_for_connected(socket, LIMIT))
        return tell(socket, "connecting");

    for (int i = 0; i < count; i++) {
        if (sluice_socket_write(socket, lines[i], (int64_t)strlen(lines[i])) < 0 || sluice_socket_put_char(socket, '\n') != SLUICE_ERROR_NONE)
            return tell(socket, "writing");
        if (!wait_for_line(socket))
            return tell(socket, "waiting for the answer");
        char answer[4096];
        int64_t length = sluice_socket_read_line(socket, answer, sizeof answer);
        if (length < 0)
            return tell(socket, "reading");
        fwrite(answer, 1, (size_t)length, stdout);
    }

    sluice_socket_disconnect_from_host(socket);
    if (sluice_socket_state(socket) != SLUICE_STATE_UNCONNECTED && !sluice_socket_wait_for_disconnected(socket, LIMIT))
        return tell(socket, "closing");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: blocking_client HOST PORT LINE...\n");
        return 2;
    }
    sluice_handle loop = sluice_loop_create();
    sluice_handle socket = sluice_tcp_socket_create(loop);
    if (socket == 0) {
        fprintf(stderr, "blocking_client: %s\n", sluice_error_name(sluice_last_error()));
        return 1;
    }
    int status = talk(socket, argv[1], atoi(argv[2]), argv + 3, argc - 3);
    sluice_handle_destroy(socket);
    sluice_loop_destroy(loop);
    return status;
}
