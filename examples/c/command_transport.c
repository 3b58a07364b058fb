/* command_transport: a connection over another program's standard input and output, by a transport of our own. It sends the program a
 * line and prints what it answers.
 *
 *     cc command_transport.c $(pkg-config --cflags --libs sluice) -o command_transport
 *     ./command_transport "any line" tr a-z A-Z
 *     ./command_transport "GET / HTTP/1.0" ssh gateway nc intranet 80
 *
 * The socket knows nothing of the program: it has states, events, lines, limits and errors as any other. The transport knows nothing
 * of the socket but that it must be told when something may go on, which the loop at the end of this file does. */

#define _GNU_SOURCE /* SOCK_CLOEXEC */

#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sluice.h"

extern char **environ;

/* The program, and our end of the socket that is its standard input and output. */
struct command {
    char **arguments;
    pid_t pid;
    int descriptor; /* -1 while there is none */
    bool is_full;   /* it took no more, and is to be asked again */
};

/* -- the transport ------------------------------------------------------------------------------------------------------------------- */

static int64_t begin(void *context, const char *host, int32_t port)
{
    (void)host;
    (void)port; /* what they mean is the transport's affair: nothing, to this one */
    struct command *command = context;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -errno;

    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        error = posix_spawnp(&command->pid, command->arguments[0], &actions, NULL, command->arguments, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        return -error;
    }
    command->descriptor = ends[0];
    return 0; /* connected at once */
}

static int64_t receive(void *context, void *buffer, int64_t capacity)
{
    struct command *command = context;
    ssize_t count = recv(command->descriptor, buffer, (size_t)capacity, MSG_DONTWAIT);
    return count >= 0 ? count : -errno;
}

static int64_t send_some(void *context, const void *data, int64_t size)
{
    struct command *command = context;
    ssize_t count = send(command->descriptor, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
    command->is_full = count < 0 && errno == EAGAIN;
    return count >= 0 ? count : -errno;
}

static int64_t finish(void *context)
{
    struct command *command = context;
    return shutdown(command->descriptor, SHUT_WR) == 0 ? 0 : -errno;
}

static void end(void *context)
{
    struct command *command = context;
    close(command->descriptor);
    command->descriptor = -1;
}

/* Only for programs that wait with sluice_socket_wait_for_...; this one does not. */
static int64_t wait_for(void *context, bool readable, bool writable, int64_t timeout)
{
    struct command *command = context;
    struct pollfd watched = {command->descriptor, (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0)), 0};
    int count = poll(&watched, 1, (int)timeout);
    return count >= 0 ? count : -errno;
}

static const sluice_transport transport = {
    .size = sizeof transport,
    .connect = begin,
    .receive = receive,
    .send = send_some,
    .finish_sending = finish,
    .close = end,
    .wait = wait_for,
};

/* -- what is done with the connection: nothing here is different from TCP ------------------------------------------------------------ */

struct talk {
    const char *line;
    bool is_over;
    bool has_failed;
};

static void on_event(const sluice_event *event, void *context)
{
    struct talk *talk = context;
    char chunk[4096];
    int64_t length;
    switch (event->type) {
    case SLUICE_EVENT_CONNECTED:
        sluice_socket_write(event->handle, talk->line, (int64_t)strlen(talk->line));
        sluice_socket_put_char(event->handle, '\n');
        sluice_socket_shutdown_write(event->handle);
        break;
    case SLUICE_EVENT_READY_READ:
        while ((length = sluice_socket_read(event->handle, chunk, sizeof chunk)) > 0)
            fwrite(chunk, 1, (size_t)length, stdout);
        break;
    case SLUICE_EVENT_ERROR_OCCURRED:
        if (event->error == SLUICE_ERROR_REMOTE_HOST_CLOSED && event->system_error == 0)
            break; /* that is how it ends */
        fprintf(stderr, "command_transport: %s\n", event->message);
        talk->has_failed = true;
        break;
    case SLUICE_EVENT_STATE_CHANGED:
        talk->is_over = event->state == SLUICE_STATE_UNCONNECTED;
        break;
    default:
        break;
    }
}

/* The loop of Sluice inside one of our own, which watches the transport's descriptor too. */
static void run(sluice_handle loop, sluice_handle socket, struct command *command, const struct talk *talk)
{
    while (!talk->is_over) {
        struct pollfd watched[] = {
            {sluice_loop_descriptor(loop), POLLIN, 0},
            {command->descriptor, (short)(POLLIN | (command->is_full ? POLLOUT : 0)), 0},
        };
        if (poll(watched, 2, -1) < 0 && errno != EINTR)
            return;
        if (watched[1].revents != 0)
            sluice_socket_transport_ready(socket, (watched[1].revents & ~POLLOUT) != 0, (watched[1].revents & POLLOUT) != 0);
        if (watched[0].revents != 0)
            sluice_loop_run_once(loop, 0);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: command_transport LINE COMMAND [ARGUMENT...]\n");
        return 2;
    }
    struct command command = {.arguments = argv + 2, .descriptor = -1};
    struct talk talk = {.line = argv[1]};
    sluice_handle loop = sluice_loop_create();
    sluice_handle socket = sluice_tcp_socket_create(loop);
    if (socket == 0) {
        fprintf(stderr, "command_transport: %s\n", sluice_error_name(sluice_last_error()));
        return 1;
    }
    sluice_handle_set_callback(socket, on_event, &talk);
    sluice_error error = sluice_socket_set_transport(socket, &transport, &command);
    if (error == SLUICE_ERROR_NONE)
        error = sluice_socket_connect_to_host(socket, command.arguments[0], 1, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
    if (error == SLUICE_ERROR_NONE)
        run(loop, socket, &command, &talk);
    else
        fprintf(stderr, "command_transport: %s\n", sluice_error_name(error));

    sluice_handle_destroy(socket);
    sluice_loop_destroy(loop);
    int status = 0;
    if (command.pid > 0 && waitpid(command.pid, &status, 0) == command.pid && status != 0)
        fprintf(stderr, "command_transport: %s failed\n", command.arguments[0]);
    return error != SLUICE_ERROR_NONE || talk.has_failed || status != 0 ? 1 : 0;
}
