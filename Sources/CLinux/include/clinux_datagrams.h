/* Datagrams with all that the system tells of them, many per system call (recvmmsg, sendmmsg), and as one message where
 * they are of equal size and go one way (UDP_SEGMENT, UDP_GRO). */
#ifndef CLINUX_DATAGRAMS_H
#define CLINUX_DATAGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An internet address in the order of this machine; `family` is AF_UNSPEC where it is not known. IPv4 is in `low`. */
struct clinux_endpoint {
    uint64_t high;
    uint64_t low;
    uint32_t scope;
    uint16_t family;
    uint16_t port;
};

/* --- Receiving ---------------------------------------------------------------------------------------------------- */

/* How many messages one call receives at most, and the largest of them. */
#define CLINUX_RECEIVER_PACKETS 16
#define CLINUX_RECEIVER_ROOM 65536

/* What one message brought: a datagram, or several of equal size in a row. */
struct clinux_packet {
    uint8_t *bytes;
    uint32_t size;
    /* The size of each datagram but the last; 0 when there is only one. */
    uint32_t segment;
    struct clinux_endpoint sender;
    /* Without a port. */
    struct clinux_endpoint destination;
    uint32_t interface_index;
    /* -1 when it was not told. */
    int16_t hop_limit;
    /* The message was larger than the room for it. */
    bool truncated;
};

/* Room for messages, most of which takes memory only when it is used. NULL without memory. */
struct clinux_receiver;
struct clinux_receiver *clinux_receiver_create(void);
void clinux_receiver_destroy(struct clinux_receiver *receiver);

/* What the last call received; valid until the next. */
struct clinux_packet *clinux_receiver_packets(struct clinux_receiver *receiver);

/* Receives up to `limit` messages. `wait`: sleeps until there is one, as long as the descriptor's mode and its time limit allow.
 * -1 on failure, before the first message. */
int clinux_receive_packets(int descriptor, struct clinux_receiver *receiver, unsigned limit, bool wait);

/* Has the system tell of each datagram where it was sent to and what is left of its hop limit. `both`: an IPv6 socket that
 * takes IPv4 too. What the system does not know is left out. */
void clinux_request_details(int descriptor, bool ipv6, bool both);

/* Whether the system may hand over datagrams of equal size in one piece (UDP_GRO). */
int clinux_set_coalescing(int descriptor, bool on);

/* --- Sending ------------------------------------------------------------------------------------------------------ */

/* One message: the pieces make up one datagram or, with `segment`, as many of that size as there are bytes for (the last may be
 * shorter). */
struct clinux_outgoing {
    const struct iovec *pieces;
    size_t count;
    /* NULL: to the connected peer. */
    const struct sockaddr *address;
    socklen_t address_size;
    uint32_t segment;
    /* 0: as the socket has it. */
    uint32_t hop_limit;
    uint32_t interface_index;
    /* AF_UNSPEC: as the system chooses. */
    struct clinux_endpoint source;
    /* What travels is IPv6; mapped addresses are IPv4. */
    bool ipv6;
};

/* How many messages one call sends at most. */
#define CLINUX_SENDER_MESSAGES 64

/* Sends messages without waiting; how many were sent, or -1 when not even the first. MSG_NOSIGNAL is always added. */
int clinux_send_packets(int descriptor, const struct clinux_outgoing *messages, unsigned count);

#ifdef __cplusplus
}
#endif

#endif
