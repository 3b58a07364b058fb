/* readBufferSize holds the peer back, and reading lets it go on; nothing is lost on the way. */
#include "common.h"

#include <fcntl.h>

#define LIMIT 10000

int main(void) {
    sluice_handle loop = new_loop(), socket;
    struct counts counts;
    static char chunk[65536], buffer[4096];
    int64_t sent = 0, received = 0, i;
    uint64_t sum_sent = CHECKSUM_START, sum_received = CHECKSUM_START;
    int peer, stuck = 0;
    socket = new_raw_pair(loop, &peer);
    CHECK_EQUAL(sluice_socket_read_buffer_size(socket), 0);
    CHECK_EQUAL(sluice_socket_set_read_buffer_size(socket, -1), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_read_buffer_size(socket, LIMIT), 0);
    CHECK_EQUAL(sluice_socket_read_buffer_size(socket), LIMIT);
    count_events(socket, &counts);
    CHECK(fcntl(peer, F_SETFL, O_NONBLOCK) == 0);

    /* Until the peer cannot send any more. */
    while (stuck < 50) {
        ssize_t count;
        for (i = 0; i < (int64_t)sizeof chunk; i++)
            chunk[i] = (char)pattern((uint64_t)(sent + i));
        count = send(peer, chunk, sizeof chunk, MSG_NOSIGNAL);
        if (count > 0) {
            sum_sent = checksum(sum_sent, chunk, (size_t)count);
            sent += count;
            stuck = 0;
        } else {
            stuck += 1;
        }
        CHECK(sluice_loop_run_once(loop, 1) >= 0);
        CHECK(sluice_socket_bytes_available(socket) <= LIMIT);
    }
    CHECK_EQUAL(sluice_socket_bytes_available(socket), LIMIT);
    CHECK(sent > LIMIT);
    /* A peek makes no room, and a wait for more cannot succeed. */
    CHECK_EQUAL(sluice_socket_peek(socket, buffer, sizeof buffer), sizeof buffer);
    CHECK(!sluice_socket_wait_for_ready_read(socket, 1000));
    CHECK_EQUAL(sluice_socket_bytes_available(socket), LIMIT);

    CHECK(shutdown(peer, SHUT_WR) == 0);
    while (received < sent) {
        int64_t count = sluice_socket_read(socket, buffer, sizeof buffer);
        CHECK(count >= 0);
        sum_received = checksum(sum_received, buffer, (size_t)count);
        received += count;
        if (count == 0)
            CHECK(sluice_loop_run_once(loop, -1) >= 0);
        CHECK(sluice_socket_bytes_available(socket) <= LIMIT);
    }
    CHECK(sum_received == sum_sent);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
    CHECK(counts.of[SLUICE_EVENT_READY_READ] > 1);

    /* The write limit: what does not fit is not taken. */
    close(peer);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    socket = new_raw_pair(loop, &peer);
    CHECK_EQUAL(sluice_socket_write_buffer_size(socket), 0);
    CHECK_EQUAL(sluice_socket_set_write_buffer_size(socket, -1), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_write_buffer_size(socket, 100), 0);
    CHECK_EQUAL(sluice_socket_write_buffer_size(socket), 100);
    CHECK_EQUAL(sluice_socket_write(socket, chunk, 60), 60);
    CHECK_EQUAL(sluice_socket_write(socket, chunk, 60), 40);
    CHECK_EQUAL(sluice_socket_write(socket, chunk, 60), 0);
    CHECK_EQUAL(sluice_socket_put_char(socket, 'x'), SLUICE_ERROR_LIMIT_REACHED);
    CHECK(sluice_socket_flush(socket));
    CHECK(!sluice_socket_flush(socket));
    CHECK_EQUAL(sluice_socket_write(socket, chunk, 60), 60);
    CHECK_EQUAL(sluice_socket_sync(socket, -1), 0);
    raw_receive(peer, buffer, 160);
    close(peer);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
