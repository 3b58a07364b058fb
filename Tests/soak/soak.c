/* Long runs that must leave nothing behind: `soak TEST SIZE`, with the sizes of run.sh. Each test is a process of its own; it
 * prints what it did and ends with 0, or says what was lost. */
#include <sluice.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition, ...)                     \
    do {                                          \
        if (!(condition)) {                       \
            fprintf(stderr, "soak: " __VA_ARGS__); \
            fputc('\n', stderr);                  \
            exit(1);                              \
        }                                         \
    } while (0)

static sluice_handle loop, server;

/* Descriptors that this process has open. */
static int descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    CHECK(directory, "no /proc/self/fd");
    while (readdir(directory)) count++;
    closedir(directory);
    return count;
}

/* Resident memory in KiB. */
static long resident(void)
{
    char line[256];
    long size = -1;
    FILE *file = fopen("/proc/self/status", "r");
    CHECK(file, "no /proc/self/status");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %ld kB", &size) == 1) break;
    fclose(file);
    return size;
}

static void turn(void)
{
    CHECK(sluice_loop_run_once(loop, 30000) == 1, "nothing happened for 30 seconds");
}

/* --- A server that sends back what it gets ----------------------------------------------------------------------- */

static void echo(const sluice_event *event, void *context)
{
    char buffer[65536];
    int64_t size;
    (void)context;
    if (event->type == SLUICE_EVENT_DISCONNECTED) {
        sluice_handle_destroy(event->handle);
        return;
    }
    if (event->type != SLUICE_EVENT_READY_READ) return;
    while ((size = sluice_socket_read(event->handle, buffer, sizeof buffer)) > 0)
        CHECK(sluice_socket_write(event->handle, buffer, size) == size, "the echo was not accepted");
}

static void accepted(const sluice_event *event, void *context)
{
    sluice_event_callback serve = *(sluice_event_callback *)context;
    if (event->type != SLUICE_EVENT_NEW_CONNECTION) return;
    sluice_handle_set_callback(sluice_server_next_pending_connection(event->handle), serve, NULL);
}

static void start(sluice_event_callback *serve)
{
    loop = sluice_loop_create();
    server = sluice_tcp_server_create(loop);
    CHECK(loop && server, "no loop or no server");
    sluice_server_set_listen_backlog(server, 1024);
    sluice_handle_set_callback(server, accepted, serve);
    CHECK(sluice_tcp_server_listen(server, "127.0.0.1", 0, 0) == SLUICE_ERROR_NONE, "cannot listen");
}

static sluice_handle connect_client(sluice_event_callback callback, void *context)
{
    sluice_handle client = sluice_tcp_socket_create(loop);
    CHECK(client, "no socket: %s", sluice_error_name(sluice_last_error()));
    sluice_handle_set_callback(client, callback, context);
    CHECK(sluice_socket_connect_to_host(client, "127.0.0.1", sluice_server_port(server), SLUICE_OPEN_READ_WRITE,
                                        SLUICE_PROTOCOL_ANY) == SLUICE_ERROR_NONE, "connect was refused");
    return client;
}

/* --- Many connections at once ---------------------------------------------------------------------------------------- */

enum { MESSAGE = 512 };

struct client {
    uint32_t number, round;
    size_t got;
    unsigned char data[MESSAGE];
};

static int64_t rounds_left;

/* What client `number` sends in a round: different for each, so that a byte in the wrong place is seen. */
static unsigned char byte_of(const struct client *client, size_t index)
{
    return (unsigned char)((client->number * 2654435761u + client->round * 40503u + index * 31u) >> 3);
}

static void send_round(const struct client *client, sluice_handle handle)
{
    unsigned char data[MESSAGE];
    for (size_t i = 0; i < MESSAGE; i++) data[i] = byte_of(client, i);
    CHECK(sluice_socket_write(handle, data, MESSAGE) == MESSAGE, "a write was not accepted");
}

static void talk(const sluice_event *event, void *context)
{
    struct client *client = context;
    CHECK(event->type != SLUICE_EVENT_ERROR_OCCURRED, "client %u: %s", client->number, event->message);
    if (event->type == SLUICE_EVENT_CONNECTED) send_round(client, event->handle);
    if (event->type != SLUICE_EVENT_READY_READ) return;
    int64_t size = sluice_socket_read(event->handle, client->data + client->got, (int64_t)(MESSAGE - client->got));
    CHECK(size >= 0, "a read failed");
    client->got += (size_t)size;
    if (client->got < MESSAGE) return;
    for (size_t i = 0; i < MESSAGE; i++)
        CHECK(client->data[i] == byte_of(client, i), "client %u, round %u: byte %zu is wrong", client->number, client->round, i);
    client->got = 0;
    client->round++;
    if (--rounds_left > 0) send_round(client, event->handle);
}

static void test_many(int64_t connections)
{
    static sluice_event_callback serve = echo;
    struct client *clients = calloc((size_t)connections, sizeof *clients);
    sluice_handle *handles = calloc((size_t)connections, sizeof *handles);
    CHECK(clients && handles, "no memory");
    start(&serve);
    int before = descriptors();
    rounds_left = connections * 50;
    for (int64_t i = 0; i < connections; i++) {
        clients[i].number = (uint32_t)i;
        handles[i] = connect_client(talk, &clients[i]);
    }
    while (rounds_left > 0) turn();
    for (int64_t i = 0; i < connections; i++) CHECK(clients[i].round > 0, "client %ld was never served", (long)i);
    for (int64_t i = 0; i < connections; i++) sluice_handle_destroy(handles[i]);
    while (descriptors() > before) turn();
    printf("many: %ld connections at once, %ld messages verified, no descriptor left\n", (long)connections, (long)connections * 50);
    free(clients);
    free(handles);
}

/* --- Connect, echo, close, again and again -------------------------------------------------------------------------- */

static int64_t cycles_left, under_way;

static void cycle(const sluice_event *event, void *context)
{
    char answer[8];
    (void)context;
    switch (event->type) {
    case SLUICE_EVENT_CONNECTED:
        sluice_socket_write(event->handle, "pingpong", 8);
        break;
    case SLUICE_EVENT_READY_READ:
        if (event->value < 8) break;
        CHECK(sluice_socket_read(event->handle, answer, 8) == 8 && memcmp(answer, "pingpong", 8) == 0, "a wrong echo");
        under_way--;
        sluice_handle_destroy(event->handle);
        if (cycles_left > 0) {
            cycles_left--;
            under_way++;
            connect_client(cycle, NULL);
        }
        break;
    case SLUICE_EVENT_ERROR_OCCURRED:
        CHECK(0, "a connection failed: %s", event->message);
    }
}

static void run_cycles(int64_t count)
{
    cycles_left = count;
    for (int i = 0; i < 8 && cycles_left > 0; i++) {
        cycles_left--;
        under_way++;
        connect_client(cycle, NULL);
    }
    while (under_way > 0) turn();
}

static void test_cycles(int64_t count)
{
    static sluice_event_callback serve = echo;
    start(&serve);
    run_cycles(count / 10 + 8);
    while (sluice_loop_run_once(loop, 0) == 1) {}
    int descriptors_before = descriptors();
    long memory_before = resident();
    run_cycles(count);
    while (sluice_loop_run_once(loop, 0) == 1) {}
    int more_descriptors = descriptors() - descriptors_before;
    long growth = resident() - memory_before;
    CHECK(more_descriptors <= 0, "%d descriptors more than before", more_descriptors);
    /* A leak of a handful of bytes a cycle would be megabytes in the long form, and pages in the short one. */
    CHECK(growth <= 1024, "%ld KiB more memory than before", growth);
    printf("cycles: %ld connections one after another, no descriptor left, memory %+ld KiB\n", (long)count, growth);
}

/* --- Very much through one connection -------------------------------------------------------------------------------- */

enum { PIECE = 1 << 18 };

static uint64_t received, received_sum, received_weight;
static int finished;

/* Fletcher's sum over 32-bit halves: it changes when bytes change places. */
static void add(uint64_t *sum, uint64_t *weight, const unsigned char *data, size_t size)
{
    uint64_t s = *sum, w = *weight;
    for (size_t i = 0; i < size; i++) {
        s += data[i];
        w += s;
    }
    *sum = s;
    *weight = w;
}

static void count_bytes(const sluice_event *event, void *context)
{
    static unsigned char buffer[65536];
    int64_t size;
    (void)context;
    if (event->type == SLUICE_EVENT_READY_READ)
        while ((size = sluice_socket_read(event->handle, buffer, sizeof buffer)) > 0) {
            received += (uint64_t)size;
            add(&received_sum, &received_weight, buffer, (size_t)size);
        }
    if (event->type == SLUICE_EVENT_DISCONNECTED) finished = 1;
}

static void ignore(const sluice_event *event, void *context)
{
    (void)context;
    CHECK(event->type != SLUICE_EVENT_ERROR_OCCURRED, "the sender failed: %s", event->message);
}

static void test_stream(int64_t mebibytes)
{
    static sluice_event_callback serve = count_bytes;
    static unsigned char piece[PIECE];
    uint64_t total = (uint64_t)mebibytes << 20, sent = 0, sum = 0, weight = 0, state = 88172645463325252ull;
    start(&serve);
    sluice_handle client = connect_client(ignore, NULL);
    while (sluice_socket_state(client) != SLUICE_STATE_CONNECTED) turn();
    long memory_before = 0;
    while (sent < total) {
        for (size_t i = 0; i < PIECE; i += 8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            memcpy(piece + i, &state, 8);
        }
        add(&sum, &weight, piece, PIECE);
        CHECK(sluice_socket_write(client, piece, PIECE) == PIECE, "a write was not accepted");
        sent += PIECE;
        while (sluice_socket_bytes_to_write(client) > 4 * PIECE) turn();
        if (!memory_before && sent >= total / 8) memory_before = resident();
    }
    long growth = resident() - memory_before;
    sluice_socket_disconnect_from_host(client);
    while (!finished) turn();
    CHECK(received == total, "%llu of %llu bytes came", (unsigned long long)received, (unsigned long long)total);
    CHECK(received_sum == sum && received_weight == weight, "the checksum is wrong");
    CHECK(growth <= 8192, "%ld KiB more memory than before", growth);
    printf("stream: %ld MiB through one connection, checksum right, memory %+ld KiB\n", (long)mebibytes, growth);
}

int main(int count, char **words)
{
    int64_t size = count == 3 ? atoll(words[2]) : 0;
    if (size > 0 && strcmp(words[1], "many") == 0) test_many(size);
    else if (size > 0 && strcmp(words[1], "cycles") == 0) test_cycles(size);
    else if (size > 0 && strcmp(words[1], "stream") == 0) test_stream(size);
    else {
        fprintf(stderr, "usage: soak many|cycles|stream SIZE (connections, connections, MiB)\n");
        return 64;
    }
    sluice_loop_destroy(loop);
    return 0;
}
