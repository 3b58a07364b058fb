#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static void usage(const char *program) {
    fprintf(stderr,
            "usage: %s STYLE server echo|sink|udpsink ADDR\n"
            "       %s STYLE client rtt|stream|many|connrate|resume|udp ADDR NUMBER...\n"
            "       ... FOLDER CIPHERS at the end, where ADDR is tls:HOST:PORT\n",
            program, program);
    exit(2);
}

static bool parse_address(const char *text, struct address *address) {
    memset(address, 0, sizeof *address);
    const char *rest, *end;
    if (strncmp(text, "unix:", 5) == 0) {
        address->is_unix = true;
        rest = text + 5;
        end = rest + strlen(rest);
    } else {
        address->is_udp = strncmp(text, "udp:", 4) == 0;
        address->is_tls = strncmp(text, "tls:", 4) == 0;
        if (strncmp(text, "tcp:", 4) != 0 && !address->is_udp && !address->is_tls) return false;
        rest = text + 4;
        end = strrchr(rest, ':');
        if (end == NULL) return false;
        address->port = atoi(end + 1);
    }
    size_t length = (size_t)(end - rest);
    if (length == 0 || length >= sizeof address->host) return false;
    memcpy(address->host, rest, length);
    return true;
}

struct task parse_task(int count, char **words) {
    struct task task;
    memset(&task, 0, sizeof task);
    if (count < 5) usage(words[0]);
    task.is_server = strcmp(words[2], "server") == 0;
    task.operation = words[3];
    task.is_sink = strcmp(words[3], "sink") == 0;
    if (!parse_address(words[4], &task.address)) usage(words[0]);
    int given = count - 5;
    if (task.address.is_tls) {
        given -= 2;
        if (given < 0) usage(words[0]);
        task.address.folder = words[count - 2];
        task.address.ciphers = strcmp(words[count - 1], "-") == 0 ? NULL : words[count - 1];
    }
    for (int i = 0; i < given && i < 3; i++) task.number[i] = strtoull(words[5 + i], NULL, 10);
    static const struct {
        const char *name;
        int numbers;
    } operations[] = {{"rtt", 2}, {"stream", 2}, {"many", 3}, {"connrate", 1}, {"resume", 1}, {"idle", 1}, {"udp", 2}};
    bool known = task.is_server && (task.is_sink || strcmp(words[3], "echo") == 0 || strcmp(words[3], "udpsink") == 0);
    for (unsigned i = 0; !task.is_server && i < sizeof operations / sizeof *operations; i++)
        known = known || (strcmp(operations[i].name, words[3]) == 0 && given >= operations[i].numbers);
    if (!known) usage(words[0]);
    /* Thousands of connections need as many descriptors. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return task;
}

uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void print_line(const char *line) {
    puts(line);
    fflush(stdout);
}

void print_ready(void) { print_line("READY"); }

static int compare(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

void print_round_trips(uint64_t *nanoseconds, uint64_t count, uint64_t duration) {
    char line[160];
    qsort(nanoseconds, count, sizeof *nanoseconds, compare);
    snprintf(line, sizeof line, "{\"p50_us\":%.3f,\"p99_us\":%.3f,\"rate\":%.1f}", (double)nanoseconds[count / 2] / 1e3,
             (double)nanoseconds[count * 99 / 100] / 1e3, (double)count * 1e9 / (double)duration);
    print_line(line);
}

void print_stream(uint64_t bytes, uint64_t duration) {
    char line[160];
    double seconds = (double)duration / 1e9;
    snprintf(line, sizeof line, "{\"gibps\":%.4f,\"seconds\":%.4f}", (double)bytes / 1073741824.0 / seconds, seconds);
    print_line(line);
}

void print_rate(uint64_t count, uint64_t duration) {
    char line[160];
    snprintf(line, sizeof line, "{\"rate\":%.1f,\"seconds\":%.4f}", (double)count * 1e9 / (double)duration, (double)duration / 1e9);
    print_line(line);
}

/* Processor time of this program, in nanoseconds. */
static uint64_t work(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void print_datagrams(const char *what, const struct datagram_count *datagrams, uint64_t ended) {
    char line[160];
    snprintf(line, sizeof line, "{\"%s\":%llu,\"seconds\":%.4f,\"cpu\":%.4f}", what, (unsigned long long)datagrams->count,
             (double)(ended - datagrams->started) / 1e9, (double)(work() - datagrams->work) / 1e9);
    print_line(line);
}

void count_many(struct datagram_count *received, uint64_t count) {
    if (received->count == 0) {
        received->started = now();
        received->work = work();
    }
    /* The farewell comes some time after the last one; asking for the time at each would cost more than receiving it. */
    if ((received->count & 1023) + count > 1023) received->ended = now();
    received->count += count;
}

void count_received(struct datagram_count *received, const void *data, uint64_t size) {
    if (size != 3 || memcmp(data, "FIN", 3) != 0) {
        count_many(received, 1);
    } else if (!received->is_over) {
        received->is_over = true;
        print_datagrams("received", received, received->ended ? received->ended : now());
    }
}

void begin_sending(struct datagram_count *sent, uint64_t seconds) {
    sent->work = work();
    sent->started = now();
    sent->ended = sent->started + seconds * 1000000000u;
}

bool has_time(const struct datagram_count *sent) { return now() < sent->ended; }

void print_sent(struct datagram_count *sent) { print_datagrams("sent", sent, now()); }

void fail(const char *what) {
    perror(what);
    exit(1);
}

void *allocate(uint64_t count, uint64_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (memory == NULL) fail("memory");
    return memory;
}
