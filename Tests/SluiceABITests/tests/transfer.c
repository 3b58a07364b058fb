/* Much data both ways at once through one connection: nothing lost, nothing out of order, memory bounded by the limits. */
#include "common.h"

#define TOTAL (INT64_C(64) * 1024 * 1024)
#define CHUNK 50000
#define LIMIT 300000

struct side {
    sluice_handle socket;
    int64_t written, received, told;
    uint64_t sum;
};

static void pump(struct side *side) {
    unsigned char chunk[CHUNK];
    while (side->written < TOTAL) {
        int64_t i, accepted, size = TOTAL - side->written < CHUNK ? TOTAL - side->written : CHUNK;
        for (i = 0; i < size; i++)
            chunk[i] = pattern((uint64_t)(side->written + i));
        accepted = sluice_socket_write(side->socket, chunk, size);
        CHECK(accepted >= 0);
        side->written += accepted;
        if (accepted < size)
            break;
    }
    CHECK(sluice_socket_bytes_to_write(side->socket) <= LIMIT);
}

static void on_event(const sluice_event *event, void *context) {
    struct side *side = context;
    unsigned char buffer[7777];
    int64_t count;
    switch (event->type) {
    case SLUICE_EVENT_READY_READ:
        CHECK(event->value <= LIMIT);
        while ((count = sluice_socket_read(side->socket, buffer, sizeof buffer)) > 0) {
            side->sum = checksum(side->sum, buffer, (size_t)count);
            side->received += count;
        }
        break;
    case SLUICE_EVENT_BYTES_WRITTEN:
        side->told += event->value;
        pump(side);
        break;
    case SLUICE_EVENT_ERROR_OCCURRED:
        fprintf(stderr, "%s\n", event->message);
        exit(1);
    default:
        break;
    }
}

int main(void) {
    sluice_handle loop = new_loop();
    struct side sides[2];
    uint64_t expected = CHECKSUM_START;
    int64_t i;
    memset(sides, 0, sizeof sides);
    new_pair(loop, &sides[0].socket, &sides[1].socket);
    for (i = 0; i < TOTAL; i++) {
        unsigned char byte = pattern((uint64_t)i);
        expected = checksum(expected, &byte, 1);
    }
    for (i = 0; i < 2; i++) {
        sides[i].sum = CHECKSUM_START;
        CHECK_EQUAL(sluice_socket_set_write_buffer_size(sides[i].socket, LIMIT), 0);
        CHECK_EQUAL(sluice_socket_set_read_buffer_size(sides[i].socket, LIMIT), 0);
        CHECK_EQUAL(sluice_handle_subscribe(sides[i].socket, SLUICE_EVENTS_ALL), 0);
        CHECK_EQUAL(sluice_handle_set_callback(sides[i].socket, on_event, &sides[i]), 0);
        pump(&sides[i]);
    }
    RUN_UNTIL(loop, sides[0].received == TOTAL && sides[1].received == TOTAL && sides[0].told == TOTAL && sides[1].told == TOTAL);
    for (i = 0; i < 2; i++) {
        CHECK_EQUAL(sides[i].written, TOTAL);
        CHECK_EQUAL(sluice_socket_bytes_to_write(sides[i].socket), 0);
        CHECK(sides[i].sum == expected);
    }
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
