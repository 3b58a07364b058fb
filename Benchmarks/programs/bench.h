/* What the measured programs share: arguments, clock, results.
 *
 *     PROGRAM STYLE server MODE ADDR            MODE: echo, sink, udpsink
 *     PROGRAM STYLE client OP ADDR NUMBER...    OP: rtt n size | stream total chunk | many connections total size | connrate n |
 *                                                   resume n | udp seconds size
 *
 * ADDR is tcp:HOST:PORT, unix:PATH, udp:HOST:PORT or tls:HOST:PORT. A server prints READY when connections may come and runs until it is
 * killed; a client prints its result as one line of JSON and ends with status 0. A client of datagrams then sends FIN a few times, at
 * which the server prints what it received.
 *
 * For tls two words more end the command: the folder that holds authority.pem, certificate.pem (for localhost) and key.pem, and the ciphers
 * of TLS 1.3, or - for OpenSSL's choice. resume makes connections as connrate does, each but the first with the ticket of the one before. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stdint.h>

enum { WARM_UP = 200, LARGEST_MESSAGE = 65536 };

/* Of datagrams: how many go into a batch, what the receiver asks of the system as a buffer, and how often and after how many
 * microseconds the sender tells that it has done. */
enum { DATAGRAM_BATCH = 64, DATAGRAM_BUFFER = 4 << 20, FAREWELLS = 5, FAREWELL_PAUSE = 50000 };

struct address {
    bool is_unix, is_udp, is_tls;
    char host[256]; /* the path, when is_unix */
    int port;
    const char *folder, *ciphers; /* when is_tls; ciphers may be NULL */
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

/* What was sent or received: how many datagrams, in which time, and what the program worked for it. */
struct datagram_count {
    uint64_t count, started, ended, work;
    bool is_over;
};
/* Counts received datagrams; the first one begins, and the farewell ends it and prints the result. */
void count_received(struct datagram_count *received, const void *data, uint64_t size);
void count_many(struct datagram_count *received, uint64_t count);
/* A sender's beginning and end, and whether its time is over. */
void begin_sending(struct datagram_count *sent, uint64_t seconds);
bool has_time(const struct datagram_count *sent);
void print_sent(struct datagram_count *sent);

_Noreturn void fail(const char *what);

void *allocate(uint64_t count, uint64_t size); /* zeroed; ends the program without memory */

#endif
