/* Measures datagrams of libsluice from C: sluice_datagrams event|blocking|batch ..., the rest as in bench.h.
 *   event     one at a time, read in the callback until nothing is left
 *   blocking  one at a time, waitForReadyRead from top to bottom
 *   batch     64 in a call, read in the callback */
#define _DEFAULT_SOURCE
#include "bench.h"
#include "sluice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 2048 };

static char message[LARGEST_MESSAGE], room[DATAGRAM_BATCH][ROOM];
static sluice_datagram datagrams[DATAGRAM_BATCH];
static sluice_handle loop;

static void check(const char *what, int64_t result) {
    if (result >= 0) return;
    fprintf(stderr, "%s: %s\n", what, sluice_error_name((sluice_error)-result));
    exit(1);
}

static sluice_handle make_socket(void) {
    sluice_handle socket = sluice_udp_socket_create(loop);
    if (socket == 0) check("socket", -(int64_t)sluice_last_error());
    return socket;
}

/* ---- receiving ---- */

static struct datagram_count received;

static void read_each(sluice_handle socket) {
    while (sluice_udp_socket_read_datagram(socket, &datagrams[0]) >= 0) count_received(&received, room[0], (uint64_t)datagrams[0].length);
}

static void read_one_by_one(const sluice_event *event, void *context) {
    (void)context;
    read_each(event->handle);
}

static void read_batches(const sluice_event *event, void *context) {
    (void)context;
    int64_t count;
    do {
        count = sluice_udp_socket_read_datagrams(event->handle, datagrams, DATAGRAM_BATCH);
        for (int64_t i = 0; i < count; i++) count_received(&received, room[i], (uint64_t)datagrams[i].length);
    } while (count == DATAGRAM_BATCH);
}

static void serve(const struct task *task, const char *style) {
    sluice_handle socket = make_socket();
    check("option", -(int64_t)sluice_socket_set_option(socket, SLUICE_OPTION_RECEIVE_BUFFER_SIZE, DATAGRAM_BUFFER));
    check("bind", -(int64_t)sluice_socket_bind(socket, task->address.host, task->address.port, SLUICE_BIND_DEFAULT));
    for (int i = 0; i < DATAGRAM_BATCH; i++)
        datagrams[i] = (sluice_datagram){.size = sizeof datagrams[i], .data = room[i], .capacity = ROOM};
    print_ready();
    if (strcmp(style, "blocking") == 0)
        while (sluice_socket_wait_for_ready_read(socket, -1)) read_each(socket);
    sluice_handle_subscribe(socket, SLUICE_EVENT_MASK(SLUICE_EVENT_READY_READ));
    sluice_handle_set_callback(socket, strcmp(style, "batch") == 0 ? read_batches : read_one_by_one, NULL);
    sluice_loop_run(loop);
}

/* ---- sending ---- */

static struct datagram_count sent;

static void send_one_by_one(sluice_handle socket, const struct task *task) {
    for (int i = 0; i < DATAGRAM_BATCH; i++) {
        check("write", sluice_udp_socket_write_datagram(socket, message, (int64_t)task->number[1], task->address.host, task->address.port));
        sent.count++;
    }
}

static void send_batch(sluice_handle socket, const struct task *task) {
    sluice_outgoing_datagram outgoing[DATAGRAM_BATCH];
    for (int i = 0; i < DATAGRAM_BATCH; i++)
        outgoing[i] = (sluice_outgoing_datagram){.size = sizeof outgoing[i], .data = message, .length = (int64_t)task->number[1],
                                                 .address = task->address.host, .port = task->address.port};
    int64_t count = sluice_udp_socket_write_datagrams(socket, outgoing, DATAGRAM_BATCH);
    check("write", count);
    sent.count += (uint64_t)count;
}

static void send_for_a_while(const struct task *task, const char *style) {
    sluice_handle socket = make_socket();
    sluice_handle_subscribe(socket, SLUICE_EVENTS_NONE);
    bool is_batched = strcmp(style, "batch") == 0;
    begin_sending(&sent, task->number[0]);
    do {
        if (is_batched)
            send_batch(socket, task);
        else
            send_one_by_one(socket, task);
        /* What the system does not take at once is queued. */
        if (sluice_socket_bytes_to_write(socket) > 0) check("sync", -(int64_t)sluice_socket_sync(socket, -1));
    } while (has_time(&sent));
    print_sent(&sent);
    for (int i = 0; i < FAREWELLS; i++) {
        usleep(FAREWELL_PAUSE);
        check("write", sluice_udp_socket_write_datagram(socket, "FIN", 3, task->address.host, task->address.port));
    }
}

int main(int count, char **words) {
    struct task task = parse_task(count, words);
    loop = sluice_loop_create();
    if (loop == 0) check("loop", -(int64_t)sluice_last_error());
    memset(message, 'x', sizeof message);
    if (task.is_server)
        serve(&task, words[1]);
    else
        send_for_a_while(&task, words[1]);
    return 0;
}
