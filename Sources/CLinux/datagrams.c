#define _GNU_SOURCE
#include "clinux_datagrams.h"

#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* --- Addresses ---------------------------------------------------------------------------------------------------- */

static void set_ipv4(struct clinux_endpoint *endpoint, struct in_addr address, uint16_t port) {
    endpoint->family = AF_INET;
    endpoint->port = port;
    endpoint->scope = 0;
    endpoint->high = 0;
    endpoint->low = ntohl(address.s_addr);
}

static uint64_t load64(const uint8_t *bytes) {
    uint64_t number;
    memcpy(&number, bytes, sizeof number);
    return be64toh(number);
}

static void set_ipv6(struct clinux_endpoint *endpoint, const struct in6_addr *address, uint16_t port, uint32_t scope) {
    endpoint->family = AF_INET6;
    endpoint->port = port;
    endpoint->scope = scope;
    endpoint->high = load64(address->s6_addr);
    endpoint->low = load64(address->s6_addr + 8);
}

static struct in6_addr get_ipv6(const struct clinux_endpoint *endpoint) {
    uint64_t numbers[2] = {htobe64(endpoint->high), htobe64(endpoint->low)};
    struct in6_addr address;
    memcpy(&address, numbers, sizeof address);
    return address;
}

/* --- Receiving ---------------------------------------------------------------------------------------------------- */

union address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

/* Room for where a datagram was sent to, its hop limit and the size of its segments, in one control message each. */
struct details {
    _Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo)) + 3 * CMSG_SPACE(sizeof(int))];
};

/* Datagrams are mostly short, so that beginnings at multiples of a page would all compete for the same cache lines. */
#define STRIDE (CLINUX_RECEIVER_ROOM + 320)

struct clinux_receiver {
    struct mmsghdr messages[CLINUX_RECEIVER_PACKETS];
    struct iovec pieces[CLINUX_RECEIVER_PACKETS];
    union address senders[CLINUX_RECEIVER_PACKETS];
    struct details details[CLINUX_RECEIVER_PACKETS];
    struct clinux_packet packets[CLINUX_RECEIVER_PACKETS];
    _Alignas(64) uint8_t room[CLINUX_RECEIVER_PACKETS][STRIDE];
};

/* The system writes the lengths that it used. */
static void reset(struct clinux_receiver *receiver, unsigned index) {
    struct msghdr *message = &receiver->messages[index].msg_hdr;
    message->msg_namelen = sizeof receiver->senders[index];
    message->msg_controllen = sizeof receiver->details[index];
}

struct clinux_receiver *clinux_receiver_create(void) {
    void *memory = mmap(NULL, sizeof(struct clinux_receiver), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    struct clinux_receiver *receiver = memory;
    for (unsigned i = 0; i < CLINUX_RECEIVER_PACKETS; i++) {
        receiver->pieces[i].iov_base = receiver->room[i];
        receiver->pieces[i].iov_len = CLINUX_RECEIVER_ROOM;
        struct msghdr *message = &receiver->messages[i].msg_hdr;
        message->msg_name = &receiver->senders[i];
        message->msg_iov = &receiver->pieces[i];
        message->msg_iovlen = 1;
        message->msg_control = &receiver->details[i];
        reset(receiver, i);
    }
    return receiver;
}

void clinux_receiver_destroy(struct clinux_receiver *receiver) { (void)munmap(receiver, sizeof *receiver); }

struct clinux_packet *clinux_receiver_packets(struct clinux_receiver *receiver) { return receiver->packets; }

static void read_details(struct clinux_packet *packet, struct msghdr *message) {
    packet->segment = 0;
    packet->destination.family = AF_UNSPEC;
    packet->destination.port = 0;
    packet->interface_index = 0;
    packet->hop_limit = -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
        const void *data = CMSG_DATA(header);
        if (header->cmsg_level == SOL_UDP && header->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, data, sizeof size);
            if (size > 0 && (uint32_t)size < packet->size) packet->segment = (uint32_t)size;
        } else if ((header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TTL) ||
                   (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_HOPLIMIT)) {
            int limit;
            memcpy(&limit, data, sizeof limit);
            packet->hop_limit = (int16_t)limit;
        } else if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, data, sizeof info);
            set_ipv4(&packet->destination, info.ipi_addr, 0);
            packet->interface_index = (uint32_t)info.ipi_ifindex;
        } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, data, sizeof info);
            bool scoped = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) || IN6_IS_ADDR_MC_LINKLOCAL(&info.ipi6_addr);
            set_ipv6(&packet->destination, &info.ipi6_addr, 0, scoped ? info.ipi6_ifindex : 0);
            packet->interface_index = info.ipi6_ifindex;
        }
    }
}

static void read_sender(struct clinux_packet *packet, const union address *address, socklen_t size) {
    if (size >= sizeof address->ipv4 && address->any.sa_family == AF_INET) {
        set_ipv4(&packet->sender, address->ipv4.sin_addr, ntohs(address->ipv4.sin_port));
    } else if (size >= sizeof address->ipv6 && address->any.sa_family == AF_INET6) {
        set_ipv6(&packet->sender, &address->ipv6.sin6_addr, ntohs(address->ipv6.sin6_port), address->ipv6.sin6_scope_id);
    } else {
        packet->sender.family = AF_UNSPEC;
        packet->sender.port = 0;
    }
}

int clinux_receive_packets(int descriptor, struct clinux_receiver *receiver, unsigned limit, bool wait) {
    if (limit > CLINUX_RECEIVER_PACKETS) limit = CLINUX_RECEIVER_PACKETS;
    int count = recvmmsg(descriptor, receiver->messages, limit, wait ? MSG_WAITFORONE : MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        struct mmsghdr *received = &receiver->messages[i];
        struct clinux_packet *packet = &receiver->packets[i];
        packet->bytes = receiver->room[i];
        packet->size = received->msg_len;
        packet->truncated = (received->msg_hdr.msg_flags & MSG_TRUNC) != 0;
        read_sender(packet, &receiver->senders[i], received->msg_hdr.msg_namelen);
        read_details(packet, &received->msg_hdr);
        reset(receiver, (unsigned)i);
    }
    return count;
}

static void turn_on(int descriptor, int level, int option) {
    int on = 1;
    (void)setsockopt(descriptor, level, option, &on, sizeof on);
}

void clinux_request_details(int descriptor, bool ipv6, bool both) {
    if (ipv6) {
        turn_on(descriptor, IPPROTO_IPV6, IPV6_RECVPKTINFO);
        turn_on(descriptor, IPPROTO_IPV6, IPV6_RECVHOPLIMIT);
    } else {
        turn_on(descriptor, IPPROTO_IP, IP_PKTINFO);
    }
    if (!ipv6 || both) turn_on(descriptor, IPPROTO_IP, IP_RECVTTL);
}

int clinux_set_coalescing(int descriptor, bool on) {
    int value = on;
    return setsockopt(descriptor, SOL_UDP, UDP_GRO, &value, sizeof value);
}

/* --- Sending ------------------------------------------------------------------------------------------------------ */

/* Room for the source, the hop limit and the size of the segments. */
struct instructions {
    _Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t))];
};

static void add(struct msghdr *message, struct instructions *room, int level, int type, const void *data, size_t size) {
    struct cmsghdr *header = (struct cmsghdr *)(void *)(room->bytes + message->msg_controllen);
    memset(header, 0, CMSG_SPACE(size));
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), data, size);
    message->msg_control = room;
    message->msg_controllen += CMSG_SPACE(size);
}

static void add_instructions(struct msghdr *message, struct instructions *room, const struct clinux_outgoing *outgoing) {
    if (outgoing->segment != 0) {
        uint16_t size = (uint16_t)outgoing->segment;
        add(message, room, SOL_UDP, UDP_SEGMENT, &size, sizeof size);
    }
    if (outgoing->hop_limit != 0) {
        int limit = (int)outgoing->hop_limit;
        add(message, room, outgoing->ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, outgoing->ipv6 ? IPV6_HOPLIMIT : IP_TTL, &limit, sizeof limit);
    }
    if (outgoing->source.family == AF_UNSPEC && outgoing->interface_index == 0) return;
    if (outgoing->ipv6) {
        struct in6_pktinfo info;
        memset(&info, 0, sizeof info);
        if (outgoing->source.family == AF_INET6) info.ipi6_addr = get_ipv6(&outgoing->source);
        info.ipi6_ifindex = outgoing->interface_index;
        add(message, room, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    } else {
        struct in_pktinfo info;
        memset(&info, 0, sizeof info);
        if (outgoing->source.family == AF_INET) info.ipi_spec_dst.s_addr = htonl((uint32_t)outgoing->source.low);
        info.ipi_ifindex = (int)outgoing->interface_index;
        add(message, room, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    }
}

int clinux_send_packets(int descriptor, const struct clinux_outgoing *messages, unsigned count) {
    struct mmsghdr headers[CLINUX_SENDER_MESSAGES];
    struct instructions instructions[CLINUX_SENDER_MESSAGES];
    if (count > CLINUX_SENDER_MESSAGES) count = CLINUX_SENDER_MESSAGES;
    for (unsigned i = 0; i < count; i++) {
        struct msghdr *message = &headers[i].msg_hdr;
        memset(&headers[i], 0, sizeof headers[i]);
        /* sendmmsg only reads these; its structure serves recvmmsg too and so cannot say const. */
        message->msg_name = (void *)(uintptr_t)messages[i].address;
        message->msg_namelen = messages[i].address_size;
        message->msg_iov = (struct iovec *)(uintptr_t)messages[i].pieces;
        message->msg_iovlen = messages[i].count;
        add_instructions(message, &instructions[i], &messages[i]);
    }
    int sent;
    do {
        sent = sendmmsg(descriptor, headers, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent;
}
