/* The queue behind sluice_loop_next_event: joining, limits, stopping, time limits. */
#include "common.h"

static sluice_handle loop;
static sluice_event event;

static int next(void) { return (int)sluice_loop_next_event(loop, &event, 0); }

static void stop_it(void *context) { CHECK_EQUAL(sluice_loop_stop(*(sluice_handle *)context), 0); }

/* Events that come one after the other without being fetched become one of each kind. */
static void test_joining(void) {
    char bytes[100];
    int peer, i, ready_reads = 0, written_events = 0;
    int64_t written = 0, available = 0;
    sluice_handle socket = new_raw_pair(loop, &peer);
    while (next() > 0) {}
    CHECK_EQUAL(sluice_handle_subscribe(socket, SLUICE_EVENTS_ALL), 0);
    memset(bytes, 'x', sizeof bytes);
    for (i = 0; i < 50; i++) {
        CHECK_EQUAL(sluice_socket_write(socket, bytes, 10), 10);
        CHECK(sluice_socket_flush(socket));
        raw_send(peer, bytes, 4);
        CHECK(sluice_socket_wait_for_ready_read(socket, -1));
    }
    while (next() > 0) {
        CHECK_EQUAL(event.handle, socket);
        if (event.type == SLUICE_EVENT_READY_READ) {
            ready_reads += 1;
            available = event.value;
        } else if (event.type == SLUICE_EVENT_BYTES_WRITTEN) {
            written_events += 1;
            written += event.value;
        }
    }
    CHECK_EQUAL(ready_reads, 1);
    CHECK_EQUAL(available, 200);
    CHECK_EQUAL(written_events, 1);
    CHECK_EQUAL(written, 500);

    /* Nothing is joined across another event of the same handle. */
    CHECK_EQUAL(sluice_handle_subscribe(socket, SLUICE_EVENTS_DEFAULT), 0);
    raw_send(peer, bytes, 1);
    CHECK(sluice_socket_wait_for_ready_read(socket, -1));
    CHECK(!sluice_socket_wait_for_ready_read(socket, 0));
    raw_send(peer, bytes, 1);
    CHECK(sluice_socket_wait_for_ready_read(socket, -1));
    CHECK_EQUAL(next(), 1);
    CHECK_EQUAL(event.type, SLUICE_EVENT_READY_READ);
    CHECK_EQUAL(event.value, 201);
    CHECK_EQUAL(next(), 1);
    CHECK_EQUAL(event.type, SLUICE_EVENT_ERROR_OCCURRED);
    CHECK_EQUAL(event.error, SLUICE_ERROR_SOCKET_TIMEOUT);
    CHECK(event.message != NULL);
    CHECK_EQUAL(next(), 1);
    CHECK_EQUAL(event.type, SLUICE_EVENT_READY_READ);
    CHECK_EQUAL(event.value, 202);
    CHECK_EQUAL(next(), 0);
    close(peer);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    CHECK_EQUAL(sluice_loop_queue_events(loop, false), 0);
    CHECK_EQUAL(sluice_loop_queue_events(loop, true), 0);
    CHECK_EQUAL(next(), 0);
}

/* A queue that nobody empties stays bounded, keeps the newest, and tells what it dropped. */
static void test_limit(void) {
    sluice_handle socket = sluice_tcp_socket_create(loop);
    int64_t fetched = 0, raised = 0, dropped_before = sluice_loop_dropped_events(loop);
    int i;
    CHECK_EQUAL(dropped_before, 0);
    /* Each refused call raises one error; each bind and abort raise two state changes and one end of reading. */
    for (i = 0; i < 30000; i++) {
        CHECK_EQUAL(sluice_socket_bind(socket, "127.0.0.1", 0, SLUICE_BIND_DEFAULT), 0);
        CHECK_EQUAL(sluice_socket_bind(socket, "127.0.0.1", 0, SLUICE_BIND_DEFAULT), SLUICE_ERROR_OPERATION);
        CHECK_EQUAL(sluice_socket_abort(socket), 0);
        raised += 3;
    }
    while (next() > 0) {
        fetched += 1;
        CHECK_EQUAL(event.handle, socket);
        if (event.type == SLUICE_EVENT_ERROR_OCCURRED)
            CHECK(event.message != NULL && event.message[0] != '\0');
    }
    CHECK(fetched <= 65536);
    CHECK(fetched > 1000);
    CHECK(fetched + sluice_loop_dropped_events(loop) >= raised);
    CHECK(sluice_loop_dropped_events(loop) > 0);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    while (next() > 0) {}
}

/* What was written about one event has left when the next one is there, as after a callback. */
static void test_sending(void) {
    char byte = 0;
    int peer, i;
    sluice_handle socket = new_raw_pair(loop, &peer);
    while (next() > 0) {}
    for (i = 0; i < 2; i++)
        CHECK_EQUAL(sluice_socket_connect_to_host(socket, "127.0.0.1", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(next(), 1);
    CHECK_EQUAL(sluice_socket_write(socket, "x", 1), 1);
    CHECK_EQUAL(recv(peer, &byte, 1, MSG_DONTWAIT), -1);
    CHECK_EQUAL(next(), 1);
    CHECK_EQUAL(event.type, SLUICE_EVENT_ERROR_OCCURRED);
    raw_receive(peer, &byte, 1);
    CHECK_EQUAL(byte, 'x');
    CHECK_EQUAL(next(), 0);
    close(peer);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    while (next() > 0) {}
}

static void destroy_loop(const sluice_event *raised, void *context) {
    (void)raised;
    CHECK_EQUAL(sluice_loop_destroy(*(sluice_handle *)context), 0);
}

/* Sending raises events; a callback that gets one may end the loop. */
static void test_ending_while_sending(void) {
    sluice_handle ending = new_loop(), socket;
    int peer;
    socket = new_raw_pair(ending, &peer);
    CHECK_EQUAL(sluice_handle_subscribe(socket, SLUICE_EVENT_MASK(SLUICE_EVENT_BYTES_WRITTEN)), 0);
    CHECK_EQUAL(sluice_handle_set_callback(socket, destroy_loop, &ending), 0);
    CHECK_EQUAL(sluice_socket_write(socket, "x", 1), 1);
    CHECK_EQUAL(sluice_loop_next_event(ending, &event, -1), -SLUICE_ERROR_INVALID_HANDLE);
    CHECK_EQUAL(sluice_handle_kind(ending), SLUICE_KIND_NONE);
    CHECK_EQUAL(sluice_handle_kind(socket), SLUICE_KIND_NONE);
    close(peer);
}

int main(void) {
    loop = new_loop();
    memset(&event, 0, sizeof event);
    event.size = sizeof event;

    CHECK_EQUAL(next(), 0);
    test_joining();
    test_limit();
    test_sending();
    test_ending_while_sending();

    /* A stop ends the wait without an event, from a timer as from before. */
    CHECK(sluice_loop_start_timer(loop, 1, false, stop_it, &loop) > 0);
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), 0);
    CHECK_EQUAL(sluice_loop_stop(loop), 0);
    CHECK_EQUAL(sluice_loop_stop(loop), 0);
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), 0);

    CHECK_EQUAL(sluice_loop_next_event(loop, &event, 5), 0);
    CHECK_EQUAL(sluice_loop_next_event(loop, NULL, 0), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, -2), -SLUICE_ERROR_INVALID_ARGUMENT);
    event.size = 8;
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, 0), -SLUICE_ERROR_INVALID_ARGUMENT);
    event.size = sizeof event;

    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, 0), -SLUICE_ERROR_INVALID_HANDLE);
    return 0;
}
