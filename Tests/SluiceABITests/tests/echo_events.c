/* A server and a client of one loop, without any callback. */
#include "common.h"

int main(void) {
    sluice_handle loop = new_loop();
    sluice_handle server, client, accepted = 0;
    sluice_event event;
    char buffer[64];
    char reply[64];
    int64_t reply_count = 0;
    int connected = 0, done = 0, order = 0;

    memset(&event, 0, sizeof event);
    event.size = sizeof event;
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, 0), 0);
    server = new_server(loop);
    client = new_client(loop, sluice_server_port(server));

    while (!done) {
        CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), 1);
        CHECK_EQUAL(event.size, sizeof event);
        if (event.handle == server && event.type == SLUICE_EVENT_NEW_CONNECTION) {
            CHECK_EQUAL(event.value, 1);
            accepted = sluice_server_next_pending_connection(server);
            CHECK(accepted != 0);
        } else if (event.handle == client && event.type == SLUICE_EVENT_STATE_CHANGED) {
            /* The queue keeps the state of the moment: each is seen, though the socket may be further already. */
            if (!connected)
                CHECK_EQUAL(event.value, ++order);
            CHECK_EQUAL(event.state, event.value);
        } else if (event.handle == client && event.type == SLUICE_EVENT_CONNECTED) {
            connected = 1;
            CHECK_EQUAL(event.state, SLUICE_STATE_CONNECTED);
            CHECK(event.is_open);
            CHECK(event.message == NULL);
            CHECK_EQUAL(sluice_socket_write(client, "ping\n", 5), 5);
        } else if (event.handle == accepted && event.type == SLUICE_EVENT_READY_READ) {
            int64_t count = sluice_socket_read(accepted, buffer, sizeof buffer);
            CHECK(count >= 0);
            CHECK_EQUAL(sluice_socket_write(accepted, buffer, count), count);
        } else if (event.handle == client && event.type == SLUICE_EVENT_READY_READ) {
            reply_count += sluice_socket_read(client, reply + reply_count, (int64_t)sizeof reply - reply_count);
            if (reply_count == 5)
                CHECK_EQUAL(sluice_socket_abort(accepted), 0);
        } else if (event.handle == client && event.type == SLUICE_EVENT_ERROR_OCCURRED) {
            CHECK_EQUAL(event.error, SLUICE_ERROR_REMOTE_HOST_CLOSED);
            CHECK_EQUAL(event.value, SLUICE_ERROR_REMOTE_HOST_CLOSED);
            CHECK(event.message != NULL && strlen(event.message) > 10);
        } else if (event.handle == client && event.type == SLUICE_EVENT_DISCONNECTED) {
            done = 1;
        }
    }
    CHECK(connected);
    CHECK(memcmp(reply, "ping\n", 5) == 0);

    /* The last events of a destroyed handle still come. */
    client = new_client(loop, sluice_server_port(server));
    CHECK(sluice_socket_wait_for_connected(client, -1));
    CHECK_EQUAL(sluice_handle_destroy(client), 0);
    done = 0;
    while (!done) {
        CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), 1);
        done = event.handle == client && event.type == SLUICE_EVENT_DISCONNECTED;
    }
    CHECK_EQUAL(sluice_handle_kind(client), SLUICE_KIND_NONE);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
