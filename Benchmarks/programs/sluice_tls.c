/* The library's encrypted sockets and servers, for both styles. */
#include "sluice_bench.h"

#include <stdio.h>
#include <string.h>

/* What the library gave for the next connection; "" as long as there is none. */
static char ticket[16384];

static const char *path(char *place, size_t size, const struct address *address, const char *name) {
    snprintf(place, size, "%s/%s", address->folder, name);
    return place;
}

void encrypt_server(sluice_handle server, const struct address *address) {
    char certificate[512], key[512];
    sluice_tls_configuration configuration = {
        .size = sizeof configuration,
        .minimum_version = SLUICE_TLS_VERSION_1_3,
        .certificate = path(certificate, sizeof certificate, address, "certificate.pem"),
        .private_key = path(key, sizeof key, address, "key.pem"),
        .ciphers = address->ciphers,
    };
    check_error("configuration", sluice_server_set_tls_configuration(server, &configuration));
}

sluice_handle make_encrypted_socket(sluice_handle loop, const struct address *address) {
    char authority[512];
    sluice_tls_configuration configuration = {
        .size = sizeof configuration,
        .minimum_version = SLUICE_TLS_VERSION_1_3,
        .certificate_authorities = path(authority, sizeof authority, address, "authority.pem"),
        .verify_name = "localhost",
        .ciphers = address->ciphers,
        .session_ticket = ticket[0] ? ticket : NULL,
    };
    sluice_handle socket = sluice_tls_socket_create(loop);
    check_error("configuration", sluice_tls_socket_set_configuration(socket, &configuration));
    return socket;
}

void keep_ticket(sluice_handle socket) {
    if (sluice_tls_socket_is_session_resumed(socket) != (ticket[0] != 0)) check_error("resumption", SLUICE_ERROR_SSL_HANDSHAKE_FAILED);
    int64_t length = sluice_tls_socket_session_ticket(socket, ticket, sizeof ticket);
    if (length <= 0 || length >= (int64_t)sizeof ticket) check_error("ticket", SLUICE_ERROR_SSL_INTERNAL);
}
