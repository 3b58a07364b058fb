/* Streams over transports of the user's own: two sockets over a wire in memory, waits, transports that behave badly. */
#include "common.h"

static sluice_handle loop;

/* ---- A wire in memory -------------------------------------------------------------------------------------------------------------- */

#define WIRE_ROOM 1000

struct end {
    struct end *other;
    sluice_handle socket;
    /* What came from the other end. */
    char data[WIRE_ROOM];
    int64_t first, count;
    bool finished;
    /* What one call takes at most. */
    int64_t most_sent, most_received;
    int connects, closes, releases, finishes;
    int32_t port;
    char host[64];
};

static int64_t wire_connect(void *context, const char *host, int32_t port) {
    struct end *end = context;
    end->connects += 1;
    end->port = port;
    snprintf(end->host, sizeof end->host, "%s", host);
    return 0;
}

static int64_t wire_receive(void *context, void *buffer, int64_t capacity) {
    struct end *end = context;
    char *bytes = buffer;
    int64_t i, count = end->count;
    CHECK(capacity > 0);
    if (count == 0)
        return end->finished ? 0 : -EAGAIN;
    if (count > capacity)
        count = capacity;
    if (count > end->most_received)
        count = end->most_received;
    for (i = 0; i < count; i++)
        bytes[i] = end->data[(end->first + i) % WIRE_ROOM];
    end->first = (end->first + count) % WIRE_ROOM;
    end->count -= count;
    /* There is room again. */
    CHECK_EQUAL(sluice_socket_transport_ready(end->other->socket, false, true), 0);
    return count;
}

static int64_t wire_send(void *context, const void *data, int64_t size) {
    struct end *end = context, *other = end->other;
    const char *bytes = data;
    int64_t i, count = WIRE_ROOM - other->count;
    CHECK(size > 0);
    if (count == 0)
        return -EAGAIN;
    if (count > size)
        count = size;
    if (count > end->most_sent)
        count = end->most_sent;
    for (i = 0; i < count; i++)
        other->data[(other->first + other->count + i) % WIRE_ROOM] = bytes[i];
    other->count += count;
    CHECK_EQUAL(sluice_socket_transport_ready(other->socket, true, false), 0);
    return count;
}

static int64_t wire_finish(void *context) {
    struct end *end = context;
    end->finishes += 1;
    end->other->finished = true;
    sluice_socket_transport_ready(end->other->socket, true, false);
    return 0;
}

static void wire_close(void *context) {
    struct end *end = context;
    end->closes += 1;
    end->other->finished = true;
    sluice_socket_transport_ready(end->other->socket, true, false);
}

static void wire_release(void *context) { ((struct end *)context)->releases += 1; }

static const sluice_transport wire = {
    .size = sizeof wire,
    .connect = wire_connect,
    .receive = wire_receive,
    .send = wire_send,
    .finish_sending = wire_finish,
    .close = wire_close,
    .release = wire_release,
};

static struct end near_end, far_end;

static void new_wire(void) {
    memset(&near_end, 0, sizeof near_end);
    memset(&far_end, 0, sizeof far_end);
    near_end.other = &far_end;
    far_end.other = &near_end;
    near_end.most_sent = near_end.most_received = far_end.most_sent = far_end.most_received = WIRE_ROOM;
    near_end.socket = sluice_tcp_socket_create(loop);
    far_end.socket = sluice_tcp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_set_transport(near_end.socket, &wire, &near_end), 0);
    CHECK_EQUAL(sluice_socket_set_transport(far_end.socket, &wire, &far_end), 0);
}

static void connect_wire(void) {
    CHECK_EQUAL(sluice_socket_set_state(far_end.socket, SLUICE_STATE_CONNECTED), 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(near_end.socket, "the other end", 7, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    RUN_UNTIL(loop, sluice_socket_state(near_end.socket) == SLUICE_STATE_CONNECTED && sluice_socket_state(far_end.socket) == SLUICE_STATE_CONNECTED);
}

static void end_wire(void) {
    CHECK_EQUAL(sluice_handle_destroy(near_end.socket), 0);
    CHECK_EQUAL(sluice_handle_destroy(far_end.socket), 0);
    CHECK_EQUAL(near_end.releases, 1);
    CHECK_EQUAL(far_end.releases, 1);
}

static void test_connecting(void) {
    struct counts near_counts, far_counts;
    new_wire();
    count_events(near_end.socket, &near_counts);
    count_events(far_end.socket, &far_counts);
    connect_wire();
    CHECK_EQUAL(near_end.connects, 1);
    CHECK_EQUAL(far_end.connects, 0);
    CHECK_TEXT(near_end.host, "the other end");
    CHECK_EQUAL(near_end.port, 7);
    CHECK_EQUAL(near_counts.of[SLUICE_EVENT_CONNECTED], 1);
    CHECK_EQUAL(far_counts.of[SLUICE_EVENT_CONNECTED], 1);
    CHECK(sluice_socket_is_open(far_end.socket) && sluice_socket_is_valid(far_end.socket));
    CHECK_EQUAL(sluice_socket_descriptor(near_end.socket), -1);
    CHECK_TEXT(text_of(sluice_socket_peer_name, near_end.socket), "the other end");
    CHECK_EQUAL(sluice_socket_set_peer_address(near_end.socket, "192.0.2.7"), 0);
    CHECK_EQUAL(sluice_socket_set_peer_port(near_end.socket, 65535), 0);
    CHECK_EQUAL(sluice_socket_set_local_address(near_end.socket, "wire:1"), 0);
    CHECK_EQUAL(sluice_socket_set_local_port(near_end.socket, 1), 0);
    CHECK_TEXT(text_of(sluice_socket_peer_address, near_end.socket), "192.0.2.7");
    CHECK_EQUAL(sluice_socket_peer_port(near_end.socket), 65535);
    CHECK_TEXT(text_of(sluice_socket_local_address, near_end.socket), "wire:1");
    CHECK_EQUAL(sluice_socket_local_port(near_end.socket), 1);
    /* The transport stays as long as the connection. */
    CHECK_EQUAL(sluice_socket_set_transport(near_end.socket, NULL, NULL), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_set_transport(near_end.socket, &wire, &far_end), SLUICE_ERROR_OPERATION);
    CHECK(near_end.releases == 0 && far_end.releases == 0);
    end_wire();
    CHECK(near_end.closes == 1 && far_end.closes == 1);
}

/* Both ways at once, in pieces of all sizes, with the queues of both sockets full at times. */
static void test_transfer(int64_t near_most, int64_t far_most) {
    enum { SIZE = 300000 };
    int64_t near_sent = 0, far_sent = 0, near_got = 0, far_got = 0;
    new_wire();
    near_end.most_sent = near_most;
    near_end.most_received = far_most + 1;
    far_end.most_sent = far_most;
    connect_wire();
    CHECK_EQUAL(sluice_socket_set_write_buffer_size(near_end.socket, 5000), 0);
    CHECK_EQUAL(sluice_socket_set_read_buffer_size(far_end.socket, 3000), 0);
    while (near_got < SIZE || far_got < SIZE) {
        char piece[4096];
        int64_t count, i;
        if (near_sent < SIZE) {
            for (i = 0; i < (int64_t)sizeof piece; i++)
                piece[i] = (char)pattern((uint64_t)(near_sent + i));
            count = SIZE - near_sent;
            count = sluice_socket_write(near_end.socket, piece, count < (int64_t)sizeof piece ? count : (int64_t)sizeof piece);
            CHECK(count >= 0);
            near_sent += count;
        }
        if (far_sent < SIZE) {
            for (i = 0; i < 1000; i++)
                piece[i] = (char)pattern((uint64_t)(far_sent + i) + 77);
            count = sluice_socket_write(far_end.socket, piece, SIZE - far_sent < 1000 ? SIZE - far_sent : 1000);
            CHECK(count >= 0);
            far_sent += count;
        }
        CHECK(sluice_loop_run_once(loop, 0) >= 0);
        CHECK(sluice_socket_bytes_available(far_end.socket) <= 3000);
        count = sluice_socket_read(far_end.socket, piece, sizeof piece);
        CHECK(count >= 0);
        for (i = 0; i < count; i++)
            CHECK_EQUAL((unsigned char)piece[i], pattern((uint64_t)(far_got + i)));
        far_got += count;
        count = sluice_socket_read(near_end.socket, piece, sizeof piece);
        CHECK(count >= 0);
        for (i = 0; i < count; i++)
            CHECK_EQUAL((unsigned char)piece[i], pattern((uint64_t)(near_got + i) + 77));
        near_got += count;
    }
    CHECK(near_got == SIZE && far_got == SIZE);
    end_wire();
}

/* An end in order: the last bytes go first, then the other end is told. */
static void test_ending(void) {
    struct counts counts;
    char buffer[2000];
    new_wire();
    count_events(far_end.socket, &counts);
    connect_wire();
    memset(buffer, 'x', sizeof buffer);
    /* More than the wire holds. */
    CHECK_EQUAL(sluice_socket_write(near_end.socket, buffer, sizeof buffer), sizeof buffer);
    CHECK_EQUAL(sluice_socket_disconnect_from_host(near_end.socket), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1 && sluice_socket_state(near_end.socket) == SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(sluice_socket_bytes_available(far_end.socket), sizeof buffer);
    CHECK_EQUAL(sluice_socket_error(far_end.socket), SLUICE_ERROR_REMOTE_HOST_CLOSED);
    CHECK_EQUAL(near_end.finishes, 1);
    CHECK(near_end.closes == 1 && far_end.closes == 1);
    CHECK(!sluice_socket_is_valid(near_end.socket));
    /* The transport is still there for the next connection. */
    near_end.finished = far_end.finished = false;
    connect_wire();
    CHECK_EQUAL(near_end.connects, 2);
    /* A half close. */
    CHECK_EQUAL(sluice_socket_set_allow_half_open(far_end.socket, true), 0);
    CHECK_EQUAL(sluice_socket_shutdown_write(near_end.socket), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_READ_CHANNEL_FINISHED] == 2);
    CHECK_EQUAL(sluice_socket_state(far_end.socket), SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(sluice_socket_write(far_end.socket, "still", 5), 5);
    RUN_UNTIL(loop, sluice_socket_bytes_available(near_end.socket) == 5);
    /* The transport itself says that it is over. */
    CHECK_EQUAL(sluice_socket_set_state(far_end.socket, SLUICE_STATE_UNCONNECTED), 0);
    CHECK_EQUAL(sluice_socket_state(far_end.socket), SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_DISCONNECTED], 2);
    CHECK_EQUAL(far_end.closes, 2);
    end_wire();
}

/* ---- A transport over a descriptor, which can be waited for ------------------------------------------------------------------------ */

static int64_t fd_result(ssize_t result) { return result >= 0 ? result : -errno; }

static int64_t fd_receive(void *context, void *buffer, int64_t capacity) {
    return fd_result(recv(*(int *)context, buffer, (size_t)capacity, MSG_DONTWAIT));
}

static int64_t fd_send(void *context, const void *data, int64_t size) {
    return fd_result(send(*(int *)context, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static int64_t fd_finish(void *context) { return fd_result(shutdown(*(int *)context, SHUT_WR)); }

static int64_t fd_wait(void *context, bool readable, bool writable, int64_t timeout) {
    struct pollfd entry;
    entry.fd = *(int *)context;
    entry.events = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
    return fd_result(poll(&entry, 1, (int)timeout));
}

static void *answer(void *context) {
    char buffer[5];
    raw_receive(*(int *)context, buffer, sizeof buffer);
    raw_send(*(int *)context, "answer", 6);
    close(*(int *)context);
    return NULL;
}

static void test_waiting(void) {
    sluice_transport transport;
    int pair[2];
    char buffer[16];
    pthread_t thread;
    sluice_handle socket = sluice_tcp_socket_create(loop);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    memset(&transport, 0, sizeof transport);
    transport.size = sizeof transport;
    transport.receive = fd_receive;
    transport.send = fd_send;
    transport.finish_sending = fd_finish;
    transport.wait = fd_wait;
    CHECK_EQUAL(sluice_socket_set_transport(socket, &transport, &pair[0]), 0);
    /* It cannot be asked to connect, and is connected already. */
    CHECK_EQUAL(sluice_socket_set_state(socket, SLUICE_STATE_CONNECTED), 0);
    CHECK(pthread_create(&thread, NULL, answer, &pair[1]) == 0);
    CHECK(!sluice_socket_wait_for_ready_read(socket, 20));
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_SOCKET_TIMEOUT);
    CHECK_EQUAL(sluice_socket_write(socket, "hello", 5), 5);
    CHECK(sluice_socket_wait_for_bytes_written(socket, -1));
    CHECK(sluice_socket_wait_for_ready_read(socket, -1));
    while (sluice_socket_bytes_available(socket) < 6)
        CHECK(sluice_socket_wait_for_ready_read(socket, -1));
    CHECK_EQUAL(sluice_socket_read(socket, buffer, sizeof buffer), 6);
    CHECK(sluice_socket_wait_for_disconnected(socket, -1));
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_REMOTE_HOST_CLOSED);
    CHECK(pthread_join(thread, NULL) == 0);
    close(pair[0]);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

/* Without a wait function a wait answers what can be answered at once, and does not hang. */
static void test_no_waiting(void) {
    new_wire();
    connect_wire();
    CHECK(!sluice_socket_wait_for_ready_read(near_end.socket, -1));
    CHECK_EQUAL(sluice_socket_state(near_end.socket), SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(sluice_socket_write(far_end.socket, "now", 3), 3);
    CHECK_EQUAL(sluice_socket_sync(far_end.socket, -1), 0);
    CHECK_EQUAL(sluice_socket_bytes_available(near_end.socket), 3);
    CHECK(!sluice_socket_wait_for_disconnected(near_end.socket, -1));
    end_wire();
}

/* ---- Transports that fail, or answer nonsense --------------------------------------------------------------------------------------- */

/* What each function answers, and what it does to the socket before. */
struct answers {
    int64_t connect, receive, send, finish, wait;
    void (*action)(sluice_handle);
    int actions;
    int when; /* which function acts: 'c', 'r', 's', 'f', 'x' (close), 'w' */
    int releases;
    int sends;
    sluice_handle socket;
};

static void act(struct answers *answers, int when) {
    if (answers->when != when || answers->action == NULL || answers->actions > 0)
        return;
    answers->actions += 1;
    answers->action(answers->socket);
}

static int64_t say_connect(void *context, const char *host, int32_t port) {
    struct answers *answers = context;
    (void)host;
    (void)port;
    act(answers, 'c');
    return answers->connect;
}

static int64_t say_receive(void *context, void *buffer, int64_t capacity) {
    struct answers *answers = context;
    int64_t result = answers->receive;
    if (result > 0 && result <= capacity)
        memset(buffer, 'r', (size_t)result);
    else if (result > 0)
        memset(buffer, 'r', (size_t)capacity);
    act(answers, 'r');
    /* Once is enough. */
    if (result > 0)
        answers->receive = -EAGAIN;
    return result;
}

static int64_t say_send(void *context, const void *data, int64_t size) {
    struct answers *answers = context;
    (void)data;
    (void)size;
    answers->sends += 1;
    act(answers, 's');
    return answers->send;
}

static int64_t say_finish(void *context) {
    struct answers *answers = context;
    act(answers, 'f');
    return answers->finish;
}

static void say_close(void *context) { act(context, 'x'); }

static int64_t say_wait(void *context, bool readable, bool writable, int64_t timeout) {
    struct answers *answers = context;
    (void)readable;
    (void)writable;
    (void)timeout;
    act(answers, 'w');
    return answers->wait;
}

static void say_release(void *context) { ((struct answers *)context)->releases += 1; }

static const sluice_transport speaker = {
    .size = sizeof speaker,
    .connect = say_connect,
    .receive = say_receive,
    .send = say_send,
    .finish_sending = say_finish,
    .close = say_close,
    .wait = say_wait,
    .release = say_release,
};

static sluice_handle new_speaker(struct answers *answers) {
    memset(answers, 0, sizeof *answers);
    answers->receive = -EAGAIN;
    answers->send = -EAGAIN;
    answers->socket = sluice_tcp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_set_transport(answers->socket, &speaker, answers), 0);
    return answers->socket;
}

static sluice_handle connected_speaker(struct answers *answers) {
    sluice_handle socket = new_speaker(answers);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "x", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CONNECTED);
    return socket;
}

static void test_connect_failures(void) {
    struct answers answers;
    struct counts counts;
    sluice_attempt attempt;
    sluice_handle socket = new_speaker(&answers);
    count_events(socket, &counts);
    answers.connect = -ECONNREFUSED;
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "x", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 1);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_CONNECTION_REFUSED);
    attempt.size = sizeof attempt;
    CHECK_EQUAL(sluice_socket_attempt_count(socket), 1);
    CHECK_EQUAL(sluice_socket_attempt(socket, 0, &attempt), 0);
    CHECK_EQUAL(attempt.phase, SLUICE_PHASE_CONNECT);

    /* Numbers that no errno is. */
    {
        static const int64_t nonsense[] = {INT64_MIN, -1000000, INT64_MIN + 1, -4096};
        size_t i;
        for (i = 0; i < 4; i++) {
            answers.connect = nonsense[i];
            CHECK_EQUAL(sluice_socket_connect_to_host(socket, "x", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
            CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_UNCONNECTED);
            CHECK_EQUAL(sluice_socket_system_error(socket), EIO);
        }
    }
    /* Under way, then not. */
    answers.connect = -EINPROGRESS;
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "x", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CONNECTING);
    CHECK_EQUAL(sluice_socket_set_error(socket, SLUICE_ERROR_SOCKET_ACCESS), 0);
    CHECK_EQUAL(sluice_socket_set_error_string(socket, "the line is dead"), 0);
    counts.of[SLUICE_EVENT_ERROR_OCCURRED] = 0;
    CHECK_EQUAL(sluice_socket_set_state(socket, SLUICE_STATE_UNCONNECTED), 0);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 1);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_ERROR_OCCURRED].error, SLUICE_ERROR_SOCKET_ACCESS);
    CHECK(strstr(counts.message, "the line is dead") != NULL);
    /* Under way, and the time is over. */
    CHECK_EQUAL(sluice_socket_set_connect_timeout(socket, 10), 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "x", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_ERROR_OCCURRED] == 2);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_SOCKET_TIMEOUT);
    /* Under way, then done; what was written meanwhile goes out. */
    CHECK_EQUAL(sluice_socket_set_connect_timeout(socket, -1), 0);
    CHECK_EQUAL(sluice_socket_connect_to_host(socket, "x", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
    CHECK_EQUAL(sluice_socket_write(socket, "early", 5), 5);
    answers.send = 5;
    CHECK_EQUAL(sluice_socket_set_state(socket, SLUICE_STATE_CONNECTED), 0);
    RUN_UNTIL(loop, sluice_socket_bytes_to_write(socket) == 0);
    CHECK_EQUAL(answers.sends, 1);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    CHECK_EQUAL(answers.releases, 1);

    /* A transport that cannot be asked. */
    {
        sluice_transport mute = speaker;
        mute.connect = NULL;
        memset(&answers, 0, sizeof answers);
        socket = sluice_tcp_socket_create(loop);
        CHECK_EQUAL(sluice_socket_set_transport(socket, &mute, &answers), 0);
        CHECK_EQUAL(sluice_socket_connect_to_host(socket, "x", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY), 0);
        CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_UNCONNECTED);
        CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
        CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    }
}

static void test_failing_later(void) {
    static const int64_t failures[] = {-ECONNRESET, -EPIPE, -EIO, -EBADF, INT64_MIN, -5000};
    struct answers answers;
    struct counts counts;
    size_t i;
    for (i = 0; i < sizeof failures / sizeof *failures; i++) {
        sluice_handle socket = connected_speaker(&answers);
        count_events(socket, &counts);
        answers.receive = failures[i];
        CHECK_EQUAL(sluice_socket_transport_ready(socket, true, false), 0);
        RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
        CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 1);
        CHECK(sluice_socket_error(socket) != SLUICE_ERROR_NONE);
        CHECK_EQUAL(sluice_handle_destroy(socket), 0);
        CHECK_EQUAL(answers.releases, 1);

        socket = connected_speaker(&answers);
        count_events(socket, &counts);
        answers.send = failures[i];
        CHECK_EQUAL(sluice_socket_write(socket, "data", 4), 4);
        RUN_UNTIL(loop, counts.of[SLUICE_EVENT_DISCONNECTED] == 1);
        CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 1);
        CHECK(strstr(counts.message, "4 bytes were not sent") != NULL);
        CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    }
    /* More than there was room for, or than there was. */
    {
        sluice_handle socket = connected_speaker(&answers);
        count_events(socket, &counts);
        answers.receive = INT64_MAX;
        CHECK_EQUAL(sluice_socket_transport_ready(socket, true, false), 0);
        CHECK(sluice_socket_bytes_available(socket) > 0 && sluice_socket_bytes_available(socket) <= 1 << 20);
        answers.send = INT64_MAX;
        CHECK_EQUAL(sluice_socket_write(socket, "data", 4), 4);
        RUN_UNTIL(loop, sluice_socket_bytes_to_write(socket) == 0);
        CHECK_EQUAL(counts.sum[SLUICE_EVENT_BYTES_WRITTEN], 4);
        /* None taken: asked again only when it says so. */
        answers.send = 0;
        answers.sends = 0;
        CHECK_EQUAL(sluice_socket_write(socket, "data", 4), 4);
        for (i = 0; i < 10; i++)
            CHECK(sluice_loop_run_once(loop, 0) >= 0);
        CHECK(answers.sends >= 1 && answers.sends <= 2);
        answers.send = 3;
        CHECK_EQUAL(sluice_socket_transport_ready(socket, false, true), 0);
        RUN_UNTIL(loop, sluice_socket_bytes_to_write(socket) == 0);
        /* An end that takes its time. */
        answers.finish = -EAGAIN;
        CHECK_EQUAL(sluice_socket_disconnect_from_host(socket), 0);
        CHECK(sluice_loop_run_once(loop, 0) >= 0);
        CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CLOSING);
        answers.finish = 0;
        CHECK_EQUAL(sluice_socket_transport_ready(socket, false, true), 0);
        RUN_UNTIL(loop, sluice_socket_state(socket) == SLUICE_STATE_UNCONNECTED);
        CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    }
    /* An end that fails, and waits that answer nonsense. */
    {
        static const int64_t nonsense[] = {INT64_MIN, -EIO, -EOPNOTSUPP, -1};
        for (i = 0; i < 4; i++) {
            sluice_handle socket = connected_speaker(&answers);
            answers.wait = nonsense[i];
            answers.finish = nonsense[i];
            CHECK(!sluice_socket_wait_for_ready_read(socket, 50));
            CHECK(!sluice_socket_wait_for_disconnected(socket, 50));
            CHECK_EQUAL(sluice_socket_close(socket), 0);
            RUN_UNTIL(loop, sluice_socket_state(socket) == SLUICE_STATE_UNCONNECTED);
            CHECK_EQUAL(sluice_handle_destroy(socket), 0);
        }
    }
}

/* What a transport should not do: it changes its own socket from inside its functions. No harm comes of it. */
static void by_close(sluice_handle socket) { sluice_socket_close(socket); }
static void by_abort(sluice_handle socket) { sluice_socket_abort(socket); }
static void by_disconnect(sluice_handle socket) { sluice_socket_disconnect_from_host(socket); }
static void by_destroy(sluice_handle socket) { sluice_handle_destroy(socket); }
static void by_state(sluice_handle socket) { sluice_socket_set_state(socket, SLUICE_STATE_UNCONNECTED); }
static void by_transport(sluice_handle socket) { sluice_socket_set_transport(socket, NULL, NULL); }
static void by_write(sluice_handle socket) { sluice_socket_write(socket, "more", 4); }
static void by_flush(sluice_handle socket) { sluice_socket_flush(socket); }
static void by_ready(sluice_handle socket) { sluice_socket_transport_ready(socket, true, true); }
static void by_connect(sluice_handle socket) {
    sluice_socket_abort(socket);
    sluice_socket_connect_to_host(socket, "y", 2, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
}
static void by_wait(sluice_handle socket) { sluice_socket_wait_for_ready_read(socket, 1); }
static void by_loop(sluice_handle socket) {
    (void)socket;
    CHECK(sluice_loop_run_once(loop, 0) >= 0);
}

static void (*const actions[])(sluice_handle) = {by_close,     by_abort, by_disconnect, by_destroy, by_state, by_transport, by_write,
                                                 by_flush,     by_ready, by_connect,    by_wait,    by_loop};

static void test_meddling(void) {
    static const char moments[] = "crsfxw";
    size_t i, moment;
    for (i = 0; i < sizeof actions / sizeof *actions; i++)
        for (moment = 0; moment < sizeof moments - 1; moment++) {
            struct answers answers;
            sluice_handle socket = new_speaker(&answers);
            answers.action = actions[i];
            answers.when = moments[moment];
            sluice_socket_connect_to_host(socket, "x", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
            answers.receive = 10;
            sluice_socket_transport_ready(socket, true, true);
            answers.send = 2;
            sluice_socket_write(socket, "data", 4);
            CHECK(sluice_loop_run_once(loop, 0) >= 0);
            sluice_socket_flush(socket);
            answers.wait = 1;
            sluice_socket_wait_for_ready_read(socket, 0);
            sluice_socket_wait_for_ready_read(socket, 1);
            answers.send = 100;
            sluice_socket_transport_ready(socket, true, true);
            sluice_socket_disconnect_from_host(socket);
            CHECK(sluice_loop_run_once(loop, 0) >= 0);
            sluice_socket_abort(socket);
            if (actions[i] != by_transport)
                CHECK(answers.actions == 1);
            if (sluice_handle_kind(socket) != SLUICE_KIND_NONE)
                CHECK_EQUAL(sluice_handle_destroy(socket), 0);
            CHECK_EQUAL(answers.releases, 1);
        }
}

/* The same from inside the events that a transport brings. */
static void act_on_event(const sluice_event *event, void *context) {
    struct answers *answers = context;
    if (event->type != (sluice_event_type)answers->when)
        return;
    if (answers->action != NULL) {
        void (*action)(sluice_handle) = answers->action;
        answers->action = NULL;
        action(event->handle);
    }
}

static void test_in_events(void) {
    static const sluice_event_type types[] = {SLUICE_EVENT_CONNECTED, SLUICE_EVENT_READY_READ, SLUICE_EVENT_BYTES_WRITTEN, SLUICE_EVENT_STATE_CHANGED,
                                              SLUICE_EVENT_ERROR_OCCURRED, SLUICE_EVENT_DISCONNECTED};
    size_t i, type;
    for (i = 0; i < sizeof actions / sizeof *actions; i++)
        for (type = 0; type < sizeof types / sizeof *types; type++) {
            struct answers answers;
            sluice_handle socket = new_speaker(&answers);
            CHECK_EQUAL(sluice_handle_subscribe(socket, SLUICE_EVENTS_ALL), 0);
            CHECK_EQUAL(sluice_handle_set_callback(socket, act_on_event, &answers), 0);
            answers.action = actions[i];
            answers.when = types[type];
            sluice_socket_connect_to_host(socket, "x", 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
            answers.receive = 10;
            sluice_socket_transport_ready(socket, true, false);
            answers.send = 4;
            sluice_socket_write(socket, "data", 4);
            sluice_socket_flush(socket);
            CHECK(sluice_loop_run_once(loop, 0) >= 0);
            answers.receive = -ECONNRESET;
            sluice_socket_transport_ready(socket, true, true);
            CHECK(sluice_loop_run_once(loop, 0) >= 0);
            if (sluice_handle_kind(socket) != SLUICE_KIND_NONE)
                CHECK_EQUAL(sluice_handle_destroy(socket), 0);
            CHECK_EQUAL(answers.releases, 1);
        }
}

static void test_arguments(void) {
    sluice_transport transport = speaker;
    struct answers first, second;
    sluice_handle socket = sluice_tcp_socket_create(loop), udp = sluice_udp_socket_create(loop), other_loop;
    memset(&first, 0, sizeof first);
    memset(&second, 0, sizeof second);
    transport.size = 0;
    CHECK_EQUAL(sluice_socket_set_transport(socket, &transport, &first), SLUICE_ERROR_INVALID_ARGUMENT);
    transport.size = sizeof transport - 1;
    CHECK_EQUAL(sluice_socket_set_transport(socket, &transport, &first), SLUICE_ERROR_INVALID_ARGUMENT);
    transport.size = sizeof transport;
    transport.receive = NULL;
    CHECK_EQUAL(sluice_socket_set_transport(socket, &transport, &first), SLUICE_ERROR_INVALID_ARGUMENT);
    transport.receive = say_receive;
    transport.send = NULL;
    CHECK_EQUAL(sluice_socket_set_transport(socket, &transport, &first), SLUICE_ERROR_INVALID_ARGUMENT);
    transport.send = say_send;
    CHECK_EQUAL(sluice_socket_set_transport(udp, &transport, &first), SLUICE_ERROR_WRONG_KIND);
    CHECK_EQUAL(sluice_socket_transport_ready(udp, true, true), SLUICE_ERROR_WRONG_KIND);
    CHECK_EQUAL(first.releases, 0);
    /* Replaced, and replaced by none: each is let go of once. */
    CHECK_EQUAL(sluice_socket_set_transport(socket, &transport, &first), 0);
    CHECK_EQUAL(sluice_socket_set_transport(socket, &transport, &second), 0);
    CHECK(first.releases == 1 && second.releases == 0);
    CHECK_EQUAL(sluice_socket_set_transport(socket, NULL, &first), 0);
    CHECK(first.releases == 1 && second.releases == 1);
    CHECK_EQUAL(sluice_socket_transport_ready(socket, true, true), 0);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
    CHECK_EQUAL(sluice_handle_destroy(udp), 0);
    /* With the loop. */
    other_loop = new_loop();
    memset(&first, 0, sizeof first);
    first.receive = first.send = -EAGAIN;
    first.socket = sluice_local_socket_create(other_loop);
    CHECK_EQUAL(sluice_socket_set_transport(first.socket, &transport, &first), 0);
    CHECK_EQUAL(sluice_local_socket_connect_to_server(first.socket, "anything", SLUICE_OPEN_READ_WRITE), 0);
    CHECK_EQUAL(sluice_socket_state(first.socket), SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(sluice_loop_destroy(other_loop), 0);
    CHECK_EQUAL(first.releases, 1);
}

/* ---- Sockets that only look like some ----------------------------------------------------------------------------------------------- */

static void test_appearance(sluice_handle socket) {
    struct counts counts;
    count_events(socket, &counts);
    CHECK_EQUAL(sluice_socket_set_peer_name(socket, "name"), 0);
    CHECK_EQUAL(sluice_socket_set_peer_address(socket, "192.0.2.1"), 0);
    CHECK_EQUAL(sluice_socket_set_peer_port(socket, 80), 0);
    CHECK_EQUAL(sluice_socket_set_local_address(socket, "192.0.2.2"), 0);
    CHECK_EQUAL(sluice_socket_set_local_port(socket, 0), 0);
    CHECK_TEXT(text_of(sluice_socket_peer_name, socket), "name");
    CHECK_TEXT(text_of(sluice_socket_peer_address, socket), "192.0.2.1");
    CHECK_TEXT(text_of(sluice_socket_local_address, socket), "192.0.2.2");
    CHECK_EQUAL(sluice_socket_peer_port(socket), 80);
    CHECK_EQUAL(sluice_socket_set_state(socket, SLUICE_STATE_CONNECTED), 0);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(sluice_socket_set_error(socket, SLUICE_ERROR_NETWORK), 0);
    CHECK_EQUAL(sluice_socket_error(socket), SLUICE_ERROR_NETWORK);
    CHECK_EQUAL(sluice_socket_set_error_string(socket, "gr\xc3\xbc\xc3\x9f"), 0);
    CHECK_TEXT(text_of(sluice_socket_error_string, socket), "gr\xc3\xbc\xc3\x9f");
    CHECK_EQUAL(counts.of[SLUICE_EVENT_STATE_CHANGED] + counts.of[SLUICE_EVENT_ERROR_OCCURRED] + counts.of[SLUICE_EVENT_CONNECTED], 0);

    CHECK_EQUAL(sluice_socket_set_peer_name(socket, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_peer_address(socket, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_local_address(socket, "\xff"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_error_string(socket, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_peer_port(socket, -1), SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_socket_set_local_port(socket, 65536), SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE);
    CHECK_EQUAL(sluice_socket_set_state(socket, 7), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_state(socket, -1), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_set_error(socket, 4), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_socket_peer_port(socket), 80);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CONNECTED);
    /* What it cannot do, it says. */
    CHECK(sluice_socket_read(socket, NULL, 0) <= 0);
    CHECK(sluice_socket_write(socket, "x", 1) < 0 || sluice_socket_bytes_to_write(socket) == 1);
    CHECK(!sluice_socket_wait_for_ready_read(socket, 0));
    CHECK_EQUAL(sluice_socket_abort(socket), 0);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

static void test_real_ones_refuse(void) {
    int peer;
    sluice_handle socket = new_raw_pair(loop, &peer);
    CHECK_EQUAL(sluice_socket_set_peer_name(socket, "x"), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_set_peer_address(socket, "x"), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_set_peer_port(socket, 1), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_set_local_address(socket, "x"), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_set_local_port(socket, 1), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_set_state(socket, SLUICE_STATE_UNCONNECTED), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_set_error(socket, SLUICE_ERROR_NETWORK), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_set_error_string(socket, "x"), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_CONNECTED);
    close(peer);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

int main(void) {
    loop = new_loop();
    test_connecting();
    test_transfer(WIRE_ROOM, WIRE_ROOM);
    test_transfer(1, 13);
    test_transfer(333, 1);
    test_ending();
    test_waiting();
    test_no_waiting();
    test_connect_failures();
    test_failing_later();
    test_meddling();
    test_in_events();
    test_arguments();
    test_appearance(sluice_tcp_socket_create(loop));
    test_appearance(sluice_udp_socket_create(loop));
    test_appearance(sluice_local_socket_create(loop));
    test_real_ones_refuse();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
