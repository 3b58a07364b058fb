/* http_get: fetches one file over HTTP or HTTPS, with callbacks.
 *
 *     cc http_get.c $(pkg-config --cflags --libs sluice) -o http_get
 *     ./http_get -o page.html https://example.org/
 *
 * The shape of every program in this style: make a loop, make a socket on it, say what shall happen on which event, run the
 * loop. connectToHost returns at once; the lookup of the name, the race of the addresses, the handshake and the transfer all happen
 * in the loop. */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice.h"

struct fetch {
    sluice_handle loop;
    char authority[256]; /* HOST[:PORT] as the address has it */
    char host[256];
    int port;
    bool is_secure;
    const char *path;
    FILE *out;
    bool in_body;
    int64_t expected; /* from Content-Length; -1: the body ends with the connection */
    int64_t received;
    bool failed;
    bool done;
};

static void finish(struct fetch *fetch, sluice_handle socket)
{
    fetch->done = true;
    sluice_socket_disconnect_from_host(socket);
    sluice_loop_stop(fetch->loop);
}

static void fail(struct fetch *fetch, sluice_handle socket, const char *what)
{
    if (!fetch->failed)
        fprintf(stderr, "http_get: %s\n", what);
    fetch->failed = true;
    finish(fetch, socket);
}

static void send_request(struct fetch *fetch, sluice_handle socket)
{
    char request[2048];
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n",
                          fetch->path, fetch->authority);
    if (length < 0 || (size_t)length >= sizeof request)
        fail(fetch, socket, "the address is too long");
    else if (sluice_socket_write(socket, request, length) != length)
        fail(fetch, socket, "the request could not be written");
}

/* One line at a time until the empty one. A line that has not come whole yet stays in the socket's buffer. */
static void read_header(struct fetch *fetch, sluice_handle socket)
{
    char line[8192];
    while (!fetch->in_body && !fetch->done && sluice_socket_can_read_line(socket)) {
        int64_t length = sluice_socket_read_line(socket, line, sizeof line - 1);
        if (length <= 0)
            return;
        line[length] = '\0';
        int status = 0;
        if (sscanf(line, "HTTP/%*d.%*d %d", &status) == 1) {
            if (status != 200) {
                line[strcspn(line, "\r\n")] = '\0';
                fail(fetch, socket, line);
            }
        } else if (sscanf(line, "%*[Cc]ontent-%*[Ll]ength: %" SCNd64, &fetch->expected) == 1) {
            continue;
        } else if (strcmp(line, "\r\n") == 0 || strcmp(line, "\n") == 0) {
            fetch->in_body = true;
        }
    }
}

static void read_body(struct fetch *fetch, sluice_handle socket)
{
    char chunk[65536];
    int64_t length;
    while ((length = sluice_socket_read(socket, chunk, sizeof chunk)) > 0) {
        if (fwrite(chunk, 1, (size_t)length, fetch->out) != (size_t)length) {
            fail(fetch, socket, "the output could not be written");
            return;
        }
        fetch->received += length;
    }
    if (fetch->expected >= 0 && fetch->received >= fetch->expected)
        finish(fetch, socket);
}

static void on_event(const sluice_event *event, void *context)
{
    struct fetch *fetch = context;
    if (fetch->done)
        return;
    switch (event->type) {
    case SLUICE_EVENT_CONNECTED:
        if (!fetch->is_secure)
            send_request(fetch, event->handle);
        break;
    case SLUICE_EVENT_ENCRYPTED:
        send_request(fetch, event->handle);
        break;
    case SLUICE_EVENT_READY_READ:
        read_header(fetch, event->handle);
        if (fetch->in_body && !fetch->done)
            read_body(fetch, event->handle);
        break;
    case SLUICE_EVENT_ERROR_OCCURRED:
        /* That the peer closes is how a body without a Content-Length ends; DISCONNECTED follows. */
        if (event->error != SLUICE_ERROR_REMOTE_HOST_CLOSED || !fetch->in_body || fetch->expected >= 0)
            fail(fetch, event->handle, event->message);
        break;
    case SLUICE_EVENT_DISCONNECTED:
        finish(fetch, event->handle);
        break;
    default:
        break;
    }
}

static bool parse_url(struct fetch *fetch, const char *url)
{
    fetch->is_secure = strncmp(url, "https://", 8) == 0;
    const char *rest = fetch->is_secure ? url + 8 : strncmp(url, "http://", 7) == 0 ? url + 7 : url;
    size_t length = strcspn(rest, "/");
    fetch->path = rest[length] != '\0' ? rest + length : "/";
    if (length == 0 || length >= sizeof fetch->host)
        return false;
    memcpy(fetch->authority, rest, length);
    strcpy(fetch->host, fetch->authority);
    fetch->port = fetch->is_secure ? 443 : 80;

    /* [::1]:8080, host:8080 or host */
    char *after = fetch->host;
    if (fetch->host[0] == '[') {
        after = strchr(fetch->host, ']');
        if (after == NULL)
            return false;
        *after++ = '\0';
        memmove(fetch->host, fetch->host + 1, strlen(fetch->host));
    }
    char *colon = strchr(after, ':');
    if (colon != NULL) {
        *colon = '\0';
        fetch->port = atoi(colon + 1);
    }
    return true;
}

/* The peer's certificate must be good, and for the host that is connected to: that is so unless one says otherwise. */
static sluice_error connect_to(struct fetch *fetch, sluice_handle socket, const char *trusted)
{
    if (!fetch->is_secure)
        return sluice_socket_connect_to_host(socket, fetch->host, fetch->port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
    sluice_tls_configuration configuration = {.size = sizeof configuration, .certificate_authorities = trusted, .alpn = "http/1.1"};
    sluice_error error = sluice_tls_socket_set_configuration(socket, &configuration);
    if (error != SLUICE_ERROR_NONE)
        return error;
    return sluice_tls_socket_connect_to_host_encrypted(socket, fetch->host, fetch->port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
}

int main(int argc, char **argv)
{
    struct fetch fetch = {.out = stdout, .expected = -1};
    const char *out_name = NULL;
    const char *trusted = NULL;
    const char *url = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
            out_name = argv[++i];
        else if (strcmp(argv[i], "--trust") == 0 && i + 1 < argc)
            trusted = argv[++i];
        else
            url = argv[i];
    }
    if (url == NULL || url[0] == '-' || !parse_url(&fetch, url)) {
        fprintf(stderr, "usage: http_get [-o FILE] [--trust FILE] http[s]://HOST[:PORT]/PATH\n");
        return 2;
    }
    if (out_name != NULL && (fetch.out = fopen(out_name, "wb")) == NULL) {
        perror(out_name);
        return 1;
    }

    fetch.loop = sluice_loop_create();
    sluice_handle socket = fetch.is_secure ? sluice_tls_socket_create(fetch.loop) : sluice_tcp_socket_create(fetch.loop);
    if (socket == 0) {
        fprintf(stderr, "http_get: %s\n", sluice_error_name(sluice_last_error()));
        return 1;
    }
    sluice_handle_set_callback(socket, on_event, &fetch);
    sluice_error error = connect_to(&fetch, socket, trusted);
    if (error == SLUICE_ERROR_NONE)
        error = sluice_loop_run(fetch.loop);
    if (error != SLUICE_ERROR_NONE) {
        char text[512];
        sluice_last_error_message(text, sizeof text);
        fail(&fetch, socket, text[0] != '\0' ? text : sluice_error_name(error));
    }

    sluice_handle_destroy(socket);
    sluice_loop_destroy(fetch.loop);
    if (fetch.out != stdout && fclose(fetch.out) != 0) {
        perror(out_name);
        return 1;
    }
    return fetch.failed ? 1 : 0;
}
