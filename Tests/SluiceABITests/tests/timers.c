/* Timers: order, repetition, stopping, numbers. */
#include "common.h"

static int order[8], ran;
static int64_t repeating;
static int beats;
static sluice_handle loop;

static void note(void *context) { order[ran++ % 8] = *(int *)context; }

static void beat(void *context) {
    (void)context;
    if (++beats == 3) {
        CHECK_EQUAL(sluice_loop_stop_timer(loop, repeating), 0);
        CHECK_EQUAL(sluice_loop_stop_timer(loop, repeating), SLUICE_ERROR_INVALID_ARGUMENT);
    }
}

int main(void) {
    static int numbers[] = {0, 1, 2, 3};
    int64_t timer, once;
    loop = new_loop();
    CHECK((timer = sluice_loop_start_timer(loop, 300, false, note, &numbers[2])) > 0);
    CHECK((once = sluice_loop_start_timer(loop, 0, false, note, &numbers[0])) > 0);
    CHECK(once != timer);
    CHECK(sluice_loop_start_timer(loop, 10, false, note, &numbers[1]) > 0);
    CHECK((timer = sluice_loop_start_timer(loop, 15, false, note, &numbers[3])) > 0);
    CHECK_EQUAL(ran, 0);
    CHECK_EQUAL(sluice_loop_stop_timer(loop, timer), 0);
    CHECK_EQUAL(sluice_loop_stop_timer(loop, timer), SLUICE_ERROR_INVALID_ARGUMENT);
    RUN_UNTIL(loop, ran == 3);
    CHECK_EQUAL(order[0], 0);
    CHECK_EQUAL(order[1], 1);
    CHECK_EQUAL(order[2], 2);
    CHECK_EQUAL(sluice_loop_stop_timer(loop, once), SLUICE_ERROR_INVALID_ARGUMENT);

    CHECK((repeating = sluice_loop_start_timer(loop, 0, true, beat, NULL)) > 0);
    CHECK(sluice_loop_start_timer(loop, 50, false, note, &numbers[0]) > 0);
    RUN_UNTIL(loop, ran == 4);
    CHECK_EQUAL(beats, 3);

    CHECK_EQUAL(sluice_loop_start_timer(loop, -1, false, note, NULL), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_loop_start_timer(loop, 1, false, NULL, NULL), -SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_loop_stop_timer(loop, 0), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_loop_stop_timer(loop, -1), SLUICE_ERROR_INVALID_ARGUMENT);
    /* As far away as can be told. */
    CHECK(sluice_loop_start_timer(loop, INT64_MAX, false, note, NULL) > 0);
    CHECK(sluice_loop_start_timer(loop, INT64_MAX, true, note, NULL) > 0);
    CHECK(sluice_loop_run_once(loop, 0) >= 0);
    CHECK_EQUAL(sluice_loop_run_once(loop, 1) <= 1, 1);
    CHECK_EQUAL(sluice_loop_run_once(loop, -2), -SLUICE_ERROR_INVALID_ARGUMENT);

    CHECK_EQUAL(sluice_loop_set_busy_poll(loop, 50), 0);
    CHECK(sluice_loop_run_once(loop, 1) >= 0);
    CHECK_EQUAL(sluice_loop_set_busy_poll(loop, 0), 0);
    CHECK_EQUAL(sluice_loop_set_busy_poll(loop, -1), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_loop_set_busy_poll(loop, 1000001), SLUICE_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    CHECK_EQUAL(ran, 4);
    return 0;
}
