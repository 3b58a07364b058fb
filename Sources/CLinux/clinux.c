#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* --- Polling ------------------------------------------------------------------------------------------------------ */

int clinux_epoll_control(int epoll, int operation, int descriptor, uint32_t events, uint64_t data) {
    struct epoll_event event;
    memset(&event, 0, sizeof event);
    event.events = events;
    event.data.u64 = data;
    return epoll_ctl(epoll, operation, descriptor, &event);
}

/* --- Descriptors -------------------------------------------------------------------------------------------------- */

int clinux_accept(int descriptor, bool non_blocking) {
    return accept4(descriptor, NULL, NULL, SOCK_CLOEXEC | (non_blocking ? SOCK_NONBLOCK : 0));
}

int clinux_set_non_blocking(int descriptor, bool non_blocking) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0) return -1;
    int wanted = non_blocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return wanted == flags ? 0 : fcntl(descriptor, F_SETFL, wanted);
}

int clinux_open_reference(int base, const char *path, bool directory) {
    return openat(base, path, O_PATH | O_CLOEXEC | (directory ? O_DIRECTORY : 0));
}

int clinux_rename_exchange(int from_directory, const char *from, int to_directory, const char *to) {
    return renameat2(from_directory, from, to_directory, to, RENAME_EXCHANGE);
}

int clinux_pipe(int *output, int *input) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
    *output = ends[0];
    *input = ends[1];
    return 0;
}

ssize_t clinux_splice_from_socket(int socket, int pipe, size_t count) {
    return splice(socket, NULL, pipe, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

ssize_t clinux_splice_to_socket(int pipe, int socket, size_t count) {
    sigset_t broken_pipe, pending, before;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
    bool was_pending = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;

    ssize_t count_moved = splice(pipe, NULL, socket, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    int number = errno;

    if (count_moved < 0 && number == EPIPE && !was_pending) {
        struct timespec at_once = {0, 0};
        while (sigtimedwait(&broken_pipe, NULL, &at_once) < 0 && errno == EINTR) {}
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = number;
    return count_moved;
}

/* --- Messages ----------------------------------------------------------------------------------------------------- */

ssize_t clinux_send_vector(int descriptor, const struct iovec *pieces, size_t count, int flags) {
    struct msghdr message;
    memset(&message, 0, sizeof message);
    /* sendmsg only reads the pieces; its structure serves recvmsg too and so cannot say const. */
    message.msg_iov = (struct iovec *)(uintptr_t)pieces;
    message.msg_iovlen = count;
    return sendmsg(descriptor, &message, flags | MSG_NOSIGNAL);
}

/* Room for the most descriptors a message can carry, aligned as the header in it wants. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(CLINUX_MAX_DESCRIPTORS * sizeof(int))];
};

ssize_t clinux_send_descriptors(int socket, const void *bytes, size_t size, const int *descriptors, size_t count, int flags) {
    if (count > CLINUX_MAX_DESCRIPTORS) {
        errno = EINVAL;
        return -1;
    }
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;

    union control control;
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, count * sizeof(int));
    }
    return sendmsg(socket, &message, flags | MSG_NOSIGNAL);
}

ssize_t clinux_receive_descriptors(int socket, void *bytes, size_t size, int *descriptors, size_t capacity, size_t *received,
                                   bool *truncated, int flags) {
    *received = 0;
    *truncated = false;
    struct iovec piece = {.iov_base = bytes, .iov_len = size};
    union control control;
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = sizeof control;

    ssize_t count = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    if (count < 0) return count;
    *truncated = (message.msg_flags & MSG_CTRUNC) != 0;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t carried = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < carried; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof descriptor);
            if (*received < capacity) {
                descriptors[(*received)++] = descriptor;
            } else {
                close(descriptor);
                *truncated = true;
            }
        }
    }
    return count;
}

/* --- Who is there ------------------------------------------------------------------------------------------------- */

int clinux_peer_credentials(int socket, struct clinux_credentials *credentials) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return -1;
    credentials->pid = peer.pid;
    credentials->uid = peer.uid;
    credentials->gid = peer.gid;
    return 0;
}

/* --- Text --------------------------------------------------------------------------------------------------------- */

void clinux_error_text(int number, char *buffer, size_t size) {
    if (size == 0) return;
    char scratch[128];
    snprintf(buffer, size, "%s", strerror_r(number, scratch, sizeof scratch));
}

/* --- Threads ------------------------------------------------------------------------------------------------------ */

int clinux_start_thread(size_t stack_size, void *(*body)(void *), void *context) {
    pthread_attr_t attributes;
    int result = pthread_attr_init(&attributes);
    if (result != 0) return result;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    /* A size below what the system wants at least is refused; its default does then. */
    (void)pthread_attr_setstacksize(&attributes, stack_size);

    /* A thread inherits the mask of its creator, so that it is in force from the thread's first instruction. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    result = pthread_create(&thread, &attributes, body, context);
    if (result == EINVAL) {
        /* The host program's thread-local variables alone may need more than this; the default has room for them. */
        pthread_attr_destroy(&attributes);
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        result = pthread_create(&thread, &attributes, body, context);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return result;
}

void clinux_name_thread(const char *name) { (void)pthread_setname_np(pthread_self(), name); }
