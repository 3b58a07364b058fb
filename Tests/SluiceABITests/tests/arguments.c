/* Arguments that are no good, and results at their borders: texts, sizes, numbers, options. */
#include "common.h"

static sluice_handle loop, tcp;

static void test_hosts_and_ports(void) {
    struct counts counts;
    size_t size = 1024 * 1024;
    char *host = malloc(size + 1);
    sluice_handle socket = sluice_tcp_socket_create(loop);
    CHECK(host != NULL);
    memset(host, 'h', size);
    host[size] = '\0';
    count_events(socket, &counts);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, host, 80, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 1);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_HOST_NOT_FOUND);
    CHECK_EQUAL(sluice_socket_peer_name(socket, NULL, 0), size);
    free(host);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "", 80, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 2);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_EMPTY_HOST_NAME);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "127.0.0.1", 0, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 3);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "127.0.0.1", 65536, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "127.0.0.1", -1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "127.0.0.1", INT32_MIN, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, NULL, 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "\xff\xfe", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "127.0.0.1", 1, 64, SLUICE_PROTOCOL_ANY), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "127.0.0.1", 1, SLUICE_OPEN_READ_WRITE, 3), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_bind(socket, NULL, 0, SLUICE_BIND_DEFAULT), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_bind(socket, "any", 65536, SLUICE_BIND_DEFAULT), SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_socket_bind(socket, "any", 0, 16), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 3);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

static void test_sizes(void) {
    char buffer[16];
    int peer;
    sluice_handle socket = new_raw_pair(loop, &peer);
    raw_send(peer, "0123456789", 10);
    while (sluice_socket_bytes_available(socket) < 10)
        CHECK(sluice_socket_wait_for_ready_read(socket, -1));
    CHECK_EQUAL(sluice_socket_read(socket, buffer, -1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_read(socket, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_read(socket, NULL, 0), 0);
    CHECK_EQUAL(sluice_socket_read(socket, buffer, INT64_MIN), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_read_all(socket, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_read_line(socket, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_read_line(socket, buffer, 0), 0);
    CHECK_EQUAL(sluice_socket_peek(socket, buffer, -1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_peek_all(socket, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_skip(socket, -1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_skip(socket, 0), 0);
    CHECK_EQUAL(sluice_socket_unget_char(socket, 256), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_unget_char(socket, -1), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_put_char(socket, 256), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_write(socket, buffer, -1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_write(socket, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_write(socket, NULL, 0), 0);
    CHECK_EQUAL(sluice_socket_sync(socket, -2), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK(!sluice_socket_wait_for_ready_read(socket, -2));
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_connect_timeout(socket, -2), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_connect_timeout(socket), 60000);
    CHECK_EQUAL(sluice_socket_set_connect_timeout(socket, -1), 0);
    CHECK_EQUAL(sluice_socket_connect_timeout(socket), -1);
    CHECK_EQUAL(sluice_socket_bytes_available(socket), 10);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(sluice_socket_skip(socket, INT64_MAX), 10);
    close(peer);

    /* Calls on what is not open. */
    CHECK_EQUAL(sluice_socket_read(tcp, buffer, sizeof buffer), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_read_line(tcp, buffer, sizeof buffer), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_peek(tcp, buffer, sizeof buffer), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_skip(tcp, 1), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_get_char(tcp), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_unget_char(tcp, 'x'), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_write(tcp, buffer, 1), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_put_char(tcp, 'x'), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_shutdown_write(tcp), SLUICE_ERROR_OPERATION);
    CHECK(!sluice_socket_flush(tcp));
    CHECK_EQUAL(sluice_socket_abort(tcp), 0);
    CHECK_EQUAL(sluice_socket_close(tcp), 0);
    CHECK_EQUAL(sluice_socket_disconnect_from_host(tcp), 0);
}

static void test_datagrams(void) {
    struct counts counts;
    char data[8] = "data";
    sluice_handle socket = sluice_udp_socket_create(loop), receiver = new_udp(loop, "127.0.0.1");
    int port = sluice_socket_local_port(receiver);
    count_events(socket, &counts);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, NULL, 1, "127.0.0.1", port), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, -1, "127.0.0.1", port), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, INT64_MIN, "127.0.0.1", port), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, 4, "\xff", port), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 0);
    /* About the datagram: told as an event too. */
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, 4, "127.0.0.1", 0), -SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, 4, "127.0.0.1", -1), -SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, 4, "127.0.0.1", 65536), -SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, 4, "127.0.0.1", INT32_MIN), -SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, 4, "", port), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, 4, "0.0.0.0", port), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, 4, "::", port), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, 4, NULL, port), -SLUICE_ERROR_NETWORK);
    CHECK_EQUAL(sluice_socket_system_error(socket), EDESTADDRREQ);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 8);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_UNCONNECTED);
    /* A name that nobody has: taken, and told later. */
    CHECK_EQUAL(sluice_udp_socket_write_datagram(socket, data, 4, "nobody.invalid", port), 4);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 9);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_HOST_NOT_FOUND);
    CHECK_EQUAL(sluice_socket_bytes_to_write(socket), 0);
    CHECK_EQUAL(sluice_socket_set_write_buffer_size(socket, -1), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_bind(receiver, "nonsense", 0, SLUICE_BIND_DEFAULT), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_close(receiver), 0);
    CHECK_EQUAL(sluice_socket_bind(receiver, "nonsense", 0, SLUICE_BIND_DEFAULT), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_socket_bind(receiver, "203.0.113.1", 0, SLUICE_BIND_DEFAULT), SLUICE_ERROR_SOCKET_ADDRESS_NOT_AVAILABLE);
    CHECK_EQUAL(sluice_socket_descriptor(receiver), -1);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
}

static void test_texts(void) {
    char buffer[64];
    const char *name = "gr\xc3\xbc\xc3\x9f.invalid";
    sluice_handle socket = sluice_tcp_socket_create(loop);
    size_t capacity;
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, name, 80, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    for (capacity = 0; capacity < 20; capacity++) {
        memset(buffer, '#', sizeof buffer);
        CHECK_EQUAL(sluice_socket_peer_name(socket, buffer, capacity), strlen(name));
        CHECK(buffer[capacity] == '#');
        if (capacity > 0) {
            /* Cut, but not inside a character: gr|u-umlaut 2|sharp s 2|... */
            size_t length = strlen(buffer), whole = capacity - 1;
            if (whole == 3 || whole == 5)
                whole -= 1;
            if (whole > strlen(name))
                whole = strlen(name);
            CHECK_EQUAL(length, whole);
            CHECK(memcmp(buffer, name, length) == 0);
        }
    }
    CHECK_EQUAL(sluice_socket_peer_name(socket, NULL, 0), strlen(name));
    CHECK_EQUAL(sluice_socket_peer_name(socket, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_peer_name(socket, buffer, SIZE_MAX), -SLUICE_ERROR_INVALID_ARGUMENT);
    buffer[0] = '#';
    CHECK_EQUAL(sluice_socket_peer_name(0, buffer, sizeof buffer), -SLUICE_ERROR_INVALID_HANDLE);
    CHECK_TEXT(buffer, "");
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);

    CHECK_TEXT(sluice_version(), SLUICE_VERSION);
    CHECK_EQUAL(sluice_abi_version(), SLUICE_ABI_VERSION);
    CHECK_TEXT(sluice_error_name(SLUICE_ERROR_NONE), "NoError");
    CHECK_TEXT(sluice_error_name(SLUICE_ERROR_CONNECTION_REFUSED), "ConnectionRefusedError");
    CHECK_TEXT(sluice_error_name(SLUICE_ERROR_SOCKET_ADDRESS_NOT_AVAILABLE), "SocketAddressNotAvailableError");
    CHECK_TEXT(sluice_error_name(SLUICE_ERROR_TEMPORARY), "TemporaryError");
    CHECK_TEXT(sluice_error_name(SLUICE_ERROR_INVALID_HANDLE), "InvalidHandleError");
    CHECK_TEXT(sluice_error_name(SLUICE_ERROR_OUT_OF_MEMORY), "OutOfMemoryError");
    CHECK_TEXT(sluice_error_name(4), "");
    CHECK_TEXT(sluice_error_name(-1), "");
    CHECK_TEXT(sluice_error_name(INT32_MAX), "");
    CHECK_TEXT(sluice_state_name(SLUICE_STATE_UNCONNECTED), "Unconnected");
    CHECK_TEXT(sluice_state_name(SLUICE_STATE_CLOSING), "Closing");
    CHECK_TEXT(sluice_state_name(7), "");
    CHECK_TEXT(sluice_event_name(SLUICE_EVENT_HOST_FOUND), "hostFound");
    CHECK_TEXT(sluice_event_name(SLUICE_EVENT_READ_CHANNEL_FINISHED), "readChannelFinished");
    CHECK_TEXT(sluice_event_name(SLUICE_EVENT_ACCEPT_ERROR), "acceptError");
    CHECK_TEXT(sluice_event_name(0), "");
    CHECK(sluice_event_name(SLUICE_EVENT_CONNECTED) == sluice_event_name(SLUICE_EVENT_CONNECTED));
}

static void test_options(void) {
    static const sluice_option plain[] = {SLUICE_OPTION_LOW_DELAY, SLUICE_OPTION_KEEP_ALIVE, SLUICE_OPTION_KEEP_ALIVE_IDLE, SLUICE_OPTION_KEEP_ALIVE_INTERVAL,
                                          SLUICE_OPTION_KEEP_ALIVE_COUNT, SLUICE_OPTION_USER_TIMEOUT};
    int64_t value = -77;
    size_t i;
    int peer;
    sluice_handle socket = sluice_tcp_socket_create(loop), server = new_server(loop);
    CHECK_EQUAL(sluice_socket_option(socket, SLUICE_OPTION_LOW_DELAY, &value), SLUICE_ERROR_INVALID_STATE);
    CHECK_EQUAL(sluice_socket_option(socket, SLUICE_OPTION_LOW_DELAY, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_option(socket, 14, &value), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_option(socket, -1, &value), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_option(socket, 99, 1), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_PATH_MTU, 100), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_MULTICAST_TTL, 1), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_TYPE_OF_SERVICE, 300), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_SEND_BUFFER_SIZE, INT64_MAX), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(value, -77);
    /* Set before there is a descriptor, in force afterwards. */
    for (i = 0; i < sizeof plain / sizeof *plain; i++)
        CHECK_EQUAL(sluice_socket_set_option(socket, plain[i], i < 2 ? 1 : (int64_t)i + 3), 0);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_TYPE_OF_SERVICE, 32), 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "127.0.0.1", sluice_server_port(server), SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    CHECK(sluice_socket_wait_for_connected(socket, -1));
    for (i = 0; i < sizeof plain / sizeof *plain; i++) {
        CHECK_EQUAL(sluice_socket_option(socket, plain[i], &value), 0);
        CHECK_EQUAL(value, i < 2 ? 1 : (int64_t)i + 3);
    }
    CHECK_EQUAL(sluice_socket_option(socket, SLUICE_OPTION_TYPE_OF_SERVICE, &value), 0);
    CHECK_EQUAL(value, 32);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_LOW_DELAY, 0), 0);
    CHECK_EQUAL(sluice_socket_option(socket, SLUICE_OPTION_LOW_DELAY, &value), 0);
    CHECK_EQUAL(value, 0);
    CHECK_EQUAL(sluice_socket_option(socket, SLUICE_OPTION_PATH_MTU, &value), 0);
    CHECK(value > 0);
    CHECK_EQUAL(sluice_socket_set_option(socket, SLUICE_OPTION_RECEIVE_BUFFER_SIZE, 10000), 0);
    CHECK_EQUAL(sluice_socket_option(socket, SLUICE_OPTION_RECEIVE_BUFFER_SIZE, &value), 0);
    CHECK(value >= 10000);

    CHECK_EQUAL(sluice_socket_pause_mode(socket), SLUICE_PAUSE_NEVER);
    CHECK_EQUAL(sluice_socket_set_pause_mode(socket, SLUICE_PAUSE_ON_SSL_ERRORS), 0);
    CHECK_EQUAL(sluice_socket_pause_mode(socket), SLUICE_PAUSE_ON_SSL_ERRORS);
    CHECK_EQUAL(sluice_socket_set_pause_mode(socket, 2), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_resume(socket), 0);
    CHECK_EQUAL(sluice_socket_socket_type(socket), SLUICE_SOCKET_TYPE_TCP);
    CHECK_EQUAL(sluice_socket_open_mode(socket), SLUICE_OPEN_READ_WRITE);
    CHECK(sluice_socket_is_valid(socket) && sluice_socket_is_open(socket) && sluice_socket_is_readable(socket));
    CHECK(sluice_socket_is_writable(socket) && sluice_socket_is_sequential(socket));
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);

    socket = new_raw_pair(loop, &peer);
    CHECK_EQUAL(sluice_socket_close(socket), 0);
    CHECK(!sluice_socket_is_valid(socket) && !sluice_socket_is_open(socket) && sluice_socket_is_sequential(socket));
    close(peer);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

/* The whole story of a failed connection. */
static void test_attempts(void) {
    sluice_attempt attempt;
    int port, listener = raw_listen(&port, 1);
    char address[64];
    sluice_handle socket = sluice_tcp_socket_create(loop);
    close(listener);
    CHECK_EQUAL(sluice_socket_attempt_count(socket), 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "127.0.0.1", port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    CHECK(!sluice_socket_wait_for_connected(socket, -1));
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_CONNECTION_REFUSED);
    CHECK_EQUAL(sluice_socket_system_error(socket), ECONNREFUSED);
    CHECK_EQUAL(sluice_socket_attempt_count(socket), 1);
    memset(&attempt, 0, sizeof attempt);
    CHECK_EQUAL(sluice_socket_attempt(socket, 0, &attempt), SLUICE_ERROR_INVALID_ARGUMENT);
    attempt.size = sizeof attempt;
    CHECK_EQUAL(sluice_socket_attempt(socket, 0, &attempt), 0);
    CHECK_EQUAL(attempt.size, sizeof attempt);
    CHECK_EQUAL(attempt.phase, SLUICE_PHASE_CONNECT);
    CHECK_EQUAL(attempt.system_error, ECONNREFUSED);
    CHECK(attempt.milliseconds >= 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    CHECK(strstr(attempt.address, "127.0.0.1") != NULL);
    CHECK(strstr(text_of(sluice_socket_error_string, socket), address) != NULL);
    CHECK_EQUAL(sluice_socket_attempt(socket, 1, &attempt), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_attempt(socket, -1, &attempt), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_attempt(socket, 0, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

/* The last failure is the thread's own, and successes leave it. */
static void *look(void *context) {
    *(sluice_error *)context = sluice_last_error();
    CHECK_EQUAL(sluice_handle_destroy(0), SLUICE_ERROR_INVALID_HANDLE);
    return NULL;
}

static void test_last_error(void) {
    pthread_t thread;
    sluice_error other = -1;
    CHECK_EQUAL(sluice_loop_post(loop, NULL, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK(pthread_create(&thread, NULL, look, &other) == 0 && pthread_join(thread, NULL) == 0);
    CHECK_EQUAL(other, SLUICE_ERROR_NONE);
    CHECK_EQUAL(sluice_socket_state(tcp), SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_INVALID_ARGUMENT);
}

int main(void) {
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_NONE);
    loop = new_loop();
    tcp = sluice_tcp_socket_create(loop);
    test_hosts_and_ports();
    test_sizes();
    test_datagrams();
    test_texts();
    test_options();
    test_attempts();
    test_last_error();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
