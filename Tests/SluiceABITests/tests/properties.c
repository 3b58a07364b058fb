/* Properties as JSON: read, set, told of, stored and loaded; and connecting by them. */
#include "common.h"

static sluice_handle loop;

static const char *value_of(sluice_handle socket, const char *name) {
    static char buffer[256];
    int64_t length = sluice_socket_property(socket, name, buffer, sizeof buffer);
    CHECK(length >= 0);
    CHECK_EQUAL(length, strlen(buffer));
    return buffer;
}

static const char *why(void) {
    static char buffer[512];
    CHECK(sluice_last_error_message(buffer, sizeof buffer) >= 0);
    return buffer;
}

static void test_values(sluice_handle socket) {
    char all[4096], name[8];
    int64_t length = sluice_socket_properties(socket, all, sizeof all);
    CHECK(length > 0 && length == (int64_t)strlen(all));
    CHECK(all[0] == '{' && all[length - 1] == '}');
    CHECK(strstr(all, "\"state\":\"Unconnected\"") != NULL);
    CHECK_EQUAL(sluice_socket_properties(socket, NULL, 0), length);
    CHECK_EQUAL(sluice_socket_properties(socket, name, sizeof name), length);
    CHECK_EQUAL(strlen(name), sizeof name - 1);
    CHECK_TEXT(value_of(socket, "autoConnect"), "true");
    CHECK_TEXT(value_of(socket, "error"), "\"NoError\"");
    CHECK_TEXT(value_of(socket, "readBufferSize"), "0");
    CHECK_EQUAL(sluice_socket_set_property(socket, "readBufferSize", "4096"), 0);
    CHECK_EQUAL(sluice_socket_read_buffer_size(socket), 4096);
    CHECK_EQUAL(sluice_socket_set_read_buffer_size(socket, 0), 0);
    CHECK_TEXT(value_of(socket, "readBufferSize"), "0");
    CHECK_EQUAL(sluice_socket_set_properties(socket, "{\"connectTimeout\": 5, \"objectId\": \"it's \\u00fc\"}"), 0);
    CHECK_EQUAL(sluice_socket_connect_timeout(socket), 5);
    CHECK(strstr(value_of(socket, "objectId"), "it's ") != NULL);
    CHECK_EQUAL(sluice_socket_set_property(socket, "objectId", "\"\""), 0);
    /* The native options go by their own functions too. */
    CHECK_EQUAL(sluice_socket_set_property(socket, "sendBufferSize", "20000"), 0);
    {
        int64_t value = 0;
        CHECK_EQUAL(sluice_socket_option(socket, SLUICE_OPTION_SEND_BUFFER_SIZE, &value), 0);
        CHECK_EQUAL(value, 20000);
    }

    /* All or none. */
    CHECK_EQUAL(sluice_socket_set_properties(socket, "{\"closeTimeout\": 7, \"connectTimeout\": -5}"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK(strstr(why(), "connectTimeout") != NULL);
    CHECK_EQUAL(sluice_socket_close_timeout(socket), 60000);
    CHECK_EQUAL(sluice_socket_set_property(socket, "connectTimeout", "\"soon\""), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_property(socket, "noSuchThing", "1"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK(strstr(why(), "noSuchThing") != NULL);
    CHECK_EQUAL(sluice_socket_set_property(socket, "state", "\"Connected\""), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_property(socket, "noSuchThing", all, sizeof all), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_TEXT(all, "");
    CHECK_EQUAL(sluice_socket_connect_timeout(socket), 5);
}

static void test_bad_texts(void) {
    static const char *const texts[] = {"", "{", "[]", "1", "null", "{\"port\":1,}", "{\"port\":1}x", "{\"port\":1,\"port\":2}", "\xff", "{'port':1}"};
    char deep[20001];
    size_t i;
    sluice_handle socket = sluice_tcp_socket_create(loop);
    for (i = 0; i < sizeof texts / sizeof *texts; i++) {
        CHECK_EQUAL(sluice_socket_set_properties(socket, texts[i]), SLUICE_ERROR_INVALID_ARGUMENT);
        CHECK_EQUAL(sluice_socket_from_json(socket, texts[i], false), SLUICE_ERROR_INVALID_ARGUMENT);
        CHECK_EQUAL(sluice_socket_from_json(socket, texts[i], true), SLUICE_ERROR_INVALID_ARGUMENT);
        CHECK(texts[i][0] == '\xff' || why()[0] != '\0');
    }
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    CHECK_EQUAL(sluice_socket_set_property(socket, "port", deep), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_property(socket, "port", ""), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_property(socket, "port", NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_property(socket, NULL, "1"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_property(socket, "\xff", "1"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_properties(socket, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_from_json(socket, NULL, false), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_property(socket, NULL, deep, sizeof deep), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_property(socket, "port", NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_to_json(socket, false, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_TEXT(value_of(socket, "port"), "-1");
    /* An old message does not outlive the next failure. */
    CHECK_EQUAL(sluice_socket_set_property(socket, "port", "[]"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK(why()[0] != '\0');
    CHECK_EQUAL(sluice_handle_destroy(0), SLUICE_ERROR_INVALID_HANDLE);
    CHECK_TEXT(why(), "");
    CHECK_EQUAL(sluice_last_error_message(NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_last_error_message(NULL, 0), 0);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

struct changes {
    int count;
    int completed;
    char text[2048];
};

static void note(const sluice_event *event, void *context) {
    struct changes *changes = context;
    if (event->type == SLUICE_EVENT_COMPLETED)
        changes->completed += 1;
    if (event->type != SLUICE_EVENT_PROPERTY_CHANGED) {
        CHECK(event->name == NULL);
        return;
    }
    CHECK(event->name != NULL && event->message != NULL);
    changes->count += 1;
    snprintf(changes->text + strlen(changes->text), sizeof changes->text - strlen(changes->text), "%s=%s;", event->name, event->message);
}

static void test_changes(void) {
    struct changes changes;
    sluice_event event;
    sluice_handle socket = sluice_tcp_socket_create(loop);
    memset(&changes, 0, sizeof changes);
    CHECK_EQUAL(sluice_handle_set_callback(socket, note, &changes), 0);
    /* Not asked for. */
    CHECK_EQUAL(sluice_socket_set_property(socket, "readBufferSize", "1"), 0);
    CHECK_EQUAL(changes.count, 0);
    CHECK_EQUAL(sluice_handle_subscribe(socket, SLUICE_EVENTS_ALL), 0);
    CHECK_EQUAL(sluice_socket_set_property(socket, "readBufferSize", "2"), 0);
    CHECK_EQUAL(sluice_socket_set_write_buffer_size(socket, 3), 0);
    CHECK_EQUAL(sluice_socket_set_property(socket, "readBufferSize", "2"), 0);
    CHECK_TEXT(changes.text, "readBufferSize=2;writeBufferSize=3;");
    changes.text[0] = '\0';
    CHECK_EQUAL(sluice_socket_from_json(socket, "{\"hostname\": \"a b\", \"state\": \"Connected\", \"autoConnect\": false}", false), 0);
    CHECK(strstr(changes.text, "hostname=\"a b\";") != NULL && strstr(changes.text, "autoConnect=false;") != NULL);
    CHECK(strstr(changes.text, "state") == NULL);
    CHECK_EQUAL(changes.completed, 0);
    RUN_UNTIL(loop, changes.completed == 1);
    /* From the queue, each with its texts. */
    CHECK_EQUAL(sluice_handle_set_callback(socket, NULL, NULL), 0);
    CHECK_EQUAL(sluice_loop_queue_events(loop, true), 0);
    CHECK_EQUAL(sluice_socket_set_property(socket, "hostname", "\"one\""), 0);
    CHECK_EQUAL(sluice_socket_set_property(socket, "idleTimeout", "2000"), 0);
    event.size = sizeof event;
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), 1);
    CHECK_EQUAL(event.type, SLUICE_EVENT_PROPERTY_CHANGED);
    CHECK_TEXT(event.name, "hostname");
    CHECK_TEXT(event.message, "\"one\"");
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), 1);
    CHECK_TEXT(event.name, "idleTimeout");
    CHECK_TEXT(event.message, "2000");
    CHECK_EQUAL(sluice_socket_set_property(socket, "hostname", "\"two\""), 0);
    CHECK_EQUAL(sluice_loop_queue_events(loop, false), 0);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

/* Stored from one graph, loaded into another. */
static void test_graph(void) {
    static char text[16384], again[16384];
    sluice_handle other_loop = new_loop();
    sluice_handle first = sluice_tcp_socket_create(loop), second = sluice_udp_socket_create(loop), nameless = sluice_tcp_socket_create(loop);
    sluice_handle copy = sluice_tcp_socket_create(other_loop), second_copy = sluice_udp_socket_create(other_loop);
    CHECK_EQUAL(sluice_socket_set_properties(first, "{\"objectId\":\"first\",\"autoConnect\":false,\"hostname\":\"example.org\",\"port\":80,\"lowDelay\":true}"), 0);
    CHECK_EQUAL(sluice_socket_set_properties(second, "{\"objectId\":\"second\",\"typeOfService\":8}"), 0);
    CHECK_EQUAL(sluice_socket_set_property(nameless, "objectId", "\"first\""), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK(sluice_socket_to_json(nameless, true, text, sizeof text) > 0);
    CHECK(strstr(text, "\"first\":{") != NULL && strstr(text, "\"second\":{") != NULL && strstr(text, "example.org") != NULL);
    /* Names that are not there: nothing is set. */
    CHECK_EQUAL(sluice_socket_set_property(copy, "objectId", "\"first\""), 0);
    CHECK_EQUAL(sluice_socket_from_json(copy, text, true), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK(strstr(why(), "second") != NULL);
    CHECK_TEXT(value_of(copy, "hostname"), "\"\"");
    CHECK_EQUAL(sluice_socket_set_property(second_copy, "objectId", "\"second\""), 0);
    CHECK_EQUAL(sluice_socket_from_json(second_copy, text, true), 0);
    CHECK_TEXT(value_of(copy, "hostname"), "\"example.org\"");
    CHECK_TEXT(value_of(copy, "port"), "80");
    CHECK_TEXT(value_of(copy, "lowDelay"), "true");
    CHECK_TEXT(value_of(second_copy, "typeOfService"), "8");
    CHECK(sluice_socket_to_json(copy, true, again, sizeof again) > 0);
    CHECK_TEXT(again, text);
    /* One alone. */
    CHECK(sluice_socket_to_json(first, false, text, sizeof text) > 0);
    CHECK_EQUAL(sluice_socket_set_property(copy, "hostname", "\"\""), 0);
    CHECK_EQUAL(sluice_socket_from_json(copy, text, false), 0);
    CHECK_TEXT(value_of(copy, "hostname"), "\"example.org\"");
    CHECK_EQUAL(sluice_loop_destroy(other_loop), 0);
    CHECK_EQUAL(sluice_handle_destroy(first), 0);
    CHECK_EQUAL(sluice_handle_destroy(second), 0);
    /* The name is free again. */
    CHECK_EQUAL(sluice_socket_set_property(nameless, "objectId", "\"first\""), 0);
    CHECK_EQUAL(sluice_handle_destroy(nameless), 0);
}

/* Host and port as properties: it connects by itself, again after the peer has closed, and loses nothing that was written meanwhile. */
static void test_auto_connect(void) {
    struct counts counts;
    char json[128], buffer[16];
    sluice_handle server = new_server(loop), socket = sluice_tcp_socket_create(loop), accepted;
    count_events(socket, &counts);
    snprintf(json, sizeof json, "{\"hostname\":\"127.0.0.1\",\"port\":%d,\"reconnectDelay\":{\"first\":1,\"ceiling\":10,\"jitter\":0}}", (int)sluice_server_port(server));
    CHECK_EQUAL(sluice_socket_set_properties(socket, json), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_CONNECTED] == 1 && sluice_server_has_pending_connections(server));
    accepted = sluice_server_next_pending_connection(server);
    CHECK_EQUAL(sluice_handle_destroy(accepted), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
    CHECK_EQUAL(sluice_socket_write(socket, "meanwhile", 9), 9);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_CONNECTED] == 2 && sluice_server_has_pending_connections(server));
    accepted = sluice_server_next_pending_connection(server);
    RUN_UNTIL(loop, sluice_socket_bytes_available(accepted) == 9);
    CHECK_EQUAL(sluice_socket_read(accepted, buffer, sizeof buffer), 9);
    CHECK_EQUAL(sluice_socket_set_property(socket, "autoConnect", "false"), 0);
    CHECK_EQUAL(sluice_handle_destroy(accepted), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 2);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    CHECK_EQUAL(sluice_handle_destroy(server), 0);
}

/* Nothing sent or received for so long. */
static void test_idle(void) {
    struct counts counts;
    sluice_handle client, accepted;
    new_pair(loop, &client, &accepted);
    count_events(client, &counts);
    CHECK_EQUAL(sluice_socket_set_property(client, "idleTimeout", "20"), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_ERROR_OCCURRED].error, SLUICE_ERROR_SOCKET_TIMEOUT);
    CHECK_EQUAL(sluice_handle_destroy(client), 0);
    CHECK_EQUAL(sluice_handle_destroy(accepted), 0);
}

int main(void) {
    sluice_handle sockets[3];
    int i;
    loop = new_loop();
    sockets[0] = sluice_tcp_socket_create(loop);
    sockets[1] = sluice_udp_socket_create(loop);
    sockets[2] = sluice_local_socket_create(loop);
    for (i = 0; i < 3; i++) {
        test_values(sockets[i]);
        CHECK_EQUAL(sluice_handle_destroy(sockets[i]), 0);
    }
    test_bad_texts();
    test_changes();
    test_graph();
    test_auto_connect();
    test_idle();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
