/* TLS with nothing but OpenSSL and blocking sockets, to measure against:
   tls sink CERTIFICATE KEY            says its port, takes one connection, reads to its end, says bytes and seconds
   tls source PORT AUTHORITY BYTES     connects, writes so many bytes, closes
   tls accept CERTIFICATE KEY COUNT    says its port, takes connections one after the other, reads each to its end
   tls connect PORT AUTHORITY COUNT    makes connections one after the other, says handshakes and seconds */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int fail(const char *what) {
    fprintf(stderr, "tls: %s\n", what);
    exit(1);
}

static int listen_anywhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 64)) fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)port)};
    int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address)) fail("connect");
    int yes = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return descriptor;
}

static SSL_CTX *server(const char *certificate, const char *key) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 || SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) fail("certificate");
    return context;
}

static SSL_CTX *client(const char *authority) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (SSL_CTX_load_verify_locations(context, authority, NULL) != 1) fail("authority");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return context;
}

static SSL *begin(SSL_CTX *context, int descriptor, int is_server) {
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, descriptor);
    if (!is_server) {
        SSL_set_tlsext_host_name(ssl, "localhost");
        SSL_set1_host(ssl, "localhost");
    }
    if ((is_server ? SSL_accept(ssl) : SSL_connect(ssl)) != 1) fail("handshake");
    return ssl;
}

static long read_all(SSL *ssl) {
    static char buffer[65536];
    long total = 0;
    for (int count; (count = SSL_read(ssl, buffer, sizeof buffer)) > 0;) total += count;
    return total;
}

static void end(SSL *ssl, int descriptor) {
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(descriptor);
}

int main(int count, char **arguments) {
    if (count < 4) return fail("usage");
    signal(SIGPIPE, SIG_IGN);
    const char *mode = arguments[1];
    if (!strcmp(mode, "sink")) {
        SSL_CTX *context = server(arguments[2], arguments[3]);
        int listener = listen_anywhere(), descriptor = accept(listener, NULL, NULL);
        SSL *ssl = begin(context, descriptor, 1);
        double began = now();
        long total = read_all(ssl);
        printf("%ld bytes %.4f s %.0f MB/s\n", total, now() - began, (double)total / (now() - began) / 1e6);
        end(ssl, descriptor);
    } else if (!strcmp(mode, "source")) {
        static char block[65536];
        int descriptor = connect_to(atoi(arguments[2]));
        SSL *ssl = begin(client(arguments[3]), descriptor, 0);
        for (long left = atol(arguments[4]); left > 0;) {
            int sent = SSL_write(ssl, block, left < (long)sizeof block ? (int)left : (int)sizeof block);
            if (sent <= 0) fail("write");
            left -= sent;
        }
        end(ssl, descriptor);
    } else if (!strcmp(mode, "accept")) {
        SSL_CTX *context = server(arguments[2], arguments[3]);
        int listener = listen_anywhere();
        for (int left = atoi(arguments[4]); left > 0; left--) {
            int descriptor = accept(listener, NULL, NULL);
            SSL *ssl = begin(context, descriptor, 1);
            read_all(ssl);
            end(ssl, descriptor);
        }
    } else {
        int number = atoi(arguments[4]);
        SSL_CTX *context = client(arguments[3]);
        double began = now();
        for (int left = number; left > 0; left--) {
            int descriptor = connect_to(atoi(arguments[2]));
            end(begin(context, descriptor, 0), descriptor);
        }
        printf("%d handshakes %.4f s %.0f per second\n", number, now() - began, number / (now() - began));
    }
    return 0;
}
