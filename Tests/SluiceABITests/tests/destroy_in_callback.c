/* Objects and whole loops that end inside their own callbacks. */
#include "common.h"

static int calls;
static sluice_handle other;

static void destroy_on(const sluice_event *event, void *context) {
    calls += 1;
    if (event->type == *(sluice_event_type *)context) {
        CHECK_EQUAL(sluice_handle_destroy(event->handle), 0);
        calls = 0;
    }
}

static void destroy_both(const sluice_event *event, void *context) {
    (void)context;
    if (event->type == SLUICE_EVENT_READY_READ) {
        CHECK_EQUAL(sluice_handle_destroy(other), 0);
        CHECK_EQUAL(sluice_handle_destroy(event->handle), 0);
    }
}

/* Destroys the loop; inside, even for the events of its own end, the loop is dead already and nothing can be put on it. */
static void destroy_loop(const sluice_event *event, void *context) {
    sluice_handle loop = *(sluice_handle *)context;
    if (event->type == SLUICE_EVENT_READY_READ)
        CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    if (event->type == SLUICE_EVENT_DISCONNECTED) {
        CHECK_EQUAL(sluice_loop_destroy(loop), SLUICE_ERROR_INVALID_HANDLE);
        CHECK_EQUAL(sluice_tcp_socket_create(loop), 0);
        calls += 1;
    }
}

static void destroy_loop_timer(void *context) { CHECK_EQUAL(sluice_loop_destroy(*(sluice_handle *)context), 0); }
static void never(void *context) {
    (void)context;
    CHECK(!"called after the loop's end");
}

static void nothing(const sluice_event *event, void *context) {
    (void)event;
    (void)context;
}

/* Destroys again, in the events that the first destroying raises. */
static void destroy_again(const sluice_event *event, void *context) {
    (void)context;
    calls += 1;
    CHECK_EQUAL(sluice_handle_destroy(event->handle), 0);
}

int main(void) {
    static const sluice_event_type types[] = {SLUICE_EVENT_STATE_CHANGED, SLUICE_EVENT_HOST_FOUND, SLUICE_EVENT_CONNECTED, SLUICE_EVENT_READY_READ,
                                              SLUICE_EVENT_BYTES_WRITTEN, SLUICE_EVENT_ERROR_OCCURRED, SLUICE_EVENT_READ_CHANNEL_FINISHED,
                                              SLUICE_EVENT_DISCONNECTED, SLUICE_EVENT_LINE_AVAILABLE};
    sluice_handle loop = new_loop();
    sluice_handle server = new_server(loop), client, accepted, timers[3];
    size_t i;
    int peer;
    char byte;

    for (i = 0; i < sizeof types / sizeof *types; i++) {
        sluice_event_type type = types[i];
        client = sluice_tcp_socket_create(loop);
        CHECK_EQUAL(sluice_handle_subscribe(client, SLUICE_EVENTS_ALL), 0);
        CHECK_EQUAL(sluice_handle_set_callback(client, destroy_on, &type), 0);
        CHECK_EQUAL(sluice_socket_connect_to_host(client, "127.0.0.1", sluice_server_port(server), SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
        if (type != SLUICE_EVENT_STATE_CHANGED)
            sluice_socket_write(client, "to\n", 3);
        accepted = 0;
        while (sluice_handle_kind(client) != SLUICE_KIND_NONE) {
            CHECK(sluice_loop_run_once(loop, -1) >= 0);
            if (accepted == 0 && (accepted = sluice_server_next_pending_connection(server)) != 0) {
                CHECK_EQUAL(sluice_socket_write(accepted, "fro\n", 4), 4);
                CHECK_EQUAL(sluice_socket_disconnect_from_host(accepted), 0);
            }
        }
        CHECK_EQUAL(calls, 0);
        CHECK_EQUAL(sluice_socket_write(client, "x", 1), -SLUICE_ERROR_INVALID_HANDLE);
        if (accepted != 0)
            CHECK_EQUAL(sluice_handle_destroy(accepted), 0);
        while ((accepted = sluice_server_next_pending_connection(server)) != 0)
            CHECK_EQUAL(sluice_handle_destroy(accepted), 0);
    }

    /* Two at once, of which one is about to get its event in the same turn. */
    new_pair(loop, &client, &accepted);
    other = sluice_socket_wait_for_connected(client, 0) ? new_raw_pair(loop, &peer) : 0;
    raw_send(peer, "x", 1);
    CHECK_EQUAL(sluice_handle_set_callback(other, nothing, NULL), 0);
    CHECK_EQUAL(sluice_handle_set_callback(client, destroy_both, NULL), 0);
    CHECK_EQUAL(sluice_socket_write(accepted, "x", 1), 1);
    RUN_UNTIL(loop, sluice_handle_kind(client) == SLUICE_KIND_NONE);
    CHECK_EQUAL(sluice_handle_kind(other), SLUICE_KIND_NONE);
    CHECK_EQUAL(recv(peer, &byte, 1, 0) <= 0, 1);
    close(peer);

    /* Destroying in the events of being destroyed. */
    new_pair(loop, &client, &accepted);
    CHECK_EQUAL(sluice_handle_set_callback(client, destroy_again, NULL), 0);
    CHECK_EQUAL(sluice_handle_destroy(client), 0);
    CHECK(calls > 0);
    CHECK_EQUAL(sluice_handle_destroy(client), SLUICE_ERROR_INVALID_HANDLE);

    /* Inside a wait. */
    client = new_raw_pair(loop, &peer);
    {
        sluice_event_type type = SLUICE_EVENT_READY_READ;
        CHECK_EQUAL(sluice_handle_set_callback(client, destroy_on, &type), 0);
        raw_send(peer, "x", 1);
        sluice_socket_wait_for_ready_read(client, -1);
        CHECK_EQUAL(sluice_handle_kind(client), SLUICE_KIND_NONE);
    }
    close(peer);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);

    /* The loop: inside run, run_once, next_event and a wait. */
    for (i = 0; i < 4; i++) {
        sluice_event event;
        event.size = sizeof event;
        loop = new_loop();
        client = new_raw_pair(loop, &peer);
        calls = 0;
        CHECK_EQUAL(sluice_handle_set_callback(client, destroy_loop, &loop), 0);
        raw_send(peer, "x", 1);
        switch (i) {
        case 0: CHECK_EQUAL(sluice_loop_run(loop), 0); break;
        case 1: CHECK_EQUAL(sluice_loop_run_once(loop, -1), 1); break;
        case 2: CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), -SLUICE_ERROR_INVALID_HANDLE); break;
        default: sluice_socket_wait_for_ready_read(client, -1); break;
        }
        CHECK_EQUAL(calls, 1);
        CHECK_EQUAL(sluice_handle_kind(loop), SLUICE_KIND_NONE);
        CHECK_EQUAL(sluice_loop_run(loop), SLUICE_ERROR_INVALID_HANDLE);
        CHECK_EQUAL(sluice_socket_state(client), SLUICE_STATE_UNCONNECTED);
        CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_INVALID_HANDLE);
        close(peer);
    }

    /* By a timer, beside other timers and posted work of the same turn. */
    loop = new_loop();
    for (i = 0; i < 3; i++)
        CHECK((timers[i] = (sluice_handle)sluice_loop_start_timer(loop, 0, i == 2, i == 0 ? destroy_loop_timer : never, &loop)) > 0);
    CHECK_EQUAL(sluice_loop_run(loop), 0);
    loop = new_loop();
    CHECK_EQUAL(sluice_loop_post(loop, destroy_loop_timer, &loop), 0);
    CHECK_EQUAL(sluice_loop_post(loop, never, NULL), 0);
    CHECK_EQUAL(sluice_loop_run(loop), 0);
    return 0;
}
