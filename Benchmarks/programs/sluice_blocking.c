/* The blocking style: waitFor... from top to bottom, one connection at a time. */
#include "sluice_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is measured waits without a limit, as the programs it is compared with do: a limit arms a timer of the system's in each wait. */
enum { TIME_LIMIT = 30000, NO_LIMIT = -1, GATHERED = 16 };

static char buffer[65536];
static char message[LARGEST_MESSAGE];
static sluice_handle loop;

static void serve(const struct task *task) {
    sluice_handle server = listen_on(loop, &task->address);
    print_ready();
    while (sluice_server_wait_for_new_connection(server, NO_LIMIT, NULL)) {
        sluice_handle socket = sluice_server_next_pending_connection(server);
        sluice_socket_set_allow_half_open(socket, task->is_sink);
        while (sluice_socket_wait_for_ready_read(socket, NO_LIMIT)) {
            int64_t count;
            do {
                count = sluice_socket_read(socket, buffer, sizeof buffer);
                if (count > 0 && !task->is_sink) sluice_socket_write(socket, buffer, count);
            } while (count == (int64_t)sizeof buffer);
        }
        if (task->is_sink) {
            sluice_socket_write(socket, "K", 1);
            sluice_socket_sync(socket, TIME_LIMIT);
        }
        sluice_handle_destroy(socket);
    }
}

static sluice_handle open_connection(const struct task *task) {
    sluice_handle socket = make_socket(loop, &task->address);
    start_connecting(socket, &task->address);
    if (!sluice_socket_wait_for_connected(socket, TIME_LIMIT)) {
        fprintf(stderr, "connect: %s\n", sluice_error_name(sluice_socket_error(socket)));
        exit(1);
    }
    return socket;
}

static void there_and_back(sluice_handle socket, int64_t size) {
    check("write", sluice_socket_write(socket, message, size));
    for (int64_t missing = size; missing > 0;) {
        if (!sluice_socket_wait_for_ready_read(socket, NO_LIMIT)) check("wait", -(int64_t)sluice_socket_error(socket));
        int64_t count = sluice_socket_read(socket, buffer, sizeof buffer);
        check("read", count);
        missing -= count;
    }
}

static void round_trips(const struct task *task) {
    uint64_t count = task->number[0], *times = allocate(count, sizeof *times), started = 0;
    sluice_handle socket = open_connection(task);
    for (uint64_t i = 0; i < WARM_UP + count; i++) {
        uint64_t begin = now();
        if (i == WARM_UP) started = begin;
        there_and_back(socket, (int64_t)task->number[1]);
        if (i >= WARM_UP) times[i - WARM_UP] = now() - begin;
    }
    print_round_trips(times, count, now() - started);
}

/* Large pieces are lent to the library, small ones copied; they leave together. */
static void stream(const struct task *task) {
    sluice_handle socket = open_connection(task);
    int64_t piece = (int64_t)task->number[1], gathered = piece >= 16384 ? GATHERED * piece : 262144;
    uint64_t started = now();
    for (uint64_t begun = 0; begun < task->number[0];) {
        while (begun < task->number[0] && sluice_socket_bytes_to_write(socket) < gathered) {
            check("write", piece >= 16384 ? sluice_socket_write_borrowed(socket, message, piece, NULL, NULL)
                                          : sluice_socket_write(socket, message, piece));
            begun += (uint64_t)piece;
        }
        if (!sluice_socket_wait_for_bytes_written(socket, NO_LIMIT)) check("wait", -(int64_t)sluice_socket_error(socket));
    }
    check("sync", -(int64_t)sluice_socket_sync(socket, TIME_LIMIT));
    check("shutdown", -(int64_t)sluice_socket_shutdown_write(socket));
    if (!sluice_socket_wait_for_ready_read(socket, TIME_LIMIT)) check("answer", -(int64_t)sluice_socket_error(socket));
    print_stream(task->number[0], now() - started);
}

static void connections(const struct task *task) {
    uint64_t started = now();
    for (uint64_t i = 0; i < task->number[0]; i++) {
        sluice_handle socket = open_connection(task);
        if (!task->address.is_unix) close_by_reset(socket);
        there_and_back(socket, 1);
        sluice_handle_destroy(socket);
    }
    print_rate(task->number[0], now() - started);
}

void run_blocking_style(const struct task *task) {
    loop = sluice_loop_create();
    if (loop == 0) check("loop", -(int64_t)sluice_last_error());
    memset(message, 'x', sizeof message);
    if (task->is_server) {
        serve(task);
    } else if (strcmp(task->operation, "rtt") == 0) {
        round_trips(task);
    } else if (strcmp(task->operation, "stream") == 0) {
        stream(task);
    } else if (strcmp(task->operation, "connrate") == 0) {
        connections(task);
    } else {
        fprintf(stderr, "the blocking style serves one connection at a time\n");
        exit(2);
    }
}
