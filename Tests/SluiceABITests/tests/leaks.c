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

static void never(void *context) {
    (void)context;
    CHECK(!"called after the loop's end");
}

static void live_and_end(int listener, int port) {
    static char borrowed[100000], text[64];
    sluice_event event;
    sluice_handle loop = new_loop(), client, accepted, server, other;
    int peer;
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
    /* Later work. */
    CHECK(sluice_loop_start_timer(loop, 100000, false, never, NULL) > 0);
    CHECK(sluice_loop_start_timer(loop, 100000, true, never, NULL) > 0);
    CHECK(sluice_loop_descriptor(loop) >= 0);
    CHECK_EQUAL(sluice_loop_post(loop, never, NULL), 0);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    close(peer);
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
    CHECK_EQUAL(descriptors(), count);
    CHECK(resident_kilobytes() - before < 4096);
    close(listener);
    return 0;
}
