/* Encrypted sockets: from the beginning, from some point on, and where it is refused. */
#include "common.h"

/* For localhost, 127.0.0.1 and sluice.test, until the year 2120. */
static const char key[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgyN44LzdRApvOVTx2\n"
    "1bnREUBmjIy0ZxOJEfd4f6spVWahRANCAARXdbInS/vBmxweAmB81P/rYq/wqI0Z\n"
    "zg6jAQHeqSv0blbDYQjSyddBq+iP47JRNKo255CZJ108IXDNZ6A+6daF\n"
    "-----END PRIVATE KEY-----\n";

static const char certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBeDCCAR6gAwIBAgIBATAKBggqhkjOPQQDAjAWMRQwEgYDVQQDDAtzbHVpY2Uu\n"
    "dGVzdDAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFjEUMBIGA1UE\n"
    "AwwLc2x1aWNlLnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARXdbInS/vB\n"
    "mxweAmB81P/rYq/wqI0Zzg6jAQHeqSv0blbDYQjSyddBq+iP47JRNKo255CZJ108\n"
    "IXDNZ6A+6daFo1swWTAPBgNVHRMBAf8EBTADAQH/MCcGA1UdEQQgMB6CCWxvY2Fs\n"
    "aG9zdIILc2x1aWNlLnRlc3SHBH8AAAEwHQYDVR0OBBYEFP1/QlooJc5ZOr5cWvhv\n"
    "giuwn7d1MAoGCCqGSM49BAMCA0gAMEUCIC9rTff7zay8c3jffhINCaSZuph9ISts\n"
    "KeHzNs1PKhdgAiEApByxXBMC5Y5WaCX/LifuGxvv7TsDp+hzaXfcCgJwNpA=\n"
    "-----END CERTIFICATE-----\n";

static sluice_handle loop;

static sluice_tls_configuration server_configuration(void) {
    sluice_tls_configuration configuration;
    memset(&configuration, 0, sizeof configuration);
    configuration.size = sizeof configuration;
    configuration.certificate = certificate;
    configuration.private_key = key;
    configuration.alpn = "one,two";
    return configuration;
}

static sluice_tls_configuration client_configuration(void) {
    sluice_tls_configuration configuration;
    memset(&configuration, 0, sizeof configuration);
    configuration.size = sizeof configuration;
    configuration.certificate_authorities = certificate;
    configuration.alpn = "two";
    return configuration;
}

static sluice_handle new_tls_server(void) {
    sluice_tls_configuration configuration = server_configuration();
    sluice_handle server = sluice_tcp_server_create(loop);
    CHECK_EQUAL(sluice_server_set_tls_configuration(server, &configuration), 0);
    CHECK_EQUAL(sluice_tcp_server_listen(server, "127.0.0.1", 0, SLUICE_BIND_DEFAULT), 0);
    return server;
}

static void test_encrypted(void) {
    static char data[100000];
    sluice_tls_configuration configuration = client_configuration();
    struct counts counts;
    char json[8192];
    sluice_handle server = new_tls_server(), client = sluice_tls_socket_create(loop), accepted;
    CHECK_EQUAL(sluice_handle_kind(client), SLUICE_KIND_TLS_SOCKET);
    CHECK_EQUAL(sluice_socket_socket_type(client), SLUICE_SOCKET_TYPE_TLS);
    count_events(client, &counts);
    CHECK_EQUAL(sluice_tls_socket_set_configuration(client, &configuration), 0);
    CHECK_EQUAL(sluice_tls_socket_connect_to_host_encrypted(client, "localhost", sluice_server_port(server), SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_IPV4), 0);
    CHECK(!sluice_tls_socket_is_encrypted(client));
    CHECK_TEXT(text_of(sluice_tls_socket_session_protocol, client), "");
    CHECK_EQUAL(sluice_tls_socket_peer_certificate(client, json, sizeof json), 4);
    CHECK_TEXT(json, "null");
    /* Waits for the handshake. */
    CHECK_EQUAL(sluice_socket_write(client, "early", 5), 5);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ENCRYPTED] == 1 && sluice_server_has_pending_connections(server));
    CHECK_EQUAL(counts.of[SLUICE_EVENT_CONNECTED], 1);
    accepted = sluice_server_next_pending_connection(server);
    CHECK_EQUAL(sluice_handle_kind(accepted), SLUICE_KIND_TLS_SOCKET);
    RUN_UNTIL(loop, sluice_socket_bytes_available(accepted) == 5);
    CHECK(sluice_tls_socket_is_encrypted(client) && sluice_tls_socket_is_encrypted(accepted));
    CHECK_TEXT(text_of(sluice_tls_socket_session_protocol, client), "TLSv1.3");
    CHECK_TEXT(text_of(sluice_tls_socket_negotiated_protocol, client), "two");
    CHECK(sluice_tls_socket_session_cipher(client, NULL, 0) > 0);
    CHECK(!sluice_tls_socket_is_session_resumed(client));
    CHECK(sluice_tls_socket_peer_certificate(client, json, sizeof json) > 0);
    CHECK(strstr(json, "\"commonName\":\"sluice.test\"") != NULL && strstr(json, "\"isSelfSigned\":true") != NULL);
    CHECK(sluice_tls_socket_peer_certificate_chain(client, json, sizeof json) > 0);
    CHECK(json[0] == '[' && strstr(json, "BEGIN CERTIFICATE") != NULL);
    CHECK_EQUAL(sluice_tls_socket_ssl_errors(client, json, sizeof json), 2);
    CHECK_TEXT(json, "[]");
    CHECK(sluice_tls_socket_configuration(client, json, sizeof json) > 0);
    CHECK(strstr(json, "\"alpn\":[\"two\"]") != NULL && strstr(json, "\"verifyMode\":\"auto\"") != NULL);
    CHECK(sluice_server_tls_configuration(server, json, sizeof json) > 0);
    CHECK(strstr(json, "PRIVATE") == NULL && strstr(json, "BEGIN CERTIFICATE") != NULL);
    CHECK_EQUAL(sluice_tls_socket_set_configuration(client, &configuration), SLUICE_ERROR_OPERATION);

    CHECK_EQUAL(sluice_socket_write(accepted, data, sizeof data), sizeof data);
    RUN_UNTIL(loop, sluice_socket_bytes_available(client) == sizeof data);
    CHECK(sluice_tls_socket_session_ticket(client, NULL, 0) > 0);
    CHECK_EQUAL(sluice_socket_disconnect_from_host(accepted), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
    CHECK_EQUAL(sluice_socket_error(client), SLUICE_ERROR_REMOTE_HOST_CLOSED);
    CHECK_EQUAL(sluice_handle_destroy(accepted), 0);

    /* The next connection is shorter. */
    {
        static char ticket[16384];
        CHECK(sluice_tls_socket_session_ticket(client, ticket, sizeof ticket) < (int64_t)sizeof ticket);
        configuration.session_ticket = ticket;
        CHECK_EQUAL(sluice_tls_socket_set_configuration(client, &configuration), 0);
        CHECK_EQUAL(
            sluice_tls_socket_connect_to_host_encrypted(client, "localhost", sluice_server_port(server), SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_IPV4), 0);
        RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ENCRYPTED] == 2);
        CHECK(sluice_tls_socket_is_session_resumed(client));
    }
    CHECK_EQUAL(sluice_handle_destroy(client), 0);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

/* A plain beginning, then both agree to encrypt. */
static void test_start(void) {
    sluice_tls_configuration configuration = server_configuration();
    int port, listener = raw_listen(&port, 5), descriptor;
    sluice_handle client = sluice_tls_socket_create(loop), server = sluice_tls_socket_create(loop);
    CHECK_EQUAL(sluice_tls_socket_start_client_encryption(client), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_connect_to_host(client, "127.0.0.1", port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    CHECK(sluice_socket_wait_for_connected(client, -1));
    descriptor = accept(listener, NULL, NULL);
    CHECK_EQUAL(sluice_socket_set_descriptor(server, descriptor, SLUICE_STATE_CONNECTED, SLUICE_OPEN_READ_WRITE), 0);
    CHECK_EQUAL(sluice_socket_write(client, "plain", 5), 5);
    RUN_UNTIL(loop, sluice_socket_bytes_available(server) == 5);
    CHECK_EQUAL(sluice_socket_skip(server, 5), 5);
    CHECK(!sluice_tls_socket_wait_for_encrypted(client, 0));
    CHECK_EQUAL(sluice_tls_socket_start_server_encryption(server), SLUICE_ERROR_SSL_INVALID_USER_DATA);
    CHECK_EQUAL(sluice_tls_socket_set_configuration(server, &configuration), 0);
    CHECK_EQUAL(sluice_tls_socket_start_server_encryption(server), 0);
    configuration = client_configuration();
    configuration.verify_name = "sluice.test";
    CHECK_EQUAL(sluice_tls_socket_set_configuration(client, &configuration), 0);
    CHECK_EQUAL(sluice_tls_socket_start_client_encryption(client), 0);
    CHECK_EQUAL(sluice_tls_socket_start_client_encryption(client), SLUICE_ERROR_OPERATION);
    RUN_UNTIL(loop, sluice_tls_socket_is_encrypted(client) && sluice_tls_socket_is_encrypted(server));
    CHECK(sluice_tls_socket_wait_for_encrypted(client, 0));
    close(listener);
    CHECK_EQUAL(sluice_handle_destroy(client), 0);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

struct verdict {
    struct counts counts;
    char errors[2048];
    char getter[2048];
};

static void note(const sluice_event *event, void *context) {
    struct verdict *verdict = context;
    count_event(event, &verdict->counts);
    if (event->type != SLUICE_EVENT_SSL_ERRORS)
        return;
    snprintf(verdict->errors, sizeof verdict->errors, "%s", event->message);
    CHECK(sluice_tls_socket_ssl_errors(event->handle, verdict->getter, sizeof verdict->getter) > 2);
}

/* Whom nobody vouches for is refused, unless that is forgiven. */
static void test_verification(void) {
    sluice_tls_configuration configuration;
    struct verdict verdict;
    const struct counts *counts = &verdict.counts;
    sluice_handle server = new_tls_server(), client = sluice_tls_socket_create(loop);
    int port = sluice_server_port(server);
    memset(&verdict, 0, sizeof verdict);
    memset(&configuration, 0, sizeof configuration);
    configuration.size = sizeof configuration;
    CHECK_EQUAL(sluice_handle_set_callback(client, note, &verdict), 0);
    CHECK_EQUAL(sluice_tls_socket_set_configuration(client, &configuration), 0);
    CHECK_EQUAL(sluice_tls_socket_connect_to_host_encrypted(client, "127.0.0.1", port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    RUN_UNTIL(loop, counts->of[SLUICE_EVENT_DISCONNECTED] == 1);
    CHECK_EQUAL(counts->last[SLUICE_EVENT_ERROR_OCCURRED].error, SLUICE_ERROR_SSL_HANDSHAKE_FAILED);
    CHECK_EQUAL(counts->of[SLUICE_EVENT_SSL_ERRORS], 1);
    CHECK(counts->last[SLUICE_EVENT_SSL_ERRORS].value >= 1);
    CHECK(strstr(verdict.errors, "SelfSignedCertificate") != NULL && strstr(verdict.errors, "\"depth\":0") != NULL);
    CHECK_TEXT(verdict.getter, verdict.errors);
    /* Another's name. */
    configuration = client_configuration();
    configuration.verify_name = "other.test";
    CHECK_EQUAL(sluice_tls_socket_set_configuration(client, &configuration), 0);
    CHECK_EQUAL(sluice_tls_socket_connect_to_host_encrypted(client, "127.0.0.1", port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    RUN_UNTIL(loop, counts->of[SLUICE_EVENT_DISCONNECTED] == 2);
    CHECK(strstr(counts->message, "other.test") != NULL);
    CHECK(strstr(verdict.errors, "HostNameMismatch") != NULL);
    /* Forgiven by name; nobody asked. */
    CHECK_EQUAL(sluice_tls_socket_ignore_errors(client, "CertificateExpired,HostNameMismatch"), 0);
    CHECK_EQUAL(sluice_tls_socket_connect_to_host_encrypted(client, "127.0.0.1", port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    RUN_UNTIL(loop, counts->of[SLUICE_EVENT_ENCRYPTED] == 1);
    CHECK_EQUAL(sluice_socket_abort(client), 0);
    CHECK_EQUAL(sluice_tls_socket_ignore_errors(client, ""), 0);
    configuration = client_configuration();
    configuration.certificate_authorities = NULL;
    configuration.verify_mode = SLUICE_TLS_VERIFY_NONE;
    CHECK_EQUAL(sluice_tls_socket_set_configuration(client, &configuration), 0);
    CHECK_EQUAL(sluice_tls_socket_connect_to_host_encrypted(client, "127.0.0.1", port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    RUN_UNTIL(loop, counts->of[SLUICE_EVENT_ENCRYPTED] == 2);
    CHECK_EQUAL(sluice_handle_destroy(client), 0);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

static void test_arguments(void) {
    sluice_tls_configuration configuration = server_configuration();
    char words[512];
    sluice_handle socket = sluice_tls_socket_create(loop), server = sluice_tcp_server_create(loop);
    CHECK_EQUAL(sluice_tls_socket_set_configuration(socket, NULL), 0);
    configuration.size = 4;
    CHECK_EQUAL(sluice_tls_socket_set_configuration(socket, &configuration), SLUICE_ERROR_INVALID_ARGUMENT);
    configuration = server_configuration();
    configuration.verify_mode = 4;
    CHECK_EQUAL(sluice_tls_socket_set_configuration(socket, &configuration), SLUICE_ERROR_INVALID_ARGUMENT);
    configuration = server_configuration();
    configuration.minimum_version = 0x0301;
    CHECK_EQUAL(sluice_tls_socket_set_configuration(socket, &configuration), SLUICE_ERROR_INVALID_ARGUMENT);
    configuration = server_configuration();
    configuration.ciphers = "\xff";
    CHECK_EQUAL(sluice_tls_socket_set_configuration(socket, &configuration), SLUICE_ERROR_INVALID_ARGUMENT);
    configuration = server_configuration();
    configuration.certificate = "/no/such/file.pem";
    CHECK_EQUAL(sluice_tls_socket_set_configuration(socket, &configuration), SLUICE_ERROR_SSL_INVALID_USER_DATA);
    CHECK(sluice_last_error_message(words, sizeof words) > 0);
    CHECK(strstr(words, "/no/such/file.pem") != NULL);
    configuration = server_configuration();
    configuration.private_key = certificate;
    CHECK_EQUAL(sluice_server_set_tls_configuration(server, &configuration), SLUICE_ERROR_SSL_INVALID_USER_DATA);
    CHECK_EQUAL(sluice_server_tls_configuration(server, words, sizeof words), 4);
    CHECK_TEXT(words, "null");
    CHECK_EQUAL(sluice_server_set_tls_configuration(server, NULL), 0);
    CHECK_EQUAL(sluice_tls_socket_ignore_errors(socket, "NoSuchError"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_tls_socket_ignore_errors(socket, "\xff"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_tls_socket_ignore_errors(socket, NULL), 0);
    CHECK_EQUAL(sluice_tls_socket_connect_to_host_encrypted(socket, NULL, 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_tls_socket_connect_to_host_encrypted(socket, "x", -1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_tls_socket_connect_to_host_encrypted(socket, "x", 1, 64, SLUICE_PROTOCOL_ANY), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK(!sluice_tls_socket_wait_for_encrypted(socket, -2));
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

int main(void) {
    loop = new_loop();
    test_encrypted();
    test_start();
    test_verification();
    test_arguments();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
