/* The loop inside another one: poll(2) on its descriptor alone drives sockets, timers and posted work. */
#include "common.h"

static sluice_handle loop;
static int posted, ticks, connected, echoed;

static void note_post(void *context) {
    (void)context;
    posted += 1;
}

static void tick(void *context) {
    (void)context;
    ticks += 1;
}

static void tick_again(void *context) {
    (void)context;
    if (++ticks < 5)
        CHECK(sluice_loop_start_timer(loop, 1, false, tick_again, NULL) > 0);
}

static void *post_one(void *context) {
    CHECK_EQUAL(sluice_loop_post(loop, note_post, context), 0);
    return NULL;
}

static void client_event(const sluice_event *event, void *context) {
    char buffer[16];
    (void)context;
    if (event->type == SLUICE_EVENT_CONNECTED) {
        connected = 1;
        CHECK_EQUAL(sluice_socket_write(event->handle, "hello", 5), 5);
    } else if (event->type == SLUICE_EVENT_READY_READ) {
        echoed += (int)sluice_socket_read(event->handle, buffer, sizeof buffer);
    }
}

static void peer_event(const sluice_event *event, void *context) {
    char buffer[16];
    int64_t count;
    (void)context;
    if (event->type == SLUICE_EVENT_READY_READ && (count = sluice_socket_read(event->handle, buffer, sizeof buffer)) > 0)
        CHECK_EQUAL(sluice_socket_write(event->handle, buffer, count), count);
}

static void server_event(const sluice_event *event, void *context) {
    (void)context;
    if (event->type == SLUICE_EVENT_NEW_CONNECTION)
        CHECK_EQUAL(sluice_handle_set_callback(sluice_server_next_pending_connection(event->handle), peer_event, NULL), 0);
}

/* The foreign loop: it sleeps in poll without limit, so that whatever the descriptor does not tell makes the test hang. */
#define POLL_UNTIL(condition)                                \
    do {                                                     \
        while (!(condition)) {                               \
            CHECK(poll(&entry, 1, -1) == 1);                 \
            CHECK(entry.revents & POLLIN);                   \
            CHECK(sluice_loop_run_once(loop, 0) >= 0);       \
        }                                                    \
    } while (0)

/* Runs what is left to do. After it, an idle loop does not keep the foreign one awake. */
static void settle(struct pollfd *entry) {
    int rounds = 0;
    while (poll(entry, 1, 0) == 1) {
        CHECK(sluice_loop_run_once(loop, 0) >= 0);
        CHECK(++rounds < 100);
    }
}

int main(void) {
    struct pollfd entry;
    sluice_handle server, client;
    pthread_t thread;
    int64_t timer;
    char byte;
    int peer, i;

    loop = new_loop();
    /* Work from before anybody asked for the descriptor counts as well. */
    CHECK_EQUAL(sluice_loop_post(loop, note_post, NULL), 0);
    CHECK(sluice_loop_start_timer(loop, 1, false, tick, NULL) > 0);
    entry.fd = sluice_loop_descriptor(loop);
    entry.events = POLLIN;
    CHECK(entry.fd >= 0);
    CHECK_EQUAL(sluice_loop_descriptor(loop), entry.fd);
    POLL_UNTIL(posted == 1 && ticks == 1);
    settle(&entry);

    CHECK(pthread_create(&thread, NULL, post_one, NULL) == 0);
    POLL_UNTIL(posted == 2);
    CHECK(pthread_join(thread, NULL) == 0);

    /* Timers started outside, and from timers. */
    ticks = 0;
    CHECK(sluice_loop_start_timer(loop, 5, false, tick_again, NULL) > 0);
    POLL_UNTIL(ticks == 5);
    ticks = 0;
    CHECK((timer = sluice_loop_start_timer(loop, 2, true, tick, NULL)) > 0);
    POLL_UNTIL(ticks == 5);
    CHECK_EQUAL(sluice_loop_stop_timer(loop, timer), 0);
    settle(&entry);

    /* A whole echo. What is written outside the loop's turns leaves too. */
    server = new_server(loop);
    CHECK_EQUAL(sluice_handle_set_callback(server, server_event, NULL), 0);
    client = sluice_tcp_socket_create(loop);
    CHECK_EQUAL(sluice_handle_set_callback(client, client_event, NULL), 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(client, "localhost", sluice_server_port(server), SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_IPV4), 0);
    POLL_UNTIL(echoed == 5);
    CHECK(connected);
    for (i = 0; i < 10; i++) {
        settle(&entry);
        CHECK_EQUAL(sluice_socket_write(client, "again", 5), 5);
        POLL_UNTIL(echoed == 10 + 5 * i);
    }
    CHECK_EQUAL(sluice_handle_destroy(client), 0);

    /* What comes from outside. */
    client = new_raw_pair(loop, &peer);
    CHECK_EQUAL(sluice_handle_set_callback(client, client_event, NULL), 0);
    settle(&entry);
    echoed = 0;
    raw_send(peer, "x", 1);
    POLL_UNTIL(echoed == 1);
    CHECK_EQUAL(sluice_socket_write(client, "y", 1), 1);
    POLL_UNTIL(sluice_socket_bytes_to_write(client) == 0);
    raw_receive(peer, &byte, 1);
    /* A failure that is told in a later turn. */
    CHECK_EQUAL(sluice_socket_abort(client), 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(client, "", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    POLL_UNTIL(sluice_socket_state(client) == SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(sluice_socket_error(client), SLUICE_ERROR_EMPTY_HOST_NAME);
    close(peer);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
