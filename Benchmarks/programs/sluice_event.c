/* The callback style: one loop, and a function for each handle. */
#include "sluice_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As much as one read from the system brings. */
static char buffer[65536];
static sluice_handle loop;
static const struct task *job;

/* ---- servers ---- */

static void echo(const sluice_event *event, void *context) {
    (void)context;
    if (event->type == SLUICE_EVENT_DISCONNECTED) {
        sluice_handle_destroy(event->handle);
        return;
    }
    int64_t count;
    do {
        count = sluice_socket_read(event->handle, buffer, sizeof buffer);
        if (count > 0) sluice_socket_write(event->handle, buffer, count);
    } while (count == (int64_t)sizeof buffer);
}

static void drop(const sluice_event *event, void *context) {
    (void)context;
    switch (event->type) {
    case SLUICE_EVENT_READY_READ:
        while (sluice_socket_read(event->handle, buffer, sizeof buffer) == (int64_t)sizeof buffer) continue;
        break;
    case SLUICE_EVENT_READ_CHANNEL_FINISHED:
        sluice_socket_write(event->handle, "K", 1);
        sluice_socket_disconnect_from_host(event->handle);
        break;
    default:
        sluice_handle_destroy(event->handle);
    }
}

static void accept_all(const sluice_event *event, void *context) {
    (void)context;
    sluice_handle socket;
    while ((socket = sluice_server_next_pending_connection(event->handle)) != 0) {
        uint32_t events = SLUICE_EVENT_MASK(SLUICE_EVENT_READY_READ) | SLUICE_EVENT_MASK(SLUICE_EVENT_DISCONNECTED);
        if (job->is_sink) {
            events |= SLUICE_EVENT_MASK(SLUICE_EVENT_READ_CHANNEL_FINISHED);
            sluice_socket_set_allow_half_open(socket, true);
        }
        sluice_handle_subscribe(socket, events);
        sluice_handle_set_callback(socket, job->is_sink ? drop : echo, NULL);
    }
}

static void serve(void) {
    sluice_handle server = listen_on(loop, &job->address);
    sluice_handle_subscribe(server, SLUICE_EVENT_MASK(SLUICE_EVENT_NEW_CONNECTION));
    sluice_handle_set_callback(server, accept_all, NULL);
    print_ready();
    sluice_loop_run(loop);
}

/* ---- clients ---- */

static char message[LARGEST_MESSAGE];
static uint64_t started, done, begun;

static void give_up(const sluice_event *event) {
    fprintf(stderr, "%s: %s\n", sluice_event_name(event->type), event->message ? event->message : "the connection ended");
    exit(1);
}

static void open_connection(sluice_event_callback callback, void *context, uint32_t more_events) {
    sluice_handle socket = make_socket(loop, &job->address);
    sluice_handle_subscribe(socket, SLUICE_EVENT_MASK(SLUICE_EVENT_CONNECTED) | SLUICE_EVENT_MASK(SLUICE_EVENT_READY_READ) |
                                        SLUICE_EVENT_MASK(SLUICE_EVENT_ERROR_OCCURRED) | more_events);
    sluice_handle_set_callback(socket, callback, context);
    start_connecting(socket, &job->address);
}

/* One message there and back, again and again. */
static struct {
    uint64_t *times, sent_at;
    int64_t missing;
} trip;

static void send_message(sluice_handle socket, int64_t size) {
    trip.missing = size;
    trip.sent_at = now();
    check("write", sluice_socket_write(socket, message, size));
}

static void round_trip(const sluice_event *event, void *context) {
    (void)context;
    int64_t size = (int64_t)job->number[1];
    if (event->type == SLUICE_EVENT_CONNECTED) {
        send_message(event->handle, size);
        return;
    }
    if (event->type != SLUICE_EVENT_READY_READ) give_up(event);
    int64_t count = sluice_socket_read(event->handle, buffer, sizeof buffer);
    check("read", count);
    trip.missing -= count;
    if (trip.missing > 0) return;
    uint64_t end = now();
    if (done >= WARM_UP) trip.times[done - WARM_UP] = end - trip.sent_at;
    done++;
    if (done == WARM_UP) started = end;
    if (done == WARM_UP + job->number[0]) {
        print_round_trips(trip.times, job->number[0], end - started);
        sluice_loop_stop(loop);
        return;
    }
    send_message(event->handle, size);
}

/* Bytes in one direction. Large pieces are lent to the library and small ones copied; so many bytes are kept waiting that a
 * call to the system never has to do with less than it takes. */
enum { LARGE_PIECE = 16384, KEPT_LARGE = 1 << 20, KEPT_SMALL = 1 << 18 };

static void keep_sending(sluice_handle socket) {
    uint64_t total = job->number[0];
    int64_t piece = (int64_t)job->number[1], kept = piece >= LARGE_PIECE ? KEPT_LARGE : KEPT_SMALL;
    int64_t waiting = sluice_socket_bytes_to_write(socket);
    while (begun < total && waiting < kept) {
        check("write", piece >= LARGE_PIECE ? sluice_socket_write_borrowed(socket, message, piece, NULL, NULL)
                                            : sluice_socket_write(socket, message, piece));
        waiting += piece;
        begun += (uint64_t)piece;
    }
    if (begun >= total && waiting > 0) sluice_socket_shutdown_write(socket);
}

static void stream(const sluice_event *event, void *context) {
    (void)context;
    switch (event->type) {
    case SLUICE_EVENT_CONNECTED:
        started = now();
        keep_sending(event->handle);
        break;
    case SLUICE_EVENT_BYTES_WRITTEN:
        keep_sending(event->handle);
        break;
    case SLUICE_EVENT_READY_READ:
        print_stream(job->number[0], now() - started);
        /* The server closes once it has answered: that is no failure of ours. */
        sluice_handle_destroy(event->handle);
        sluice_loop_stop(loop);
        break;
    default:
        give_up(event);
    }
}

/* One message under way on each of many connections. */
struct connection {
    sluice_handle socket;
    int64_t missing;
};
static struct connection *connections;
static uint64_t connected;

static void send_on(struct connection *connection) {
    connection->missing = (int64_t)job->number[2];
    begun++;
    check("write", sluice_socket_write(connection->socket, message, connection->missing));
}

static void many(const sluice_event *event, void *context) {
    struct connection *connection = context;
    if (event->type == SLUICE_EVENT_CONNECTED) {
        connection->socket = event->handle;
        if (++connected < job->number[0]) return;
        started = now();
        for (uint64_t i = 0; i < job->number[0]; i++) send_on(&connections[i]);
        return;
    }
    if (event->type != SLUICE_EVENT_READY_READ) give_up(event);
    int64_t count = sluice_socket_read(event->handle, buffer, sizeof buffer);
    check("read", count);
    connection->missing -= count;
    if (connection->missing > 0) return;
    if (++done == job->number[1]) {
        print_rate(done, now() - started);
        sluice_loop_stop(loop);
        return;
    }
    if (begun < job->number[1]) send_on(connection);
}

/* Connections, one after the other, with one byte there and back. What is written before a handshake is over leaves after it. */
static void connect_again(const sluice_event *event, void *context) {
    (void)context;
    switch (event->type) {
    case SLUICE_EVENT_CONNECTED:
        if (!job->address.is_unix) close_by_reset(event->handle);
        check("write", sluice_socket_write(event->handle, message, 1));
        break;
    case SLUICE_EVENT_READY_READ:
        if (strcmp(job->operation, "resume") == 0) keep_ticket(event->handle);
        sluice_handle_destroy(event->handle);
        if (++done < job->number[0]) {
            open_connection(connect_again, NULL, 0);
        } else {
            print_rate(done, now() - started);
            sluice_loop_stop(loop);
        }
        break;
    default:
        give_up(event);
    }
}

static void run_client(void) {
    memset(message, 'x', sizeof message);
    if (strcmp(job->operation, "rtt") == 0) {
        trip.times = allocate(job->number[0], sizeof *trip.times);
        open_connection(round_trip, NULL, 0);
    } else if (strcmp(job->operation, "stream") == 0) {
        open_connection(stream, NULL, SLUICE_EVENT_MASK(SLUICE_EVENT_BYTES_WRITTEN));
    } else if (strcmp(job->operation, "many") == 0) {
        connections = allocate(job->number[0], sizeof *connections);
        for (uint64_t i = 0; i < job->number[0]; i++) open_connection(many, &connections[i], 0);
    } else {
        started = now();
        open_connection(connect_again, NULL, 0);
    }
    sluice_loop_run(loop);
}

void run_event_style(const struct task *task) {
    job = task;
    loop = sluice_loop_create();
    if (loop == 0) check("loop", -(int64_t)sluice_last_error());
    if (task->is_server)
        serve();
    else
        run_client();
}
