/* Datagrams one by one: what is known of them, their borders, peers, events. */
#include "common.h"

#include <net/if.h>

static sluice_handle loop;

static void test_details(void) {
    sluice_handle receiver = new_udp(loop, "127.0.0.1"), sender = new_udp(loop, "AnyIPv4");
    int port = sluice_socket_local_port(receiver);
    const sluice_datagram *got;
    CHECK_EQUAL(sluice_handle_kind(sender), SLUICE_KIND_UDP_SOCKET);
    CHECK_EQUAL(sluice_socket_socket_type(sender), SLUICE_SOCKET_TYPE_UDP);
    CHECK_EQUAL(sluice_socket_state(sender), SLUICE_STATE_BOUND);
    CHECK(!sluice_socket_is_open(sender) && sluice_socket_is_valid(sender));
    CHECK_EQUAL(sluice_socket_set_option(sender, SLUICE_OPTION_TYPE_OF_SERVICE, 8), 0);
    CHECK(!sluice_udp_socket_has_pending_datagrams(receiver));
    CHECK_EQUAL(sluice_udp_socket_pending_datagram_size(receiver), -1);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "hello", 5, "127.0.0.1", port), 5);
    got = next_datagram(receiver);
    CHECK_EQUAL(got->length, 5);
    CHECK_TEXT(got->data, "hello");
    CHECK_TEXT(got->sender_address, "127.0.0.1");
    CHECK_EQUAL(got->sender_port, sluice_socket_local_port(sender));
    CHECK_TEXT(got->destination_address, "127.0.0.1");
    CHECK_EQUAL(got->destination_port, port);
    CHECK_EQUAL(got->interface_index, if_nametoindex("lo"));
    CHECK_EQUAL(got->hop_limit, 64);
    CHECK(!got->truncated);
    /* Back to where it came from. */
    CHECK_EQUAL(sluice_udp_socket_write_datagram(receiver, "you", 3, got->sender_address, got->sender_port), 3);
    got = next_datagram(sender);
    CHECK_TEXT(got->data, "you");
    CHECK_EQUAL(got->sender_port, port);
    /* A name. */
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "name", 4, "localhost", port), 4);
    CHECK_EQUAL(sluice_socket_sync(sender, -1), 0);
    CHECK_TEXT(next_datagram(receiver)->data, "name");
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);

    /* An unbound socket binds itself. */
    sender = sluice_udp_socket_create(loop);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "x", 1, "127.0.0.1", port), 1);
    CHECK_EQUAL(sluice_socket_state(sender), SLUICE_STATE_BOUND);
    CHECK_TEXT(text_of(sluice_socket_local_address, sender), "0.0.0.0");
    CHECK_EQUAL(next_datagram(receiver)->sender_port, sluice_socket_local_port(sender));
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
}

static void test_ipv6(void) {
    sluice_handle both = new_udp(loop, "any"), six, four = new_udp(loop, "127.0.0.1");
    int port = sluice_socket_local_port(both);
    const sluice_datagram *got;
    if (!has_ipv6()) {
        CHECK_EQUAL(sluice_handle_destroy(both), 0);
        return;
    }
    six = new_udp(loop, "::1");
    CHECK_TEXT(text_of(sluice_socket_local_address, both), "*");
    CHECK_EQUAL(sluice_udp_socket_write_datagram(six, "six", 3, "::1", port), 3);
    got = next_datagram(both);
    CHECK_TEXT(got->sender_address, "::1");
    CHECK(strncmp(got->destination_address, "::1%", 4) == 0);
    CHECK_EQUAL(got->interface_index, if_nametoindex("lo"));
    CHECK_EQUAL(sluice_udp_socket_write_datagram(four, "four", 4, "127.0.0.1", port), 4);
    got = next_datagram(both);
    CHECK_TEXT(got->sender_address, "::ffff:127.0.0.1");
    CHECK_EQUAL(sluice_udp_socket_write_datagram(both, "back", 4, got->sender_address, got->sender_port), 4);
    CHECK_TEXT(next_datagram(four)->data, "back");
    CHECK_EQUAL(sluice_udp_socket_write_datagram(four, "x", 1, "::1", port), -SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_handle_destroy(both), 0);
    CHECK_EQUAL(sluice_handle_destroy(six), 0);
    CHECK_EQUAL(sluice_handle_destroy(four), 0);
}

static void test_sizes(void) {
    static char large[70000], back[70000];
    struct counts counts;
    sluice_datagram datagram;
    sluice_handle receiver = new_udp(loop, "127.0.0.1"), sender = new_udp(loop, "127.0.0.1");
    int port = sluice_socket_local_port(receiver);
    const sluice_datagram *got;
    size_t i;
    for (i = 0; i < sizeof large; i++)
        large[i] = (char)pattern(i);
    count_events(sender, &counts);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, NULL, 0, "127.0.0.1", port), 0);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, large, 65507, "127.0.0.1", port), 65507);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_BYTES_WRITTEN], 2);
    CHECK_EQUAL(counts.sum[SLUICE_EVENT_BYTES_WRITTEN], 65507);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, large, 65508, "127.0.0.1", port), -SLUICE_ERROR_DATAGRAM_TOO_LARGE);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 1);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_ERROR_OCCURRED].error, SLUICE_ERROR_DATAGRAM_TOO_LARGE);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_ERROR_OCCURRED].system_error, EMSGSIZE);
    CHECK(strstr(counts.message, "65508") != NULL);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, large, INT64_MAX, "127.0.0.1", port) < 0, 1);
    CHECK_EQUAL(sluice_socket_state(sender), SLUICE_STATE_BOUND);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "after", 5, "127.0.0.1", port), 5);

    CHECK(sluice_socket_wait_for_ready_read(receiver, -1));
    CHECK(sluice_udp_socket_has_pending_datagrams(receiver));
    CHECK_EQUAL(sluice_udp_socket_pending_datagram_size(receiver), 0);
    CHECK_EQUAL(sluice_socket_bytes_available(receiver), 0);
    got = next_datagram(receiver);
    CHECK_EQUAL(got->length, 0);
    CHECK_EQUAL(got->sender_port, sluice_socket_local_port(sender));
    CHECK_EQUAL(sluice_udp_socket_pending_datagram_size(receiver), 65507);
    CHECK_EQUAL(sluice_socket_bytes_available(receiver), 65507);
    got = next_datagram(receiver);
    CHECK_EQUAL(got->length, 65507);
    CHECK(memcmp(got->data, large, 65507) == 0);
    CHECK_TEXT(next_datagram(receiver)->data, "after");

    /* Room for less than all of it, and for nothing. */
    for (i = 0; i < 2; i++)
        CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "0123456789", 10, "127.0.0.1", port), 10);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "next", 4, "127.0.0.1", port), 4);
    CHECK(sluice_socket_wait_for_ready_read(receiver, -1));
    memset(back, '#', sizeof back);
    memset(&datagram, 0, sizeof datagram);
    datagram.size = sizeof datagram;
    datagram.data = back;
    datagram.capacity = 4;
    CHECK_EQUAL(sluice_udp_socket_read_datagram(receiver, &datagram), 4);
    CHECK(datagram.truncated);
    CHECK_EQUAL(datagram.length, 4);
    CHECK(memcmp(back, "0123#", 5) == 0);
    datagram.data = NULL;
    datagram.capacity = 0;
    CHECK_EQUAL(sluice_udp_socket_read_datagram(receiver, &datagram), 0);
    CHECK(datagram.truncated);
    CHECK_TEXT(next_datagram(receiver)->data, "next");

    /* Nothing is there: an error value, and nothing else. */
    count_events(receiver, &counts);
    CHECK_EQUAL(sluice_udp_socket_read_datagram(receiver, &datagram), -SLUICE_ERROR_TEMPORARY);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_TEMPORARY);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 0);
    CHECK_EQUAL(sluice_socket_error(receiver), SLUICE_ERROR_NONE);
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
}

/* A fixed peer: reading and writing as with a stream, but never across the border of a datagram. */
static void test_connected(void) {
    struct counts counts;
    char buffer[64];
    sluice_handle one = new_udp(loop, "127.0.0.1"), other, stranger = new_udp(loop, "127.0.0.1");
    int port;
    sluice_handle fresh = sluice_udp_socket_create(loop);
    count_events(fresh, &counts);
    CHECK_EQUAL(sluice_socket_bind(fresh, "127.0.0.1", 0, SLUICE_BIND_DEFAULT), 0);
    port = sluice_socket_local_port(fresh);
    other = fresh;
    CHECK_EQUAL(sluice_socket_write(other, "x", 1), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_read(other, buffer, sizeof buffer), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_connect_to_host(other, "127.0.0.1", sluice_socket_local_port(one), SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    CHECK_EQUAL(sluice_socket_state(other), SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_CONNECTED], 1);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_HOST_FOUND], 1);
    CHECK_EQUAL(sluice_socket_local_port(other), port);
    CHECK_EQUAL(sluice_socket_peer_port(other), sluice_socket_local_port(one));
    CHECK_TEXT(text_of(sluice_socket_peer_address, other), "127.0.0.1");
    CHECK_TEXT(text_of(sluice_socket_peer_name, other), "127.0.0.1");
    CHECK(sluice_socket_open_mode(other) & SLUICE_OPEN_UNBUFFERED);

    CHECK_EQUAL(sluice_socket_write(other, "first", 5), 5);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(other, "second", 6, NULL, 0), 6);
    CHECK_EQUAL(sluice_socket_put_char(other, 'c'), 0);
    CHECK_EQUAL(sluice_socket_write(other, NULL, 0), 0);
    CHECK_EQUAL(sluice_socket_bytes_to_write(other), 0);
    CHECK_EQUAL(counts.sum[SLUICE_EVENT_BYTES_WRITTEN], 12);
    CHECK_TEXT(next_datagram(one)->data, "first");
    CHECK_TEXT(next_datagram(one)->data, "second");
    CHECK_TEXT(next_datagram(one)->data, "c");
    CHECK_EQUAL(next_datagram(one)->length, 0);

    /* Strangers are not heard. */
    CHECK_EQUAL(sluice_udp_socket_write_datagram(stranger, "stranger", 8, "127.0.0.1", port), 8);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(one, "a line\nand more", 15, "127.0.0.1", port), 15);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(one, "", 0, "127.0.0.1", port), 0);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(one, "third", 5, "127.0.0.1", port), 5);
    CHECK(sluice_socket_wait_for_ready_read(other, -1));
    CHECK_EQUAL(sluice_socket_bytes_available(other), 15);
    CHECK(sluice_socket_can_read_line(other) && !sluice_socket_at_end(other));
    CHECK_EQUAL(sluice_socket_peek(other, buffer, 2), 2);
    CHECK_EQUAL(sluice_socket_peek_all(other, buffer, sizeof buffer), 15);
    CHECK_EQUAL(sluice_socket_get_char(other), 'a');
    CHECK_EQUAL(sluice_socket_unget_char(other, 'A'), 0);
    CHECK_EQUAL(sluice_socket_read_line(other, buffer, sizeof buffer), 7);
    CHECK(memcmp(buffer, "A line\n", 7) == 0);
    CHECK(!sluice_socket_can_read_line(other));
    CHECK_EQUAL(sluice_socket_skip(other, 4), 4);
    CHECK_EQUAL(sluice_socket_read(other, buffer, sizeof buffer), 4);
    CHECK(memcmp(buffer, "more", 4) == 0);
    CHECK(sluice_udp_socket_has_pending_datagrams(other));
    CHECK_EQUAL(sluice_socket_read_all(other, buffer, sizeof buffer), 0);
    CHECK_EQUAL(sluice_socket_bytes_available(other), 5);
    CHECK_EQUAL(sluice_socket_skip(other, 100), 5);
    CHECK(!sluice_udp_socket_has_pending_datagrams(other));
    CHECK_EQUAL(sluice_socket_read(other, buffer, sizeof buffer), 0);
    CHECK_EQUAL(sluice_socket_get_char(other), -SLUICE_ERROR_TEMPORARY);
    CHECK_EQUAL(sluice_socket_shutdown_write(other), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_socket_sync(other, 0), 0);
    CHECK(!sluice_socket_flush(other));
    CHECK(!sluice_socket_wait_for_bytes_written(other, 0));

    CHECK_EQUAL(sluice_socket_disconnect_from_host(other), 0);
    CHECK_EQUAL(sluice_socket_state(other), SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_DISCONNECTED], 1);
    /* A bound socket was never connected. */
    count_events(one, &counts);
    CHECK_EQUAL(sluice_socket_close(one), 0);
    CHECK_EQUAL(sluice_socket_state(one), SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_DISCONNECTED], 0);
    CHECK_EQUAL(sluice_handle_destroy(other), 0);
    CHECK_EQUAL(sluice_handle_destroy(one), 0);
    CHECK_EQUAL(sluice_handle_destroy(stranger), 0);
}

static int released;

static void release(void *context) {
    CHECK(context == &released);
    released += 1;
}

static void test_borrowed(void) {
    sluice_handle one = new_udp(loop, "127.0.0.1"), other = new_udp_client(loop, "127.0.0.1", sluice_socket_local_port(one));
    CHECK_EQUAL(sluice_socket_write_borrowed(other, "borrowed", 8, release, &released), 8);
    CHECK_EQUAL(released, 1);
    CHECK_TEXT(next_datagram(one)->data, "borrowed");
    CHECK_EQUAL(sluice_socket_abort(other), 0);
    CHECK_EQUAL(sluice_socket_write_borrowed(other, "borrowed", 8, release, &released), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(released, 1);
    CHECK_EQUAL(sluice_handle_destroy(other), 0);
    CHECK_EQUAL(sluice_handle_destroy(one), 0);
}

/* A datagram to nobody: the connected socket hears of it, once, and lives on. */
static void test_refused(void) {
    struct counts counts;
    sluice_datagram datagram;
    char buffer[16];
    sluice_handle revived;
    int port = dead_udp_port(loop);
    sluice_handle socket = new_udp_client(loop, "127.0.0.1", port);
    count_events(socket, &counts);
    CHECK_EQUAL(sluice_socket_write(socket, "anybody?", 8), 8);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 1);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_ERROR_OCCURRED].error, SLUICE_ERROR_CONNECTION_REFUSED);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_ERROR_OCCURRED].system_error, ECONNREFUSED);
    CHECK(strstr(counts.message, "127.0.0.1") != NULL);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CONNECTED);
    /* In the blocking style it ends the wait. */
    CHECK_EQUAL(sluice_socket_write(socket, "anybody?", 8), 8);
    CHECK(!sluice_socket_wait_for_ready_read(socket, -1));
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_CONNECTION_REFUSED);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 2);
    /* Reading tells it as well. */
    CHECK_EQUAL(sluice_socket_write(socket, "anybody?", 8), 8);
    memset(&datagram, 0, sizeof datagram);
    datagram.size = sizeof datagram;
    datagram.data = buffer;
    datagram.capacity = sizeof buffer;
    while (counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 2) {
        int64_t result = sluice_udp_socket_read_datagram(socket, &datagram);
        CHECK(result == -SLUICE_ERROR_TEMPORARY || result == -SLUICE_ERROR_CONNECTION_REFUSED);
        CHECK((result == -SLUICE_ERROR_CONNECTION_REFUSED) == (counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 3));
    }
    /* Somebody comes. */
    revived = sluice_udp_socket_create(loop);
    if (sluice_socket_bind(revived, "127.0.0.1", port, SLUICE_BIND_DEFAULT) == 0) {
        CHECK_EQUAL(sluice_socket_write(socket, "now", 3), 3);
        CHECK_TEXT(next_datagram(revived)->data, "now");
    }
    CHECK_EQUAL(sluice_handle_destroy(revived), 0);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

/* The handler of an error that a getter comes upon destroys the socket. */
static void destroy(const sluice_event *event, void *context) {
    if (event->type == SLUICE_EVENT_ERROR_OCCURRED) {
        *(int *)context += 1;
        CHECK_EQUAL(sluice_handle_destroy(event->handle), 0);
    }
}

static int64_t by_read(sluice_handle socket) {
    char buffer[4];
    sluice_datagram datagram;
    memset(&datagram, 0, sizeof datagram);
    datagram.size = sizeof datagram;
    datagram.data = buffer;
    datagram.capacity = sizeof buffer;
    return sluice_udp_socket_read_datagram(socket, &datagram);
}

static int64_t by_batch(sluice_handle socket) {
    char buffer[4];
    sluice_datagram datagram;
    memset(&datagram, 0, sizeof datagram);
    datagram.size = sizeof datagram;
    datagram.data = buffer;
    datagram.capacity = sizeof buffer;
    return sluice_udp_socket_read_datagrams(socket, &datagram, 1);
}

static int64_t by_question(sluice_handle socket) { return sluice_udp_socket_has_pending_datagrams(socket); }
static int64_t by_write(sluice_handle socket) { return sluice_socket_write(socket, "again", 5); }

static void test_destroyed_by_getters(void) {
    static int64_t (*const ways[])(sluice_handle) = {by_read,  by_batch, by_question, by_write, sluice_udp_socket_pending_datagram_size,
                                                     sluice_socket_bytes_available};
    size_t i;
    int port = dead_udp_port(loop);
    for (i = 0; i < sizeof ways / sizeof *ways; i++) {
        sluice_handle socket = new_udp_client(loop, "127.0.0.1", port);
        int told = 0;
        CHECK_EQUAL(sluice_handle_set_callback(socket, destroy, &told), 0);
        CHECK_EQUAL(sluice_socket_write(socket, "anybody?", 8), 8);
        while (told == 0)
            ways[i](socket);
        CHECK_EQUAL(sluice_handle_kind(socket), SLUICE_KIND_NONE);
        CHECK_EQUAL(ways[i](socket) <= 0, 1);
    }
}

/* As events, read later from the queue. */
static void test_queue(void) {
    sluice_event event;
    sluice_handle receiver = new_udp(loop, "127.0.0.1"), sender = new_udp(loop, "127.0.0.1");
    int port = sluice_socket_local_port(receiver), i;
    event.size = sizeof event;
    CHECK_EQUAL(sluice_loop_queue_events(loop, true), 0);
    for (i = 0; i < 3; i++)
        CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "abc", 3, "127.0.0.1", port), 3);
    for (i = 0; i < 3; i++) {
        do
            CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), 1);
        while (event.type != SLUICE_EVENT_READY_READ || event.handle != receiver);
        CHECK_EQUAL(event.value, 3);
        CHECK_EQUAL(event.state, SLUICE_STATE_BOUND);
        CHECK(!event.is_open);
        CHECK_TEXT(next_datagram(receiver)->data, "abc");
    }
    CHECK_EQUAL(sluice_loop_queue_events(loop, false), 0);
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
}

static void test_broadcast(void) {
    sluice_handle receiver = new_udp(loop, "AnyIPv4"), sender = new_udp(loop, "127.0.0.1");
    int port = sluice_socket_local_port(receiver);
    int64_t value = -1;
    CHECK_EQUAL(sluice_socket_option(sender, SLUICE_OPTION_BROADCAST, &value), 0);
    CHECK_EQUAL(value, 1);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "all", 3, "127.255.255.255", port), 3);
    CHECK_TEXT(next_datagram(receiver)->data, "all");
    CHECK_EQUAL(sluice_socket_set_option(sender, SLUICE_OPTION_BROADCAST, 0), 0);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "all", 3, "127.255.255.255", port), -SLUICE_ERROR_SOCKET_ACCESS);
    CHECK_EQUAL(sluice_socket_system_error(sender), EACCES);
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
}

int main(void) {
    loop = new_loop();
    test_details();
    test_ipv6();
    test_sizes();
    test_connected();
    test_borrowed();
    test_refused();
    test_destroyed_by_getters();
    test_queue();
    test_broadcast();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
