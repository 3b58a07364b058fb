/* Servers: waiting, limits of the queue, pausing, and descriptors running out. */
#include "common.h"

#include <sys/resource.h>

static sluice_handle loop;

static void test_waiting(void) {
    sluice_handle server = sluice_tcp_server_create(loop);
    bool timed_out = true;
    int client;
    CHECK(!sluice_server_wait_for_new_connection(server, -1, &timed_out));
    CHECK(!timed_out);
    CHECK_EQUAL(sluice_tcp_server_listen(server, "127.0.0.1", 0, SLUICE_BIND_DEFAULT), 0);
    CHECK(!sluice_server_wait_for_new_connection(server, 0, &timed_out));
    CHECK(timed_out);
    CHECK(!sluice_server_wait_for_new_connection(server, 1, NULL));
    CHECK(!sluice_server_wait_for_new_connection(server, -2, &timed_out));
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_server_next_pending_connection(server), 0);
    client = raw_connect(sluice_server_port(server));
    CHECK(sluice_server_wait_for_new_connection(server, -1, &timed_out));
    CHECK(!timed_out);
    CHECK(sluice_server_wait_for_new_connection(server, -1, NULL));
    CHECK(sluice_server_has_pending_connections(server));
    /* Closing drops what was not taken. */
    CHECK_EQUAL(sluice_server_close(server), 0);
    CHECK(!sluice_server_has_pending_connections(server));
    CHECK_EQUAL(sluice_server_port(server), 0);
    CHECK_EQUAL(sluice_server_descriptor(server), -1);
    {
        char byte;
        CHECK(recv(client, &byte, 1, 0) <= 0);
    }
    close(client);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

static void test_pending_limit(void) {
    sluice_handle server = new_server(loop), taken[6];
    int clients[6], i, count;
    CHECK_EQUAL(sluice_server_max_pending_connections(server), 30);
    CHECK_EQUAL(sluice_server_listen_backlog(server), 50);
    CHECK_EQUAL(sluice_server_set_max_pending_connections(server, 0), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_server_set_listen_backlog(server, 0), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_server_set_listen_backlog(server, 10), 0);
    CHECK_EQUAL(sluice_server_listen_backlog(server), 10);
    CHECK_EQUAL(sluice_server_set_max_pending_connections(server, 2), 0);
    CHECK_EQUAL(sluice_server_max_pending_connections(server), 2);
    for (i = 0; i < 6; i++)
        clients[i] = raw_connect(sluice_server_port(server));
    RUN_UNTIL(loop, sluice_server_has_pending_connections(server));
    while (sluice_loop_run_once(loop, 0) > 0) {}
    for (count = 0; (taken[count] = sluice_server_next_pending_connection(server)) != 0;)
        count += 1;
    CHECK_EQUAL(count, 2);
    for (; count < 6; count++) {
        RUN_UNTIL(loop, sluice_server_has_pending_connections(server));
        taken[count] = sluice_server_next_pending_connection(server);
        CHECK(taken[count] != 0);
    }
    for (i = 0; i < 6; i++) {
        CHECK_EQUAL(sluice_handle_destroy(taken[i]), 0);
        close(clients[i]);
    }
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

static void test_pausing(void) {
    sluice_handle server = new_server(loop);
    int client;
    CHECK_EQUAL(sluice_server_pause_accepting(server), 0);
    client = raw_connect(sluice_server_port(server));
    while (sluice_loop_run_once(loop, 1) > 0) {}
    CHECK(!sluice_server_has_pending_connections(server));
    CHECK_EQUAL(sluice_server_resume_accepting(server), 0);
    RUN_UNTIL(loop, sluice_server_has_pending_connections(server));
    close(client);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

/* Data that came before the connection was taken is announced after that. */
static void test_early_data(void) {
    sluice_handle server = new_server(loop), socket;
    struct counts counts;
    int client = raw_connect(sluice_server_port(server));
    char buffer[8];
    raw_send(client, "early", 5);
    RUN_UNTIL(loop, sluice_server_has_pending_connections(server));
    while (sluice_loop_run_once(loop, 1) > 0) {}
    socket = sluice_server_next_pending_connection(server);
    count_events(socket, &counts);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_READY_READ] == 1);
    CHECK_EQUAL(sluice_socket_read(socket, buffer, 8), 5);
    close(client);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

static void test_no_descriptors(void) {
    sluice_handle server = new_server(loop);
    struct counts counts;
    struct rlimit limit, few;
    int client, spare[300], count = 0, i;
    count_events(server, &counts);
    client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    few = limit;
    few.rlim_cur = 256;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    while (count < 300 && (spare[count] = dup(0)) >= 0)
        count += 1;
    CHECK(count < 300 && errno == EMFILE);
    {
        struct sockaddr_in address;
        memset(&address, 0, sizeof address);
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons((uint16_t)sluice_server_port(server));
        CHECK(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    }
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ACCEPT_ERROR] == 1);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_ACCEPT_ERROR].error, SLUICE_ERROR_SOCKET_RESOURCE);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_ACCEPT_ERROR].system_error, EMFILE);
    CHECK(counts.last[SLUICE_EVENT_ACCEPT_ERROR].is_open);
    CHECK(counts.message[0] != '\0');
    CHECK(sluice_server_is_listening(server));
    /* Told once; and the loop sleeps in between instead of spinning: few turns in that time. */
    for (i = 0; i < 5; i++)
        CHECK(sluice_loop_run_once(loop, 20) >= 0);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ACCEPT_ERROR], 1);
    CHECK_EQUAL(sluice_loop_create(), 0);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_SOCKET_RESOURCE);
    for (i = 0; i < count; i++)
        close(spare[i]);
    RUN_UNTIL(loop, sluice_server_has_pending_connections(server));
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    close(client);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

static void test_listening(void) {
    sluice_handle server = new_server(loop), other = sluice_tcp_server_create(loop);
    int port = sluice_server_port(server), listener, ignored;
    CHECK_TEXT(text_of(sluice_server_address, server), "127.0.0.1");
    CHECK_EQUAL(sluice_server_error(server), 0);
    CHECK_TEXT(text_of(sluice_server_error_string, server), "");
    CHECK_EQUAL(sluice_tcp_server_listen(server, "any", 0, SLUICE_BIND_DEFAULT), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_server_port(server), port);
    CHECK_EQUAL(sluice_tcp_server_listen(other, "127.0.0.1", port, SLUICE_BIND_DEFAULT), SLUICE_ERROR_ADDRESS_IN_USE);
    CHECK_EQUAL(sluice_server_error(other), SLUICE_ERROR_ADDRESS_IN_USE);
    CHECK_EQUAL(sluice_server_system_error(other), EADDRINUSE);
    CHECK_EQUAL(sluice_server_descriptor(other), -1);
    CHECK_EQUAL(sluice_tcp_server_listen(other, "192.0.2.1", 0, SLUICE_BIND_DEFAULT), SLUICE_ERROR_SOCKET_ADDRESS_NOT_AVAILABLE);
    CHECK(sluice_tcp_server_listen(other, "no address", 0, SLUICE_BIND_DEFAULT) != 0);
    CHECK_EQUAL(sluice_tcp_server_listen(other, NULL, 0, SLUICE_BIND_DEFAULT), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_tcp_server_listen(other, "any", 0, 1024), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_tcp_server_listen(other, "any", -1, SLUICE_BIND_DEFAULT), SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_tcp_server_listen(other, "any", 65536, SLUICE_BIND_DEFAULT), SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_tcp_server_listen(other, "any", 0, SLUICE_BIND_DEFAULT), 0);
    CHECK_TEXT(text_of(sluice_server_address, other), "*");
    CHECK_EQUAL(sluice_server_error(other), 0);
    close(raw_connect(sluice_server_port(other)));
    CHECK_EQUAL(sluice_server_close(other), 0);
    CHECK_EQUAL(sluice_server_close(other), 0);

    listener = raw_listen(&port, 5);
    CHECK_EQUAL(sluice_server_set_descriptor(server, listener), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_server_set_descriptor(other, listener), 0);
    CHECK_EQUAL(sluice_server_port(other), port);
    ignored = raw_connect(port);
    CHECK(sluice_server_wait_for_new_connection(other, -1, NULL));
    close(ignored);
    CHECK_EQUAL(sluice_handle_destroy(other), 0);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

int main(void) {
    loop = new_loop();
    test_waiting();
    test_pending_limit();
    test_pausing();
    test_early_data();
    test_listening();
    test_no_descriptors();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
