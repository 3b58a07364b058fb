/* What the measured programs share: arguments, clock, results.
 *
 *     PROGRAM STYLE server MODE ADDR            MODE: echo, sink
 *     PROGRAM STYLE client OP ADDR NUMBER...    OP: rtt n size | stream total chunk | many connections total size | connrate n
 *
 * ADDR is tcp:HOST:PORT or unix:PATH. A server prints READY when connections may come and runs until it is killed; a client prints
 * its result as one line of JSON and ends with status 0. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

enum { WARM_UP = 200, LARGEST_MESSAGE = 65536 };

struct address {
    bool is_unix;
    char host[256]; /* the path, when is_unix */
    int port;
};

struct task {
    bool is_server, is_sink;
    const char *operation;
    struct address address;
    uint64_t number[3];
};

/* Reads argv (STYLE is argv[1]); ends the program with a usage line when it makes no sense. */
struct task parse_task(int count, char **words);

uint64_t now(void); /* nanoseconds */

void print_ready(void);
void print_round_trips(uint64_t *nanoseconds, uint64_t count, uint64_t duration); /* sorts the times */
void print_stream(uint64_t bytes, uint64_t duration);
void print_rate(uint64_t count, uint64_t duration);

_Noreturn void fail(const char *what);

void *allocate(uint64_t count, uint64_t size); /* zeroed; ends the program without memory */

#endif
