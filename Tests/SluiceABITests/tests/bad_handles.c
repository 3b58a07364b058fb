/* Every function with handles that name nothing, or not what they should: an error or the neutral value, and no harm. */
#include "common.h"

#include <inttypes.h>

static char text[8];
static char memory[8];
static int64_t number;
static bool flag;

static void call_me(void *context) { (void)context; }
static void receive(const sluice_event *event, void *context) {
    (void)event;
    (void)context;
}

/* What a function may be used for. */
enum uses {
    ON_LOOP = 1 << SLUICE_KIND_LOOP,
    ON_UDP_SOCKET = 1 << SLUICE_KIND_UDP_SOCKET,
    ON_LOCAL_SOCKET = 1 << SLUICE_KIND_LOCAL_SOCKET,
    ON_TLS_SOCKET = 1 << SLUICE_KIND_TLS_SOCKET,
    ON_STREAM_SOCKET = 1 << SLUICE_KIND_TCP_SOCKET | ON_LOCAL_SOCKET | ON_TLS_SOCKET,
    ON_SOCKET = ON_STREAM_SOCKET | ON_UDP_SOCKET,
    ON_TCP_SERVER = 1 << SLUICE_KIND_TCP_SERVER,
    ON_LOCAL_SERVER = 1 << SLUICE_KIND_LOCAL_SERVER,
    ON_SERVER = ON_TCP_SERVER | ON_LOCAL_SERVER,
    ON_LOOKUP = 1 << SLUICE_KIND_LOOKUP,
    ON_RELAY = 1 << SLUICE_KIND_RELAY,
    ON_SOURCE = ON_SOCKET | ON_SERVER | ON_LOOKUP | ON_RELAY
};

/* The loop, and one object of each kind. */
#define HANDLES 9

static sluice_error expected;
static int kind;
static int calls;

/* An error, a negative error, or the neutral value with the error on record. */
static void check(const char *name, int64_t got, int64_t wanted) {
    calls += 1;
    if (got != wanted || sluice_last_error() != expected) {
        fprintf(stderr, "%s gave %" PRId64 " and error %d, not %" PRId64 " and %d (kind %d)\n", name, got, (int)sluice_last_error(), wanted, (int)expected,
                kind);
        exit(1);
    }
}

/* Leaves another error on record before the call, so that its own is seen. */
static void forget(void) { sluice_loop_post(1, NULL, NULL); }

#define TRY(uses, call, wanted)                                  \
    do {                                                         \
        if (kind == 0 || !((uses) >> kind & 1)) {                \
            forget();                                            \
            check(#call, (int64_t)(call), (wanted));             \
        }                                                        \
    } while (0)
#define ACTS(uses, call) TRY(uses, call, expected)
#define COUNTS(uses, call) TRY(uses, call, -(int64_t)expected)
#define GETS(uses, call, neutral) TRY(uses, call, neutral)

static void try_loop_functions(sluice_handle h) {
    sluice_event event;
    event.size = sizeof event;
    ACTS(ON_LOOP, sluice_loop_run(h));
    COUNTS(ON_LOOP, sluice_loop_run_once(h, 0));
    ACTS(ON_LOOP, sluice_loop_stop(h));
    ACTS(ON_LOOP, sluice_loop_post(h, call_me, NULL));
    COUNTS(ON_LOOP, sluice_loop_descriptor(h));
    COUNTS(ON_LOOP, sluice_loop_next_event(h, &event, 0));
    ACTS(ON_LOOP, sluice_loop_queue_events(h, true));
    GETS(ON_LOOP, sluice_loop_dropped_events(h), 0);
    ACTS(ON_LOOP, sluice_loop_set_busy_poll(h, 0));
    COUNTS(ON_LOOP, sluice_loop_start_timer(h, 0, false, call_me, NULL));
    ACTS(ON_LOOP, sluice_loop_stop_timer(h, 1));
    ACTS(ON_LOOP, sluice_loop_detach(h));
    ACTS(ON_LOOP, sluice_loop_attach(h));
    ACTS(ON_LOOP, sluice_loop_destroy(h));
    GETS(ON_LOOP, sluice_tcp_socket_create(h), 0);
    GETS(ON_LOOP, sluice_udp_socket_create(h), 0);
    GETS(ON_LOOP, sluice_local_socket_create(h), 0);
    GETS(ON_LOOP, sluice_tls_socket_create(h), 0);
    GETS(ON_LOOP, sluice_host_lookup(h, "127.0.0.1", SLUICE_PROTOCOL_ANY, -1), 0);
    GETS(ON_LOOP, sluice_tcp_server_create(h), 0);
    GETS(ON_LOOP, sluice_local_server_create(h), 0);
}

static void try_socket_functions(sluice_handle h) {
    sluice_attempt attempt;
    attempt.size = sizeof attempt;
    ACTS(ON_SOCKET, sluice_socket_connect_to_host(h, "127.0.0.1", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY));
    ACTS(ON_SOCKET, sluice_socket_disconnect_from_host(h));
    ACTS(ON_SOCKET, sluice_socket_abort(h));
    ACTS(ON_SOCKET, sluice_socket_close(h));
    ACTS(ON_SOCKET, sluice_socket_shutdown_write(h));
    ACTS(ON_SOCKET, sluice_socket_bind(h, "any", 0, SLUICE_BIND_DEFAULT));
    ACTS(ON_SOCKET, sluice_socket_set_descriptor(h, 0, SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE));
    GETS(ON_SOCKET, sluice_socket_descriptor(h), -1);
    COUNTS(ON_SOCKET, sluice_socket_take_descriptor(h));
    GETS(ON_SOCKET, sluice_socket_connect_timeout(h), 0);
    ACTS(ON_SOCKET, sluice_socket_set_connect_timeout(h, 1));
    GETS(ON_SOCKET, sluice_socket_close_timeout(h), 0);
    ACTS(ON_SOCKET, sluice_socket_set_close_timeout(h, 1));
    GETS(ON_SOCKET, sluice_socket_allow_half_open(h), false);
    ACTS(ON_SOCKET, sluice_socket_set_allow_half_open(h, true));
    GETS(ON_SOCKET, sluice_socket_state(h), SLUICE_STATE_UNCONNECTED);
    ACTS(ON_SOCKET, sluice_socket_error(h));
    COUNTS(ON_SOCKET, sluice_socket_error_string(h, text, sizeof text));
    GETS(ON_SOCKET, sluice_socket_system_error(h), 0);
    GETS(ON_SOCKET, sluice_socket_attempt_count(h), 0);
    ACTS(ON_SOCKET, sluice_socket_attempt(h, 0, &attempt));
    GETS(ON_SOCKET, sluice_socket_socket_type(h), SLUICE_SOCKET_TYPE_UNKNOWN);
    GETS(ON_SOCKET, sluice_socket_open_mode(h), SLUICE_OPEN_NOT_OPEN);
    GETS(ON_SOCKET, sluice_socket_is_valid(h), false);
    GETS(ON_SOCKET, sluice_socket_is_open(h), false);
    GETS(ON_SOCKET, sluice_socket_is_readable(h), false);
    GETS(ON_SOCKET, sluice_socket_is_writable(h), false);
    GETS(ON_SOCKET, sluice_socket_is_sequential(h), false);
    COUNTS(ON_SOCKET, sluice_socket_local_address(h, text, sizeof text));
    GETS(ON_SOCKET, sluice_socket_local_port(h), 0);
    COUNTS(ON_SOCKET, sluice_socket_peer_address(h, text, sizeof text));
    GETS(ON_SOCKET, sluice_socket_peer_port(h), 0);
    COUNTS(ON_SOCKET, sluice_socket_peer_name(h, text, sizeof text));
    GETS(ON_SOCKET, sluice_socket_bytes_available(h), 0);
    GETS(ON_SOCKET, sluice_socket_at_end(h), true);
    GETS(ON_SOCKET, sluice_socket_can_read_line(h), false);
    COUNTS(ON_SOCKET, sluice_socket_read(h, memory, sizeof memory));
    COUNTS(ON_SOCKET, sluice_socket_read_all(h, memory, sizeof memory));
    COUNTS(ON_SOCKET, sluice_socket_read_line(h, memory, sizeof memory));
    COUNTS(ON_SOCKET, sluice_socket_peek(h, memory, sizeof memory));
    COUNTS(ON_SOCKET, sluice_socket_peek_all(h, memory, sizeof memory));
    COUNTS(ON_SOCKET, sluice_socket_skip(h, 1));
    COUNTS(ON_SOCKET, sluice_socket_get_char(h));
    ACTS(ON_SOCKET, sluice_socket_unget_char(h, 'x'));
    GETS(ON_SOCKET, sluice_socket_read_buffer_size(h), 0);
    ACTS(ON_SOCKET, sluice_socket_set_read_buffer_size(h, 1));
    GETS(ON_SOCKET, sluice_socket_bytes_to_write(h), 0);
    COUNTS(ON_SOCKET, sluice_socket_write(h, memory, sizeof memory));
    COUNTS(ON_SOCKET, sluice_socket_write_borrowed(h, memory, sizeof memory, call_me, NULL));
    ACTS(ON_SOCKET, sluice_socket_put_char(h, 'x'));
    GETS(ON_SOCKET, sluice_socket_flush(h), false);
    ACTS(ON_SOCKET, sluice_socket_sync(h, 0));
    GETS(ON_SOCKET, sluice_socket_write_buffer_size(h), 0);
    ACTS(ON_SOCKET, sluice_socket_set_write_buffer_size(h, 1));
    ACTS(ON_SOCKET, sluice_socket_option(h, SLUICE_OPTION_LOW_DELAY, &number));
    ACTS(ON_SOCKET, sluice_socket_set_option(h, SLUICE_OPTION_LOW_DELAY, 1));
    GETS(ON_SOCKET, sluice_socket_pause_mode(h), SLUICE_PAUSE_NEVER);
    ACTS(ON_SOCKET, sluice_socket_set_pause_mode(h, SLUICE_PAUSE_NEVER));
    ACTS(ON_SOCKET, sluice_socket_resume(h));
    GETS(ON_SOCKET, sluice_socket_wait_for_connected(h, 0), false);
    GETS(ON_SOCKET, sluice_socket_wait_for_ready_read(h, 0), false);
    GETS(ON_SOCKET, sluice_socket_wait_for_bytes_written(h, 0), false);
    GETS(ON_SOCKET, sluice_socket_wait_for_disconnected(h, 0), false);
}

static void try_transport_and_properties(sluice_handle h) {
    ACTS(ON_STREAM_SOCKET, sluice_socket_set_transport(h, NULL, NULL));
    ACTS(ON_STREAM_SOCKET, sluice_socket_transport_ready(h, true, true));
    ACTS(ON_SOCKET, sluice_socket_set_peer_name(h, "x"));
    ACTS(ON_SOCKET, sluice_socket_set_peer_address(h, "x"));
    ACTS(ON_SOCKET, sluice_socket_set_peer_port(h, 1));
    ACTS(ON_SOCKET, sluice_socket_set_local_address(h, "x"));
    ACTS(ON_SOCKET, sluice_socket_set_local_port(h, 1));
    ACTS(ON_SOCKET, sluice_socket_set_state(h, SLUICE_STATE_UNCONNECTED));
    ACTS(ON_SOCKET, sluice_socket_set_error(h, SLUICE_ERROR_NONE));
    ACTS(ON_SOCKET, sluice_socket_set_error_string(h, "x"));
    COUNTS(ON_SOCKET, sluice_socket_properties(h, text, sizeof text));
    ACTS(ON_SOCKET, sluice_socket_set_properties(h, "{}"));
    COUNTS(ON_SOCKET, sluice_socket_property(h, "port", text, sizeof text));
    ACTS(ON_SOCKET, sluice_socket_set_property(h, "port", "1"));
    COUNTS(ON_SOCKET, sluice_socket_to_json(h, false, text, sizeof text));
    ACTS(ON_SOCKET, sluice_socket_from_json(h, "{}", false));
}

static void try_proxy_functions(sluice_handle h) {
    COUNTS(ON_SOCKET, sluice_socket_proxy(h, text, sizeof text));
    ACTS(ON_SOCKET, sluice_socket_set_proxy(h, "none"));
    GETS(ON_SOCKET, sluice_socket_proxy_timeout(h), 0);
    ACTS(ON_SOCKET, sluice_socket_set_proxy_timeout(h, 1));
    GETS(ON_SOCKET, sluice_socket_awaits_proxy_authentication(h), false);
    ACTS(ON_SOCKET, sluice_socket_set_awaits_proxy_authentication(h, true));
    ACTS(ON_SOCKET, sluice_socket_authenticate_proxy(h, "user", "password"));
    COUNTS(ON_SERVER, sluice_server_proxy(h, text, sizeof text));
    ACTS(ON_SERVER, sluice_server_set_proxy(h, "none"));
    GETS(ON_SERVER, sluice_server_proxy_protocol(h), false);
    ACTS(ON_SERVER, sluice_server_set_proxy_protocol(h, false));
}

static void try_tls_functions(sluice_handle h) {
    sluice_tls_configuration configuration;
    memset(&configuration, 0, sizeof configuration);
    configuration.size = sizeof configuration;
    ACTS(ON_TLS_SOCKET, sluice_tls_socket_set_configuration(h, &configuration));
    COUNTS(ON_TLS_SOCKET, sluice_tls_socket_configuration(h, text, sizeof text));
    ACTS(ON_TLS_SOCKET, sluice_tls_socket_connect_to_host_encrypted(h, "127.0.0.1", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY));
    ACTS(ON_TLS_SOCKET, sluice_tls_socket_start_client_encryption(h));
    ACTS(ON_TLS_SOCKET, sluice_tls_socket_start_server_encryption(h));
    GETS(ON_TLS_SOCKET, sluice_tls_socket_wait_for_encrypted(h, 0), false);
    ACTS(ON_TLS_SOCKET, sluice_tls_socket_ignore_errors(h, NULL));
    GETS(ON_TLS_SOCKET, sluice_tls_socket_is_encrypted(h), false);
    GETS(ON_TLS_SOCKET, sluice_tls_socket_is_session_resumed(h), false);
    COUNTS(ON_TLS_SOCKET, sluice_tls_socket_session_protocol(h, text, sizeof text));
    COUNTS(ON_TLS_SOCKET, sluice_tls_socket_session_cipher(h, text, sizeof text));
    COUNTS(ON_TLS_SOCKET, sluice_tls_socket_negotiated_protocol(h, text, sizeof text));
    COUNTS(ON_TLS_SOCKET, sluice_tls_socket_session_ticket(h, text, sizeof text));
    COUNTS(ON_TLS_SOCKET, sluice_tls_socket_peer_certificate(h, text, sizeof text));
    COUNTS(ON_TLS_SOCKET, sluice_tls_socket_peer_certificate_chain(h, text, sizeof text));
    COUNTS(ON_TLS_SOCKET, sluice_tls_socket_ssl_errors(h, text, sizeof text));
    ACTS(ON_SERVER, sluice_server_set_tls_configuration(h, NULL));
    COUNTS(ON_SERVER, sluice_server_tls_configuration(h, text, sizeof text));
}

static void try_lookup_and_relay(sluice_handle h) {
    GETS(ON_LOOKUP, sluice_host_is_finished(h), false);
    GETS(ON_LOOKUP, sluice_host_wait_for_finished(h, 0), false);
    ACTS(ON_LOOKUP, sluice_host_error(h));
    COUNTS(ON_LOOKUP, sluice_host_error_string(h, text, sizeof text));
    GETS(ON_LOOKUP, sluice_host_address_count(h), 0);
    COUNTS(ON_LOOKUP, sluice_host_address(h, 0, text, sizeof text));
    GETS(ON_STREAM_SOCKET, sluice_relay_create(h, h), 0);
    ACTS(ON_RELAY, sluice_relay_counters(h, &number, &number));
    GETS(ON_RELAY, sluice_relay_is_finished(h), false);
}

static void try_udp_socket_functions(sluice_handle h) {
    sluice_datagram in;
    sluice_outgoing_datagram out;
    memset(&in, 0, sizeof in);
    memset(&out, 0, sizeof out);
    in.size = sizeof in;
    out.size = sizeof out;
    COUNTS(ON_UDP_SOCKET, sluice_udp_socket_write_datagram(h, memory, sizeof memory, "127.0.0.1", 1));
    COUNTS(ON_UDP_SOCKET, sluice_udp_socket_write_datagrams(h, &out, 1));
    GETS(ON_UDP_SOCKET, sluice_udp_socket_has_pending_datagrams(h), false);
    GETS(ON_UDP_SOCKET, sluice_udp_socket_pending_datagram_size(h), -1);
    COUNTS(ON_UDP_SOCKET, sluice_udp_socket_read_datagram(h, &in));
    COUNTS(ON_UDP_SOCKET, sluice_udp_socket_read_datagrams(h, &in, 1));
    ACTS(ON_UDP_SOCKET, sluice_udp_socket_join_multicast_group(h, "239.255.43.1", "lo"));
    ACTS(ON_UDP_SOCKET, sluice_udp_socket_leave_multicast_group(h, "239.255.43.1", "lo"));
    COUNTS(ON_UDP_SOCKET, sluice_udp_socket_multicast_interface(h, text, sizeof text));
    ACTS(ON_UDP_SOCKET, sluice_udp_socket_set_multicast_interface(h, "lo"));
}

static void try_local_socket_functions(sluice_handle h) {
    sluice_credentials credentials;
    credentials.size = sizeof credentials;
    ACTS(ON_LOCAL_SOCKET, sluice_local_socket_connect_to_server(h, "x", SLUICE_OPEN_READ_WRITE));
    ACTS(ON_LOCAL_SOCKET, sluice_local_socket_disconnect_from_server(h));
    COUNTS(ON_LOCAL_SOCKET, sluice_local_socket_server_name(h, text, sizeof text));
    COUNTS(ON_LOCAL_SOCKET, sluice_local_socket_full_server_name(h, text, sizeof text));
    ACTS(ON_LOCAL_SOCKET, sluice_local_socket_set_server_name(h, "x"));
    GETS(ON_LOCAL_SOCKET, sluice_local_socket_socket_options(h), SLUICE_ACCESS_NONE);
    ACTS(ON_LOCAL_SOCKET, sluice_local_socket_set_socket_options(h, SLUICE_ACCESS_NONE));
    ACTS(ON_LOCAL_SOCKET, sluice_local_socket_peer_credentials(h, &credentials));
    ACTS(ON_LOCAL_SOCKET, sluice_local_socket_send_descriptor(h, 0));
    COUNTS(ON_LOCAL_SOCKET, sluice_local_socket_receive_descriptor(h));
}

static void try_server_functions(sluice_handle h) {
    ACTS(ON_SERVER, sluice_server_close(h));
    GETS(ON_SERVER, sluice_server_is_listening(h), false);
    GETS(ON_SERVER, sluice_server_has_pending_connections(h), false);
    GETS(ON_SERVER, sluice_server_next_pending_connection(h), 0);
    GETS(ON_SERVER, sluice_server_max_pending_connections(h), 0);
    ACTS(ON_SERVER, sluice_server_set_max_pending_connections(h, 1));
    GETS(ON_SERVER, sluice_server_listen_backlog(h), 0);
    ACTS(ON_SERVER, sluice_server_set_listen_backlog(h, 1));
    COUNTS(ON_SERVER, sluice_server_address(h, text, sizeof text));
    GETS(ON_SERVER, sluice_server_port(h), 0);
    ACTS(ON_SERVER, sluice_server_error(h));
    COUNTS(ON_SERVER, sluice_server_error_string(h, text, sizeof text));
    GETS(ON_SERVER, sluice_server_system_error(h), 0);
    GETS(ON_SERVER, sluice_server_descriptor(h), -1);
    ACTS(ON_SERVER, sluice_server_set_descriptor(h, 0));
    COUNTS(ON_SERVER, sluice_server_take_descriptor(h));
    ACTS(ON_SERVER, sluice_server_set_incoming_handler(h, NULL, NULL));
    ACTS(ON_SERVER, sluice_server_add_pending_connection(h, h));
    ACTS(ON_SERVER, sluice_server_pause_accepting(h));
    ACTS(ON_SERVER, sluice_server_resume_accepting(h));
    GETS(ON_SERVER, sluice_server_wait_for_new_connection(h, 0, &flag), false);
    ACTS(ON_TCP_SERVER, sluice_tcp_server_listen(h, "any", 0, SLUICE_BIND_DEFAULT));
    ACTS(ON_LOCAL_SERVER, sluice_local_server_listen(h, "x"));
    ACTS(ON_LOCAL_SERVER, sluice_local_server_listen_descriptor(h, 0));
    COUNTS(ON_LOCAL_SERVER, sluice_local_server_server_name(h, text, sizeof text));
    COUNTS(ON_LOCAL_SERVER, sluice_local_server_full_server_name(h, text, sizeof text));
    GETS(ON_LOCAL_SERVER, sluice_local_server_socket_options(h), SLUICE_ACCESS_NONE);
    ACTS(ON_LOCAL_SERVER, sluice_local_server_set_socket_options(h, SLUICE_ACCESS_NONE));
}

static void try_all(sluice_handle h, sluice_error error, int kind_of_handle) {
    expected = error;
    kind = kind_of_handle;
    try_loop_functions(h);
    try_socket_functions(h);
    try_transport_and_properties(h);
    try_proxy_functions(h);
    try_tls_functions(h);
    try_lookup_and_relay(h);
    try_udp_socket_functions(h);
    try_local_socket_functions(h);
    try_server_functions(h);
    if (kind == 0) {
        ACTS(0, sluice_handle_destroy(h));
        GETS(0, sluice_handle_kind(h), SLUICE_KIND_NONE);
    }
    ACTS(ON_SOURCE, sluice_handle_subscribe(h, SLUICE_EVENTS_ALL));
    ACTS(ON_SOURCE, sluice_handle_set_callback(h, receive, NULL));
}

static void *in_other_thread(void *context) {
    sluice_handle *handles = context;
    int i;
    /* What any thread may do with the loop works here. */
    CHECK_EQUAL(sluice_loop_post(handles[0], call_me, NULL), 0);
    for (i = 1; i < HANDLES; i++) {
        expected = SLUICE_ERROR_WRONG_THREAD;
        kind = 0;
        try_socket_functions(handles[i]);
        try_transport_and_properties(handles[i]);
        try_proxy_functions(handles[i]);
        try_tls_functions(handles[i]);
        try_lookup_and_relay(handles[i]);
        try_udp_socket_functions(handles[i]);
        try_local_socket_functions(handles[i]);
        try_server_functions(handles[i]);
        ACTS(0, sluice_handle_destroy(handles[i]));
        ACTS(0, sluice_handle_subscribe(handles[i], SLUICE_EVENTS_ALL));
        ACTS(0, sluice_handle_set_callback(handles[i], receive, NULL));
        GETS(0, sluice_handle_kind(handles[i]), SLUICE_KIND_NONE);
        expected = SLUICE_ERROR_WRONG_KIND;
        ACTS(0, sluice_loop_stop(handles[i]));
        ACTS(0, sluice_loop_post(handles[i], call_me, NULL));
    }
    return NULL;
}

static void *in_other_thread_with_loop(void *context) {
    sluice_handle h = *(sluice_handle *)context;
    sluice_event event;
    event.size = sizeof event;
    expected = SLUICE_ERROR_WRONG_THREAD;
    kind = 0;
    ACTS(0, sluice_loop_run(h));
    COUNTS(0, sluice_loop_run_once(h, 0));
    COUNTS(0, sluice_loop_descriptor(h));
    COUNTS(0, sluice_loop_next_event(h, &event, 0));
    ACTS(0, sluice_loop_queue_events(h, true));
    GETS(0, sluice_loop_dropped_events(h), 0);
    ACTS(0, sluice_loop_set_busy_poll(h, 0));
    COUNTS(0, sluice_loop_start_timer(h, 0, false, call_me, NULL));
    ACTS(0, sluice_loop_stop_timer(h, 1));
    ACTS(0, sluice_loop_detach(h));
    ACTS(0, sluice_loop_attach(h));
    ACTS(0, sluice_loop_destroy(h));
    ACTS(0, sluice_handle_destroy(h));
    GETS(0, sluice_tcp_socket_create(h), 0);
    return NULL;
}

int main(void) {
    sluice_handle loop = new_loop(), other_loop, stale[HANDLES], handles[HANDLES], pair[2];
    pthread_t thread;
    int i;

    try_all(0, SLUICE_ERROR_INVALID_HANDLE, 0);
    try_all(UINT64_MAX, SLUICE_ERROR_INVALID_HANDLE, 0);
    for (i = 0; i < 64; i++)
        try_all(UINT64_C(1) << i, SLUICE_ERROR_INVALID_HANDLE, 0);
    {
        /* Neighbours of living handles, and bits that no handle has. */
        sluice_handle socket = sluice_tcp_socket_create(loop);
        for (i = 0; i < 48; i++)
            try_all(socket ^ UINT64_C(1) << i, SLUICE_ERROR_INVALID_HANDLE, 0);
        /* A living object that is called another kind. */
        try_all((socket & ~(UINT64_C(63) << 58)) | UINT64_C(4) << 58, SLUICE_ERROR_INVALID_HANDLE, 0);
        CHECK_EQUAL(sluice_handle_kind(socket), SLUICE_KIND_TCP_SOCKET);
        CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    }

    handles[0] = loop;
    handles[1] = sluice_tcp_socket_create(loop);
    handles[2] = sluice_local_socket_create(loop);
    handles[3] = sluice_tcp_server_create(loop);
    handles[4] = sluice_local_server_create(loop);
    handles[5] = sluice_udp_socket_create(loop);
    handles[6] = sluice_tls_socket_create(loop);
    handles[7] = sluice_host_lookup(loop, "127.0.0.1", SLUICE_PROTOCOL_ANY, -1);
    new_pair(loop, &pair[0], &pair[1]);
    handles[8] = sluice_relay_create(pair[0], pair[1]);
    CHECK_EQUAL(sluice_handle_kind(handles[0]), SLUICE_KIND_LOOP);
    CHECK_EQUAL(sluice_handle_kind(handles[1]), SLUICE_KIND_TCP_SOCKET);
    CHECK_EQUAL(sluice_handle_kind(handles[2]), SLUICE_KIND_LOCAL_SOCKET);
    CHECK_EQUAL(sluice_handle_kind(handles[3]), SLUICE_KIND_TCP_SERVER);
    CHECK_EQUAL(sluice_handle_kind(handles[4]), SLUICE_KIND_LOCAL_SERVER);
    CHECK_EQUAL(sluice_handle_kind(handles[5]), SLUICE_KIND_UDP_SOCKET);
    CHECK_EQUAL(sluice_handle_kind(handles[6]), SLUICE_KIND_TLS_SOCKET);
    CHECK_EQUAL(sluice_handle_kind(handles[7]), SLUICE_KIND_LOOKUP);
    CHECK_EQUAL(sluice_handle_kind(handles[8]), SLUICE_KIND_RELAY);
    for (i = 0; i < HANDLES; i++)
        try_all(handles[i], SLUICE_ERROR_WRONG_KIND, sluice_handle_kind(handles[i]));
    CHECK(pthread_create(&thread, NULL, in_other_thread, handles) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(pthread_create(&thread, NULL, in_other_thread_with_loop, handles) == 0 && pthread_join(thread, NULL) == 0);

    /* Dead ones, while others stand in their places. */
    for (i = 1; i < HANDLES; i++) {
        stale[i] = handles[i];
        CHECK_EQUAL(sluice_handle_destroy(handles[i]), 0);
    }
    for (i = 1; i < HANDLES; i++)
        CHECK(sluice_tcp_socket_create(loop) != 0);
    for (i = 1; i < HANDLES; i++)
        try_all(stale[i], SLUICE_ERROR_INVALID_HANDLE, 0);

    /* Of a dead loop, also when another has its place; and that one's handles are other numbers. */
    handles[1] = sluice_tcp_socket_create(loop);
    stale[0] = loop;
    stale[1] = handles[1];
    CHECK_EQUAL(sluice_handle_destroy(loop), 0);
    for (i = 0; i < HANDLES; i++)
        try_all(stale[i], SLUICE_ERROR_INVALID_HANDLE, 0);
    other_loop = new_loop();
    CHECK(other_loop != loop);
    for (i = 0; i < 100; i++) {
        sluice_handle socket = sluice_tcp_socket_create(other_loop);
        int j;
        for (j = 0; j < HANDLES; j++)
            CHECK(socket != stale[j]);
    }
    for (i = 0; i < HANDLES; i++)
        try_all(stale[i], SLUICE_ERROR_INVALID_HANDLE, 0);
    CHECK_EQUAL(sluice_loop_destroy(other_loop), 0);
    CHECK(calls > 1000);
    return 0;
}
