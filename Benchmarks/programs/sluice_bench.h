/* What both styles of the libsluice program need. */
#ifndef SLUICE_BENCH_H
#define SLUICE_BENCH_H

#include "bench.h"
#include "sluice.h"

void run_event_style(const struct task *task);
void run_blocking_style(const struct task *task);

/* Ends the program, with the library's own reason, unless the result is a success. */
void check(const char *what, int64_t result);
void check_error(const char *what, sluice_error error);

/* A server that listens where the task says; its connections are without delay. */
sluice_handle listen_on(sluice_handle loop, const struct address *address);

/* A fresh socket for this kind of address, and the call that starts to connect it. */
sluice_handle make_socket(sluice_handle loop, const struct address *address);
void start_connecting(sluice_handle socket, const struct address *address);

/* The same for TLS: a server's connections are encrypted from then on; a socket that trusts the authority of the address. */
void encrypt_server(sluice_handle server, const struct address *address);
sluice_handle make_encrypted_socket(sluice_handle loop, const struct address *address);

/* Keeps the ticket of this connection for those to come; ends the program when an earlier one was not honoured. */
void keep_ticket(sluice_handle socket);

/* Has a close reset the connection, so that none lingers in the system. */
void close_by_reset(sluice_handle socket);

#endif
