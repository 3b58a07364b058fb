/* Numbers are never used twice, there may be many objects and loops, and limits are told. */
#include "common.h"

#define ROUNDS 200000
#define MANY 20000

static int compare(const void *a, const void *b) {
    sluice_handle x = *(const sluice_handle *)a, y = *(const sluice_handle *)b;
    return x < y ? -1 : x > y;
}

int main(void) {
    sluice_handle *seen = malloc(ROUNDS * sizeof *seen), loop = new_loop(), loops[2000];
    int i, count;
    CHECK(seen != NULL);
    for (i = 0; i < ROUNDS; i++) {
        seen[i] = i % 2 ? sluice_tcp_socket_create(loop) : sluice_local_server_create(loop);
        CHECK(seen[i] != 0);
        CHECK_EQUAL(sluice_handle_destroy(seen[i]), 0);
    }
    qsort(seen, ROUNDS, sizeof *seen, compare);
    for (i = 1; i < ROUNDS; i++)
        CHECK(seen[i] != seen[i - 1]);

    for (i = 0; i < MANY; i++)
        CHECK((seen[i] = sluice_tcp_socket_create(loop)) != 0);
    for (i = 0; i < MANY; i++)
        CHECK_EQUAL(sluice_handle_kind(seen[i]), SLUICE_KIND_TCP_SOCKET);
    for (i = 0; i < MANY; i += 2)
        CHECK_EQUAL(sluice_handle_destroy(seen[i]), 0);
    for (i = 0; i < MANY; i++)
        CHECK_EQUAL(sluice_handle_kind(seen[i]), i % 2 ? SLUICE_KIND_TCP_SOCKET : SLUICE_KIND_NONE);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    for (i = 0; i < MANY; i++)
        CHECK_EQUAL(sluice_handle_kind(seen[i]), SLUICE_KIND_NONE);

    /* Loops, until descriptors or indices run out; each is told. */
    for (count = 0; count < 2000; count++)
        if ((loops[count] = sluice_loop_create()) == 0)
            break;
    CHECK(count > 100 && count <= 1024);
    CHECK(sluice_last_error() == SLUICE_ERROR_SOCKET_RESOURCE || (count == 1024 && sluice_last_error() == SLUICE_ERROR_LIMIT_REACHED));
    CHECK_EQUAL(sluice_loop_destroy(loops[50]), 0);
    CHECK((loops[50] = sluice_loop_create()) != 0);
    for (i = 0; i < count; i++)
        CHECK_EQUAL(sluice_loop_destroy(loops[i]), 0);
    for (i = 0; i < count; i++)
        CHECK_EQUAL(sluice_handle_kind(loops[i]), SLUICE_KIND_NONE);
    for (i = 0; i < 20000; i++) {
        sluice_handle again = new_loop();
        CHECK(again != seen[0]);
        seen[0] = again;
        CHECK_EQUAL(sluice_loop_destroy(again), 0);
    }
    free(seen);
    return 0;
}
