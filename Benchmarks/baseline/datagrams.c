/* Datagrams on the system's calls alone, for comparison: datagrams single|blocking|mmsg|gso ..., the rest as in bench.h.
 *   single    sendto, and epoll_wait with recvfrom until nothing is left
 *   blocking  sendto, and recvfrom that sleeps
 *   mmsg      sendmmsg and recvmmsg of 64
 *   gso       64 in one message that the system takes apart (UDP_SEGMENT), and received joined (UDP_GRO) */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 2048, LARGEST_PACKET = 65000 };

static char message[LARGEST_MESSAGE], buffer[65536];

static struct sockaddr_in system_address(const struct address *address) {
    struct sockaddr_in inet;
    memset(&inet, 0, sizeof inet);
    inet.sin_family = AF_INET;
    inet.sin_port = htons((uint16_t)address->port);
    if (inet_pton(AF_INET, address->host, &inet.sin_addr) != 1) fail(address->host);
    return inet;
}

static int make_socket(void) {
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail("socket");
    return descriptor;
}

/* ---- receiving ---- */

static struct datagram_count received;

static void receive_single(int descriptor, int flags) {
    struct sockaddr_in sender;
    for (;;) {
        socklen_t length = sizeof sender;
        ssize_t size = recvfrom(descriptor, buffer, sizeof buffer, flags, (struct sockaddr *)&sender, &length);
        if (size < 0 && errno == EAGAIN) return;
        if (size < 0) fail("recvfrom");
        count_received(&received, buffer, (uint64_t)size);
    }
}

static void receive_batches(int descriptor) {
    static char room[DATAGRAM_BATCH][ROOM];
    static struct sockaddr_in senders[DATAGRAM_BATCH];
    struct mmsghdr headers[DATAGRAM_BATCH];
    struct iovec pieces[DATAGRAM_BATCH];
    memset(headers, 0, sizeof headers);
    for (int i = 0; i < DATAGRAM_BATCH; i++) {
        pieces[i] = (struct iovec){room[i], ROOM};
        headers[i].msg_hdr = (struct msghdr){.msg_name = &senders[i], .msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    for (;;) {
        for (int i = 0; i < DATAGRAM_BATCH; i++) headers[i].msg_hdr.msg_namelen = sizeof senders[i];
        int count = recvmmsg(descriptor, headers, DATAGRAM_BATCH, MSG_DONTWAIT, NULL);
        if (count < 0 && errno == EAGAIN) return;
        if (count < 0) fail("recvmmsg");
        for (int i = 0; i < count; i++) count_received(&received, room[i], headers[i].msg_len);
        if (count < DATAGRAM_BATCH) return;
    }
}

static void receive_joined(int descriptor) {
    struct sockaddr_in sender;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    for (;;) {
        struct iovec piece = {buffer, sizeof buffer};
        struct msghdr header = {.msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &piece, .msg_iovlen = 1,
                                .msg_control = control.room, .msg_controllen = sizeof control.room};
        ssize_t size = recvmsg(descriptor, &header, MSG_DONTWAIT);
        if (size < 0 && errno == EAGAIN) return;
        if (size < 0) fail("recvmsg");
        int segment = (int)size;
        for (struct cmsghdr *one = CMSG_FIRSTHDR(&header); one != NULL; one = CMSG_NXTHDR(&header, one))
            if (one->cmsg_level == SOL_UDP && one->cmsg_type == UDP_GRO) memcpy(&segment, CMSG_DATA(one), sizeof segment);
        for (ssize_t start = 0; start < size; start += segment)
            count_received(&received, buffer + start, (uint64_t)(size - start < segment ? size - start : segment));
    }
}

static void serve(const struct task *task, const char *style) {
    struct sockaddr_in inet = system_address(&task->address);
    int descriptor = make_socket(), size = DATAGRAM_BUFFER, one = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    bool is_joined = strcmp(style, "gso") == 0, is_batched = strcmp(style, "mmsg") == 0;
    if (is_joined && setsockopt(descriptor, SOL_UDP, UDP_GRO, &one, sizeof one) != 0) fail("UDP_GRO");
    if (bind(descriptor, (struct sockaddr *)&inet, sizeof inet) != 0) fail("bind");
    print_ready();
    if (strcmp(style, "blocking") == 0) receive_single(descriptor, 0);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll");
    for (;;) {
        if (epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR) fail("epoll_wait");
        if (is_joined)
            receive_joined(descriptor);
        else if (is_batched)
            receive_batches(descriptor);
        else
            receive_single(descriptor, MSG_DONTWAIT);
    }
}

/* ---- sending ---- */

static struct datagram_count sent;

static void send_single(int descriptor, const struct sockaddr_in *inet, size_t size) {
    for (int i = 0; i < DATAGRAM_BATCH; i++) {
        if (sendto(descriptor, message, size, 0, (const struct sockaddr *)inet, sizeof *inet) < 0) fail("sendto");
        sent.count++;
    }
}

static void send_batch(int descriptor, struct sockaddr_in *inet, size_t size) {
    struct mmsghdr headers[DATAGRAM_BATCH];
    struct iovec piece = {message, size};
    memset(headers, 0, sizeof headers);
    for (int i = 0; i < DATAGRAM_BATCH; i++)
        headers[i].msg_hdr = (struct msghdr){.msg_name = inet, .msg_namelen = sizeof *inet, .msg_iov = &piece, .msg_iovlen = 1};
    int count = sendmmsg(descriptor, headers, DATAGRAM_BATCH, 0);
    if (count < 0) fail("sendmmsg");
    sent.count += (uint64_t)count;
}

/* The socket has UDP_SEGMENT set to the size. */
static void send_joined(int descriptor, const struct sockaddr_in *inet, size_t size) {
    for (size_t left = DATAGRAM_BATCH; left > 0;) {
        size_t count = left * size > LARGEST_PACKET ? LARGEST_PACKET / size : left;
        if (sendto(descriptor, message, count * size, 0, (const struct sockaddr *)inet, sizeof *inet) < 0) fail("sendto");
        sent.count += count;
        left -= count;
    }
}

static void send_for_a_while(const struct task *task, const char *style) {
    struct sockaddr_in inet = system_address(&task->address);
    size_t size = task->number[1];
    int descriptor = make_socket(), segment = (int)size;
    bool is_joined = strcmp(style, "gso") == 0;
    if (is_joined && setsockopt(descriptor, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment) != 0) fail("UDP_SEGMENT");
    begin_sending(&sent, task->number[0]);
    do {
        if (is_joined)
            send_joined(descriptor, &inet, size);
        else if (strcmp(style, "mmsg") == 0)
            send_batch(descriptor, &inet, size);
        else
            send_single(descriptor, &inet, size);
    } while (has_time(&sent));
    print_sent(&sent);
    segment = 0;
    if (is_joined) setsockopt(descriptor, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
    for (int i = 0; i < FAREWELLS; i++) {
        usleep(FAREWELL_PAUSE);
        if (sendto(descriptor, "FIN", 3, 0, (struct sockaddr *)&inet, sizeof inet) < 0) fail("sendto");
    }
}

int main(int count, char **words) {
    struct task task = parse_task(count, words);
    memset(message, 'x', sizeof message);
    if (task.is_server)
        serve(&task, words[1]);
    else
        send_for_a_while(&task, words[1]);
    return 0;
}
