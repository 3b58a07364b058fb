/* Posting and stopping from other threads, giving loops up and taking them, loops side by side. */
#include "common.h"

#define POSTS 5000
#define THREADS 4

struct posting {
    sluice_handle loop;
    int number;
};

static int posted[THREADS], posted_total;

struct post {
    int thread, number;
};

static void run_post(void *context) {
    struct post *post = context;
    /* In the order posted, for each thread. */
    CHECK_EQUAL(posted[post->thread], post->number);
    posted[post->thread] += 1;
    posted_total += 1;
    free(post);
}

static void *post_many(void *context) {
    struct posting *posting = context;
    int i;
    for (i = 0; i < POSTS; i++) {
        struct post *post = malloc(sizeof *post);
        CHECK(post != NULL);
        post->thread = posting->number;
        post->number = i;
        CHECK_EQUAL(sluice_loop_post(posting->loop, run_post, post), 0);
    }
    return NULL;
}

static void *stop_it(void *context) {
    CHECK_EQUAL(sluice_loop_stop(*(sluice_handle *)context), 0);
    return NULL;
}

static void post_stop(void *context) { stop_it(context); }

/* Uses a loop with a connected socket that another thread made and gave up. */
static void *take_over(void *context) {
    sluice_handle *handles = context;
    CHECK_EQUAL(sluice_socket_state(handles[1]), SLUICE_STATE_UNCONNECTED);
    CHECK_EQUAL(sluice_last_error(), SLUICE_ERROR_WRONG_THREAD);
    CHECK_EQUAL(sluice_loop_attach(handles[0]), 0);
    CHECK_EQUAL(sluice_loop_attach(handles[0]), 0);
    CHECK_EQUAL(sluice_socket_state(handles[1]), SLUICE_STATE_CONNECTED);
    CHECK_EQUAL(sluice_socket_write(handles[1], "x", 1), 1);
    CHECK_EQUAL(sluice_socket_sync(handles[1], -1), 0);
    CHECK_EQUAL(sluice_loop_detach(handles[0]), 0);
    CHECK_EQUAL(sluice_loop_detach(handles[0]), SLUICE_ERROR_WRONG_THREAD);
    return NULL;
}

/* A stop from inside is for the run around, whatever runs inside as well. */
static void stop_and_turn(void *context) {
    sluice_handle loop = *(sluice_handle *)context;
    CHECK_EQUAL(sluice_loop_stop(loop), 0);
    CHECK(sluice_loop_run_once(loop, -1) >= 0);
}

static void detach_inside(void *context) {
    CHECK_EQUAL(sluice_loop_detach(*(sluice_handle *)context), SLUICE_ERROR_INVALID_STATE);
    CHECK_EQUAL(sluice_loop_stop(*(sluice_handle *)context), 0);
}

/* A loop of its own in each thread, made and destroyed there again and again. */
static void *live_alone(void *context) {
    int i;
    (void)context;
    for (i = 0; i < 200; i++) {
        sluice_handle loop = new_loop(), client, accepted;
        char byte;
        new_pair(loop, &client, &accepted);
        CHECK_EQUAL(sluice_socket_write(client, "x", 1), 1);
        CHECK_EQUAL(sluice_socket_sync(client, -1), 0);
        CHECK(sluice_socket_bytes_available(accepted) > 0 || sluice_socket_wait_for_ready_read(accepted, -1));
        CHECK_EQUAL(sluice_socket_read(accepted, &byte, 1), 1);
        CHECK_EQUAL(sluice_loop_destroy(loop), 0);
    }
    return NULL;
}

static int keep_going = 1;

/* Hammers a loop that comes and goes, by its old and its new numbers. */
static void *hammer(void *context) {
    while (__atomic_load_n(&keep_going, __ATOMIC_RELAXED)) {
        sluice_handle loop = __atomic_load_n((sluice_handle *)context, __ATOMIC_RELAXED);
        sluice_error error = sluice_loop_stop(loop);
        CHECK(error == 0 || error == SLUICE_ERROR_INVALID_HANDLE);
        CHECK(sluice_tcp_socket_create(loop) == 0);
    }
    return NULL;
}

int main(void) {
    sluice_handle loop = new_loop(), handles[2], target;
    struct posting postings[THREADS];
    pthread_t threads[THREADS];
    sluice_event event;
    int i, peer;
    char byte;

    for (i = 0; i < THREADS; i++) {
        postings[i].loop = loop;
        postings[i].number = i;
        CHECK(pthread_create(&threads[i], NULL, post_many, &postings[i]) == 0);
    }
    RUN_UNTIL(loop, posted_total == THREADS * POSTS);
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);

    /* A stop wakes the loop, or ends a run that begins after it. */
    CHECK(pthread_create(&threads[0], NULL, stop_it, &loop) == 0);
    CHECK_EQUAL(sluice_loop_run(loop), 0);
    CHECK(pthread_join(threads[0], NULL) == 0);
    CHECK(pthread_create(&threads[0], NULL, stop_it, &loop) == 0);
    CHECK(pthread_join(threads[0], NULL) == 0);
    CHECK_EQUAL(sluice_loop_run(loop), 0);
    memset(&event, 0, sizeof event);
    event.size = sizeof event;
    CHECK(pthread_create(&threads[0], NULL, stop_it, &loop) == 0);
    CHECK_EQUAL(sluice_loop_next_event(loop, &event, -1), 0);
    CHECK(pthread_join(threads[0], NULL) == 0);
    CHECK(pthread_create(&threads[0], NULL, stop_it, &loop) == 0);
    CHECK(sluice_loop_run_once(loop, -1) >= 0);
    CHECK(pthread_join(threads[0], NULL) == 0);
    CHECK_EQUAL(sluice_loop_post(loop, post_stop, &loop), 0);
    CHECK_EQUAL(sluice_loop_run(loop), 0);
    CHECK_EQUAL(sluice_loop_post(loop, stop_and_turn, &loop), 0);
    CHECK_EQUAL(sluice_loop_run(loop), 0);

    /* Giving up and taking. */
    CHECK_EQUAL(sluice_loop_post(loop, detach_inside, &loop), 0);
    CHECK_EQUAL(sluice_loop_run(loop), 0);
    handles[0] = loop;
    handles[1] = new_raw_pair(loop, &peer);
    CHECK_EQUAL(sluice_loop_detach(loop), 0);
    CHECK_EQUAL(sluice_socket_write(handles[1], "x", 1), -SLUICE_ERROR_WRONG_THREAD);
    CHECK(pthread_create(&threads[0], NULL, take_over, handles) == 0);
    CHECK(pthread_join(threads[0], NULL) == 0);
    raw_receive(peer, &byte, 1);
    /* Running a loop that nobody has takes it. */
    CHECK(sluice_loop_run_once(loop, 0) >= 0);
    CHECK_EQUAL(sluice_socket_state(handles[1]), SLUICE_STATE_CONNECTED);
    close(peer);
    CHECK_EQUAL(sluice_loop_destroy(loop), 0);

    for (i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, live_alone, NULL) == 0);
    for (i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);

    target = new_loop();
    CHECK(pthread_create(&threads[0], NULL, hammer, &target) == 0);
    for (i = 0; i < 2000; i++) {
        CHECK_EQUAL(sluice_loop_destroy(target), 0);
        __atomic_store_n(&target, new_loop(), __ATOMIC_RELAXED);
        CHECK(sluice_tcp_socket_create(target) != 0);
    }
    __atomic_store_n(&keep_going, 0, __ATOMIC_RELAXED);
    CHECK(pthread_join(threads[0], NULL) == 0);
    CHECK_EQUAL(sluice_loop_destroy(target), 0);
    return 0;
}
