/* Options of every kind of socket: which it has, from where to where they go, when they take effect. */
#include "common.h"

#include <netinet/tcp.h>

static sluice_handle loop;

enum { TCP = 1, UDP = 2, LOCAL = 4, ALL = 7 };

/* What each option takes; writable is by whom it can be set. */
static const struct {
    int readable, writable;
    bool is_switch;
    int64_t least, most;
} options[] = {
    {TCP, TCP, true, 0, 0},            /* LOW_DELAY */
    {TCP | UDP, TCP | UDP, true, 0, 0}, /* KEEP_ALIVE */
    {TCP | UDP, UDP, false, 0, 255},   /* MULTICAST_TTL */
    {TCP | UDP, TCP | UDP, true, 0, 0}, /* MULTICAST_LOOPBACK */
    {TCP | UDP, TCP | UDP, false, 0, 255}, /* TYPE_OF_SERVICE */
    {ALL, ALL, false, 0, INT32_MAX},   /* SEND_BUFFER_SIZE */
    {ALL, ALL, false, 0, INT32_MAX},   /* RECEIVE_BUFFER_SIZE */
    {TCP | UDP, TCP | UDP, false, 0, INT32_MAX}, /* PATH_MTU */
    {TCP, TCP, false, 1, 32767},       /* KEEP_ALIVE_IDLE */
    {TCP, TCP, false, 1, 32767},       /* KEEP_ALIVE_INTERVAL */
    {TCP, TCP, false, 1, 127},         /* KEEP_ALIVE_COUNT */
    {TCP, TCP, false, 0, INT32_MAX},   /* USER_TIMEOUT */
    {UDP, UDP, true, 0, 0},            /* BROADCAST */
    {TCP, TCP, true, 0, 0},            /* QUICK_ACK */
};
#define OPTIONS (sluice_option)(sizeof options / sizeof *options)

static sluice_handle (*const creators[])(sluice_handle) = {sluice_tcp_socket_create, sluice_udp_socket_create, sluice_local_socket_create};

/* Without a descriptor: what is set is kept, what does not fit is refused and changes nothing. */
static void test_before(int kind) {
    struct counts counts;
    sluice_handle socket = creators[kind](loop);
    sluice_option option;
    int64_t value;
    count_events(socket, &counts);
    for (option = 0; option < OPTIONS; option++) {
        bool readable = options[option].readable >> kind & 1, writable = options[option].writable >> kind & 1;
        value = -77;
        CHECK_EQUAL(sluice_socket_option(socket, option, &value), readable ? SLUICE_ERROR_INVALID_STATE : SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
        CHECK_EQUAL(value, -77);
        if (!writable) {
            CHECK_EQUAL(sluice_socket_set_option(socket, option, 1), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
        } else if (options[option].is_switch) {
            CHECK_EQUAL(sluice_socket_set_option(socket, option, -5), 0);
            CHECK_EQUAL(sluice_socket_option(socket, option, &value), 0);
            CHECK_EQUAL(value, 1);
            CHECK_EQUAL(sluice_socket_set_option(socket, option, 0), 0);
            CHECK_EQUAL(sluice_socket_option(socket, option, &value), 0);
            CHECK_EQUAL(value, 0);
        } else {
            CHECK_EQUAL(sluice_socket_set_option(socket, option, options[option].most), 0);
            CHECK_EQUAL(sluice_socket_set_option(socket, option, options[option].least), 0);
            CHECK_EQUAL(sluice_socket_set_option(socket, option, options[option].least - 1), SLUICE_ERROR_INVALID_ARGUMENT);
            CHECK_EQUAL(sluice_socket_set_option(socket, option, options[option].most + 1), SLUICE_ERROR_INVALID_ARGUMENT);
            CHECK_EQUAL(sluice_socket_set_option(socket, option, INT64_MIN), SLUICE_ERROR_INVALID_ARGUMENT);
            CHECK_EQUAL(sluice_socket_set_option(socket, option, INT64_MAX), SLUICE_ERROR_INVALID_ARGUMENT);
            CHECK_EQUAL(sluice_socket_option(socket, option, &value), 0);
            CHECK_EQUAL(value, options[option].least);
        }
        CHECK_EQUAL(sluice_socket_option(socket, option, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    }
    /* Less than every network lets through. */
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_PATH_MTU, 1279),
                1 << kind == LOCAL ? SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION : SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_option(socket, OPTIONS, &value), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_option(socket, OPTIONS, 1), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_option(socket, INT32_MIN, 1), SLUICE_ERROR_INVALID_ARGUMENT);
    /* Mistakes are told to the caller alone. */
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 0);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

static int64_t option_of(sluice_handle socket, sluice_option option) {
    int64_t value = -1;
    CHECK_EQUAL(sluice_socket_option(socket, option, &value), 0);
    return value;
}

static int native(sluice_handle socket, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    CHECK(getsockopt(sluice_socket_descriptor(socket), level, name, &value, &length) == 0);
    return value;
}

/* Set before there is a descriptor, found in the system afterwards; and kept for the next one. */
static void test_udp(void) {
    int64_t value;
    int round;
    sluice_handle socket = sluice_udp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_MULTICAST_TTL, 9), 0);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_MULTICAST_LOOPBACK, 0), 0);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_TYPE_OF_SERVICE, 32), 0);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_RECEIVE_BUFFER_SIZE, 50000), 0);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_BROADCAST, 0), 0);
    for (round = 0; round < 2; round++) {
        CHECK_EQUAL(sluice_socket_bind(socket, "AnyIPv4", 0, SLUICE_BIND_DEFAULT), 0);
        CHECK_EQUAL(native(socket, IPPROTO_IP, IP_MULTICAST_TTL), 9);
        CHECK_EQUAL(native(socket, IPPROTO_IP, IP_MULTICAST_LOOP), 0);
        CHECK_EQUAL(native(socket, IPPROTO_IP, IP_TOS), 32);
        CHECK_EQUAL(native(socket, SOL_SOCKET, SO_BROADCAST), 0);
        CHECK_EQUAL(option_of(socket, SLUICE_OPTION_RECEIVE_BUFFER_SIZE), native(socket, SOL_SOCKET, SO_RCVBUF));
        CHECK(option_of(socket, SLUICE_OPTION_RECEIVE_BUFFER_SIZE) >= 50000);
        CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_LOW_DELAY, 1), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
        /* Not connected, it has no path. */
        CHECK_EQUAL(sluice_socket_option(socket, SLUICE_OPTION_PATH_MTU, &value), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
        CHECK_EQUAL(sluice_socket_close(socket), 0);
    }
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    if (has_ipv6()) {
        socket = new_udp(loop, "any");
        CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_TYPE_OF_SERVICE, 40), 0);
        CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_MULTICAST_TTL, 4), 0);
        CHECK_EQUAL(option_of(socket, SLUICE_OPTION_TYPE_OF_SERVICE), 40);
        CHECK_EQUAL(native(socket, IPPROTO_IPV6, IPV6_TCLASS), 40);
        CHECK_EQUAL(native(socket, IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 4);
        CHECK_EQUAL(native(socket, IPPROTO_IP, IP_TOS), 40);
        CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    }
    if (has_ipv6()) {
        socket = new_udp(loop, "::1");
        CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_PATH_MTU, 1280), 0);
        CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    }
    socket = new_udp_client(loop, "127.0.0.1", 9);
    CHECK(option_of(socket, SLUICE_OPTION_PATH_MTU) > 0);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_PATH_MTU, 1500), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

static void test_tcp(void) {
    int peer;
    sluice_handle socket = new_raw_pair(loop, &peer);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_KEEP_ALIVE, 1), 0);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_KEEP_ALIVE_IDLE, 11), 0);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_USER_TIMEOUT, 12345), 0);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_QUICK_ACK, 0), 0);
    CHECK_EQUAL(native(socket, SOL_SOCKET, SO_KEEPALIVE), 1);
    CHECK_EQUAL(native(socket, IPPROTO_TCP, TCP_KEEPIDLE), 11);
    CHECK_EQUAL(native(socket, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
    CHECK_EQUAL(option_of(socket, SLUICE_OPTION_USER_TIMEOUT), 12345);
    /* TCP has a multicast limit to read, and none to set. */
    CHECK(option_of(socket, SLUICE_OPTION_MULTICAST_TTL) >= 0);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_MULTICAST_TTL, 1), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_BROADCAST, 1), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    close(peer);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

static void test_local(void) {
    int pair[2];
    sluice_handle socket = sluice_local_socket_create(loop);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_SEND_BUFFER_SIZE, 30000), 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK_EQUAL(sluice_socket_set_descriptor(socket, pair[0], SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), 0);
    CHECK(option_of(socket, SLUICE_OPTION_SEND_BUFFER_SIZE) >= 30000);
    CHECK_EQUAL(option_of(socket, SLUICE_OPTION_SEND_BUFFER_SIZE), native(socket, SOL_SOCKET, SO_SNDBUF));
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_TYPE_OF_SERVICE, 1), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    close(pair[1]);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

int main(void) {
    int kind;
    loop = new_loop();
    for (kind = 0; kind < 3; kind++)
        test_before(kind);
    test_udp();
    test_tcp();
    test_local();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
