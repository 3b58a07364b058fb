/* Writing from borrowed memory: release comes exactly once, whatever becomes of the connection. */
#include "common.h"

#define BIG (8 * 1024 * 1024)

static int released;

static void release(void *context) {
    *(int *)context += 1;
    released += 1;
}

struct reuse {
    sluice_handle socket;
    int released;
};

/* Writes the next piece from inside the release of the one before. */
static void release_and_write(void *context) {
    struct reuse *reuse = context;
    static const char more[] = "more";
    if (++reuse->released < 5)
        CHECK_EQUAL(sluice_socket_write_borrowed(reuse->socket, more, 4, release_and_write, reuse), 4);
}

static void destroy_self(void *context) {
    struct reuse *reuse = context;
    reuse->released += 1;
    CHECK_EQUAL(sluice_handle_destroy(reuse->socket), 0);
}

int main(void) {
    sluice_handle loop = new_loop(), socket, other;
    char *memory = malloc(BIG), *copy = malloc(BIG);
    int peer, count[8] = {0}, i;
    struct reuse reuse;
    char small[4] = "abcd", buffer[64];
    CHECK(memory != NULL && copy != NULL);
    for (i = 0; i < BIG; i++)
        memory[i] = (char)pattern((uint64_t)i);

    /* Before and after ordinary writes: the order stays. */
    socket = new_raw_pair(loop, &peer);
    CHECK_EQUAL(sluice_socket_write(socket, "1", 1), 1);
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, small, 4, release, &count[0]), 4);
    CHECK_EQUAL(sluice_socket_write(socket, "2", 1), 1);
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, "static", 6, NULL, NULL), 6);
    CHECK_EQUAL(sluice_socket_sync(socket, -1), 0);
    CHECK_EQUAL(count[0], 1);
    raw_receive(peer, buffer, 12);
    CHECK(memcmp(buffer, "1abcd2static", 12) == 0);

    /* More than the system takes at once. */
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, memory, BIG, release, &count[1]), BIG);
    CHECK_EQUAL(sluice_socket_bytes_to_write(socket) > 0, 1);
    for (i = 0; i < BIG;) {
        ssize_t got;
        CHECK(sluice_loop_run_once(loop, 0) >= 0);
        if (sluice_socket_bytes_to_write(socket) > 0)
            CHECK_EQUAL(count[1], 0);
        got = recv(peer, copy + i, (size_t)(BIG - i), MSG_DONTWAIT);
        if (got > 0)
            i += (int)got;
    }
    CHECK_EQUAL(count[1], 1);
    CHECK(memcmp(memory, copy, BIG) == 0);

    /* Nothing at all; from inside a release. */
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, NULL, 0, release, &count[2]), 0);
    CHECK(sluice_loop_run_once(loop, 0) >= 0);
    CHECK_EQUAL(count[2], 1);
    reuse.socket = socket;
    reuse.released = 0;
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, "more", 4, release_and_write, &reuse), 4);
    RUN_UNTIL(loop, reuse.released == 5);
    raw_receive(peer, buffer, 20);

    /* Refused: the memory was never lent. */
    released = 0;
    CHECK_EQUAL(sluice_socket_set_write_buffer_size(socket, 10), 0);
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, memory, 11, release, &count[3]), -SLUICE_ERROR_LIMIT_REACHED);
    CHECK_EQUAL(sluice_socket_set_write_buffer_size(socket, 0), 0);
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, memory, -1, release, &count[3]), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, NULL, 1, release, &count[3]), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(released, 0);

    /* Dropped by abort, by the peer's reset, by destroying the socket and the loop, by a failed connect. */
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, memory, BIG, release, &count[3]), BIG);
    CHECK_EQUAL(sluice_socket_abort(socket), 0);
    CHECK_EQUAL(count[3], 1);
    close(peer);
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, small, 4, release, &count[3]), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(count[3], 1);

    socket = new_raw_pair(loop, &peer);
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, memory, BIG, release, &count[4]), BIG);
    CHECK(sluice_loop_run_once(loop, 0) >= 0);
    raw_reset(peer);
    RUN_UNTIL(loop, sluice_socket_state(socket) == SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(count[4], 1);

    socket = new_raw_pair(loop, &peer);
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, memory, BIG, release, &count[5]), BIG);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    CHECK_EQUAL(count[5], 1);
    close(peer);

    {
        int port, listener = raw_listen(&port, 1);
        close(listener);
        other = new_client(loop, port);
        CHECK_EQUAL(sluice_socket_write_borrowed(other, small, 4, release, &count[6]), 4);
        RUN_UNTIL(loop, sluice_socket_state(other) == SLUICE_STATE_UNCONNECTED);
        CHECK_EQUAL(count[6], 1);
    }

    /* A release that destroys its socket, and one that comes with the end of the loop. */
    reuse.socket = new_raw_pair(loop, &peer);
    reuse.released = 0;
    CHECK_EQUAL(sluice_socket_write_borrowed(reuse.socket, small, 4, destroy_self, &reuse), 4);
    RUN_UNTIL(loop, sluice_handle_kind(reuse.socket) == SLUICE_KIND_NONE);
    CHECK_EQUAL(reuse.released, 1);
    close(peer);
    socket = new_raw_pair(loop, &peer);
    CHECK_EQUAL(sluice_socket_write_borrowed(socket, memory, BIG, release, &count[7]), BIG);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    CHECK_EQUAL(count[7], 1);
    close(peer);
    free(memory);
    free(copy);
    return 0;
}
