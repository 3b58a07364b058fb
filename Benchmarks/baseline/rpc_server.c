/* A small JSON-RPC server of C and libjansson, for comparison: rpc_server PATH | rpc_server -
 * One message a line, on a Unix socket or on standard input and output; the method echo answers with its params. What one read brings is
 * answered in one write. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PIECE = 65536, BATCH = 64 };

struct bytes {
    char *start;
    size_t size, capacity;
};

struct client {
    int input, output;
    struct bytes unread;
};

static struct bytes answers;

static _Noreturn void fail(const char *what) {
    perror(what);
    exit(1);
}

static void reserve(struct bytes *bytes, size_t room) {
    if (bytes->capacity - bytes->size >= room) return;
    bytes->capacity = (bytes->size + room) * 2;
    bytes->start = realloc(bytes->start, bytes->capacity);
    if (bytes->start == NULL) fail("memory");
}

static int append(const char *text, size_t size, void *context) {
    (void)context;
    reserve(&answers, size);
    memcpy(answers.start + answers.size, text, size);
    answers.size += size;
    return 0;
}

static void answer(json_t *message) {
    json_dump_callback(message, append, NULL, JSON_COMPACT);
    append("\n", 1, NULL);
    json_decref(message);
}

static void refuse(json_t *id, int code, const char *message) {
    answer(json_pack("{s:s, s:{s:i, s:s}, s:O?}", "jsonrpc", "2.0", "error", "code", code, "message", message, "id", id));
}

static void serve(const char *line, size_t size) {
    json_error_t error;
    json_t *request = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
    if (request == NULL) {
        refuse(json_null(), -32700, "Parse error");
        return;
    }
    json_t *id = json_object_get(request, "id"), *params = json_object_get(request, "params");
    const char *version = json_string_value(json_object_get(request, "jsonrpc"));
    const char *method = json_string_value(json_object_get(request, "method"));
    if (version == NULL || strcmp(version, "2.0") != 0 || method == NULL)
        refuse(id, -32600, "Invalid Request");
    else if (strcmp(method, "echo") != 0 && id != NULL)
        refuse(id, -32601, "Method not found");
    else if (id != NULL)
        answer(json_pack("{s:s, s:O, s:O}", "jsonrpc", "2.0", "id", id, "result", params ? params : json_null()));
    json_decref(request);
}

/* False when the client has gone. */
static bool receive(struct client *client) {
    struct bytes *unread = &client->unread;
    reserve(unread, PIECE);
    ssize_t count = read(client->input, unread->start + unread->size, unread->capacity - unread->size);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (count <= 0) return false;
    unread->size += (size_t)count;
    char *line = unread->start, *end = unread->start + unread->size, *newline;
    answers.size = 0;
    for (; (newline = memchr(line, '\n', (size_t)(end - line))) != NULL; line = newline + 1)
        if (newline > line) serve(line, (size_t)(newline - line));
    unread->size = (size_t)(end - line);
    memmove(unread->start, line, unread->size);
    for (size_t sent = 0; sent < answers.size;) {
        ssize_t result = write(client->output, answers.start + sent, answers.size - sent);
        if (result < 0) return false;
        sent += (size_t)result;
    }
    return true;
}

static void listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), epoll = epoll_create1(EPOLL_CLOEXEC);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0) fail(path);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[BATCH];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    puts("READY");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (client == NULL) {
                int descriptor = accept(listener, NULL, NULL);
                if (descriptor < 0) continue;
                client = calloc(1, sizeof *client);
                if (client == NULL) fail("memory");
                client->input = client->output = descriptor;
                event.data.ptr = client;
                epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
            } else if (!receive(client)) {
                close(client->input);
                free(client->unread.start);
                free(client);
            }
        }
    }
}

int main(int count, char **words) {
    if (count != 2) {
        fprintf(stderr, "usage: %s PATH|-\n", words[0]);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(words[1], "-") != 0) listen_at(words[1]);
    struct client client = {.input = 0, .output = 1};
    while (receive(&client)) continue;
    return 0;
}
