/* Proxies as texts, and a connection through one. */
#include "common.h"

static sluice_handle loop;

static void test_texts(void) {
    static const struct {
        const char *given, *shown;
    } good[] = {
        {"default", "Default"},
        {"none", "None"},
        {"http://example.org:3128", "http://example.org:3128"},
        {"socks5h://user:secret@example.org:1080", "socks5h://example.org:1080"},
        {"socks5://[::1]:1080", "socks5://[::1]:1080"},
        {"http://us%65r:%40@127.0.0.1:8080", "http://127.0.0.1:8080"},
    };
    static const char *const bad[] = {"", "ftp://example.org:1", "http://", "http://host:0", "http://host:99999", "socks5h://a b:1", "\xff", "http", NULL};
    sluice_handle socket = sluice_tcp_socket_create(loop), server = sluice_tcp_server_create(loop), local = sluice_local_socket_create(loop);
    char buffer[256];
    size_t i;
    CHECK_TEXT(text_of(sluice_socket_proxy, socket), "Default");
    for (i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK_EQUAL(sluice_socket_set_proxy(socket, good[i].given), 0);
        CHECK_TEXT(text_of(sluice_socket_proxy, socket), good[i].shown);
        /* What is shown can be set. */
        CHECK_EQUAL(sluice_socket_set_proxy(socket, text_of(sluice_socket_proxy, socket)), 0);
    }
    CHECK_EQUAL(sluice_socket_set_proxy(socket, "socks5h://user:secret@host:1"), 0);
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQUAL(sluice_socket_set_proxy(socket, bad[i]), SLUICE_ERROR_INVALID_ARGUMENT);
        CHECK_EQUAL(sluice_proxy_set_application(bad[i]), SLUICE_ERROR_INVALID_ARGUMENT);
        CHECK_EQUAL(sluice_server_set_proxy(server, bad[i]), SLUICE_ERROR_INVALID_ARGUMENT);
    }
    CHECK_TEXT(text_of(sluice_socket_proxy, socket), "socks5h://host:1");
    CHECK_EQUAL(sluice_socket_set_proxy(local, "http://host:1"), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_server_set_proxy(server, "none"), 0);
    CHECK_TEXT(text_of(sluice_server_proxy, server), "None");
    CHECK(!sluice_server_proxy_protocol(server));
    CHECK_EQUAL(sluice_server_set_proxy_protocol(server, true), 0);
    CHECK(sluice_server_proxy_protocol(server));

    CHECK_EQUAL(sluice_socket_proxy_timeout(socket), 30000);
    CHECK_EQUAL(sluice_socket_set_proxy_timeout(socket, 5), 0);
    CHECK_EQUAL(sluice_socket_set_proxy_timeout(socket, -2), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_proxy_timeout(socket), 5);
    CHECK(!sluice_socket_awaits_proxy_authentication(socket));
    CHECK_EQUAL(sluice_socket_set_awaits_proxy_authentication(socket, true), 0);
    CHECK(sluice_socket_awaits_proxy_authentication(socket));
    CHECK_EQUAL(sluice_socket_authenticate_proxy(socket, "user", "password"), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_authenticate_proxy(socket, NULL, "password"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_authenticate_proxy(socket, "user", NULL), SLUICE_ERROR_INVALID_ARGUMENT);

    CHECK_EQUAL(sluice_proxy_application(buffer, sizeof buffer), 4);
    CHECK_TEXT(buffer, "None");
    CHECK_EQUAL(sluice_proxy_set_application("http://host:8080"), 0);
    CHECK_EQUAL(sluice_proxy_application(buffer, 5), 16);
    CHECK_TEXT(buffer, "http");
    CHECK_EQUAL(sluice_proxy_set_application("none"), 0);
    CHECK_EQUAL(sluice_proxy_application(NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(setenv("ALL_PROXY", "socks5h://u:p@proxy.example:1080", 1), 0);
    CHECK_EQUAL(setenv("NO_PROXY", "inside.example", 1), 0);
    CHECK(sluice_proxy_for_query("outside.example", 12345, buffer, sizeof buffer) > 0);
    CHECK_TEXT(buffer, "socks5h://proxy.example:1080");
    CHECK(sluice_proxy_for_query("inside.example", 12345, buffer, sizeof buffer) > 0);
    CHECK_TEXT(buffer, "None");
    CHECK_EQUAL(sluice_proxy_for_query(NULL, 80, buffer, sizeof buffer), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_proxy_for_query("host", 80, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    unsetenv("ALL_PROXY");
    unsetenv("NO_PROXY");
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
    CHECK_EQUAL(sluice_handle_destroy(local), 0);
}

/* Reads up to an empty line. */
static void read_head(int descriptor, char *head, size_t size) {
    size_t length = 0;
    do {
        CHECK(length + 1 < size);
        raw_receive(descriptor, head + length, 1);
        head[++length] = '\0';
    } while (length < 4 || strcmp(head + length - 4, "\r\n\r\n") != 0);
}

/* A proxy that asks once for a password, then speaks as the target. */
static void *proxy(void *context) {
    int listener = *(int *)context, client = accept(listener, NULL, NULL);
    char head[2048];
    static const char question[] = "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"the realm\"\r\nContent-Length: 0\r\n\r\n";
    read_head(client, head, sizeof head);
    CHECK(strncmp(head, "CONNECT far.example:77 HTTP/1.1\r\n", 33) == 0);
    CHECK(strstr(head, "Proxy-Authorization") == NULL);
    raw_send(client, question, sizeof question - 1);
    read_head(client, head, sizeof head);
    /* user:word */
    CHECK(strstr(head, "Proxy-Authorization: Basic dXNlcjp3b3Jk\r\n") != NULL);
    raw_send(client, "HTTP/1.1 200 OK\r\n\r\nhello", 24);
    raw_receive(client, head, 3);
    CHECK(memcmp(head, "bye", 3) == 0);
    close(client);
    return NULL;
}

static void test_connection(bool later) {
    sluice_event event;
    char url[64], buffer[16];
    int port, listener = raw_listen(&port, 5);
    pthread_t thread;
    sluice_handle socket = sluice_tcp_socket_create(loop);
    bool asked = false, connected = false;
    CHECK(pthread_create(&thread, NULL, proxy, &listener) == 0);
    snprintf(url, sizeof url, "http://%s127.0.0.1:%d", later ? "" : "user:word@", port);
    CHECK_EQUAL(sluice_socket_set_proxy(socket, url), 0);
    CHECK_EQUAL(sluice_socket_set_awaits_proxy_authentication(socket, true), 0);
    CHECK_EQUAL(sluice_loop_queue_events(loop, true), 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "far.example", 77, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    event.size = sizeof event;
    while (!connected) {
        CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), 1);
        CHECK(event.type != SLUICE_EVENT_ERROR_OCCURRED);
        if (event.type == SLUICE_EVENT_PROXY_AUTHENTICATION_REQUIRED) {
            asked = true;
            CHECK_TEXT(event.message, "the realm");
            CHECK(strncmp(event.name, "http://127.0.0.1:", 17) == 0);
            CHECK_EQUAL(sluice_socket_authenticate_proxy(socket, "user", "word"), 0);
        }
        connected = event.type == SLUICE_EVENT_CONNECTED;
    }
    CHECK_EQUAL(asked, later);
    CHECK_EQUAL(sluice_loop_queue_events(loop, false), 0);
    while (sluice_socket_bytes_available(socket) < 5)
        CHECK(sluice_socket_wait_for_ready_read(socket, -1));
    CHECK_EQUAL(sluice_socket_read(socket, buffer, sizeof buffer), 5);
    CHECK(memcmp(buffer, "hello", 5) == 0);
    CHECK_EQUAL(sluice_socket_write(socket, "bye", 3), 3);
    CHECK_EQUAL(sluice_socket_sync(socket, -1), 0);
    CHECK(pthread_join(thread, NULL) == 0);
    close(listener);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

int main(void) {
    loop = new_loop();
    test_texts();
    test_connection(false);
    test_connection(true);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
