/* Native descriptors of every kind of socket and server: taken in, given away, refused. */
#include "common.h"

#include <fcntl.h>
#include <sys/un.h>

static sluice_handle loop;

static int raw_udp(int *port) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(getsockname(descriptor, (struct sockaddr *)&address, &length) == 0);
    *port = ntohs(address.sin_port);
    return descriptor;
}

static int raw_unix_listener(void) {
    struct sockaddr_un address;
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    /* The system gives it an abstract name. */
    CHECK(bind(descriptor, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
    CHECK(listen(descriptor, 5) == 0);
    return descriptor;
}

static bool is_open(int descriptor) { return fcntl(descriptor, F_GETFD) >= 0; }
static bool blocks(int descriptor) { return (fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0; }

static sluice_handle (*const creators[])(sluice_handle) = {sluice_tcp_socket_create, sluice_udp_socket_create, sluice_local_socket_create};
static sluice_handle (*const server_creators[])(sluice_handle) = {sluice_tcp_server_create, sluice_local_server_create};

/* A row of descriptors, of which a socket of each kind takes its own and no other. */
static void test_only_its_own(void) {
    int port, pair[2], pipes[2], all[7];
    size_t kind, i;
    /* What fits into TCP (0), UDP (1), local (2), TCP server (3), local server (4). */
    enum { TCP, UDP, LOCAL, TCP_LISTENER, LOCAL_LISTENER, PIPE, UNIX_DATAGRAM };
    int listener = raw_listen(&port, 5), accepted;
    all[TCP] = raw_connect(port);
    accepted = accept(listener, NULL, NULL);
    all[UDP] = raw_udp(&port);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    all[LOCAL] = pair[0];
    all[TCP_LISTENER] = listener;
    all[LOCAL_LISTENER] = raw_unix_listener();
    CHECK(pipe(pipes) == 0);
    all[PIPE] = pipes[0];
    all[UNIX_DATAGRAM] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (kind = 0; kind < 3; kind++) {
        struct counts counts;
        int refused = 0;
        sluice_handle socket = creators[kind](loop);
        count_events(socket, &counts);
        for (i = 0; i < 7; i++) {
            if (i == kind)
                continue;
            CHECK_EQUAL(sluice_socket_set_descriptor(socket, all[i], SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE),
                        SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
            CHECK(is_open(all[i]));
            refused += 1;
        }
        for (i = 0; i < 3; i++) {
            static const int none[] = {-1, INT32_MIN, 1 << 20};
            CHECK_EQUAL(sluice_socket_set_descriptor(socket, none[i], SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE),
                        SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
            refused += 1;
        }
        CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], refused);
        CHECK_EQUAL(sluice_socket_set_descriptor(socket, all[kind], SLUICE_STATE_LISTENING, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_INVALID_ARGUMENT);
        CHECK_EQUAL(sluice_socket_set_descriptor(socket, all[kind], SLUICE_STATE_CLOSING, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_INVALID_ARGUMENT);
        CHECK_EQUAL(sluice_socket_set_descriptor(socket, all[kind], 99, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_INVALID_ARGUMENT);
        CHECK_EQUAL(sluice_socket_set_descriptor(socket, all[kind], SLUICE_STATE_CONNECTED, 64), SLUICE_ERROR_INVALID_ARGUMENT);
        CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], refused);
        CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_UNCONNECTED);
        CHECK_EQUAL(sluice_socket_descriptor(socket), -1);
        CHECK_EQUAL(sluice_socket_take_descriptor(socket), -SLUICE_ERROR_INVALID_STATE);
        CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    }
    for (kind = 0; kind < 2; kind++) {
        sluice_handle server = server_creators[kind](loop);
        for (i = 0; i < 7; i++) {
            if (i == kind + 3)
                continue;
            CHECK_EQUAL(sluice_server_set_descriptor(server, all[i]), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
            CHECK(is_open(all[i]));
        }
        CHECK_EQUAL(sluice_server_set_descriptor(server, -1), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
        CHECK_EQUAL(sluice_server_take_descriptor(server), -SLUICE_ERROR_INVALID_STATE);
        CHECK_EQUAL(sluice_server_descriptor(server), -1);
        CHECK_EQUAL(sluice_handle_destroy(server), 0);
    }
    for (i = 0; i < 7; i++)
        CHECK(close(all[i]) == 0);
    close(accepted);
    close(pair[1]);
    close(pipes[1]);
}

/* Out of one object, into another, out again, and closed with it. */
static void move(sluice_handle socket, sluice_handle (*create)(sluice_handle), sluice_state state) {
    int descriptor = sluice_socket_descriptor(socket), taken;
    struct counts counts;
    sluice_handle other = create(loop);
    CHECK(descriptor >= 0);
    CHECK_EQUAL(sluice_socket_state(socket), state);
    /* Only one object has it. */
    CHECK_EQUAL(sluice_socket_set_descriptor(other, descriptor, state, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_OPERATION);
    count_events(socket, &counts);
    taken = sluice_socket_take_descriptor(socket);
    CHECK_EQUAL(taken, descriptor);
    CHECK(is_open(taken) && blocks(taken));
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_STATE_CHANGED], 1);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_DISCONNECTED], 0);
    CHECK(!sluice_socket_is_open(socket) && !sluice_socket_is_valid(socket));
    CHECK_EQUAL(sluice_socket_descriptor(socket), -1);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    CHECK(is_open(taken));

    count_events(other, &counts);
    CHECK_EQUAL(sluice_socket_set_descriptor(other, taken, state, SLUICE_OPEN_READ_WRITE), 0);
    CHECK_EQUAL(sluice_socket_state(other), state);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_STATE_CHANGED], 1);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_CONNECTED], 0);
    CHECK(sluice_socket_is_valid(other) && sluice_socket_is_open(other));
    CHECK_EQUAL(sluice_socket_descriptor(other), taken);
    /* Its own once more: refused, and nothing is lost. */
    CHECK_EQUAL(sluice_socket_set_descriptor(other, taken, state, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_socket_state(other), state);
    CHECK(is_open(taken));
    CHECK_EQUAL(sluice_handle_destroy(other), 0);
    CHECK(!is_open(taken));
}

static void test_moving(void) {
    sluice_handle socket, server;
    char name[64];
    int peer, port;
    move(new_raw_pair(loop, &peer), sluice_tcp_socket_create, SLUICE_STATE_CONNECTED);
    close(peer);
    socket = sluice_tcp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_bind(socket, "127.0.0.1", 0, SLUICE_BIND_DEFAULT), 0);
    move(socket, sluice_tcp_socket_create, SLUICE_STATE_BOUND);

    move(new_udp(loop, "127.0.0.1"), sluice_udp_socket_create, SLUICE_STATE_BOUND);
    close(raw_udp(&port));
    move(new_udp_client(loop, "127.0.0.1", port), sluice_udp_socket_create, SLUICE_STATE_CONNECTED);

    snprintf(name, sizeof name, "descriptors-%ld", (long)getpid());
    server = sluice_local_server_create(loop);
    CHECK_EQUAL(sluice_local_server_listen(server, name), 0);
    socket = sluice_local_socket_create(loop);
    CHECK_EQUAL(sluice_local_socket_connect_to_server(socket, name, SLUICE_OPEN_READ_WRITE), 0);
    CHECK(sluice_socket_wait_for_connected(socket, -1));
    CHECK(sluice_server_wait_for_new_connection(server, -1, NULL));
    move(socket, sluice_local_socket_create, SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

/* What is unread or unsent would be lost: the descriptor stays. */
static void test_unsettled(void) {
    static char data[1 << 20];
    sluice_handle client, accepted, receiver = new_udp(loop, "127.0.0.1"), sender = new_udp(loop, "127.0.0.1");
    new_pair(loop, &client, &accepted);
    CHECK_EQUAL(sluice_socket_write(client, "unread", 6), 6);
    CHECK_EQUAL(sluice_socket_take_descriptor(client), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_sync(client, -1), 0);
    CHECK(sluice_socket_wait_for_ready_read(accepted, -1));
    CHECK_EQUAL(sluice_socket_take_descriptor(accepted), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_skip(accepted, 6), 6);
    CHECK_EQUAL(sluice_socket_state(accepted), SLUICE_STATE_CONNECTED);
    close(sluice_socket_take_descriptor(accepted));
    close(sluice_socket_take_descriptor(client));

    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, data, 1000, "127.0.0.1", sluice_socket_local_port(receiver)), 1000);
    CHECK_EQUAL(sluice_socket_take_descriptor(receiver), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(next_datagram(receiver)->length, 1000);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, data, 10, "localhost", sluice_socket_local_port(receiver)), 10);
    CHECK_EQUAL(sluice_socket_bytes_to_write(sender), 10);
    CHECK_EQUAL(sluice_socket_take_descriptor(sender), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_sync(sender, -1), 0);
    close(sluice_socket_take_descriptor(sender));
    CHECK_EQUAL(next_datagram(receiver)->length, 10);
    close(sluice_socket_take_descriptor(receiver));
    CHECK_EQUAL(sluice_handle_destroy(client), 0);
    CHECK_EQUAL(sluice_handle_destroy(accepted), 0);
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
}

/* A datagram descriptor of somebody else's works like one of our own, with all that is known of datagrams. */
static void test_adopted_datagrams(void) {
    int port, other_port, peer = raw_udp(&other_port), descriptor = raw_udp(&port);
    struct sockaddr_in address;
    const sluice_datagram *got;
    int64_t value = 0;
    char buffer[8];
    sluice_handle socket = sluice_udp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_TYPE_OF_SERVICE, 16), 0);
    CHECK_EQUAL(sluice_socket_set_descriptor(socket, descriptor, SLUICE_STATE_BOUND, SLUICE_OPEN_READ_WRITE), 0);
    CHECK_EQUAL(sluice_socket_local_port(socket), port);
    CHECK_EQUAL(sluice_socket_option(socket, SLUICE_OPTION_TYPE_OF_SERVICE, &value), 0);
    CHECK_EQUAL(value, 16);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    CHECK_EQUAL(sendto(peer, "raw", 3, 0, (struct sockaddr *)&address, sizeof address), 3);
    got = next_datagram(socket);
    CHECK_TEXT(got->data, "raw");
    CHECK_EQUAL(got->sender_port, other_port);
    CHECK_EQUAL(got->hop_limit, 64);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, "answer", 6, got->sender_address, got->sender_port), 6);
    CHECK_EQUAL(recv(peer, buffer, sizeof buffer, 0), 6);
    /* Claimed to be connected, and is not. */
    CHECK_EQUAL(sluice_socket_take_descriptor(socket), descriptor);
    CHECK_EQUAL(sluice_socket_set_descriptor(socket, descriptor, SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK(is_open(descriptor));
    close(descriptor);
    close(peer);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

/* Servers: the listening descriptor goes on listening elsewhere. */
static void test_servers(void) {
    int listener, client, port;
    sluice_handle server = new_server(loop), other = sluice_tcp_server_create(loop), local = sluice_local_server_create(loop);
    port = sluice_server_port(server);
    listener = sluice_server_descriptor(server);
    CHECK_EQUAL(sluice_server_set_descriptor(other, listener), SLUICE_ERROR_OPERATION);
    client = raw_connect(port);
    CHECK(sluice_server_wait_for_new_connection(server, -1, NULL));
    CHECK_EQUAL(sluice_server_take_descriptor(server), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_handle_destroy(sluice_server_next_pending_connection(server)), 0);
    close(client);
    CHECK_EQUAL(sluice_server_take_descriptor(server), listener);
    CHECK(!sluice_server_is_listening(server));
    CHECK_EQUAL(sluice_server_descriptor(server), -1);
    CHECK_EQUAL(sluice_server_take_descriptor(server), -SLUICE_ERROR_INVALID_STATE);
    CHECK_EQUAL(sluice_server_port(server), 0);
    CHECK(is_open(listener));
    /* The connection waits in the system meanwhile. */
    client = raw_connect(port);
    CHECK_EQUAL(sluice_server_set_descriptor(local, listener), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_server_set_descriptor(other, listener), 0);
    CHECK_EQUAL(sluice_server_port(other), port);
    CHECK(sluice_server_wait_for_new_connection(other, -1, NULL));
    CHECK_EQUAL(sluice_server_close(other), 0);
    CHECK(!is_open(listener));
    close(client);

    listener = raw_unix_listener();
    CHECK_EQUAL(sluice_server_set_descriptor(local, listener), 0);
    CHECK(sluice_server_is_listening(local));
    CHECK_EQUAL(sluice_server_take_descriptor(local), listener);
    CHECK(is_open(listener));
    close(listener);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
    CHECK_EQUAL(sluice_handle_destroy(other), 0);
    CHECK_EQUAL(sluice_handle_destroy(local), 0);
}

int main(void) {
    loop = new_loop();
    test_only_its_own();
    test_moving();
    test_unsettled();
    test_adopted_datagrams();
    test_servers();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
