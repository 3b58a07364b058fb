/* What the C tests share. Each test is a program that ends with 0, or prints the line that failed and ends with 1. */
#ifndef COMMON_H
#define COMMON_H

#define _GNU_SOURCE

#include "sluice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);   \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

#define CHECK_EQUAL(expression, expected)                                                                                  \
    do {                                                                                                                   \
        long long got_ = (long long)(expression), expected_ = (long long)(expected);                                       \
        if (got_ != expected_) {                                                                                           \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #expression, got_, expected_);            \
            exit(1);                                                                                                       \
        }                                                                                                                  \
    } while (0)

#define CHECK_TEXT(expression, expected)                                                                                   \
    do {                                                                                                                   \
        const char *got_ = (expression), *expected_ = (expected);                                                          \
        if (strcmp(got_, expected_) != 0) {                                                                                \
            fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", __FILE__, __LINE__, #expression, got_, expected_);        \
            exit(1);                                                                                                       \
        }                                                                                                                  \
    } while (0)

/* Runs the loop until the condition holds; a test that waits for ever is ended by the runner's time limit. */
#define RUN_UNTIL(loop, condition)                          \
    do {                                                    \
        while (!(condition))                                \
            CHECK(sluice_loop_run_once((loop), -1) >= 0);   \
    } while (0)

/* The value of a string function, in memory that the next call uses again. */
static inline const char *text_of(int64_t (*function)(sluice_handle, char *, size_t), sluice_handle handle) {
    static char buffer[1024];
    int64_t length = function(handle, buffer, sizeof buffer);
    CHECK(length >= 0);
    CHECK_EQUAL(length, strlen(buffer));
    return buffer;
}

static inline int raw_listen(int *port, int backlog) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listener, backlog) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    *port = ntohs(address.sin_port);
    return listener;
}

static inline int raw_connect(int port) {
    struct sockaddr_in address;
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)port);
    CHECK(client >= 0);
    CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    return client;
}

static inline void raw_send(int descriptor, const void *data, size_t size) {
    const char *rest = data;
    while (size > 0) {
        ssize_t sent = send(descriptor, rest, size, MSG_NOSIGNAL);
        CHECK(sent > 0);
        rest += sent;
        size -= (size_t)sent;
    }
}

/* Reads exactly that many bytes. */
static inline void raw_receive(int descriptor, void *data, size_t size) {
    char *rest = data;
    while (size > 0) {
        ssize_t received = recv(descriptor, rest, size, 0);
        CHECK(received > 0);
        rest += received;
        size -= (size_t)received;
    }
}

static inline bool has_ipv6(void) {
    struct sockaddr_in6 address;
    int descriptor = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), result;
    memset(&address, 0, sizeof address);
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    result = bind(descriptor, (struct sockaddr *)&address, sizeof address);
    close(descriptor);
    return descriptor >= 0 && result == 0;
}

/* Closes with a reset instead of an end. */
static inline void raw_reset(int descriptor) {
    struct linger now = {1, 0};
    CHECK(setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    close(descriptor);
}

static inline sluice_handle new_loop(void) {
    sluice_handle loop = sluice_loop_create();
    CHECK(loop != 0);
    return loop;
}

/* A TCP server on a free port of 127.0.0.1. */
static inline sluice_handle new_server(sluice_handle loop) {
    sluice_handle server = sluice_tcp_server_create(loop);
    CHECK(server != 0);
    CHECK_EQUAL(sluice_tcp_server_listen(server, "127.0.0.1", 0, SLUICE_BIND_DEFAULT), 0);
    CHECK(sluice_server_port(server) > 0);
    return server;
}

/* A TCP socket that is on its way to that port of 127.0.0.1. */
static inline sluice_handle new_client(sluice_handle loop, int port) {
    sluice_handle client = sluice_tcp_socket_create(loop);
    CHECK(client != 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(client, "127.0.0.1", port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    return client;
}

/* Two connected sockets of one loop. */
static inline void new_pair(sluice_handle loop, sluice_handle *client, sluice_handle *accepted) {
    sluice_handle server = new_server(loop);
    *client = new_client(loop, sluice_server_port(server));
    RUN_UNTIL(loop, sluice_server_has_pending_connections(server) && sluice_socket_state(*client) == SLUICE_STATE_CONNECTED);
    *accepted = sluice_server_next_pending_connection(server);
    CHECK(*accepted != 0);
    CHECK_EQUAL(sluice_server_close(server), 0);
}

/* A socket connected to a raw descriptor. */
static inline sluice_handle new_raw_pair(sluice_handle loop, int *peer) {
    int port;
    int listener = raw_listen(&port, 1);
    sluice_handle client = new_client(loop, port);
    CHECK(sluice_socket_wait_for_connected(client, -1));
    *peer = accept(listener, NULL, NULL);
    CHECK(*peer >= 0);
    close(listener);
    return client;
}

/* A UDP socket on a free port of that address. */
static inline sluice_handle new_udp(sluice_handle loop, const char *address) {
    sluice_handle socket = sluice_udp_socket_create(loop);
    CHECK(socket != 0);
    CHECK_EQUAL(sluice_socket_bind(socket, address, 0, SLUICE_BIND_DEFAULT), 0);
    CHECK(sluice_socket_local_port(socket) > 0);
    return socket;
}

/* A UDP socket whose peer is that port. */
static inline sluice_handle new_udp_client(sluice_handle loop, const char *address, int port) {
    sluice_handle socket = sluice_udp_socket_create(loop);
    CHECK(socket != 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, address, port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CONNECTED);
    return socket;
}

/* A port of 127.0.0.1 where nobody is. */
static inline int dead_udp_port(sluice_handle loop) {
    sluice_handle socket = new_udp(loop, "127.0.0.1");
    int port = sluice_socket_local_port(socket);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    return port;
}

/* The next datagram, in memory that the next call uses again. */
static inline const sluice_datagram *next_datagram(sluice_handle socket) {
    static char buffer[65536];
    static sluice_datagram datagram;
    memset(&datagram, '#', sizeof datagram);
    datagram.size = sizeof datagram;
    datagram.data = buffer;
    datagram.capacity = sizeof buffer - 1;
    while (!sluice_udp_socket_has_pending_datagrams(socket))
        CHECK(sluice_socket_wait_for_ready_read(socket, -1));
    CHECK(sluice_udp_socket_read_datagram(socket, &datagram) >= 0);
    CHECK_EQUAL(datagram.size, sizeof datagram);
    CHECK(datagram.data == buffer);
    buffer[datagram.length] = '\0';
    return &datagram;
}

/* Counts events by type. Its address is the context of count_event. */
struct counts {
    int of[32];
    int64_t sum[32];
    sluice_event last[32];
    char message[512];
};

static inline void count_event(const sluice_event *event, void *context) {
    struct counts *counts = context;
    CHECK(event->type > 0 && event->type < 32);
    CHECK_EQUAL(event->size, sizeof *event);
    counts->of[event->type] += 1;
    counts->sum[event->type] += event->value;
    counts->last[event->type] = *event;
    if (event->error != SLUICE_ERROR_NONE && event->message != NULL)
        snprintf(counts->message, sizeof counts->message, "%s", event->message);
}

static inline void count_events(sluice_handle handle, struct counts *counts) {
    memset(counts, 0, sizeof *counts);
    CHECK_EQUAL(sluice_handle_subscribe(handle, SLUICE_EVENTS_ALL), 0);
    CHECK_EQUAL(sluice_handle_set_callback(handle, count_event, counts), 0);
}

/* A checksum that depends on the order (FNV-1a). */
static inline uint64_t checksum(uint64_t sum, const void *data, size_t size) {
    const unsigned char *bytes = data;
    size_t i;
    for (i = 0; i < size; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(1099511628211);
    return sum;
}

#define CHECKSUM_START UINT64_C(14695981039346656037)

/* The byte at that place of an endless stream without short periods. */
static inline unsigned char pattern(uint64_t place) {
    uint64_t x = place * UINT64_C(0x9E3779B97F4A7C15);
    return (unsigned char)(x >> 56);
}

#endif
