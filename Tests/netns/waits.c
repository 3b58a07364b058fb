/* The blocking waits, seen from C:
 *
 *     waits connected|readyRead|bytesWritten|sync|disconnected HOST PORT LIMIT [OPTION=VALUE...]
 *
 * All but `connected` connect first, say "connected" and go on at a line of input; bytesWritten, sync and disconnected then have much to
 * send. LIMIT is what the wait is given; for `disconnected` it is the closeTimeout, and the wait itself has no limit. The last line tells
 * how the wait ended: its result, the error, the state, and how many errors were told. */
#define _POSIX_C_SOURCE 200809L
#include "sluice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More than all buffers on the way hold. */
enum { MUCH = 32 << 20, PATIENCE = 60 };

static int errors;

static void count_errors(const sluice_event *event, void *context) {
    (void)context;
    if (event->type == SLUICE_EVENT_ERROR_OCCURRED) errors++;
}

static void check(const char *what, int64_t result) {
    if (result >= 0) return;
    printf("%s: %s\n", what, sluice_error_name((sluice_error)-result));
    exit(1);
}

static void say(const char *line) {
    puts(line);
    fflush(stdout);
}

static void set_option(sluice_handle socket, const char *word) {
    static const struct {
        const char *name;
        sluice_option option;
    } options[] = {{"KeepAlive", SLUICE_OPTION_KEEP_ALIVE},
                   {"KeepAliveIdle", SLUICE_OPTION_KEEP_ALIVE_IDLE},
                   {"KeepAliveInterval", SLUICE_OPTION_KEEP_ALIVE_INTERVAL},
                   {"KeepAliveCount", SLUICE_OPTION_KEEP_ALIVE_COUNT},
                   {"UserTimeout", SLUICE_OPTION_USER_TIMEOUT}};
    size_t length = strcspn(word, "=");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strlen(options[i].name) == length && strncmp(word, options[i].name, length) == 0)
            check("option", -(int64_t)sluice_socket_set_option(socket, options[i].option, atoi(word + length + 1)));
}

int main(int count, char **words) {
    if (count < 5) return 2;
    const char *kind = words[1];
    int64_t limit = strtoll(words[4], NULL, 10);
    alarm(PATIENCE);
    sluice_handle loop = sluice_loop_create(), socket = sluice_tcp_socket_create(loop);
    if (socket == 0) return 1;
    sluice_handle_set_callback(socket, count_errors, NULL);
    for (int i = 5; i < count; i++) set_option(socket, words[i]);
    check("connect", -(int64_t)sluice_socket_connect_to_host(socket, words[2], atoi(words[3]), SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY));
    bool only_connect = strcmp(kind, "connected") == 0;
    bool result = sluice_socket_wait_for_connected(socket, only_connect ? limit : -1);
    if (!only_connect) {
        say(result ? "connected" : "not connected");
        (void)getchar();
        if (strcmp(kind, "readyRead") == 0) {
            result = sluice_socket_wait_for_ready_read(socket, limit);
        } else {
            char *much = calloc(MUCH, 1);
            if (much == NULL) return 1;
            check("write", sluice_socket_write(socket, much, MUCH));
            if (strcmp(kind, "sync") == 0) {
                result = sluice_socket_sync(socket, limit) == SLUICE_ERROR_NONE;
            } else if (strcmp(kind, "bytesWritten") == 0) {
                do {
                    result = sluice_socket_wait_for_bytes_written(socket, limit);
                } while (result && sluice_socket_bytes_to_write(socket) > 0);
            } else {
                sluice_socket_set_close_timeout(socket, limit);
                sluice_socket_disconnect_from_host(socket);
                result = sluice_socket_wait_for_disconnected(socket, -1);
            }
            free(much);
        }
    }
    printf("%s %s %s %d\n", result ? "true" : "false", sluice_error_name(sluice_socket_error(socket)),
           sluice_state_name(sluice_socket_state(socket)), errors);
    sluice_loop_destroy(loop);
    return 0;
}
