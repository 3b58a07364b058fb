/* Local sockets and servers: names, access rights, credentials, leftovers. */
#include "common.h"

#include <sys/stat.h>
#include <sys/un.h>

static sluice_handle loop;
static char folder[256], path[300];

static int mode_of(const char *file) {
    struct stat status;
    CHECK(lstat(file, &status) == 0);
    CHECK(S_ISSOCK(status.st_mode));
    return (int)(status.st_mode & 0777);
}

static sluice_handle connect_to(const char *name, sluice_access options) {
    sluice_handle socket = sluice_local_socket_create(loop);
    CHECK_EQUAL(sluice_local_socket_set_socket_options(socket, options), 0);
    CHECK_EQUAL(sluice_local_socket_connect_to_server(socket, name, SLUICE_OPEN_READ_WRITE), 0);
    return socket;
}

static void test_connection(const char *name, const char *full_name, sluice_access options) {
    sluice_handle server = sluice_local_server_create(loop), client, accepted;
    sluice_credentials credentials;
    char buffer[16];
    CHECK_EQUAL(sluice_local_server_socket_options(server), SLUICE_ACCESS_NONE);
    CHECK_EQUAL(sluice_local_server_set_socket_options(server, options), 0);
    CHECK_EQUAL(sluice_local_server_socket_options(server), options);
    CHECK(!sluice_server_is_listening(server));
    CHECK_EQUAL(sluice_local_server_listen(server, name), 0);
    CHECK(sluice_server_is_listening(server));
    CHECK(sluice_server_descriptor(server) >= 0);
    CHECK_TEXT(text_of(sluice_local_server_server_name, server), name);
    CHECK_TEXT(text_of(sluice_local_server_full_server_name, server), full_name);
    CHECK_EQUAL(sluice_local_server_listen(server, name), SLUICE_ERROR_OPERATION);
    CHECK(sluice_server_is_listening(server));

    client = connect_to(name, options);
    CHECK(sluice_socket_wait_for_connected(client, -1));
    CHECK_EQUAL(sluice_socket_socket_type(client), SLUICE_SOCKET_TYPE_LOCAL);
    CHECK_TEXT(text_of(sluice_local_socket_server_name, client), name);
    CHECK_TEXT(text_of(sluice_local_socket_full_server_name, client), full_name);
    CHECK_EQUAL(sluice_local_socket_set_server_name(client, "x"), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_local_socket_set_socket_options(client, SLUICE_ACCESS_NONE), SLUICE_ERROR_OPERATION);
    RUN_UNTIL(loop, sluice_server_has_pending_connections(server));
    accepted = sluice_server_next_pending_connection(server);
    CHECK_EQUAL(sluice_handle_kind(accepted), SLUICE_KIND_LOCAL_SOCKET);

    memset(&credentials, 0, sizeof credentials);
    credentials.size = sizeof credentials;
    CHECK_EQUAL(sluice_local_socket_peer_credentials(client, &credentials), 0);
    CHECK_EQUAL(credentials.size, sizeof credentials);
    CHECK_EQUAL(credentials.pid, getpid());
    CHECK_EQUAL(credentials.uid, getuid());
    CHECK_EQUAL(credentials.gid, getgid());
    memset(&credentials, 0, sizeof credentials);
    CHECK_EQUAL(sluice_local_socket_peer_credentials(accepted, &credentials), SLUICE_ERROR_INVALID_ARGUMENT);
    credentials.size = sizeof credentials;
    CHECK_EQUAL(sluice_local_socket_peer_credentials(accepted, &credentials), 0);
    CHECK_EQUAL(credentials.pid, getpid());

    CHECK_EQUAL(sluice_socket_write(client, "request\n", 8), 8);
    CHECK_EQUAL(sluice_socket_sync(client, -1), 0);
    CHECK(sluice_socket_wait_for_ready_read(accepted, -1));
    CHECK_EQUAL(sluice_socket_read_line(accepted, buffer, sizeof buffer), 8);
    CHECK_EQUAL(sluice_socket_write(accepted, "answer", 6), 6);
    CHECK_EQUAL(sluice_socket_disconnect_from_host(accepted), 0);
    CHECK(sluice_socket_wait_for_disconnected(accepted, -1) || sluice_socket_state(accepted) == SLUICE_STATE_UNCONNECTED);
    CHECK(sluice_socket_wait_for_disconnected(client, -1));
    CHECK_EQUAL(sluice_socket_read_all(client, buffer, sizeof buffer), 6);
    CHECK_EQUAL(sluice_local_socket_peer_credentials(client, &credentials), SLUICE_ERROR_INVALID_STATE);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
    if (!(options & SLUICE_ACCESS_ABSTRACT_NAMESPACE))
        CHECK(access(full_name, F_OK) != 0);
    CHECK_EQUAL(sluice_handle_destroy(client), 0);
    CHECK_EQUAL(sluice_handle_destroy(accepted), 0);
}

static void test_access_modes(void) {
    static const struct {
        sluice_access options;
        int mode;
    } cases[] = {{SLUICE_ACCESS_USER, 0700}, {SLUICE_ACCESS_GROUP, 0070}, {SLUICE_ACCESS_OTHER, 0007}, {SLUICE_ACCESS_USER | SLUICE_ACCESS_GROUP, 0770},
                 {SLUICE_ACCESS_WORLD, 0777}, {SLUICE_ACCESS_NONE, 0750}};
    size_t i;
    sluice_handle server = sluice_local_server_create(loop);
    umask(0027);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_EQUAL(sluice_local_server_set_socket_options(server, cases[i].options), 0);
        CHECK_EQUAL(sluice_local_server_listen(server, path), 0);
        CHECK_EQUAL(mode_of(path), cases[i].mode);
        CHECK_EQUAL(sluice_server_close(server), 0);
        CHECK(access(path, F_OK) != 0);
    }
    CHECK_EQUAL(sluice_local_server_set_socket_options(server, 16), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

static int raw_bound(const char *file, bool listens) {
    struct sockaddr_un address;
    int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", file);
    CHECK(bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(!listens || listen(descriptor, 5) == 0);
    return descriptor;
}

static void test_leftovers(void) {
    sluice_handle server = sluice_local_server_create(loop), rival = sluice_local_server_create(loop), client;
    FILE *file;
    /* A dead server's file is replaced, or removed. */
    close(raw_bound(path, true));
    CHECK(access(path, F_OK) == 0);
    CHECK_EQUAL(sluice_local_server_listen(server, path), 0);
    /* A live one's is left alone, by both. */
    CHECK_EQUAL(sluice_local_server_listen(rival, path), SLUICE_ERROR_ADDRESS_IN_USE);
    CHECK_EQUAL(sluice_server_error(rival), SLUICE_ERROR_ADDRESS_IN_USE);
    CHECK_EQUAL(sluice_server_system_error(rival), EADDRINUSE);
    CHECK(strstr(text_of(sluice_server_error_string, rival), path) != NULL);
    CHECK(!sluice_server_is_listening(rival));
    CHECK(!sluice_local_server_remove_server(path));
    client = connect_to(path, SLUICE_ACCESS_NONE);
    CHECK(sluice_socket_wait_for_connected(client, -1));
    CHECK_EQUAL(sluice_server_close(server), 0);
    CHECK(sluice_local_server_remove_server(path));
    close(raw_bound(path, true));
    CHECK(sluice_local_server_remove_server(path));
    CHECK(access(path, F_OK) != 0);
    /* What is no socket is nobody's to remove. */
    CHECK((file = fopen(path, "w")) != NULL);
    fclose(file);
    CHECK(!sluice_local_server_remove_server(path));
    CHECK(sluice_local_server_listen(server, path) != 0);
    CHECK(access(path, F_OK) == 0);
    CHECK(unlink(path) == 0);

    /* A descriptor that listens already. */
    CHECK_EQUAL(sluice_local_server_listen_descriptor(server, raw_bound(path, true)), 0);
    CHECK(sluice_server_is_listening(server));
    client = connect_to(path, SLUICE_ACCESS_NONE);
    CHECK(sluice_server_wait_for_new_connection(server, -1, NULL));
    CHECK(sluice_server_next_pending_connection(server) != 0);
    CHECK_EQUAL(sluice_server_close(server), 0);
    unlink(path);
    {
        int unfit = raw_bound(path, false);
        CHECK_EQUAL(sluice_local_server_listen_descriptor(server, unfit), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
        CHECK_EQUAL(sluice_server_set_descriptor(server, unfit), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
        CHECK(close(unfit) == 0);
        CHECK(unlink(path) == 0);
    }
}

static void test_failures(void) {
    struct counts counts;
    char long_name[5000];
    sluice_handle socket = sluice_local_socket_create(loop), server = sluice_local_server_create(loop);
    count_events(socket, &counts);
    CHECK_EQUAL(sluice_local_socket_connect_to_server(socket, "nobody-listens-here", SLUICE_OPEN_READ_WRITE), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 1);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_HOST_NOT_FOUND);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(sluice_local_socket_set_server_name(socket, path), 0);
    CHECK_TEXT(text_of(sluice_local_socket_server_name, socket), path);
    CHECK_EQUAL(sluice_local_socket_connect_to_server(socket, NULL, SLUICE_OPEN_READ_WRITE), 0);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 2);
    CHECK(strstr(counts.message, path) != NULL);
    /* The empty name is a name, and one that no server has. */
    CHECK_EQUAL(sluice_local_socket_set_server_name(socket, path), 0);
    CHECK_EQUAL(sluice_local_socket_connect_to_server(socket, "", SLUICE_OPEN_READ_WRITE), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 3);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_HOST_NOT_FOUND);
    CHECK(strstr(counts.message, path) == NULL);
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    CHECK_EQUAL(sluice_local_socket_connect_to_server(socket, long_name, SLUICE_OPEN_READ_WRITE), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 4);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_HOST_NOT_FOUND);
    CHECK(sluice_local_server_listen(server, long_name) != 0);
    CHECK(sluice_local_server_listen(server, "") != 0);
    CHECK(!sluice_local_server_remove_server(long_name));
    CHECK_EQUAL(sluice_local_socket_connect_to_server(socket, "\xff", SLUICE_OPEN_READ_WRITE), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_local_server_listen(server, "\xc3"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_local_socket_set_server_name(socket, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_local_server_listen(server, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK(!sluice_local_server_remove_server(NULL));
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_local_socket_peer_credentials(socket, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_local_socket_disconnect_from_server(socket), 0);
    CHECK_EQUAL(sluice_socket_bind(socket, "any", 0, SLUICE_BIND_DEFAULT), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "127.0.0.1", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
}

int main(void) {
    char name[64], full_name[400];
    const char *temporary = getenv("TMPDIR");
    loop = new_loop();
    snprintf(folder, sizeof folder, "%s", temporary ? temporary : "/tmp");
    snprintf(name, sizeof name, "sluice-test-%ld", (long)getpid());
    snprintf(path, sizeof path, "%s/socket", folder);
    snprintf(full_name, sizeof full_name, "%s/%s", folder, name);
    test_connection(path, path, SLUICE_ACCESS_NONE);
    test_connection(name, full_name, SLUICE_ACCESS_USER);
    test_connection(name, name, SLUICE_ACCESS_ABSTRACT_NAMESPACE);
    test_access_modes();
    test_leftovers();
    test_failures();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
