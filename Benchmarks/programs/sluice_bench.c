/* Measures libsluice from C: sluice_bench event|blocking ..., the rest as in bench.h. */
#include "sluice_bench.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void check(const char *what, int64_t result) {
    if (result > 0 || result == SLUICE_ERROR_NONE) return;
    fprintf(stderr, "%s: %s\n", what, sluice_error_name((sluice_error)-result));
    exit(1);
}

void check_error(const char *what, sluice_error error) { check(what, -(int64_t)error); }

sluice_handle listen_on(sluice_handle loop, const struct address *address) {
    sluice_handle server;
    if (address->is_unix) {
        server = sluice_local_server_create(loop);
        check_error("backlog", sluice_server_set_listen_backlog(server, 4096));
        check_error("listen", sluice_local_server_listen(server, address->host));
    } else {
        server = sluice_tcp_server_create(loop);
        check_error("backlog", sluice_server_set_listen_backlog(server, 4096));
        check_error("listen", sluice_tcp_server_listen(server, address->host, address->port, SLUICE_BIND_DEFAULT));
        /* Accepted connections inherit it from the listening descriptor. */
        int one = 1;
        setsockopt(sluice_server_descriptor(server), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (address->is_tls) encrypt_server(server, address);
    }
    return server;
}

sluice_handle make_socket(sluice_handle loop, const struct address *address) {
    sluice_handle socket = address->is_tls    ? make_encrypted_socket(loop, address)
                           : address->is_unix ? sluice_local_socket_create(loop)
                                              : sluice_tcp_socket_create(loop);
    if (socket == 0) check_error("socket", sluice_last_error());
    if (!address->is_unix) check_error("option", sluice_socket_set_option(socket, SLUICE_OPTION_LOW_DELAY, 1));
    return socket;
}

void start_connecting(sluice_handle socket, const struct address *address) {
    sluice_error error;
    if (address->is_unix)
        error = sluice_local_socket_connect_to_server(socket, address->host, SLUICE_OPEN_READ_WRITE);
    else if (address->is_tls)
        error = sluice_tls_socket_connect_to_host_encrypted(socket, address->host, address->port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
    else
        error = sluice_socket_connect_to_host(socket, address->host, address->port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
    check_error("connect", error);
}

void close_by_reset(sluice_handle socket) {
    struct linger linger = {1, 0};
    setsockopt(sluice_socket_descriptor(socket), SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

int main(int count, char **words) {
    struct task task = parse_task(count, words);
    if (strcmp(words[1], "event") == 0)
        run_event_style(&task);
    else if (strcmp(words[1], "blocking") == 0)
        run_blocking_style(&task);
    else {
        fprintf(stderr, "%s: the style is event or blocking\n", words[0]);
        return 2;
    }
    return 0;
}
