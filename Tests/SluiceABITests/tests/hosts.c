/* Looking names up, and the interfaces of this machine. */
#include "common.h"

#include <net/if.h>

static sluice_handle loop;

static const char *address_of(sluice_handle lookup, int index) {
    static char buffer[64];
    CHECK(sluice_host_address(lookup, index, buffer, sizeof buffer) > 0);
    return buffer;
}

static void test_lookups(void) {
    struct counts counts;
    char buffer[8];
    sluice_handle lookup = sluice_host_lookup(loop, "127.0.0.1", SLUICE_PROTOCOL_ANY, -1);
    CHECK(lookup != 0);
    CHECK_EQUAL(sluice_handle_kind(lookup), SLUICE_KIND_LOOKUP);
    count_events(lookup, &counts);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_FINISHED] == 1);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_FINISHED].error, 0);
    CHECK(sluice_host_is_finished(lookup));
    CHECK_EQUAL(sluice_host_error(lookup), SLUICE_ERROR_NONE);
    CHECK_EQUAL(sluice_host_address_count(lookup), 1);
    CHECK_TEXT(address_of(lookup, 0), "127.0.0.1");
    CHECK_EQUAL(sluice_host_address(lookup, 0, NULL, 0), 9);
    CHECK_EQUAL(sluice_host_address(lookup, 0, buffer, 4), 9);
    CHECK_TEXT(buffer, "127");
    CHECK_EQUAL(sluice_host_address(lookup, 1, buffer, sizeof buffer), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_host_address(lookup, -1, buffer, sizeof buffer), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_host_address(lookup, 0, NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_handle_destroy(lookup), 0);
    CHECK_EQUAL(sluice_host_address_count(lookup), 0);

    /* A name, in the blocking style. */
    lookup = sluice_host_lookup(loop, "localhost", SLUICE_PROTOCOL_IPV4, 60000);
    CHECK(sluice_host_wait_for_finished(lookup, -1));
    CHECK_TEXT(address_of(lookup, 0), "127.0.0.1");
    CHECK_EQUAL(sluice_handle_destroy(lookup), 0);

    /* What there is not. */
    lookup = sluice_host_lookup(loop, "nobody.invalid", SLUICE_PROTOCOL_ANY, -1);
    count_events(lookup, &counts);
    RUN_UNTIL(loop, counts.of[SLUICE_EVENT_FINISHED] == 1);
    CHECK_EQUAL(counts.last[SLUICE_EVENT_FINISHED].error, SLUICE_ERROR_HOST_NOT_FOUND);
    CHECK(counts.message[0] != '\0');
    CHECK_EQUAL(sluice_host_error(lookup), SLUICE_ERROR_HOST_NOT_FOUND);
    CHECK_TEXT(text_of(sluice_host_error_string, lookup), counts.message);
    CHECK_EQUAL(sluice_host_address_count(lookup), 0);
    CHECK_EQUAL(sluice_handle_destroy(lookup), 0);
    lookup = sluice_host_lookup(loop, "::1", SLUICE_PROTOCOL_IPV4, -1);
    CHECK(sluice_host_wait_for_finished(lookup, -1));
    CHECK_EQUAL(sluice_host_error(lookup), SLUICE_ERROR_HOST_NOT_FOUND);
    CHECK_EQUAL(sluice_handle_destroy(lookup), 0);
    lookup = sluice_host_lookup(loop, "", SLUICE_PROTOCOL_ANY, -1);
    CHECK(sluice_host_wait_for_finished(lookup, -1));
    CHECK_EQUAL(sluice_host_error(lookup), SLUICE_ERROR_EMPTY_HOST_NAME);
    CHECK_EQUAL(sluice_handle_destroy(lookup), 0);

    /* Cancelled before its end. */
    lookup = sluice_host_lookup(loop, "localhost", SLUICE_PROTOCOL_ANY, -1);
    count_events(lookup, &counts);
    CHECK_EQUAL(sluice_handle_destroy(lookup), 0);
    CHECK(sluice_loop_run_once(loop, 0) >= 0);
    CHECK_EQUAL(counts.of[SLUICE_EVENT_FINISHED], 0);

    CHECK_EQUAL(sluice_host_lookup(loop, NULL, SLUICE_PROTOCOL_ANY, -1), 0);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_host_lookup(loop, "\xff", SLUICE_PROTOCOL_ANY, -1), 0);
    CHECK_EQUAL(sluice_host_lookup(loop, "localhost", 7, -1), 0);
    CHECK_EQUAL(sluice_host_lookup(loop, "localhost", SLUICE_PROTOCOL_UNKNOWN, -1), 0);
    CHECK_EQUAL(sluice_host_lookup(loop, "localhost", SLUICE_PROTOCOL_ANY, -2), 0);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_INVALID_ARGUMENT);
}

static void test_interfaces(void) {
    sluice_interface interfaces[64];
    int64_t count = sluice_host_interfaces(NULL, 0), i;
    bool found = false;
    CHECK(count > 0);
    memset(interfaces, '#', sizeof interfaces);
    interfaces[0].size = sizeof interfaces[0];
    CHECK_EQUAL(sluice_host_interfaces(interfaces, 64), count);
    for (i = 0; i < count && i < 64; i++) {
        CHECK_EQUAL(interfaces[i].index, if_nametoindex(interfaces[i].name));
        if (strcmp(interfaces[i].address, "127.0.0.1") == 0) {
            found = true;
            CHECK(interfaces[i].flags & SLUICE_INTERFACE_IS_UP && interfaces[i].flags & SLUICE_INTERFACE_IS_LOOPBACK);
        }
    }
    CHECK(found);
    /* Room for one: no more is written. */
    memset(interfaces, '#', sizeof interfaces);
    interfaces[0].size = sizeof interfaces[0];
    CHECK_EQUAL(sluice_host_interfaces(interfaces, 1), count);
    CHECK_EQUAL(interfaces[1].name[0], '#');
    interfaces[0].size = 1;
    CHECK_EQUAL(sluice_host_interfaces(interfaces, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_host_interfaces(NULL, 1), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_host_interfaces(interfaces, -1), -SLUICE_ERROR_INVALID_ARGUMENT);
}

int main(void) {
    loop = new_loop();
    test_lookups();
    test_interfaces();
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    return 0;
}
