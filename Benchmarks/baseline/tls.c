/* TLS with nothing but OpenSSL, for comparison: tls epoll|blocking ..., the rest as in bench.h. Clients can stream, connrate and resume.
 * OpenSSL is as it is at first, but for the certificates and the ciphers. What it holds of a session is the client's to keep, as in the
 * measured library. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64 };

static char buffer[65536], message[LARGEST_MESSAGE];
static bool uses_epoll;
static int epoll;
static SSL_CTX *context;

struct connection {
    int descriptor;
    uint32_t watched;
    SSL *ssl;
};

static void give_up(const char *what) {
    ERR_print_errors_fp(stderr);
    fail(what);
}

static void watch(int operation, int descriptor, uint32_t events, struct connection *connection) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(epoll, operation, descriptor, &event) != 0) fail("epoll_ctl");
}

static struct sockaddr_in system_address(const struct address *address) {
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons((uint16_t)address->port)};
    if (inet_pton(AF_INET, address->host, &inet.sin_addr) != 1) fail(address->host);
    return inet;
}

static void make_context(const struct task *task) {
    const struct address *address = &task->address;
    char path[3][512];
    static const char *const names[] = {"certificate.pem", "key.pem", "authority.pem"};
    for (int i = 0; i < 3; i++) snprintf(path[i], sizeof path[i], "%s/%s", address->folder, names[i]);
    context = SSL_CTX_new(task->is_server ? TLS_server_method() : TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (address->ciphers != NULL && SSL_CTX_set_ciphersuites(context, address->ciphers) != 1) give_up("ciphers");
    if (task->is_server) {
        if (SSL_CTX_use_certificate_chain_file(context, path[0]) != 1) give_up(path[0]);
        if (SSL_CTX_use_PrivateKey_file(context, path[1], SSL_FILETYPE_PEM) != 1) give_up(path[1]);
    } else {
        if (SSL_CTX_load_verify_locations(context, path[2], NULL) != 1) give_up(path[2]);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    }
}

/* TLS on this descriptor; the handshake comes with the first bytes. */
static void begin(struct connection *connection, int descriptor) {
    int one = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connection->descriptor = descriptor;
    connection->watched = EPOLLIN;
    connection->ssl = SSL_new(context);
    SSL_set_fd(connection->ssl, descriptor);
    if (uses_epoll) watch(EPOLL_CTL_ADD, descriptor, EPOLLIN, connection);
}

static void end(struct connection *connection) {
    /* Else OpenSSL takes the session of a connection that was cut off for one that must not be resumed. */
    SSL_set_shutdown(connection->ssl, SSL_SENT_SHUTDOWN);
    SSL_free(connection->ssl);
    close(connection->descriptor);
    ERR_clear_error();
}

/* ---- servers ---- */

/* Does what can be done now; false when the connection is over. */
static bool serve_connection(struct connection *connection, bool is_sink) {
    SSL *ssl = connection->ssl;
    int count;
    while ((count = SSL_read(ssl, buffer, sizeof buffer)) > 0)
        if (!is_sink && SSL_write(ssl, buffer, count) != count) return false;
    int error = SSL_get_error(ssl, count);
    if (error == SSL_ERROR_WANT_READ) return true;
    if (error == SSL_ERROR_ZERO_RETURN && is_sink && SSL_write(ssl, "K", 1) == 1) SSL_shutdown(ssl);
    return false;
}

static void accept_connection(int listener, struct connection *connection) {
    int descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC | (uses_epoll ? SOCK_NONBLOCK : 0));
    if (descriptor < 0) fail("accept");
    begin(connection, descriptor);
    SSL_set_accept_state(connection->ssl);
}

static void serve(const struct task *task) {
    struct sockaddr_in address = system_address(&task->address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0) fail("listen");
    if (uses_epoll) watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    print_ready();
    while (!uses_epoll) {
        struct connection connection;
        accept_connection(listener, &connection);
        while (serve_connection(&connection, task->is_sink)) continue;
        end(&connection);
    }
    for (;;) {
        struct epoll_event events[BATCH];
        int count = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection == NULL) {
                accept_connection(listener, allocate(1, sizeof *connection));
            } else if (!serve_connection(connection, task->is_sink)) {
                end(connection);
                free(connection);
            }
        }
    }
}

/* ---- clients ---- */

static void sleep_until(struct connection *connection, uint32_t events) {
    if (connection->watched != events) watch(EPOLL_CTL_MOD, connection->descriptor, events, connection);
    connection->watched = events;
    struct epoll_event event;
    if (epoll_wait(epoll, &event, 1, -1) < 0) fail("epoll_wait");
}

/* After a call that did not succeed: sleeps until it may be made again. */
static void wait_for(struct connection *connection, int result, const char *what) {
    int error = SSL_get_error(connection->ssl, result);
    if (error == SSL_ERROR_WANT_READ)
        sleep_until(connection, EPOLLIN);
    else if (error == SSL_ERROR_WANT_WRITE)
        sleep_until(connection, EPOLLOUT);
    else
        give_up(what);
}

static void open_connection(const struct task *task, struct connection *connection, SSL_SESSION *session) {
    struct sockaddr_in address = system_address(&task->address);
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (uses_epoll ? SOCK_NONBLOCK : 0), 0);
    int result = connect(descriptor, (struct sockaddr *)&address, sizeof address);
    if (result != 0 && !uses_epoll) fail("connect");
    begin(connection, descriptor);
    if (result != 0) sleep_until(connection, EPOLLOUT);
    SSL_set_tlsext_host_name(connection->ssl, "localhost");
    SSL_set1_host(connection->ssl, "localhost");
    if (session != NULL) SSL_set_session(connection->ssl, session);
    while ((result = SSL_connect(connection->ssl)) != 1) wait_for(connection, result, "handshake");
}

static void send_message(struct connection *connection, int size) {
    int result;
    while ((result = SSL_write(connection->ssl, message, size)) <= 0) wait_for(connection, result, "write");
}

static void receive_answer(struct connection *connection) {
    int result;
    while ((result = SSL_read(connection->ssl, buffer, sizeof buffer)) <= 0) wait_for(connection, result, "read");
}

static void stream(const struct task *task) {
    struct connection connection;
    uint64_t started = now();
    open_connection(task, &connection, NULL);
    for (uint64_t sent = 0; sent < task->number[0]; sent += task->number[1]) send_message(&connection, (int)task->number[1]);
    SSL_shutdown(connection.ssl);
    receive_answer(&connection);
    print_stream(task->number[0], now() - started);
    end(&connection);
}

static void connections(const struct task *task, bool resumes) {
    SSL_SESSION *session = NULL;
    uint64_t started = now();
    for (uint64_t i = 0; i < task->number[0]; i++) {
        struct connection connection;
        struct linger linger = {1, 0};
        open_connection(task, &connection, session);
        setsockopt(connection.descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        send_message(&connection, 1);
        receive_answer(&connection);
        if (SSL_session_reused(connection.ssl) != (resumes && i > 0)) give_up("resumption");
        SSL_SESSION_free(session);
        session = resumes ? SSL_get1_session(connection.ssl) : NULL;
        end(&connection);
    }
    print_rate(task->number[0], now() - started);
    SSL_SESSION_free(session);
}

int main(int count, char **words) {
    struct task task = parse_task(count, words);
    uses_epoll = strcmp(words[1], "epoll") == 0;
    if (!task.address.is_tls || (!uses_epoll && strcmp(words[1], "blocking") != 0)) {
        fprintf(stderr, "%s: the style is epoll or blocking, the address tls:HOST:PORT\n", words[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    memset(message, 'x', sizeof message);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    make_context(&task);
    if (task.is_server)
        serve(&task);
    else if (strcmp(task.operation, "stream") == 0)
        stream(&task);
    else
        connections(&task, strcmp(task.operation, "resume") == 0);
    SSL_CTX_free(context);
    return 0;
}
