/* Many datagrams per call, in the caller's memory. */
#include "common.h"

#define COUNT 64

static sluice_handle loop;

/* A struct as a later version of the header might have it. */
struct grown_outgoing {
    sluice_outgoing_datagram datagram;
    uint64_t more[3];
};

struct grown {
    sluice_datagram datagram;
    uint64_t more[5];
};

static sluice_datagram in[COUNT];
static char room[COUNT][2048];

static void make_room(int64_t capacity) {
    int i;
    memset(in, '#', sizeof in);
    for (i = 0; i < COUNT; i++) {
        in[i].size = sizeof in[i];
        in[i].data = room[i];
        in[i].capacity = capacity;
    }
}

/* Reads until that many have come. Returns the number of calls that found any. */
static int read_all(sluice_handle socket, int count) {
    int got = 0, calls = 0;
    while (got < count) {
        int64_t result = sluice_udp_socket_read_datagrams(socket, in + got, COUNT - got);
        CHECK(result >= 0);
        if (result == 0)
            CHECK(sluice_socket_wait_for_ready_read(socket, -1));
        else
            calls += 1;
        got += (int)result;
    }
    CHECK_EQUAL(got, count);
    CHECK_EQUAL(sluice_udp_socket_read_datagrams(socket, in, COUNT), 0);
    return calls;
}

static void test_equal_sizes(void) {
    sluice_outgoing_datagram out[COUNT];
    char data[COUNT][100];
    struct counts counts;
    sluice_handle receiver = new_udp(loop, "127.0.0.1"), sender = new_udp(loop, "127.0.0.1");
    int i;
    count_events(sender, &counts);
    memset(out, 0, sizeof out);
    for (i = 0; i < COUNT; i++) {
        memset(data[i], i, sizeof data[i]);
        out[i].size = sizeof out[i];
        out[i].data = data[i];
        out[i].length = sizeof data[i];
        out[i].address = "127.0.0.1";
        out[i].port = sluice_socket_local_port(receiver);
    }
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out, COUNT), COUNT);
    CHECK_EQUAL(counts.sum[SLUICE_EVENT_BYTES_WRITTEN], COUNT * sizeof data[0]);
    make_room(sizeof room[0]);
    read_all(receiver, COUNT);
    for (i = 0; i < COUNT; i++) {
        CHECK_EQUAL(in[i].length, sizeof data[i]);
        CHECK(memcmp(room[i], data[i], sizeof data[i]) == 0);
        CHECK_TEXT(in[i].sender_address, "127.0.0.1");
        CHECK_TEXT(in[i].destination_address, "127.0.0.1");
        CHECK_EQUAL(in[i].sender_port, sluice_socket_local_port(sender));
        CHECK_EQUAL(in[i].destination_port, sluice_socket_local_port(receiver));
        CHECK(in[i].interface_index > 0 && in[i].hop_limit == 64 && !in[i].truncated);
        CHECK_EQUAL(in[i].capacity, sizeof room[i]);
        CHECK(in[i].data == room[i]);
    }
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
}

/* Of all sizes, to several places, from several senders; the structs are larger than the library knows. */
static void test_mixed(void) {
    static const char *const places[] = {"127.0.0.1", "127.0.0.2", "localhost"};
    struct grown_outgoing out[30];
    struct grown got[COUNT];
    char data[30][40];
    sluice_handle receiver = new_udp(loop, "AnyIPv4"), sender = new_udp(loop, "AnyIPv4");
    int i, count = 0, seen[30] = {0};
    memset(out, 0, sizeof out);
    for (i = 0; i < 30; i++) {
        memset(data[i], i, sizeof data[i]);
        out[i].datagram.data = data[i];
        out[i].datagram.length = i;
        out[i].datagram.address = places[i % 3];
        out[i].datagram.port = sluice_socket_local_port(receiver);
        out[i].datagram.hop_limit = i % 2 == 0 ? 0 : 100 + i;
        memset(out[i].more, 0xff, sizeof out[i].more);
    }
    /* The first size counts for all. */
    out[0].datagram.size = sizeof out[0];
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, &out[0].datagram, 30), 30);
    memset(got, 0, sizeof got);
    got[0].datagram.size = sizeof got[0];
    for (i = 0; i < COUNT; i++) {
        got[i].datagram.data = room[i];
        got[i].datagram.capacity = sizeof room[i];
        memset(got[i].more, 0x77, sizeof got[i].more);
    }
    while (count < 30) {
        int64_t result = sluice_udp_socket_read_datagrams(receiver, &got[0].datagram, COUNT);
        CHECK(result >= 0);
        for (i = 0; i < result; i++) {
            int length = (int)got[i].datagram.length;
            CHECK(length >= 0 && length < 30 && !seen[length]);
            seen[length] = 1;
            CHECK(memcmp(room[i], data[length], (size_t)length) == 0);
            CHECK_TEXT(got[i].datagram.destination_address, length % 3 == 1 ? "127.0.0.2" : "127.0.0.1");
            CHECK_EQUAL(got[i].datagram.hop_limit, length % 2 == 0 ? 64 : 100 + length);
        }
        for (i = 0; i < COUNT; i++)
            CHECK(got[i].more[0] == UINT64_C(0x7777777777777777) && got[i].more[4] == UINT64_C(0x7777777777777777));
        count += (int)result;
        if (result == 0)
            CHECK(sluice_loop_run_once(loop, -1) >= 0);
    }
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
}

/* Where it ends early. */
static void test_failures(void) {
    static char large[65508];
    sluice_outgoing_datagram out[5];
    struct counts counts;
    sluice_handle receiver = new_udp(loop, "127.0.0.1"), sender = new_udp(loop, "127.0.0.1");
    int i;
    count_events(sender, &counts);
    memset(out, 0, sizeof out);
    for (i = 0; i < 5; i++) {
        out[i].size = sizeof out[i];
        out[i].data = "data";
        out[i].length = 4;
        out[i].address = "127.0.0.1";
        out[i].port = sluice_socket_local_port(receiver);
    }
    out[3].data = large;
    out[3].length = sizeof large;
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out, 5), 3);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 1);
    CHECK_EQUAL(sluice_socket_error(sender), SLUICE_ERROR_DATAGRAM_TOO_LARGE);
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out + 3, 2), -SLUICE_ERROR_DATAGRAM_TOO_LARGE);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 2);
    out[3].length = 4;
    out[2].port = 0;
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out, 5), 2);
    CHECK_EQUAL(sluice_socket_error(sender), SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out + 2, 1), -SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    out[2].address = NULL;
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out + 2, 1), -SLUICE_ERROR_NETWORK);
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out + 3, 2), 2);
    make_room(2);
    read_all(receiver, 7);
    for (i = 0; i < 7; i++)
        CHECK(in[i].length == 2 && in[i].truncated && in[i].sender_port == sluice_socket_local_port(sender));
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
}

/* To a fixed peer, with a source and an interface of the sender's choice. */
static void test_options(void) {
    sluice_outgoing_datagram out[2];
    const sluice_datagram *got;
    sluice_handle receiver = new_udp(loop, "AnyIPv4"), sender = sluice_udp_socket_create(loop), peer;
    int port = sluice_socket_local_port(receiver);
    CHECK_EQUAL(sluice_socket_bind(sender, "AnyIPv4", 0, SLUICE_BIND_DEFAULT), 0);
    memset(out, 0, sizeof out);
    out[0].size = sizeof out[0];
    out[0].data = "data";
    out[0].length = 4;
    out[0].address = "127.0.0.1";
    out[0].port = port;
    out[0].source_address = "127.0.0.3";
    out[0].hop_limit = 7;
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out, 1), 1);
    got = next_datagram(receiver);
    CHECK_TEXT(got->sender_address, "127.0.0.3");
    CHECK_EQUAL(got->hop_limit, 7);
    out[0].source_address = NULL;
    out[0].hop_limit = 0;
    out[0].interface_index = got->interface_index;
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out, 1), 1);
    CHECK_EQUAL(next_datagram(receiver)->interface_index, out[0].interface_index);
    /* One that is of the wrong family is told when its turn comes. */
    out[0].source_address = "::1";
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out, 1), -SLUICE_ERROR_INVALID_ARGUMENT);

    peer = new_udp_client(loop, "127.0.0.1", port);
    memset(out, 0, sizeof out);
    out[0].size = sizeof out[0];
    out[0].data = "one";
    out[0].length = 3;
    out[0].port = -5;
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(peer, out, 2), 2);
    CHECK_TEXT(next_datagram(receiver)->data, "one");
    CHECK_EQUAL(next_datagram(receiver)->length, 0);
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
    CHECK_EQUAL(sluice_handle_destroy(peer), 0);
}

/* Arrays that make no sense: nothing is sent or read. */
static void test_arguments(void) {
    sluice_outgoing_datagram out[3];
    struct counts counts;
    sluice_handle receiver = new_udp(loop, "127.0.0.1"), sender = new_udp(loop, "127.0.0.1"), fresh = sluice_udp_socket_create(loop);
    int i;
    count_events(sender, &counts);
    memset(out, 0, sizeof out);
    for (i = 0; i < 3; i++) {
        out[i].size = sizeof out[i];
        out[i].data = "data";
        out[i].length = 4;
        out[i].address = "127.0.0.1";
        out[i].port = sluice_socket_local_port(receiver);
    }
#define REFUSED(change, undo)                                                                                 \
    do {                                                                                                      \
        change;                                                                                               \
        CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out, 3), -SLUICE_ERROR_INVALID_ARGUMENT);       \
        undo;                                                                                                 \
    } while (0)
    REFUSED(out[0].size = 0, out[0].size = sizeof out[0]);
    REFUSED(out[0].size = sizeof out[0] - 1, out[0].size = sizeof out[0]);
    REFUSED(out[0].size = sizeof out[0] + 1, out[0].size = sizeof out[0]);
    REFUSED(out[2].data = NULL, out[2].data = "data");
    REFUSED(out[2].length = -1, out[2].length = 4);
    REFUSED(out[2].length = INT64_MIN, out[2].length = 4);
    REFUSED(out[2].address = "\xff", out[2].address = "127.0.0.1");
    REFUSED(out[2].source_address = "\xff", out[2].source_address = NULL);
    REFUSED(out[2].source_address = "localhost", out[2].source_address = NULL);
    REFUSED(out[2].source_address = "", out[2].source_address = NULL);
    REFUSED(out[2].hop_limit = -1, out[2].hop_limit = 0);
    REFUSED(out[2].hop_limit = 256, out[2].hop_limit = 0);
    REFUSED(out[2].interface_index = -1, out[2].interface_index = 0);
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out, -1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, NULL, 0), 0);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 0);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_BYTES_WRITTEN], 0);

    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out, 3), 3);
    CHECK(sluice_socket_wait_for_ready_read(receiver, -1));
    make_room(sizeof room[0]);
#undef REFUSED
#define REFUSED(change, undo)                                                                                 \
    do {                                                                                                      \
        change;                                                                                               \
        CHECK_EQUAL(sluice_udp_socket_read_datagrams(receiver, in, 3), -SLUICE_ERROR_INVALID_ARGUMENT);       \
        undo;                                                                                                 \
    } while (0)
    REFUSED(in[0].size = 0, in[0].size = sizeof in[0]);
    REFUSED(in[0].size = sizeof in[0] - 8, in[0].size = sizeof in[0]);
    REFUSED(in[2].data = NULL, in[2].data = room[2]);
    REFUSED(in[2].capacity = -1, in[2].capacity = sizeof room[2]);
    CHECK_EQUAL(sluice_udp_socket_read_datagrams(receiver, in, -1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_read_datagrams(receiver, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_read_datagrams(receiver, NULL, 0), 0);
    CHECK_EQUAL(sluice_udp_socket_read_datagrams(fresh, NULL, 0), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_udp_socket_read_datagrams(fresh, in, 3), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_udp_socket_read_datagram(fresh, in), -SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_udp_socket_read_datagram(receiver, NULL), -SLUICE_ERROR_INVALID_ARGUMENT);
    in[0].size = sizeof in[0] - 1;
    CHECK_EQUAL(sluice_udp_socket_read_datagram(receiver, in), -SLUICE_ERROR_INVALID_ARGUMENT);
    in[0].size = sizeof in[0];
    in[0].capacity = INT64_MIN;
    CHECK_EQUAL(sluice_udp_socket_read_datagram(receiver, in), -SLUICE_ERROR_INVALID_ARGUMENT);
    in[0].capacity = sizeof room[0];
    in[0].data = NULL;
    CHECK_EQUAL(sluice_udp_socket_read_datagram(receiver, in), -SLUICE_ERROR_INVALID_ARGUMENT);
    make_room(sizeof room[0]);
    read_all(receiver, 3);
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
    CHECK_EQUAL(sluice_handle_destroy(fresh), 0);
}

/* More than the system takes: what is not taken waits, in order, up to the limit. */
static void test_queue(void) {
    static char data[60000];
    static sluice_outgoing_datagram out[200];
    sluice_handle receiver = new_udp(loop, "127.0.0.1"), sender = new_udp(loop, "127.0.0.1");
    int64_t sent;
    int i;
    memset(out, 0, sizeof out);
    for (i = 0; i < 200; i++) {
        out[i].size = sizeof out[i];
        out[i].data = data;
        out[i].length = sizeof data;
        out[i].address = "127.0.0.1";
        out[i].port = sluice_socket_local_port(receiver);
    }
    CHECK_EQUAL(sluice_socket_set_option(sender, SLUICE_OPTION_SEND_BUFFER_SIZE, 1), 0);
    CHECK_EQUAL(sluice_socket_set_write_buffer_size(sender, 100000), 0);
    sent = sluice_udp_socket_write_datagrams(sender, out, 200);
    CHECK(sent > 0 && sent <= 200);
    CHECK(sluice_socket_bytes_to_write(sender) <= 120000);
    CHECK_EQUAL(sluice_socket_sync(sender, -1), 0);
    CHECK_EQUAL(sluice_socket_bytes_to_write(sender), 0);
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
}

int main(void) {
    loop = new_loop();
    test_equal_sizes();
    test_mixed();
    test_failures();
    test_options();
    test_arguments();
    test_queue();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
