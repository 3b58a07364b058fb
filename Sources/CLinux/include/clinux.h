/* What Linux offers and Swift cannot import by itself: variadic and macro interfaces, structures that glibc declares for
 * _GNU_SOURCE alone, and control messages. Each function is one system call or library call; those that report failure as
 * `-1` leave the reason in errno. */
#ifndef CLINUX_H
#define CLINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "clinux_datagrams.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- Polling ------------------------------------------------------------------------------------------------------ */

/* epoll_ctl with the event given by value; `data` comes back in `clinux_epoll_data`. */
int clinux_epoll_control(int epoll, int operation, int descriptor, uint32_t events, uint64_t data);

/* The 64 bits that were registered with the descriptor that this event is about. */
static inline uint64_t clinux_epoll_data(const struct epoll_event *event) { return event->data.u64; }

/* POLLRDHUP, which poll.h has for _GNU_SOURCE alone: the peer will send no more. */
#define CLINUX_POLLRDHUP 0x2000

/* --- Descriptors -------------------------------------------------------------------------------------------------- */

/* accept4 without asking for the peer's address; the descriptor is close-on-exec. */
int clinux_accept(int descriptor, bool non_blocking);

/* Switches O_NONBLOCK, and leaves the flags alone when it already is as wanted. */
int clinux_set_non_blocking(int descriptor, bool non_blocking);

/* Opens a mere reference to a file or directory (O_PATH), close-on-exec; nothing of it can be read or written.
 * `base`: the directory that a relative path starts from, or AT_FDCWD. */
int clinux_open_reference(int base, const char *path, bool directory);

/* Swaps two names of one file system in one step. */
int clinux_rename_exchange(int from_directory, const char *from, int to_directory, const char *to);

/* A pipe whose ends are non-blocking and close-on-exec. */
int clinux_pipe(int *output, int *input);

/* Moves up to `count` bytes between a pipe and a socket within the kernel, without waiting. splice has no MSG_NOSIGNAL: what it would
 * raise is kept from the process. */
ssize_t clinux_splice_from_socket(int socket, int pipe, size_t count);
ssize_t clinux_splice_to_socket(int pipe, int socket, size_t count);

/* --- Messages ----------------------------------------------------------------------------------------------------- */

/* sendmsg of these pieces; MSG_NOSIGNAL is always added. */
ssize_t clinux_send_vector(int descriptor, const struct iovec *pieces, size_t count, int flags);

/* The most descriptors that one message can carry (the kernel's own limit). */
#define CLINUX_MAX_DESCRIPTORS 253

/* Sends bytes (at least one) and with them copies of these descriptors. EINVAL for more than CLINUX_MAX_DESCRIPTORS. */
ssize_t clinux_send_descriptors(int socket, const void *bytes, size_t size, const int *descriptors, size_t count, int flags);

/* Receives bytes and the descriptors that came with them, all close-on-exec. Descriptors beyond `capacity` are closed and
 * `*truncated` is set, as it is when the system itself had to drop some. */
ssize_t clinux_receive_descriptors(int socket, void *bytes, size_t size, int *descriptors, size_t capacity, size_t *received,
                                   bool *truncated, int flags);

/* --- Who is there ------------------------------------------------------------------------------------------------- */

struct clinux_credentials {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};

/* The process that connected or listened at the other end of a Unix socket (SO_PEERCRED). */
int clinux_peer_credentials(int socket, struct clinux_credentials *credentials);

/* --- Text --------------------------------------------------------------------------------------------------------- */

/* The system's text for an error number, always NUL-terminated; safe in every thread. */
void clinux_error_text(int number, char *buffer, size_t size);

/* --- Threads ------------------------------------------------------------------------------------------------------ */

/* Starts a detached thread with all signals blocked, so that no handler of the host program ever runs on it.
 * Returns 0 or an error number. */
int clinux_start_thread(size_t stack_size, void *(*body)(void *), void *context);

/* Names the calling thread (15 bytes at most). */
void clinux_name_thread(const char *name);

#ifdef __cplusplus
}
#endif

#endif
