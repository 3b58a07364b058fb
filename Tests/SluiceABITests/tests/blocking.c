/* A client written top to bottom, without a running loop, against a server of another kind in another thread. */
#include "common.h"

static void *serve(void *context) {
    int listener = *(int *)context;
    int peer = accept(listener, NULL, NULL);
    char line[5];
    CHECK(peer >= 0);
    raw_receive(peer, line, 5);
    CHECK(memcmp(line, "name\n", 5) == 0);
    raw_send(peer, "first line\nsecond", 17);
    raw_receive(peer, line, 5);
    raw_send(peer, " line\n", 6);
    close(peer);
    return NULL;
}

int main(void) {
    int port, listener = raw_listen(&port, 1);
    pthread_t server;
    sluice_handle loop = new_loop();
    sluice_handle client = sluice_tcp_socket_create(loop);
    struct counts counts;
    char buffer[256];
    int64_t count;
    CHECK(pthread_create(&server, NULL, serve, &listener) == 0);

    CHECK(!sluice_socket_wait_for_connected(client, -1));
    count_events(client, &counts);
    /* By name: this looks it up. */
    CHECK_EQUAL(sluice_socket_connect_to_host(client, "localhost", port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_IPV4), 0);
    CHECK_EQUAL(sluice_socket_state(client), SLUICE_STATE_HOST_LOOKUP);
    CHECK(sluice_socket_wait_for_connected(client, 30000));
    CHECK_EQUAL(counts.of[SLUICE_EVENT_HOST_FOUND], 1);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_CONNECTED], 1);
    CHECK(sluice_socket_wait_for_connected(client, 0));
    CHECK_TEXT(text_of(sluice_socket_peer_address, client), "127.0.0.1");
    CHECK_TEXT(text_of(sluice_socket_peer_name, client), "localhost");
    CHECK_TEXT(text_of(sluice_socket_local_address, client), "127.0.0.1");
    CHECK_EQUAL(sluice_socket_peer_port(client), port);
    CHECK(sluice_socket_local_port(client) > 0);
    CHECK(sluice_socket_descriptor(client) >= 0);

    /* Nothing to send, nothing to receive. */
    CHECK(!sluice_socket_wait_for_bytes_written(client, -1));
    CHECK(!sluice_socket_wait_for_ready_read(client, 1));
    CHECK_EQUAL(sluice_socket_error(client), SLUICE_ERROR_SOCKET_TIMEOUT);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 1);
    CHECK_EQUAL(sluice_socket_state(client), SLUICE_STATE_CONNECTED);

    CHECK_EQUAL(sluice_socket_write(client, "name", 4), 4);
    CHECK_EQUAL(sluice_socket_put_char(client, '\n'), 0);
    CHECK_EQUAL(sluice_socket_bytes_to_write(client), 5);
    CHECK(sluice_socket_wait_for_bytes_written(client, -1));
    CHECK_EQUAL(sluice_socket_bytes_to_write(client), 0);
    CHECK_EQUAL(counts.sum[SLUICE_EVENT_BYTES_WRITTEN], 5);
    while (sluice_socket_bytes_available(client) < 17)
        CHECK(sluice_socket_wait_for_ready_read(client, -1));
    CHECK(sluice_socket_can_read_line(client));
    CHECK_EQUAL(counts.of[SLUICE_EVENT_LINE_AVAILABLE] > 0, 1);
    CHECK_EQUAL(sluice_socket_peek(client, buffer, 5), 5);
    CHECK(memcmp(buffer, "first", 5) == 0);
    CHECK_EQUAL(sluice_socket_read_line(client, buffer, sizeof buffer), 11);
    CHECK(memcmp(buffer, "first line\n", 11) == 0);
    CHECK(!sluice_socket_can_read_line(client));
    CHECK_EQUAL(sluice_socket_get_char(client), 's');
    CHECK_EQUAL(sluice_socket_unget_char(client, 'S'), 0);
    CHECK_EQUAL(sluice_socket_peek_all(client, buffer, sizeof buffer), 6);
    CHECK(memcmp(buffer, "Second", 6) == 0);
    CHECK_EQUAL(sluice_socket_peek_all(client, buffer, 2), 2);
    CHECK_EQUAL(sluice_socket_skip(client, 1), 1);
    CHECK_EQUAL(sluice_socket_read_all(client, buffer, 2), 2);
    CHECK_EQUAL(sluice_socket_bytes_available(client), 3);
    CHECK_EQUAL(sluice_socket_read(client, buffer, sizeof buffer), 3);
    CHECK_EQUAL(sluice_socket_read(client, buffer, sizeof buffer), 0);
    CHECK_EQUAL(sluice_socket_get_char(client), -SLUICE_ERROR_TEMPORARY);
    CHECK(sluice_socket_at_end(client));

    CHECK_EQUAL(sluice_socket_write(client, "next\n", 5), 5);
    CHECK_EQUAL(sluice_socket_sync(client, -1), 0);
    CHECK_EQUAL(sluice_socket_bytes_to_write(client), 0);
    CHECK(sluice_socket_wait_for_disconnected(client, -1));
    CHECK_EQUAL(counts.of[SLUICE_EVENT_DISCONNECTED], 1);
    CHECK_EQUAL(sluice_socket_error(client), SLUICE_ERROR_REMOTE_HOST_CLOSED);
    CHECK_EQUAL(sluice_socket_system_error(client), 0);
    /* What came before the end is still there. */
    CHECK_EQUAL(sluice_socket_read(client, buffer, sizeof buffer), 6);
    CHECK(memcmp(buffer, " line\n", 6) == 0);
    count = sluice_socket_read(client, buffer, sizeof buffer);
    CHECK_EQUAL(count, -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_write(client, "x", 1), -SLUICE_ERROR_OPERATION);
    CHECK(!sluice_socket_wait_for_disconnected(client, -1));

    CHECK(pthread_join(server, NULL) == 0);
    close(listener);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
