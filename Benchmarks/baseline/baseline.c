/* The same work on the system's calls alone, for comparison: baseline epoll|gather|blocking ..., the rest as in bench.h.
 *   epoll     level-triggered readiness, one write for each piece
 *   gather    as epoll; streams go by writev of 16 large pieces, or small ones gathered in 256 KiB
 *   blocking  one connection at a time, read and write that sleep
 * One more client operation, for measuring memory: idle NUMBER opens that many connections, prints CONNECTED and waits for the end of
 * its input. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { BATCH = 256, PIECES = 16, GATHERED = 262144 };

static char buffer[65536], message[LARGEST_MESSAGE];
static bool uses_epoll, gathers;

static socklen_t system_address(const struct address *address, struct sockaddr_storage *storage) {
    memset(storage, 0, sizeof *storage);
    if (address->is_unix) {
        struct sockaddr_un *local = (struct sockaddr_un *)storage;
        local->sun_family = AF_UNIX;
        memcpy(local->sun_path, address->host, strnlen(address->host, sizeof local->sun_path - 1));
        return sizeof *local;
    }
    struct sockaddr_in *inet = (struct sockaddr_in *)storage;
    inet->sin_family = AF_INET;
    inet->sin_port = htons((uint16_t)address->port);
    if (inet_pton(AF_INET, address->host, &inet->sin_addr) != 1) fail(address->host);
    return sizeof *inet;
}

static void without_delay(const struct address *address, int descriptor) {
    int one = 1;
    if (!address->is_unix) setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int make_socket(const struct address *address, int flags) {
    int descriptor = socket(address->is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (descriptor < 0) fail("socket");
    return descriptor;
}

static int connect_to(const struct address *address) {
    struct sockaddr_storage storage;
    socklen_t size = system_address(address, &storage);
    int descriptor = make_socket(address, 0);
    if (connect(descriptor, (struct sockaddr *)&storage, size) != 0) fail("connect");
    without_delay(address, descriptor);
    return descriptor;
}

static int listen_on(const struct address *address, int flags) {
    struct sockaddr_storage storage;
    socklen_t size = system_address(address, &storage);
    int descriptor = make_socket(address, flags), one = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (address->is_unix) unlink(address->host);
    if (bind(descriptor, (struct sockaddr *)&storage, size) != 0) fail("bind");
    if (listen(descriptor, 4096) != 0) fail("listen");
    return descriptor;
}

static void control(int epoll, int operation, int descriptor, uint32_t events, void *data) {
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(epoll, operation, descriptor, &event) != 0) fail("epoll_ctl");
}

/* A fresh epoll that watches this descriptor, whose calls then do not sleep: recv and send are told so each time. */
static int watch(int descriptor, uint32_t events) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    control(epoll, EPOLL_CTL_ADD, descriptor, events, NULL);
    return epoll;
}

static void sleep_on(int epoll) {
    struct epoll_event event;
    while (epoll_wait(epoll, &event, 1, -1) < 0)
        if (errno != EINTR) fail("epoll_wait");
}

static void send_all(int descriptor, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t sent = send(descriptor, bytes, size, MSG_NOSIGNAL);
        if (sent < 0) fail("send");
        bytes += sent;
        size -= (size_t)sent;
    }
}

/* ---- servers ---- */

static void serve_blocking(const struct task *task) {
    int listener = listen_on(&task->address, 0);
    print_ready();
    for (;;) {
        int descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (descriptor < 0) fail("accept");
        without_delay(&task->address, descriptor);
        ssize_t count;
        while ((count = recv(descriptor, buffer, sizeof buffer, 0)) > 0)
            if (!task->is_sink) send_all(descriptor, buffer, (size_t)count);
        if (task->is_sink) send_all(descriptor, "K", 1);
        close(descriptor);
    }
}

/* What the peer did not take of an echo waits here, and reading with it. */
struct connection {
    int descriptor;
    char *unsent;
    size_t begin, end;
};

static void end_connection(struct connection *connection) {
    close(connection->descriptor);
    free(connection->unsent);
    free(connection);
}

static void send_rest(int epoll, struct connection *connection) {
    ssize_t sent = send(connection->descriptor, connection->unsent + connection->begin, connection->end - connection->begin,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) connection->begin += (size_t)sent;
    if (connection->begin < connection->end) return;
    free(connection->unsent);
    connection->unsent = NULL;
    control(epoll, EPOLL_CTL_MOD, connection->descriptor, EPOLLIN, connection);
}

static void receive(int epoll, struct connection *connection, bool is_sink) {
    ssize_t count = recv(connection->descriptor, buffer, sizeof buffer, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
        if (is_sink && count == 0) send(connection->descriptor, "K", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        end_connection(connection);
        return;
    }
    if (is_sink) return;
    ssize_t sent = send(connection->descriptor, buffer, (size_t)count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == count) return;
    if (sent < 0) sent = 0;
    connection->unsent = allocate(1, (uint64_t)(count - sent));
    memcpy(connection->unsent, buffer + sent, (size_t)(count - sent));
    connection->begin = 0;
    connection->end = (size_t)(count - sent);
    control(epoll, EPOLL_CTL_MOD, connection->descriptor, EPOLLOUT, connection);
}

static void serve_epoll(const struct task *task) {
    int listener = listen_on(&task->address, SOCK_NONBLOCK), epoll = watch(listener, EPOLLIN);
    struct epoll_event events[BATCH];
    print_ready();
    for (;;) {
        int count = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection == NULL) {
                int descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (descriptor < 0) continue;
                without_delay(&task->address, descriptor);
                connection = allocate(1, sizeof *connection);
                connection->descriptor = descriptor;
                control(epoll, EPOLL_CTL_ADD, descriptor, EPOLLIN, connection);
            } else if (connection->unsent != NULL) {
                send_rest(epoll, connection);
            } else {
                receive(epoll, connection, task->is_sink);
            }
        }
    }
}

/* ---- clients ---- */

static void round_trips(const struct task *task) {
    uint64_t count = task->number[0], size = task->number[1], *times = allocate(count, sizeof *times), started = 0;
    int descriptor = connect_to(&task->address), epoll = uses_epoll ? watch(descriptor, EPOLLIN) : -1;
    for (uint64_t i = 0; i < WARM_UP + count; i++) {
        uint64_t begin = now();
        if (i == WARM_UP) started = begin;
        send_all(descriptor, message, size);
        for (uint64_t got = 0; got < size;) {
            if (uses_epoll) sleep_on(epoll);
            ssize_t result = recv(descriptor, buffer, sizeof buffer, uses_epoll ? MSG_DONTWAIT : 0);
            if (result < 0 && errno == EAGAIN) continue;
            if (result <= 0) fail("recv");
            got += (uint64_t)result;
        }
        if (i >= WARM_UP) times[i - WARM_UP] = now() - begin;
    }
    print_round_trips(times, count, now() - started);
}

/* Sends all of these pieces, sleeping in epoll when the system takes no more. */
static void send_pieces(int descriptor, int epoll, struct iovec *pieces, size_t count) {
    while (count > 0) {
        struct msghdr header = {.msg_iov = pieces, .msg_iovlen = count};
        ssize_t sent = sendmsg(descriptor, &header, MSG_NOSIGNAL | (uses_epoll ? MSG_DONTWAIT : 0));
        if (sent < 0 && errno == EAGAIN) {
            sleep_on(epoll);
            continue;
        }
        if (sent < 0) fail("sendmsg");
        while (count > 0 && (size_t)sent >= pieces->iov_len) {
            sent -= (ssize_t)pieces->iov_len;
            pieces++;
            count--;
        }
        if (count > 0) {
            pieces->iov_base = (char *)pieces->iov_base + sent;
            pieces->iov_len -= (size_t)sent;
        }
    }
}

static void stream(const struct task *task) {
    uint64_t total = task->number[0], size = task->number[1];
    int descriptor = connect_to(&task->address), epoll = uses_epoll ? watch(descriptor, EPOLLOUT) : -1;
    static char stage[GATHERED];
    uint64_t started = now();
    for (uint64_t sent = 0; sent < total;) {
        struct iovec pieces[PIECES];
        size_t count = 0;
        if (gathers && size < GATHERED / PIECES) {
            size_t filled = 0;
            while (filled + size <= sizeof stage && sent < total) {
                memcpy(stage + filled, message, size);
                filled += size;
                sent += size;
            }
            pieces[count++] = (struct iovec){stage, filled};
        } else {
            while (count < (gathers ? PIECES : 1) && sent < total) {
                pieces[count++] = (struct iovec){message, size};
                sent += size;
            }
        }
        send_pieces(descriptor, epoll, pieces, count);
    }
    shutdown(descriptor, SHUT_WR);
    if (recv(descriptor, buffer, 1, 0) != 1) fail("answer");
    print_stream(total, now() - started);
}

static void many(const struct task *task) {
    uint64_t count = task->number[0], total = task->number[1], size = task->number[2], begun = 0, done = 0;
    struct many {
        int descriptor;
        uint64_t got;
    } *all = allocate(count, sizeof *all);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint64_t i = 0; i < count; i++) {
        all[i].descriptor = connect_to(&task->address);
        control(epoll, EPOLL_CTL_ADD, all[i].descriptor, EPOLLIN, &all[i]);
    }
    uint64_t started = now();
    for (; begun < count; begun++) send_all(all[begun].descriptor, message, size);
    struct epoll_event events[BATCH];
    while (done < total) {
        int ready = epoll_wait(epoll, events, BATCH, -1);
        for (int i = 0; i < ready; i++) {
            struct many *one = events[i].data.ptr;
            ssize_t result = recv(one->descriptor, buffer, sizeof buffer, MSG_DONTWAIT);
            if (result < 0 && errno == EAGAIN) continue;
            if (result <= 0) fail("recv");
            one->got += (uint64_t)result;
            if (one->got < size) continue;
            one->got = 0;
            done++;
            if (begun < total) {
                begun++;
                send_all(one->descriptor, message, size);
            }
        }
    }
    print_rate(total, now() - started);
}

static void connections(const struct task *task) {
    struct sockaddr_storage storage;
    socklen_t size = system_address(&task->address, &storage);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t started = now();
    for (uint64_t i = 0; i < task->number[0]; i++) {
        struct linger linger = {1, 0};
        int descriptor = make_socket(&task->address, uses_epoll ? SOCK_NONBLOCK : 0);
        without_delay(&task->address, descriptor);
        if (!task->address.is_unix) setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        int result = connect(descriptor, (struct sockaddr *)&storage, size);
        if (result != 0 && errno != EINPROGRESS) fail("connect");
        if (uses_epoll) {
            control(epoll, EPOLL_CTL_ADD, descriptor, result != 0 ? EPOLLOUT : EPOLLIN, NULL);
            if (result != 0) {
                sleep_on(epoll);
                control(epoll, EPOLL_CTL_MOD, descriptor, EPOLLIN, NULL);
            }
        }
        send_all(descriptor, message, 1);
        if (uses_epoll) sleep_on(epoll);
        if (recv(descriptor, buffer, 1, 0) != 1) fail("recv");
        close(descriptor);
    }
    print_rate(task->number[0], now() - started);
}

static void idle(const struct task *task) {
    for (uint64_t i = 0; i < task->number[0]; i++) {
        struct linger linger = {1, 0};
        int descriptor = connect_to(&task->address);
        if (!task->address.is_unix) setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    puts("CONNECTED");
    fflush(stdout);
    while (getchar() != EOF) continue;
}

int main(int count, char **words) {
    struct task task = parse_task(count, words);
    gathers = strcmp(words[1], "gather") == 0;
    uses_epoll = gathers || strcmp(words[1], "epoll") == 0;
    if (!uses_epoll && strcmp(words[1], "blocking") != 0) {
        fprintf(stderr, "%s: the style is epoll, gather or blocking\n", words[0]);
        return 2;
    }
    memset(message, 'x', sizeof message);
    if (task.is_server)
        uses_epoll ? serve_epoll(&task) : serve_blocking(&task);
    else if (strcmp(task.operation, "rtt") == 0)
        round_trips(&task);
    else if (strcmp(task.operation, "stream") == 0)
        stream(&task);
    else if (strcmp(task.operation, "many") == 0)
        many(&task);
    else if (strcmp(task.operation, "idle") == 0)
        idle(&task);
    else
        connections(&task);
    return 0;
}
