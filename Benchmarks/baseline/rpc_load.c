/* Asks a JSON-RPC server on a Unix socket for echoes, one message a line:
 *     rpc_load rtt PATH NUMBER          one request at a time
 *     rpc_load rtt1 PATH NUMBER         a connection for each request
 *     rpc_load pipe PATH NUMBER DEPTH   so many requests under way
 *     rpc_load start PATH|- REPEATS COMMAND...   from the start of a server to its first answer, by socket or by standard input
 * Prints one line of JSON. */
#define _GNU_SOURCE
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[65], outgoing[65536], incoming[262144];

static int write_request(char *place, uint64_t id) {
    return sprintf(place, "{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"echo\",\"params\":{\"text\":\"%s\"}}\n", (unsigned long long)id, text);
}

static int try_to_connect(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail("socket");
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0) return descriptor;
    close(descriptor);
    return -1;
}

static int connect_to(const char *path) {
    int descriptor = try_to_connect(path);
    if (descriptor < 0) fail(path);
    return descriptor;
}

static void send_all(int descriptor, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t sent = write(descriptor, bytes, size);
        if (sent < 0) fail("write");
        bytes += sent;
        size -= (size_t)sent;
    }
}

/* Reads one line and makes sure that it is the answer to this request. */
static void expect_answer(int descriptor, uint64_t id) {
    char number[32];
    size_t got = 0;
    do {
        ssize_t count = read(descriptor, incoming + got, sizeof incoming - 1 - got);
        if (count <= 0) fail("read");
        got += (size_t)count;
    } while (incoming[got - 1] != '\n');
    incoming[got] = '\0';
    snprintf(number, sizeof number, "\"id\":%llu", (unsigned long long)id);
    if (strstr(incoming, "\"result\"") != NULL && strstr(incoming, number) != NULL) return;
    fprintf(stderr, "not the answer: %s\n", incoming);
    exit(1);
}

static void round_trips(const char *path, uint64_t count, bool connects_each_time) {
    uint64_t *times = allocate(count, sizeof *times), started = 0;
    int descriptor = connects_each_time ? -1 : connect_to(path);
    for (uint64_t i = 0; i < WARM_UP + count; i++) {
        int size = write_request(outgoing, i);
        uint64_t begin = now();
        if (i == WARM_UP) started = begin;
        if (connects_each_time) descriptor = connect_to(path);
        send_all(descriptor, outgoing, (size_t)size);
        expect_answer(descriptor, i);
        if (connects_each_time) close(descriptor);
        if (i >= WARM_UP) times[i - WARM_UP] = now() - begin;
    }
    print_round_trips(times, count, now() - started);
}

static void pipeline(const char *path, uint64_t count, uint64_t depth) {
    int descriptor = connect_to(path);
    uint64_t asked = 0, answered = 0, started = now();
    for (uint64_t free_places = depth; answered < count;) {
        size_t size = 0;
        for (; free_places > 0 && asked < count && size < sizeof outgoing - 256; free_places--) size += (size_t)write_request(outgoing + size, asked++);
        send_all(descriptor, outgoing, size);
        ssize_t got = read(descriptor, incoming, sizeof incoming);
        if (got <= 0) fail("read");
        for (char *place = incoming; (place = memchr(place, '\n', (size_t)(incoming + got - place))) != NULL; place++) {
            answered++;
            free_places++;
        }
    }
    print_rate(count, now() - started);
}

static int compare(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* One start: the request is there before the server reads, as from a program that starts it and asks at once. */
static uint64_t time_start(const char *path, char **command) {
    bool by_input = strcmp(path, "-") == 0;
    int input[2], output[2];
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) fail("pipe");
    if (!by_input) unlink(path);
    uint64_t begin = now();
    pid_t child = vfork();
    if (child == 0) {
        dup2(input[0], 0);
        dup2(output[1], 1);
        execvp(command[0], command);
        _exit(127);
    }
    int size = write_request(outgoing, 1), descriptor = output[0];
    close(output[1]);
    if (by_input) {
        send_all(input[1], outgoing, (size_t)size);
    } else {
        while ((descriptor = try_to_connect(path)) < 0) {
            if (now() - begin > 10000000000u || waitpid(child, NULL, WNOHANG) == child) fail(command[0]);
            usleep(50);
        }
        send_all(descriptor, outgoing, (size_t)size);
    }
    expect_answer(descriptor, 1);
    uint64_t duration = now() - begin;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    if (!by_input) close(descriptor);
    close(input[0]);
    close(input[1]);
    close(output[0]);
    return duration;
}

static void starts(const char *path, uint64_t count, char **command) {
    uint64_t *times = allocate(count, sizeof *times);
    for (uint64_t i = 0; i < count; i++) times[i] = time_start(path, command);
    qsort(times, count, sizeof *times, compare);
    printf("{\"p50_ms\":%.3f,\"min_ms\":%.3f,\"max_ms\":%.3f}\n", (double)times[count / 2] / 1e6, (double)times[0] / 1e6,
           (double)times[count - 1] / 1e6);
}

int main(int count, char **words) {
    memset(text, 'a', sizeof text - 1);
    signal(SIGPIPE, SIG_IGN);
    uint64_t number = count > 3 ? strtoull(words[3], NULL, 10) : 0;
    if (number > 0 && strcmp(words[1], "rtt") == 0)
        round_trips(words[2], number, false);
    else if (number > 0 && strcmp(words[1], "rtt1") == 0)
        round_trips(words[2], number, true);
    else if (number > 0 && count > 4 && strcmp(words[1], "pipe") == 0)
        pipeline(words[2], number, strtoull(words[4], NULL, 10));
    else if (number > 0 && count > 4 && strcmp(words[1], "start") == 0)
        starts(words[2], number, words + 4);
    else {
        fprintf(stderr, "usage: %s rtt|rtt1 PATH NUMBER | pipe PATH NUMBER DEPTH | start PATH|- REPEATS COMMAND...\n", words[0]);
        return 2;
    }
    return 0;
}
