/* What ends leaves nothing behind: loops destroyed at any moment give back their descriptors and their memory. */
#include "common.h"

#include <dirent.h>

#define WARM_UP 200
#define ROUNDS 2000

static int released;

static int descriptors(void) {
    DIR *listing = opendir("/proc/self/fd");
    int count = 0;
    CHECK(listing != NULL);
    while (readdir(listing) != NULL)
        count += 1;
    closedir(listing);
    return count;
}

static long resident_kilobytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    long total, resident;
    CHECK(file != NULL);
    CHECK(fscanf(file, "%ld %ld", &total, &resident) == 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void release(void *context) {
    (void)context;
    released += 1;
}

static int64_t receive_nothing(void *context, void *buffer, int64_t capacity) {
    (void)context;
    (void)buffer;
    (void)capacity;
    return -EAGAIN;
}

static int64_t send_nothing(void *context, const void *data, int64_t size) {
    (void)context;
    (void)data;
    (void)size;
    return -EAGAIN;
}

static void count_transport(void *context) { *(int *)context += 1; }

static int transports;
static const sluice_transport silence = {
    .size = sizeof silence, .receive = receive_nothing, .send = send_nothing, .release = count_transport};

/* Without the system's certificates, which take their time to load. */
static const sluice_tls_configuration trusting = {.size = sizeof trusting, .verify_mode = SLUICE_TLS_VERIFY_NONE};

static void never(void *context) {
    (void)context;
    CHECK(!"called after the loop's end");
}

static void live_and_end(int listener, int port) {
    static char borrowed[100000], text[64];
    sluice_event event;
    sluice_handle loop = new_loop(), client, accepted, server, other;
    int peer, second_peer;
    event.size = sizeof event;
    CHECK_EQUAL(sluice_loop_queue_events(loop, true), 0);
    new_pair(loop, &client, &accepted);
    /* Unsent, unread, unfetched. */
    CHECK_EQUAL(sluice_socket_write(client, "unread", 6), 6);
    CHECK_EQUAL(sluice_socket_sync(client, -1), 0);
    CHECK_EQUAL(sluice_loop_run_once(loop, -1) >= 0, 1);
    CHECK_EQUAL(sluice_socket_write(accepted, "unsent", 6), 6);
    CHECK_EQUAL(sluice_socket_write_borrowed(client, borrowed, sizeof borrowed, release, NULL), sizeof borrowed);
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, 0) >= 0, 1);
    /* On its way, failing, waiting to be taken, closing. */
    other = new_client(loop, port);
    peer = accept(listener, NULL, NULL);
    CHECK_EQUAL(sluice_socket_write(other, "early", 5), 5);
    CHECK_EQUAL(sluice_socket_disconnect_from_host(other), 0);
    other = sluice_tcp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_connect_to_host(other, "", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    snprintf(text, sizeof text, "nobody-%ld", (long)getpid());
    other = sluice_local_socket_create(loop);
    CHECK_EQUAL(sluice_local_socket_connect_to_server(other, text, SLUICE_OPEN_READ_WRITE), 0);
    server = new_server(loop);
    new_client(loop, sluice_server_port(server));
    CHECK(sluice_server_wait_for_new_connection(server, -1, NULL));
    /* Datagrams: unread, put back, for a name. */
    other = new_udp(loop, "127.0.0.1");
    CHECK_EQUAL(sluice_udp_socket_write_datagram(other, borrowed, 1000, "127.0.0.1", sluice_socket_local_port(other)), 1000);
    CHECK(sluice_socket_wait_for_ready_read(other, -1));
    CHECK_EQUAL(sluice_udp_socket_write_datagram(other, borrowed, 1000, "localhost", sluice_socket_local_port(other)), 1000);
    other = new_udp_client(loop, "127.0.0.1", port);
    CHECK_EQUAL(sluice_socket_unget_char(other, 'x'), 0);
    /* Names, properties, a transport, a relay, encryption, descriptors that nobody takes. */
    CHECK(sluice_host_lookup(loop, "localhost", SLUICE_PROTOCOL_ANY, -1) != 0);
    other = sluice_tls_socket_create(loop);
    CHECK_EQUAL(sluice_socket_set_properties(other, "{\"objectId\":\"name\",\"hostname\":\"127.0.0.1\",\"port\":1}"), 0);
    CHECK_EQUAL(sluice_handle_subscribe(other, SLUICE_EVENTS_ALL), 0);
    other = sluice_tls_socket_create(loop);
    CHECK_EQUAL(sluice_tls_socket_set_configuration(other, &trusting), 0);
    CHECK_EQUAL(sluice_tls_socket_connect_to_host_encrypted(other, "127.0.0.1", port, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    second_peer = accept(listener, NULL, NULL);
    CHECK(sluice_socket_wait_for_connected(other, -1));
    other = sluice_tcp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_set_transport(other, &silence, &transports), 0);
    CHECK_EQUAL(sluice_socket_set_state(other, SLUICE_STATE_CONNECTED), 0);
    CHECK_EQUAL(sluice_socket_write(other, "unsent", 6), 6);
    CHECK(sluice_relay_create(other, accepted) != 0);
    server = new_server(loop);
    CHECK_EQUAL(sluice_server_set_incoming_handler(server, SLUICE_INCOMING_EVENTS, NULL), 0);
    new_client(loop, sluice_server_port(server));
    CHECK(sluice_server_wait_for_new_connection(server, -1, NULL));
    /* Later work. */
    CHECK(sluice_loop_start_timer(loop, 100000, false, never, NULL) > 0);
    CHECK(sluice_loop_start_timer(loop, 100000, true, never, NULL) > 0);
    CHECK(sluice_loop_descriptor(loop) >= 0);
    CHECK_EQUAL(sluice_loop_post(loop, never, NULL), 0);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    close(peer);
    close(second_peer);
}

int main(void) {
    int port, listener = raw_listen(&port, 5), count, i;
    long before;
    for (i = 0; i < WARM_UP; i++)
        live_and_end(listener, port);
    count = descriptors();
    before = resident_kilobytes();
    for (i = 0; i < ROUNDS; i++)
        live_and_end(listener, port);
    CHECK_EQUAL(released, WARM_UP + ROUNDS);
    CHECK_EQUAL(transports, WARM_UP + ROUNDS);
    CHECK_EQUAL(descriptors(), count);
    CHECK(resident_kilobytes() - before < 4096);
    close(listener);
    return 0;
}
