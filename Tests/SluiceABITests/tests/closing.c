/* Half closes, orderly ends with pending data, resets, and taking descriptors in and out. */
#include "common.h"

#include <fcntl.h>

#define BIG (4 * 1024 * 1024)

static sluice_handle loop;
static char big[BIG];

/* Reads the peer's stream to its end beside the running loop, and returns how much it was. */
static int64_t drain(int peer) {
    static char buffer[65536];
    int64_t total = 0;
    for (;;) {
        ssize_t got = recv(peer, buffer, sizeof buffer, MSG_DONTWAIT);
        if (got > 0)
            total += got;
        else if (got == 0)
            return total;
        else
            CHECK(errno == EAGAIN);
        CHECK(sluice_loop_run_once(loop, 0) >= 0);
    }
}

static void test_half_close(void) {
    struct counts counts;
    int peer;
    char buffer[8];
    sluice_handle socket = new_raw_pair(loop, &peer);
    count_events(socket, &counts);
    /* Ours: the peer sees the end after all data; reading goes on. */
    CHECK_EQUAL(sluice_socket_write(socket, big, BIG), BIG);
    CHECK_EQUAL(sluice_socket_shutdown_write(socket), 0);
    CHECK_EQUAL(sluice_socket_write(socket, "x", 1), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(drain(peer), BIG);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CONNECTED);
    raw_send(peer, "late", 4);
    while (sluice_socket_bytes_available(socket) < 4)
        CHECK(sluice_loop_run_once(loop, -1) >= 0);
    CHECK_EQUAL(sluice_socket_read(socket, buffer, 8), 4);
    close(peer);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);

    /* The peer's, when that is allowed: told by the end of reading alone, and writing goes on. */
    socket = new_raw_pair(loop, &peer);
    CHECK(!sluice_socket_allow_half_open(socket));
    CHECK_EQUAL(sluice_socket_set_allow_half_open(socket, true), 0);
    CHECK(sluice_socket_allow_half_open(socket));
    count_events(socket, &counts);
    raw_send(peer, "last", 4);
    CHECK(shutdown(peer, SHUT_WR) == 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_READ_CHANNEL_FINISHED] == 1);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 0);
    CHECK_EQUAL(sluice_socket_read(socket, buffer, 8), 4);
    CHECK_EQUAL(sluice_socket_write(socket, big, BIG), BIG);
    CHECK_EQUAL(sluice_socket_disconnect_from_host(socket), 0);
    CHECK_EQUAL(drain(peer), BIG);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 0);
    close(peer);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);

    /* The peer's, when it is not: what was accepted is still sent before the end. */
    socket = new_raw_pair(loop, &peer);
    count_events(socket, &counts);
    CHECK_EQUAL(sluice_socket_write(socket, big, BIG), BIG);
    CHECK(shutdown(peer, SHUT_WR) == 0);
    CHECK_EQUAL(drain(peer), BIG);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
    CHECK_EQUAL(counts.sum[SLUICE_EVENT_BYTES_WRITTEN], BIG);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_REMOTE_HOST_CLOSED);
    CHECK_EQUAL(sluice_socket_system_error(socket), 0);
    close(peer);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

static void test_pending_data(void) {
    struct counts counts;
    int peer, how;
    for (how = 0; how < 2; how++) {
        sluice_handle socket = new_raw_pair(loop, &peer);
        count_events(socket, &counts);
        CHECK_EQUAL(sluice_socket_write(socket, big, BIG), BIG);
        CHECK_EQUAL(how == 0 ? sluice_socket_disconnect_from_host(socket) : sluice_socket_close(socket), 0);
        CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CLOSING);
        CHECK_EQUAL(sluice_socket_is_open(socket), how == 0);
        CHECK_EQUAL(counts.of[SLUICE_EVENT_ABOUT_TO_CLOSE], how);
        CHECK_EQUAL(drain(peer), BIG);
        RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
        CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_UNCONNECTED);
        CHECK_EQUAL(sluice_socket_descriptor(socket), -1);
        CHECK(!sluice_socket_is_valid(socket));
        close(peer);
        /* The same handle again. */
        CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    }

    /* A peer that never reads: bounded. */
    {
        sluice_handle socket = new_raw_pair(loop, &peer);
        count_events(socket, &counts);
        CHECK_EQUAL(sluice_socket_close_timeout(socket), 60000);
        CHECK_EQUAL(sluice_socket_set_close_timeout(socket, 20), 0);
        CHECK_EQUAL(sluice_socket_close_timeout(socket), 20);
        CHECK_EQUAL(sluice_socket_set_close_timeout(socket, -2), SLUICE_ERROR_INVALID_ARGUMENT);
        CHECK_EQUAL(sluice_socket_write(socket, big, BIG), BIG);
        CHECK_EQUAL(sluice_socket_write(socket, big, BIG), BIG);
        CHECK_EQUAL(sluice_socket_disconnect_from_host(socket), 0);
        RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
        CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 1);
        CHECK_EQUAL(counts.last[SLUICE_EVENT_ERROR_OCCURRED].error, SLUICE_ERROR_SOCKET_TIMEOUT);
        CHECK(strpbrk(counts.message, "0123456789") != NULL);
        close(peer);
        CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    }
}

static void test_reset(void) {
    struct counts counts;
    int peer;
    char buffer[8];
    sluice_handle socket = new_raw_pair(loop, &peer);
    count_events(socket, &counts);
    raw_reset(peer);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_REMOTE_HOST_CLOSED);
    CHECK_EQUAL(sluice_socket_system_error(socket), ECONNRESET);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_ERROR_OCCURRED].system_error, ECONNRESET);
    CHECK(strstr(counts.message, "127.0.0.1") != NULL);
    CHECK_TEXT(text_of(sluice_socket_error_string, socket), counts.message);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);

    /* What came before it is still there, also when it is found by writing. */
    socket = new_raw_pair(loop, &peer);
    count_events(socket, &counts);
    raw_send(peer, "data", 4);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_READY_READ] == 1);
    raw_reset(peer);
    sluice_socket_write(socket, "x", 1);
    sluice_socket_flush(socket);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
    CHECK_EQUAL(sluice_socket_system_error(socket), ECONNRESET);
    CHECK_EQUAL(sluice_socket_read(socket, buffer, 8), 4);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);

    /* Inside a wait. */
    socket = new_raw_pair(loop, &peer);
    raw_reset(peer);
    CHECK(!sluice_socket_wait_for_ready_read(socket, -1));
    CHECK_EQUAL(sluice_socket_system_error(socket), ECONNRESET);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

static void test_descriptors(void) {
    int peer, taken, fds[2];
    char buffer[8];
    sluice_handle socket = new_raw_pair(loop, &peer), other = sluice_tcp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_take_descriptor(other), -SLUICE_ERROR_INVALID_STATE);
    CHECK_EQUAL(fcntl(sluice_socket_descriptor(socket), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    CHECK_EQUAL(sluice_socket_set_descriptor(other, sluice_socket_descriptor(socket), SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_write(socket, "x", 1), 1);
    CHECK_EQUAL(sluice_socket_take_descriptor(socket), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_sync(socket, -1), 0);
    raw_receive(peer, buffer, 1);
    taken = sluice_socket_take_descriptor(socket);
    CHECK(taken >= 0);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    raw_send(peer, "y", 1);
    CHECK_EQUAL(sluice_socket_set_descriptor(other, taken, SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), 0);
    CHECK_EQUAL(sluice_socket_state(other), SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(sluice_socket_descriptor(other), taken);
    CHECK(sluice_socket_wait_for_ready_read(other, -1));
    CHECK_EQUAL(sluice_socket_read(other, buffer, 8), 1);

    /* What is refused stays ours. */
    CHECK(pipe(fds) == 0);
    socket = sluice_tcp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_set_descriptor(socket, fds[0], SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_socket_set_descriptor(socket, -1, SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_socket_set_descriptor(socket, 99999, SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_socket_set_descriptor(socket, fds[0], SLUICE_STATE_LISTENING, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_descriptor(socket, fds[0], 77, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK(close(fds[0]) == 0 && close(fds[1]) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHECK_EQUAL(sluice_socket_set_descriptor(socket, fds[0], SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK(close(fds[0]) == 0 && close(fds[1]) == 0);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_UNCONNECTED);
    close(peer);
}

int main(void) {
    loop = new_loop();
    test_half_close();
    test_pending_data();
    test_reset();
    test_descriptors();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
