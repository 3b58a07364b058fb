/* Bytes between two sockets, moved by the library. */
#include "common.h"

static sluice_handle loop;

static void test_relay(void) {
    enum { SIZE = 1 << 20 };
    static char data[SIZE], back[SIZE];
    struct counts counts;
    int a_peer, b_peer;
    int64_t a_to_b = -1, b_to_a = -1;
    size_t sent = 0, received = 0, i;
    sluice_handle a = new_raw_pair(loop, &a_peer), b = new_raw_pair(loop, &b_peer), relay = sluice_relay_create(a, b);
    CHECK(relay != 0);
    CHECK_EQUAL(sluice_handle_kind(relay), SLUICE_KIND_RELAY);
    count_events(relay, &counts);
    CHECK_EQUAL(sluice_relay_create(a, b), 0);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_OPERATION);
    for (i = 0; i < SIZE; i++)
        data[i] = (char)pattern(i);
    while (received < SIZE) {
        ssize_t result = send(a_peer, data + sent, SIZE - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result > 0)
            sent += (size_t)result;
        CHECK(sluice_loop_run_once(loop, 0) >= 0);
        result = recv(b_peer, back + received, SIZE - received, MSG_DONTWAIT);
        if (result > 0)
            received += (size_t)result;
    }
    CHECK(memcmp(data, back, SIZE) == 0);
    raw_send(b_peer, "answer", 6);
    shutdown(b_peer, SHUT_WR);
    CHECK_EQUAL(sluice_relay_is_finished(relay), false);
    while (recv(a_peer, back, 6, MSG_DONTWAIT | MSG_PEEK) < 6)
        CHECK(sluice_loop_run_once(loop, 1) >= 0);
    close(a_peer);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_FINISHED] == 1);
    CHECK(sluice_relay_is_finished(relay));
    CHECK_EQUAL(sluice_relay_counters(relay, &a_to_b, &b_to_a), 0);
    CHECK_EQUAL(a_to_b, SIZE);
    CHECK_EQUAL(b_to_a, 6);
    CHECK_EQUAL(sluice_relay_counters(relay, NULL, NULL), 0);
    close(b_peer);
    CHECK_EQUAL(sluice_handle_destroy(relay), 0);
    CHECK_EQUAL(sluice_relay_counters(relay, &a_to_b, NULL), SLUICE_ERROR_INVALID_HANDLE);
    CHECK_EQUAL(sluice_handle_destroy(a), 0);
    CHECK_EQUAL(sluice_handle_destroy(b), 0);
}

/* What goes while a relay is running: the relay, a socket, the loop. */
static void test_ends(int what) {
    struct counts counts;
    int a_peer, b_peer;
    sluice_handle own = new_loop(), a = new_raw_pair(own, &a_peer), b = new_raw_pair(own, &b_peer), relay = sluice_relay_create(a, b);
    CHECK(relay != 0);
    count_events(relay, &counts);
    raw_send(a_peer, "some", 4);
    CHECK(sluice_loop_run_once(own, -1) >= 0);
    if (what == 0)
        CHECK_EQUAL(sluice_handle_destroy(relay), 0);
    if (what == 1)
        CHECK_EQUAL(sluice_handle_destroy(a), 0);
    if (what == 2)
        CHECK_EQUAL(sluice_socket_abort(b), 0);
    if (what == 3)
        CHECK_EQUAL(sluice_handle_destroy(b), 0);
    for (int i = 0; i < 5; i++)
        CHECK(sluice_loop_run_once(own, 0) >= 0);
    CHECK_EQUAL(sluice_loop_destroy(own), 0);
    close(a_peer);
    close(b_peer);
}

static void test_arguments(void) {
    int a_peer;
    sluice_handle a = new_raw_pair(loop, &a_peer), fresh = sluice_tcp_socket_create(loop), udp = sluice_udp_socket_create(loop);
    sluice_handle other_loop = new_loop(), b, c;
    new_pair(other_loop, &b, &c);
    CHECK_EQUAL(sluice_relay_create(a, a), 0);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_relay_create(a, fresh), 0);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_relay_create(a, udp), 0);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_WRONG_KIND);
    CHECK_EQUAL(sluice_relay_create(a, 0), 0);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_INVALID_HANDLE);
    CHECK_EQUAL(sluice_relay_create(a, b), 0);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_WRONG_THREAD);
    /* The sockets are as they were. */
    raw_send(a_peer, "x", 1);
    CHECK(sluice_socket_wait_for_ready_read(a, -1));
    close(a_peer);
    CHECK_EQUAL(sluice_loop_destroy(other_loop), 0);
    CHECK_EQUAL(sluice_handle_destroy(a), 0);
    CHECK_EQUAL(sluice_handle_destroy(fresh), 0);
    CHECK_EQUAL(sluice_handle_destroy(udp), 0);
}

int main(void) {
    int i;
    loop = new_loop();
    test_relay();
    for (i = 0; i < 5; i++)
        test_ends(i);
    test_arguments();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
