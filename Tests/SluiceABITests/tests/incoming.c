/* Servers that give their connections away as descriptors, and sockets put into their queue. */
#include "common.h"

#include <fcntl.h>
#include <sys/un.h>

static sluice_handle loop;

struct taker {
    sluice_handle server;
    int descriptors[16];
    int count;
    void (*action)(struct taker *, int descriptor);
};

static void take(sluice_handle server, int32_t descriptor, void *context) {
    struct taker *taker = context;
    CHECK_EQUAL(server, taker->server);
    CHECK(descriptor >= 0);
    CHECK_EQUAL(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    CHECK_EQUAL(fcntl(descriptor, F_GETFL) & O_NONBLOCK, 0);
    taker->descriptors[taker->count++] = descriptor;
    if (taker->action != NULL)
        taker->action(taker, descriptor);
}

static void test_handler(void) {
    struct taker taker;
    struct counts counts;
    char buffer[8];
    int client, port;
    sluice_handle server = new_server(loop), socket;
    memset(&taker, 0, sizeof taker);
    taker.server = server;
    port = sluice_server_port(server);
    count_events(server, &counts);
    CHECK_EQUAL(sluice_server_set_incoming_handler(server, take, &taker), 0);
    client = raw_connect(port);
    RUN_UNTIL(loop, taker.count == 1);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_NEW_CONNECTION], 1);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_PENDING_CONNECTION_AVAILABLE], 0);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_INCOMING_CONNECTION], 0);
    CHECK(!sluice_server_has_pending_connections(server));
    CHECK_EQUAL(sluice_server_next_pending_connection(server), 0);
    /* It is an ordinary connection, for whoever takes it. */
    socket = sluice_tcp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_set_descriptor(socket, taker.descriptors[0], SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), 0);
    CHECK_EQUAL(sluice_socket_write(socket, "hello", 5), 5);
    CHECK_EQUAL(sluice_socket_sync(socket, -1), 0);
    raw_receive(client, buffer, 5);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    close(client);
    /* Back to sockets. */
    CHECK_EQUAL(sluice_server_set_incoming_handler(server, NULL, NULL), 0);
    client = raw_connect(port);
    RUN_UNTIL(loop, sluice_server_has_pending_connections(server));
    CHECK_EQUAL(taker.count, 1);
    socket = sluice_server_next_pending_connection(server);
    CHECK_EQUAL(sluice_handle_kind(socket), SLUICE_KIND_TCP_SOCKET);
    close(client);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

/* What a handler may do to its server. */
static void by_close(struct taker *taker, int descriptor) {
    close(descriptor);
    CHECK_EQUAL(sluice_server_close(taker->server), 0);
}

static void by_destroy(struct taker *taker, int descriptor) {
    close(descriptor);
    CHECK_EQUAL(sluice_handle_destroy(taker->server), 0);
}

static void by_replacing(struct taker *taker, int descriptor) {
    close(descriptor);
    CHECK_EQUAL(sluice_server_set_incoming_handler(taker->server, NULL, NULL), 0);
}

/* Makes a socket of its own choice of it and queues that. */
static void by_queueing(struct taker *taker, int descriptor) {
    sluice_handle socket = sluice_tcp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_set_descriptor(socket, descriptor, SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), 0);
    CHECK_EQUAL(sluice_server_add_pending_connection(taker->server, socket), 0);
}

static void test_actions(void) {
    static void (*const actions[])(struct taker *, int) = {by_close, by_destroy, by_replacing, by_queueing};
    size_t i;
    for (i = 0; i < 4; i++) {
        struct taker taker;
        struct counts counts;
        int clients[3], k;
        sluice_handle server = new_server(loop);
        memset(&taker, 0, sizeof taker);
        taker.server = server;
        taker.action = actions[i];
        count_events(server, &counts);
        CHECK_EQUAL(sluice_server_set_incoming_handler(server, take, &taker), 0);
        for (k = 0; k < 3; k++)
            clients[k] = raw_connect(sluice_server_port(server));
        if (actions[i] == by_queueing) {
            RUN_UNTIL(loop, counts.of[SLUICE_EVENT_PENDING_CONNECTION_AVAILABLE] == 3);
            CHECK_EQUAL(counts.of[SLUICE_EVENT_NEW_CONNECTION], 3);
            for (k = 0; k < 3; k++)
                CHECK_EQUAL(sluice_handle_destroy(sluice_server_next_pending_connection(server)), 0);
        } else {
            RUN_UNTIL(loop, taker.count > 0);
            for (k = 0; k < 5; k++)
                CHECK(sluice_loop_run_once(loop, 0) >= 0);
            CHECK_EQUAL(taker.count, 1);
        }
        for (k = 0; k < 3; k++)
            close(clients[k]);
        if (actions[i] == by_destroy)
            CHECK_EQUAL(sluice_handle_kind(server), SLUICE_KIND_NONE);
        else
            CHECK_EQUAL(sluice_handle_destroy(server), 0);
    }
}

/* The blocking style. */
static void test_waiting(void) {
    struct taker taker;
    bool timed_out;
    sluice_handle server = new_server(loop);
    int client;
    memset(&taker, 0, sizeof taker);
    taker.server = server;
    CHECK_EQUAL(sluice_server_set_incoming_handler(server, take, &taker), 0);
    CHECK(!sluice_server_wait_for_new_connection(server, 10, &timed_out));
    CHECK(timed_out);
    client = raw_connect(sluice_server_port(server));
    CHECK(sluice_server_wait_for_new_connection(server, -1, &timed_out));
    CHECK_EQUAL(taker.count, 1);
    close(taker.descriptors[0]);
    close(client);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

/* The peer sees whether its connection still has an owner. */
static bool is_closed(int client) {
    char byte;
    return recv(client, &byte, 1, 0) <= 0;
}

/* As events: by callback, by queue, or to nobody. */
static void test_events(void) {
    struct counts counts;
    sluice_event event;
    int client, other;
    sluice_handle server = new_server(loop);
    event.size = sizeof event;
    count_events(server, &counts);
    CHECK_EQUAL(sluice_server_set_incoming_handler(server, SLUICE_INCOMING_EVENTS, NULL), 0);
    client = raw_connect(sluice_server_port(server));
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_INCOMING_CONNECTION] == 1);
    CHECK(close((int)counts.last[SLUICE_EVENT_INCOMING_CONNECTION].value) == 0);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_INCOMING_CONNECTION].state, SLUICE_STATE_LISTENING);
    CHECK(is_closed(client));
    close(client);
    /* Not subscribed: nobody takes it. */
    CHECK_EQUAL(sluice_handle_subscribe(server, SLUICE_EVENTS_ALL & ~SLUICE_EVENT_MASK(SLUICE_EVENT_INCOMING_CONNECTION)), 0);
    client = raw_connect(sluice_server_port(server));
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_NEW_CONNECTION] == 2);
    CHECK(is_closed(client));
    close(client);
    /* Neither callback nor queue. */
    CHECK_EQUAL(sluice_handle_subscribe(server, SLUICE_EVENTS_ALL), 0);
    CHECK_EQUAL(sluice_handle_set_callback(server, NULL, NULL), 0);
    client = raw_connect(sluice_server_port(server));
    CHECK(sluice_server_wait_for_new_connection(server, -1, NULL));
    CHECK(is_closed(client));
    close(client);
    /* The queue, fetched from and dropped. */
    CHECK_EQUAL(sluice_loop_queue_events(loop, true), 0);
    client = raw_connect(sluice_server_port(server));
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), 1);
    CHECK_EQUAL(event.type, SLUICE_EVENT_INCOMING_CONNECTION);
    raw_send((int)event.value, "x", 1);
    close((int)event.value);
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), 1);
    CHECK_EQUAL(event.type, SLUICE_EVENT_NEW_CONNECTION);
    other = raw_connect(sluice_server_port(server));
    CHECK(sluice_server_wait_for_new_connection(server, -1, NULL));
    CHECK_EQUAL(sluice_loop_queue_events(loop, false), 0);
    CHECK(!is_closed(client));
    CHECK(is_closed(client));
    CHECK(is_closed(other));
    close(client);
    close(other);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

/* A loop that ends with such an event in its queue. */
static void test_end_with_event(void) {
    sluice_handle own = new_loop(), server = new_server(own);
    int client;
    CHECK_EQUAL(sluice_loop_queue_events(own, true), 0);
    CHECK_EQUAL(sluice_server_set_incoming_handler(server, SLUICE_INCOMING_EVENTS, NULL), 0);
    client = raw_connect(sluice_server_port(server));
    CHECK(sluice_server_wait_for_new_connection(server, -1, NULL));
    CHECK_EQUAL(sluice_loop_destroy(own), 0);
    CHECK(is_closed(client));
    close(client);
}

static void test_adding(void) {
    struct counts counts;
    sluice_handle server = new_server(loop), idle = sluice_tcp_server_create(loop), first, second, fresh = sluice_tcp_socket_create(loop);
    sluice_handle udp = sluice_udp_socket_create(loop), other_loop = new_loop(), elsewhere, elsewhere_too;
    int peer, other_peer, pair[2];
    count_events(server, &counts);
    first = new_raw_pair(loop, &peer);
    second = new_raw_pair(loop, &other_peer);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, first), 0);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_PENDING_CONNECTION_AVAILABLE], 1);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, first), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, second), 0);
    CHECK(sluice_server_has_pending_connections(server));
    CHECK(sluice_server_wait_for_new_connection(server, 0, NULL));
    /* The same handles, in their order. */
    CHECK_EQUAL(sluice_server_next_pending_connection(server), first);
    CHECK_EQUAL(sluice_server_next_pending_connection(server), second);
    CHECK_EQUAL(sluice_server_next_pending_connection(server), 0);
    CHECK_EQUAL(sluice_socket_state(first), SLUICE_STATE_CONNECTED);
    raw_send(peer, "hello", 5);
    CHECK(sluice_socket_wait_for_ready_read(first, -1));
    /* One that went in the meantime is not given out; one that disconnected is. */
    CHECK_EQUAL(sluice_server_add_pending_connection(server, first), 0);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, second), 0);
    CHECK_EQUAL(sluice_handle_destroy(first), 0);
    CHECK_EQUAL(sluice_socket_abort(second), 0);
    CHECK_EQUAL(sluice_server_next_pending_connection(server), second);
    CHECK_EQUAL(sluice_server_next_pending_connection(server), 0);
    CHECK(!sluice_server_has_pending_connections(server));
    close(peer);
    close(other_peer);
    /* A local socket into a TCP server; closing the server leaves it alone. */
    first = sluice_local_socket_create(loop);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK_EQUAL(sluice_socket_set_descriptor(first, pair[0], SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), 0);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, first), 0);
    CHECK_EQUAL(sluice_server_close(server), 0);
    CHECK_EQUAL(sluice_socket_state(first), SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, first), SLUICE_ERROR_OPERATION);

    CHECK_EQUAL(sluice_tcp_server_listen(server, "127.0.0.1", 0, SLUICE_BIND_DEFAULT), 0);
    CHECK_EQUAL(sluice_server_add_pending_connection(idle, first), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, fresh), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, udp), SLUICE_ERROR_WRONG_KIND);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, server), SLUICE_ERROR_WRONG_KIND);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, loop), SLUICE_ERROR_WRONG_KIND);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, 0), SLUICE_ERROR_INVALID_HANDLE);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, second + (1 << 24)), SLUICE_ERROR_INVALID_HANDLE);
    new_pair(other_loop, &elsewhere, &elsewhere_too);
    CHECK_EQUAL(sluice_server_add_pending_connection(server, elsewhere), SLUICE_ERROR_WRONG_THREAD);
    CHECK_EQUAL(sluice_loop_destroy(other_loop), 0);
    /* The server goes, the socket stays. */
    CHECK_EQUAL(sluice_server_add_pending_connection(server, first), 0);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
    CHECK_EQUAL(sluice_socket_state(first), SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(sluice_handle_destroy(first), 0);
    close(pair[1]);
    CHECK_EQUAL(sluice_handle_destroy(second), 0);
    CHECK_EQUAL(sluice_handle_destroy(fresh), 0);
    CHECK_EQUAL(sluice_handle_destroy(udp), 0);
    CHECK_EQUAL(sluice_handle_destroy(idle), 0);
}

/* Descriptors beside the bytes of local sockets. */
static void new_local_pair(sluice_handle *near, sluice_handle *far) {
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    *near = sluice_local_socket_create(loop);
    *far = sluice_local_socket_create(loop);
    CHECK_EQUAL(sluice_socket_set_descriptor(*near, pair[0], SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), 0);
    CHECK_EQUAL(sluice_socket_set_descriptor(*far, pair[1], SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), 0);
}

static void test_passing(void) {
    sluice_handle near, far, tcp = sluice_tcp_socket_create(loop), fresh = sluice_local_socket_create(loop);
    int pipes[2], got, i;
    char buffer[32];
    new_local_pair(&near, &far);
    CHECK(pipe(pipes) == 0);
    CHECK_EQUAL(sluice_local_socket_receive_descriptor(far), -SLUICE_ERROR_TEMPORARY);
    CHECK_EQUAL(sluice_socket_write(near, "before", 6), 6);
    CHECK_EQUAL(sluice_local_socket_send_descriptor(near, pipes[1]), 0);
    CHECK_EQUAL(sluice_socket_write(near, "with", 4), 4);
    CHECK_EQUAL(sluice_socket_sync(near, -1), 0);
    close(pipes[1]);
    while (sluice_socket_bytes_available(far) < 10)
        CHECK(sluice_socket_wait_for_ready_read(far, -1));
    CHECK_EQUAL(sluice_socket_read(far, buffer, sizeof buffer), 10);
    CHECK(memcmp(buffer, "beforewith", 10) == 0);
    got = sluice_local_socket_receive_descriptor(far);
    CHECK(got >= 0);
    CHECK_EQUAL(fcntl(got, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    CHECK_EQUAL(sluice_local_socket_receive_descriptor(far), -SLUICE_ERROR_TEMPORARY);
    CHECK_EQUAL(write(got, "through", 7), 7);
    close(got);
    CHECK_EQUAL(read(pipes[0], buffer, sizeof buffer), 7);
    CHECK_EQUAL(read(pipes[0], buffer, sizeof buffer), 0);

    /* Several with one byte, in their order. */
    for (i = 0; i < 3; i++)
        CHECK_EQUAL(sluice_local_socket_send_descriptor(near, i == 1 ? STDERR_FILENO : pipes[0]), 0);
    CHECK_EQUAL(sluice_socket_put_char(near, 'x'), 0);
    CHECK_EQUAL(sluice_socket_sync(near, -1), 0);
    CHECK(sluice_socket_wait_for_ready_read(far, -1));
    for (i = 0; i < 3; i++) {
        got = sluice_local_socket_receive_descriptor(far);
        CHECK(got >= 0);
        close(got);
    }
    close(pipes[0]);
    CHECK_EQUAL(sluice_local_socket_send_descriptor(near, -1), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_local_socket_send_descriptor(near, 1 << 20), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_local_socket_send_descriptor(near, INT32_MIN), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_local_socket_send_descriptor(fresh, 0), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_local_socket_send_descriptor(tcp, 0), SLUICE_ERROR_WRONG_KIND);
    CHECK_EQUAL(sluice_local_socket_receive_descriptor(tcp), -SLUICE_ERROR_WRONG_KIND);
    CHECK_EQUAL(sluice_local_socket_receive_descriptor(fresh), -SLUICE_ERROR_TEMPORARY);

    /* Too many at once, on both sides. */
    for (i = 0; i < 1000; i++) {
        sluice_error error = sluice_local_socket_send_descriptor(near, 0);
        if (error == SLUICE_ERROR_LIMIT_REACHED)
            break;
        CHECK_EQUAL(error, 0);
    }
    CHECK(i >= 16 && i < 1000);
    for (i = 0; i < 3; i++) {
        int k;
        CHECK_EQUAL(sluice_socket_put_char(near, 'x'), 0);
        CHECK_EQUAL(sluice_socket_sync(near, -1), 0);
        for (k = 0; k < 10; k++)
            CHECK_EQUAL(sluice_local_socket_send_descriptor(near, 0), 0);
    }
    CHECK_EQUAL(sluice_socket_put_char(near, 'x'), 0);
    CHECK_EQUAL(sluice_socket_sync(near, -1), 0);
    while (sluice_socket_bytes_available(far) < 5)
        CHECK(sluice_socket_wait_for_ready_read(far, -1));
    {
        int count = 0, lost = 0;
        for (;;) {
            got = sluice_local_socket_receive_descriptor(far);
            if (got == -SLUICE_ERROR_TEMPORARY)
                break;
            if (got >= 0) {
                count += 1;
                close(got);
            } else {
                CHECK_EQUAL(got, -SLUICE_ERROR_LIMIT_REACHED);
                lost += 1;
            }
        }
        CHECK_EQUAL(count, 16);
        CHECK_EQUAL(lost, 1);
    }
    CHECK_EQUAL(sluice_handle_destroy(near), 0);
    CHECK_EQUAL(sluice_handle_destroy(far), 0);
    CHECK_EQUAL(sluice_handle_destroy(tcp), 0);
    CHECK_EQUAL(sluice_handle_destroy(fresh), 0);
}

static int open_descriptors(void) {
    int count = 0, i;
    for (i = 0; i < 4096; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

/* What nobody takes is closed with the socket. */
static void test_untaken(void) {
    int before = open_descriptors(), i;
    for (i = 0; i < 20; i++) {
        sluice_handle near, far;
        new_local_pair(&near, &far);
        CHECK_EQUAL(sluice_local_socket_send_descriptor(near, 0), 0);
        CHECK_EQUAL(sluice_socket_put_char(near, 'x'), 0);
        CHECK_EQUAL(sluice_socket_sync(near, -1), 0);
        CHECK_EQUAL(sluice_local_socket_send_descriptor(near, 0), 0);
        CHECK(sluice_socket_wait_for_ready_read(far, -1));
        CHECK_EQUAL(sluice_handle_destroy(near), 0);
        CHECK_EQUAL(sluice_handle_destroy(far), 0);
    }
    CHECK_EQUAL(open_descriptors(), before);
}

int main(void) {
    loop = new_loop();
    test_handler();
    test_actions();
    test_waiting();
    test_events();
    test_end_with_event();
    test_adding();
    test_passing();
    test_untaken();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
