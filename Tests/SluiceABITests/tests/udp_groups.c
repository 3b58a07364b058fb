/* Multicast groups, and sharing of an address. */
#include "common.h"

#include <ifaddrs.h>
#include <net/if.h>

static sluice_handle loop;

/* An interface other than loopback that is up and has groups and an address of this family: loopback has no groups of IPv6, and hears its own of
 * IPv4 always. */
static bool find_interface(int family, char *name) {
    const unsigned wanted = IFF_UP | IFF_RUNNING | IFF_MULTICAST;
    struct ifaddrs *list, *entry;
    bool found = false;
    CHECK(getifaddrs(&list) == 0);
    for (entry = list; entry != NULL && !found; entry = entry->ifa_next) {
        if (entry->ifa_addr == NULL || entry->ifa_addr->sa_family != family || (entry->ifa_flags & wanted) != wanted || entry->ifa_flags & IFF_LOOPBACK)
            continue;
        strcpy(name, entry->ifa_name);
        found = true;
    }
    freeifaddrs(list);
    return found;
}

static void test_group_on_loopback(void) {
    char number[16];
    const sluice_datagram *got;
    sluice_handle receiver = new_udp(loop, "AnyIPv4"), sender = sluice_udp_socket_create(loop);
    int port = sluice_socket_local_port(receiver);
    CHECK_TEXT(text_of(sluice_udp_socket_multicast_interface, sender), "");
    /* Kept until there is a descriptor. */
    CHECK_EQUAL(sluice_udp_socket_set_multicast_interface(sender, "lo"), 0);
    CHECK_TEXT(text_of(sluice_udp_socket_multicast_interface, sender), "lo");
    CHECK_EQUAL(sluice_socket_set_option(sender, SLUICE_OPTION_MULTICAST_TTL, 3), 0);
    CHECK_EQUAL(sluice_socket_bind(sender, "AnyIPv4", 0, SLUICE_BIND_DEFAULT), 0);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(receiver, "239.255.43.31", "lo"), 0);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "group", 5, "239.255.43.31", port), 5);
    got = next_datagram(receiver);
    CHECK_TEXT(got->data, "group");
    CHECK_TEXT(got->destination_address, "239.255.43.31");
    CHECK_EQUAL(got->hop_limit, 3);
    CHECK_EQUAL(got->interface_index, if_nametoindex("lo"));
    CHECK_EQUAL(sluice_udp_socket_leave_multicast_group(receiver, "239.255.43.31", "lo"), 0);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "left", 4, "239.255.43.31", port), 4);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "direct", 6, "127.0.0.1", port), 6);
    CHECK_TEXT(next_datagram(receiver)->data, "direct");

    snprintf(number, sizeof number, "%u", if_nametoindex("lo"));
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(receiver, "239.255.43.31", number), 0);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(receiver, "239.255.43.31", "lo"), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_udp_socket_leave_multicast_group(receiver, "239.255.43.32", "lo"), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_udp_socket_set_multicast_interface(sender, NULL), 0);
    CHECK_TEXT(text_of(sluice_udp_socket_multicast_interface, sender), "");
    CHECK_EQUAL(sluice_udp_socket_set_multicast_interface(sender, number), 0);
    CHECK_TEXT(text_of(sluice_udp_socket_multicast_interface, sender), "lo");
    CHECK_EQUAL(sluice_udp_socket_set_multicast_interface(sender, ""), 0);
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
}

static void test_ipv6_on_loopback(void) {
    sluice_handle socket;
    if (!has_ipv6())
        return;
    socket = new_udp(loop, "AnyIPv6");
    CHECK_EQUAL(sluice_udp_socket_set_multicast_interface(socket, "lo"), 0);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "ff01::4331", "lo"), 0);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "ff01::4331%lo", NULL), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_udp_socket_leave_multicast_group(socket, "ff01::4331", "lo"), 0);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "ff01::4331%lo", ""), 0);
    CHECK_EQUAL(sluice_udp_socket_leave_multicast_group(socket, "ff01::4331%lo", NULL), 0);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "239.255.43.31", "lo"), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

/* What a socket sends to a group it is in comes back, unless that is off. */
static void test_own_datagrams(const char *address, const char *group, int family) {
    char interface[IF_NAMESIZE], scoped[64];
    const sluice_datagram *got;
    sluice_handle receiver, sender;
    int port;
    if (!find_interface(family, interface))
        return;
    receiver = new_udp(loop, address);
    sender = new_udp(loop, address);
    port = sluice_socket_local_port(receiver);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(receiver, group, interface), 0);
    CHECK_EQUAL(sluice_udp_socket_set_multicast_interface(sender, interface), 0);
    CHECK_EQUAL(sluice_socket_set_option(sender, SLUICE_OPTION_MULTICAST_TTL, 2), 0);
    CHECK_EQUAL(sluice_socket_set_option(sender, SLUICE_OPTION_MULTICAST_LOOPBACK, 0), 0);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "unheard", 7, group, port), 7);
    CHECK_EQUAL(sluice_socket_set_option(sender, SLUICE_OPTION_MULTICAST_LOOPBACK, 1), 0);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "heard", 5, group, port), 5);
    got = next_datagram(receiver);
    CHECK_TEXT(got->data, "heard");
    CHECK_EQUAL(got->hop_limit, 2);
    CHECK_EQUAL(got->interface_index, if_nametoindex(interface));
    snprintf(scoped, sizeof scoped, "%s%s%s", group, family == AF_INET6 ? "%" : "", family == AF_INET6 ? interface : "");
    CHECK_TEXT(got->destination_address, scoped);
    CHECK_EQUAL(sluice_handle_destroy(receiver), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
}

static void test_mistakes(void) {
    struct counts counts;
    sluice_handle socket = sluice_udp_socket_create(loop);
    count_events(socket, &counts);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "239.255.43.31", "lo"), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(sluice_udp_socket_leave_multicast_group(socket, "239.255.43.31", "lo"), SLUICE_ERROR_OPERATION);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 2);
    CHECK_EQUAL(sluice_socket_bind(socket, "AnyIPv4", 0, SLUICE_BIND_DEFAULT), 0);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "127.0.0.1", "lo"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "nonsense", "lo"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "", "lo"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "239.255.43.31", "no-such-if"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "ff01::4331", "lo"), SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION);
    CHECK_EQUAL(sluice_udp_socket_set_multicast_interface(socket, "no-such-if"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 8);
    /* Mistakes in the call itself raise nothing. */
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, NULL, "lo"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "\xff", "lo"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(socket, "239.255.43.31", "\xff"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_leave_multicast_group(socket, NULL, NULL), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_set_multicast_interface(socket, "\xff"), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_udp_socket_multicast_interface(socket, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_ERROR_OCCURRED], 8);
    CHECK_EQUAL(sluice_socket_state(socket), SLUICE_STATE_BOUND);
    CHECK_EQUAL(sluice_handle_destroy(socket), 0);
}

/* Several sockets of one address: all of them have to ask for it. */
static void test_sharing(void) {
    sluice_handle first = sluice_udp_socket_create(loop), second = sluice_udp_socket_create(loop), sender = new_udp(loop, "127.0.0.1");
    int port;
    CHECK_EQUAL(sluice_socket_bind(first, "AnyIPv4", 0, SLUICE_BIND_SHARE_ADDRESS), 0);
    port = sluice_socket_local_port(first);
    CHECK_EQUAL(sluice_socket_bind(second, "AnyIPv4", port, SLUICE_BIND_DEFAULT), SLUICE_ERROR_ADDRESS_IN_USE);
    CHECK_EQUAL(sluice_socket_state(second), SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(sluice_socket_descriptor(second), -1);
    CHECK_EQUAL(sluice_socket_bind(second, "AnyIPv4", port, SLUICE_BIND_SHARE_ADDRESS | SLUICE_BIND_DONT_SHARE_ADDRESS), SLUICE_ERROR_ADDRESS_IN_USE);
    CHECK_EQUAL(sluice_socket_bind(second, "AnyIPv4", port, SLUICE_BIND_REUSE_ADDRESS_HINT), 0);
    CHECK_EQUAL(sluice_socket_bind(second, "AnyIPv4", port, SLUICE_BIND_SHARE_ADDRESS), SLUICE_ERROR_OPERATION);
    /* A group's datagrams reach both. */
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(first, "239.255.43.33", "lo"), 0);
    CHECK_EQUAL(sluice_udp_socket_join_multicast_group(second, "239.255.43.33", "lo"), 0);
    CHECK_EQUAL(sluice_udp_socket_set_multicast_interface(sender, "lo"), 0);
    CHECK_EQUAL(sluice_udp_socket_write_datagram(sender, "both", 4, "239.255.43.33", port), 4);
    CHECK_TEXT(next_datagram(first)->data, "both");
    CHECK_TEXT(next_datagram(second)->data, "both");
    CHECK_EQUAL(sluice_handle_destroy(first), 0);
    CHECK_EQUAL(sluice_handle_destroy(second), 0);

    first = sluice_udp_socket_create(loop);
    second = sluice_udp_socket_create(loop);
    CHECK_EQUAL(sluice_socket_bind(first, "127.0.0.1", 0, SLUICE_BIND_REUSE_PORT), 0);
    port = sluice_socket_local_port(first);
    CHECK_EQUAL(sluice_socket_bind(second, "127.0.0.1", port, SLUICE_BIND_SHARE_ADDRESS), SLUICE_ERROR_ADDRESS_IN_USE);
    CHECK_EQUAL(sluice_socket_bind(second, "127.0.0.1", port, SLUICE_BIND_REUSE_PORT), 0);
    CHECK_EQUAL(sluice_handle_destroy(first), 0);
    CHECK_EQUAL(sluice_handle_destroy(second), 0);
    CHECK_EQUAL(sluice_handle_destroy(sender), 0);
}

int main(void) {
    loop = new_loop();
    test_group_on_loopback();
    test_ipv6_on_loopback();
    test_own_datagrams("AnyIPv4", "239.255.43.34", AF_INET);
    test_own_datagrams("AnyIPv6", "ff02::4334", AF_INET6);
    test_own_datagrams("any", "ff02::4335", AF_INET6);
    test_mistakes();
    test_sharing();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
