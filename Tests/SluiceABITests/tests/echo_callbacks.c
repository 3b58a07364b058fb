/* A server and a client of one loop, wholly by callbacks. */
#include "common.h"

static char received[64];
static int64_t received_count;
static int server_events[32];

static void echo(const sluice_event *event, void *context) {
    char buffer[16];
    int64_t count;
    (void)context;
    if (event->type == SLUICE_EVENT_READY_READ) {
        CHECK_EQUAL(event->value, sluice_socket_bytes_available(event->handle));
        while ((count = sluice_socket_read(event->handle, buffer, sizeof buffer)) > 0)
            CHECK_EQUAL(sluice_socket_write(event->handle, buffer, count), count);
    } else if (event->type == SLUICE_EVENT_DISCONNECTED) {
        CHECK_EQUAL(sluice_handle_destroy(event->handle), 0);
        *(bool *)context = true;
    }
}

static void accept_all(const sluice_event *event, void *context) {
    server_events[event->type] += 1;
    CHECK_EQUAL(event->state, SLUICE_STATE_LISTENING);
    CHECK(event->is_open);
    if (event->type == SLUICE_EVENT_NEW_CONNECTION) {
        sluice_handle socket = sluice_server_next_pending_connection(event->handle);
        CHECK(event->value >= 1);
        CHECK(socket != 0);
        CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CONNECTED);
        CHECK_EQUAL(sluice_handle_set_callback(socket, echo, context), 0);
    }
}

static void client_events(const sluice_event *event, void *context) {
    sluice_handle loop = *(sluice_handle *)context;
    CHECK_EQUAL(event->state, sluice_socket_state(event->handle));
    CHECK_EQUAL(event->is_open, sluice_socket_is_open(event->handle));
    if (event->type == SLUICE_EVENT_CONNECTED) {
        CHECK_EQUAL(sluice_socket_write(event->handle, "hello, world", 12), 12);
    } else if (event->type == SLUICE_EVENT_READY_READ) {
        int64_t count = sluice_socket_read(event->handle, received + received_count, (int64_t)sizeof received - received_count);
        CHECK(count >= 0);
        received_count += count;
        if (received_count == 12) {
            CHECK_EQUAL(sluice_socket_disconnect_from_host(event->handle), 0);
            CHECK_EQUAL(sluice_loop_stop(loop), 0);
        }
    }
}

int main(void) {
    sluice_handle loop = new_loop();
    sluice_handle server = new_server(loop);
    sluice_handle client = sluice_tcp_socket_create(loop);
    bool gone = false;
    CHECK_EQUAL(sluice_handle_set_callback(server, accept_all, &gone), 0);
    CHECK_EQUAL(sluice_handle_set_callback(client, client_events, &loop), 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(client, "127.0.0.1", sluice_server_port(server), SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    CHECK_EQUAL(sluice_loop_run(loop), 0);
    CHECK(memcmp(received, "hello, world", 12) == 0);
    CHECK_EQUAL(server_events[SLUICE_EVENT_PENDING_CONNECTION_AVAILABLE], 1);
    CHECK_EQUAL(server_events[SLUICE_EVENT_NEW_CONNECTION], 1);
    RUN_UNTIL(loop, gone);

    /* A removed callback is not called any more, and neither is one for types that are not subscribed to. */
    CHECK_EQUAL(sluice_handle_set_callback(server, NULL, NULL), 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(client, "127.0.0.1", sluice_server_port(server), SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    RUN_UNTIL(loop, sluice_server_has_pending_connections(server));
    CHECK_EQUAL(server_events[SLUICE_EVENT_NEW_CONNECTION], 1);
    CHECK_EQUAL(sluice_handle_set_callback(server, accept_all, &gone), 0);
    CHECK_EQUAL(sluice_handle_subscribe(server, SLUICE_EVENTS_NONE), 0);
    CHECK(sluice_server_next_pending_connection(server) != 0);
    new_client(loop, sluice_server_port(server));
    RUN_UNTIL(loop, sluice_server_has_pending_connections(server));
    CHECK_EQUAL(server_events[SLUICE_EVENT_NEW_CONNECTION], 1);

    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    CHECK_EQUAL(sluice_handle_kind(client), SLUICE_KIND_NONE);
    return 0;
}
