/* Many datagrams to one place in one call: whatever their sizes and however many of them leave joined, each arrives whole and in its turn. */
#include "common.h"

enum { MANY = 600, LARGEST = 40000 };

static char data[LARGEST + MANY];
static sluice_outgoing_datagram out[MANY];
static int sizes[MANY];

/* The beginning tells them apart. */
static void expect(int receiver, int index) {
    static char got[65536];
    ssize_t size = recv(receiver, got, sizeof got, 0);
    CHECK_EQUAL(size, sizes[index]);
    CHECK(memcmp(got, data + index, (size_t)size) == 0);
}

static void send_and_receive(sluice_handle sender, int receiver, const char *address, int port, int count) {
    int sent = 0;
    for (int i = 0; i < count; i++)
        out[i] = (sluice_outgoing_datagram){.size = sizeof out[i], .data = data + i, .length = sizes[i], .address = address, .port = port};
    /* No more than the receiver's buffer holds. */
    while (sent < count) {
        int end = sent, bytes = 0;
        while (end < count && (end == sent || bytes + sizes[end] < 50000) && end - sent < 100) bytes += sizes[end++];
        CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out + sent, end - sent), end - sent);
        while (sent < end) expect(receiver, sent++);
    }
}

static void fill_sizes(int kind) {
    unsigned random = 12345;
    for (int i = 0; i < MANY; i++) {
        random = random * 1103515245u + 12345u;
        switch (kind) {
        case 0: sizes[i] = 64; break;                                  /* all of one size */
        case 1: sizes[i] = MANY - i; break;                            /* each smaller than the one before */
        case 2: sizes[i] = 1 + i; break;                               /* each larger */
        case 3: sizes[i] = i % 7 == 0 ? 0 : 1200; break;               /* empty ones between */
        case 4: sizes[i] = 0; break;
        case 5: sizes[i] = i % 65 == 64 ? 10 : 32; break;              /* a smaller one just behind what fits into a message */
        case 6: sizes[i] = (int)(random >> 16) % 5 == 0 ? 100 : 1000; break;
        default: sizes[i] = i % 50 == 0 ? LARGEST : (int)(random >> 16) % 3000; break;
        }
    }
}

static void test_rows(sluice_handle loop, const char *address) {
    struct sockaddr_storage place;
    socklen_t length = sizeof place;
    bool ipv6 = strchr(address, ':') != NULL;
    int receiver = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 4 << 20;
    CHECK(receiver >= 0);
    setsockopt(receiver, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    memset(&place, 0, sizeof place);
    if (ipv6) {
        ((struct sockaddr_in6 *)&place)->sin6_family = AF_INET6;
        ((struct sockaddr_in6 *)&place)->sin6_addr = in6addr_loopback;
        if (bind(receiver, (struct sockaddr *)&place, sizeof(struct sockaddr_in6)) != 0) {
            close(receiver); /* a machine without IPv6 */
            return;
        }
    } else {
        ((struct sockaddr_in *)&place)->sin_family = AF_INET;
        ((struct sockaddr_in *)&place)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        CHECK(bind(receiver, (struct sockaddr *)&place, sizeof(struct sockaddr_in)) == 0);
    }
    CHECK(getsockname(receiver, (struct sockaddr *)&place, &length) == 0);
    int port = ntohs(ipv6 ? ((struct sockaddr_in6 *)&place)->sin6_port : ((struct sockaddr_in *)&place)->sin_port);
    for (int kind = 0; kind < 8; kind++) {
        fill_sizes(kind);
        sluice_handle anywhere = sluice_udp_socket_create(loop), peer = sluice_udp_socket_create(loop);
        send_and_receive(anywhere, receiver, address, port, MANY);
        CHECK_EQUAL(sluice_socket_connect_to_host(peer, address, port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
        CHECK(sluice_socket_wait_for_connected(peer, -1));
        send_and_receive(peer, receiver, NULL, 0, MANY);
        CHECK_EQUAL(sluice_socket_error(anywhere), 0);
        CHECK_EQUAL(sluice_socket_error(peer), 0);
        CHECK_EQUAL(sluice_handle_destroy(anywhere), 0);
        CHECK_EQUAL(sluice_handle_destroy(peer), 0);
    }
    close(receiver);
}

/* By a name the datagrams wait for its lookup, and leave in their order. */
static void test_name(sluice_handle loop) {
    struct sockaddr_in place;
    socklen_t length = sizeof place;
    int receiver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memset(&place, 0, sizeof place);
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(receiver, (struct sockaddr *)&place, sizeof place) == 0);
    CHECK(getsockname(receiver, (struct sockaddr *)&place, &length) == 0);
    sluice_handle sender = sluice_udp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_bind(sender, "AnyIPv4", 0, SLUICE_BIND_DEFAULT), 0);
    for (int i = 0; i < 20; i++) {
        sizes[i] = 20 - i;
        out[i] = (sluice_outgoing_datagram){
            .size = sizeof out[i], .data = data + i, .length = sizes[i], .address = "localhost", .port = ntohs(place.sin_port)};
    }
    CHECK_EQUAL(sluice_udp_socket_write_datagrams(sender, out, 20), 20);
    CHECK_EQUAL(sluice_socket_sync(sender, -1), 0);
    for (int i = 0; i < 20; i++) expect(receiver, i);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
    close(receiver);
}

int main(void) {
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 7 + i / 251);
    sluice_handle loop = new_loop();
    test_rows(loop, "127.0.0.1");
    test_rows(loop, "::1");
    test_name(loop);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
