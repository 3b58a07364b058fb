/*
 * sluice.h - sockets with states, buffers and events, for C.
 *
 * This header is the manual of libsluice and the source of truth for its names and numbers. A number published here never changes its
 * meaning; numbers missing in a list are reserved.
 *
 *
 * HANDLES
 *   Every object (loop, socket, server) is a sluice_handle, a 64-bit number; 0 is none. You never hold a pointer into the library. After
 *   an object is destroyed its number never names another object, so a stale handle is an error (SLUICE_ERROR_INVALID_HANDLE), not a
 *   crash. A handle lives until sluice_handle_destroy, or until its loop is destroyed; closing or losing the connection does not end it.
 *
 * RESULTS
 *   A function that acts returns a sluice_error, 0 for success.
 *   A function that counts returns int64_t: the count (0 or more), or minus a sluice_error.
 *   A function that yields a descriptor returns int32_t: the descriptor, or minus a sluice_error.
 *   A function that yields a string fills (buffer, capacity), cuts what does not fit (never inside a UTF-8 character), ends it with NUL
 *   when capacity is above 0, and returns the full length in bytes without the NUL, or minus a sluice_error. buffer may be NULL only
 *   when capacity is 0: that asks for the length.
 *   A function that makes an object returns its handle, or 0; sluice_last_error() then tells why.
 *   A getter returns the value itself. For a handle that is dead, of the wrong kind or used from the wrong thread it returns the neutral
 *   value (0, false, SLUICE_STATE_UNCONNECTED, -1 for a descriptor; what differs says so) and sluice_last_error() tells why.
 *   Numbers up to SLUICE_ERROR_TEMPORARY tell what the network or the system did; those from 100 up tell of a mistake in the call itself.
 *   Such a mistake changes nothing in the object and raises no event.
 *
 * ARGUMENTS
 *   Strings are UTF-8 and end with NUL; invalid UTF-8 is SLUICE_ERROR_INVALID_ARGUMENT. A NULL pointer is SLUICE_ERROR_INVALID_ARGUMENT
 *   unless the function says it may be NULL; memory of size 0 may be NULL. The library copies what it needs before it returns, but for
 *   sluice_socket_write_borrowed. Sizes are bytes; a negative one is SLUICE_ERROR_INVALID_ARGUMENT. Times are milliseconds; -1 is
 *   without a limit, anything below it SLUICE_ERROR_INVALID_ARGUMENT. A struct's first member is its size: set it to sizeof before you
 *   hand the struct over; a smaller one than this header's is SLUICE_ERROR_INVALID_ARGUMENT, and the library writes no more than that.
 *
 * EVENTS
 *   Objects tell what happens by events. There are two styles, and each handle may use its own.
 *   Callbacks: sluice_handle_set_callback(handle, function, context). The function is called on the loop's thread, at the very moment of
 *   the event: inside sluice_loop_run and its kin, inside a wait, or inside the call that caused it (connecting to an address literal
 *   raises SLUICE_EVENT_STATE_CHANGED before the call returns). A callback may call any function, on any object of the loop, and may
 *   destroy its own handle.
 *   Queue: sluice_loop_next_event(loop, &event, timeout) runs the loop until there is an event of a handle that has no callback.
 *   Events of a handle with neither go nowhere. sluice_handle_subscribe chooses the types a handle sends.
 *
 * LOOPS AND THREADS
 *   An object belongs to a loop, and a loop to one thread: the one that created it, until sluice_loop_detach gives it up. Other threads
 *   may only call sluice_loop_post and sluice_loop_stop on it; everything else returns SLUICE_ERROR_WRONG_THREAD (getters: the neutral
 *   value). Functions without a handle may be called from any thread. Different loops are independent of each other. A thread should
 *   destroy or detach its loops before it ends: nobody else can take them then. The library starts
 *   no thread of its own but for looking up names, a few at most and none before the first name. It installs no signal handler, never
 *   raises SIGPIPE, writes to no terminal, and makes every descriptor close-on-exec. After fork() the child must leave the parent's
 *   loops alone; exec is fine.
 *
 * WAITS
 *   The sluice_..._wait_for_... functions and sluice_socket_sync block the calling thread for one object, and need no running loop: with
 *   them a program may be written top to bottom. Their object's events are raised from inside the wait; other objects rest meanwhile.
 *
 *      sluice_handle loop = sluice_loop_create();
 *      sluice_handle socket = sluice_tcp_socket_create(loop);
 *      sluice_socket_connect_to_host(socket, "example.org", 80, SLUICE_OPEN_READ_WRITE, SLUICE_PROTOCOL_ANY);
 *      if (sluice_socket_wait_for_connected(socket, 5000)) {
 *          sluice_socket_write(socket, "GET / HTTP/1.0\r\n\r\n", 18);
 *          while (sluice_socket_wait_for_ready_read(socket, 5000)) {
 *              char buffer[4096];
 *              int64_t count;
 *              while ((count = sluice_socket_read(socket, buffer, sizeof buffer)) > 0)
 *                  fwrite(buffer, 1, (size_t)count, stdout);
 *          }
 *      }
 *      sluice_loop_destroy(loop);
 *
 * INSIDE ANOTHER LOOP
 *   sluice_loop_descriptor gives one descriptor that is readable whenever the loop has something to do, its timers included. Watch it
 *   with poll, epoll, GLib, libuv or asyncio, and let the loop do its work without waiting:
 *
 *      struct pollfd mine = { sluice_loop_descriptor(loop), POLLIN, 0 };
 *      while (poll(&mine, 1, -1) >= 0)
 *          sluice_loop_run_once(loop, 0);
 *
 * MEMORY
 *   A buffer handed to the library stays yours. Nothing the library returns needs to be freed. Pointers inside an event are valid as
 *   long as the event: during the callback, or until the next sluice_loop_next_event on that loop.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SLUICE_API __attribute__((visibility("default")))
#else
#define SLUICE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * Numbers
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* The version of this header. The ABI number grows when something is added; a library with the same or a higher one fits. */
#define SLUICE_VERSION "0.1.0"
#define SLUICE_ABI_VERSION 1

/* Names an object; 0 names none. */
typedef uint64_t sluice_handle;

/* What an object is. */
typedef int32_t sluice_kind;
enum {
    SLUICE_KIND_NONE = 0, /* the handle names no object */
    SLUICE_KIND_LOOP = 1,
    SLUICE_KIND_TCP_SOCKET = 2,
    SLUICE_KIND_LOCAL_SOCKET = 4,
    SLUICE_KIND_TCP_SERVER = 6,
    SLUICE_KIND_LOCAL_SERVER = 7
};

/* Why something failed. 1 to 32 are about the network and the system, 100 and up about the call. */
typedef int32_t sluice_error;
enum {
    SLUICE_ERROR_NONE = 0,
    SLUICE_ERROR_EMPTY_HOST_NAME = 1,
    SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE = 2,
    SLUICE_ERROR_DATAGRAM_WRITE = 3,
    SLUICE_ERROR_UNKNOWN = 9,
    SLUICE_ERROR_CONNECTION_REFUSED = 10,
    SLUICE_ERROR_REMOTE_HOST_CLOSED = 11, /* the peer closed, or reset the connection (then system_error is ECONNRESET) */
    SLUICE_ERROR_HOST_NOT_FOUND = 12,     /* for a local socket: no such server */
    SLUICE_ERROR_SOCKET_ACCESS = 13,
    SLUICE_ERROR_SOCKET_RESOURCE = 14, /* out of descriptors or of system memory */
    SLUICE_ERROR_SOCKET_TIMEOUT = 15,
    SLUICE_ERROR_DATAGRAM_TOO_LARGE = 16,
    SLUICE_ERROR_NETWORK = 17,
    SLUICE_ERROR_ADDRESS_IN_USE = 18,
    SLUICE_ERROR_SOCKET_ADDRESS_NOT_AVAILABLE = 19,
    SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION = 20,
    SLUICE_ERROR_UNFINISHED_SOCKET_OPERATION = 21,
    SLUICE_ERROR_PROXY_AUTHENTICATION_REQUIRED = 22,
    SLUICE_ERROR_SSL_HANDSHAKE_FAILED = 23,
    SLUICE_ERROR_PROXY_CONNECTION_REFUSED = 24,
    SLUICE_ERROR_PROXY_CONNECTION_CLOSED = 25,
    SLUICE_ERROR_PROXY_CONNECTION_TIMEOUT = 26,
    SLUICE_ERROR_PROXY_NOT_FOUND = 27,
    SLUICE_ERROR_PROXY_PROTOCOL = 28,
    SLUICE_ERROR_OPERATION = 29, /* not possible in this state: not open, not connected, already connecting, already listening */
    SLUICE_ERROR_SSL_INTERNAL = 30,
    SLUICE_ERROR_SSL_INVALID_USER_DATA = 31,
    SLUICE_ERROR_TEMPORARY = 32, /* nothing there now; later it may be */
    SLUICE_ERROR_INVALID_HANDLE = 100,
    SLUICE_ERROR_WRONG_KIND = 101, /* the handle names an object of another kind than the function is for */
    SLUICE_ERROR_WRONG_THREAD = 102,
    SLUICE_ERROR_INVALID_ARGUMENT = 103,
    SLUICE_ERROR_INVALID_STATE = 104,
    SLUICE_ERROR_LIMIT_REACHED = 105,
    SLUICE_ERROR_CANCELLED = 106,
    SLUICE_ERROR_NOT_PERMITTED = 107,
    SLUICE_ERROR_OUT_OF_MEMORY = 108
};

/* The state of a socket. A server has SLUICE_STATE_LISTENING or SLUICE_STATE_UNCONNECTED in its events. */
typedef int32_t sluice_state;
enum {
    SLUICE_STATE_UNCONNECTED = 0,
    SLUICE_STATE_HOST_LOOKUP = 1,
    SLUICE_STATE_CONNECTING = 2,
    SLUICE_STATE_CONNECTED = 3,
    SLUICE_STATE_BOUND = 4,
    SLUICE_STATE_LISTENING = 5,
    SLUICE_STATE_CLOSING = 6 /* sending what is left before it disconnects */
};

/* Which addresses of a host to use. */
typedef int32_t sluice_protocol;
enum {
    SLUICE_PROTOCOL_UNKNOWN = -1,
    SLUICE_PROTOCOL_IPV4 = 0,
    SLUICE_PROTOCOL_IPV6 = 1,
    SLUICE_PROTOCOL_ANY = 2
};

/* What a socket speaks. */
typedef int32_t sluice_socket_type;
enum {
    SLUICE_SOCKET_TYPE_UNKNOWN = -1,
    SLUICE_SOCKET_TYPE_TCP = 0,
    SLUICE_SOCKET_TYPE_UDP = 1,
    SLUICE_SOCKET_TYPE_LOCAL = 2
};

/* Options of a socket for sluice_socket_option and sluice_socket_set_option. Switches are set by 0 (off) or anything else (on), and are
 * read as 0 or 1. */
typedef int32_t sluice_option;
enum {
    SLUICE_OPTION_LOW_DELAY = 0,  /* a switch: TCP_NODELAY */
    SLUICE_OPTION_KEEP_ALIVE = 1, /* a switch: SO_KEEPALIVE */
    SLUICE_OPTION_MULTICAST_TTL = 2,
    SLUICE_OPTION_MULTICAST_LOOPBACK = 3,
    SLUICE_OPTION_TYPE_OF_SERVICE = 4,     /* 0 to 255; the traffic class on IPv6 */
    SLUICE_OPTION_SEND_BUFFER_SIZE = 5,    /* bytes, of the system; Linux doubles what is set */
    SLUICE_OPTION_RECEIVE_BUFFER_SIZE = 6, /* bytes, of the system; Linux doubles what is set */
    SLUICE_OPTION_PATH_MTU = 7,            /* bytes; read only, of a connected socket */
    SLUICE_OPTION_KEEP_ALIVE_IDLE = 8,     /* seconds before the first probe, 1 to 32767 */
    SLUICE_OPTION_KEEP_ALIVE_INTERVAL = 9, /* seconds between probes, 1 to 32767 */
    SLUICE_OPTION_KEEP_ALIVE_COUNT = 10,   /* probes, 1 to 127 */
    SLUICE_OPTION_USER_TIMEOUT = 11,       /* milliseconds that sent data may stay unacknowledged */
    SLUICE_OPTION_BROADCAST = 12,
    SLUICE_OPTION_QUICK_ACK = 13 /* a switch: TCP_QUICKACK */
};

/* How a socket is opened; flags. */
typedef int32_t sluice_open_mode;
enum {
    SLUICE_OPEN_NOT_OPEN = 0,
    SLUICE_OPEN_READ_ONLY = 1,
    SLUICE_OPEN_WRITE_ONLY = 2, /* what arrives is read and thrown away */
    SLUICE_OPEN_READ_WRITE = 3,
    SLUICE_OPEN_APPEND = 4,
    SLUICE_OPEN_TRUNCATE = 8,
    SLUICE_OPEN_UNBUFFERED = 32 /* sluice_socket_write hands to the system at once what it takes */
};

/* How an address is shared with other sockets; flags. */
typedef int32_t sluice_bind_mode;
enum {
    SLUICE_BIND_DEFAULT = 0,
    SLUICE_BIND_SHARE_ADDRESS = 1,
    SLUICE_BIND_DONT_SHARE_ADDRESS = 2,
    SLUICE_BIND_REUSE_ADDRESS_HINT = 4, /* SO_REUSEADDR */
    SLUICE_BIND_REUSE_PORT = 8          /* SO_REUSEPORT */
};

/* When a socket pauses and waits for sluice_socket_resume; flags. */
typedef int32_t sluice_pause_mode;
enum {
    SLUICE_PAUSE_NEVER = 0,
    SLUICE_PAUSE_ON_SSL_ERRORS = 1
};

/* Who may connect to a local server, and where its name lives; flags. */
typedef int32_t sluice_access;
enum {
    SLUICE_ACCESS_NONE = 0, /* the process's umask decides */
    SLUICE_ACCESS_USER = 1,
    SLUICE_ACCESS_GROUP = 2,
    SLUICE_ACCESS_OTHER = 4,
    SLUICE_ACCESS_WORLD = 7,
    SLUICE_ACCESS_ABSTRACT_NAMESPACE = 8 /* the name is no file; there is no access mode */
};

/* Phases of getting connected, in an attempt's report. */
typedef int32_t sluice_phase;
enum {
    SLUICE_PHASE_LOOKUP = 1,
    SLUICE_PHASE_CONNECT = 2,
    SLUICE_PHASE_PROXY = 3,
    SLUICE_PHASE_TLS = 4
};

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * Events
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* The types of events. "value" is the member of sluice_event; 0 where nothing is said. */
typedef int32_t sluice_event_type;
enum {
    SLUICE_EVENT_HOST_FOUND = 1,             /* the name is looked up; the state is Connecting */
    SLUICE_EVENT_CONNECTED = 2,              /* the state is Connected */
    SLUICE_EVENT_DISCONNECTED = 3,           /* a connection has ended; the state is Unconnected; unread data stays readable */
    SLUICE_EVENT_STATE_CHANGED = 4,          /* value: the new state; comes before the event that names the reason */
    SLUICE_EVENT_ERROR_OCCURRED = 5,         /* error, system_error, message; value: the error's number */
    SLUICE_EVENT_READY_READ = 6,             /* new data came; value: bytes available. Never raised inside its own callback */
    SLUICE_EVENT_LINE_AVAILABLE = 7,         /* a whole line can be read */
    SLUICE_EVENT_BYTES_WRITTEN = 8,          /* the system took bytes; value: how many since the last one. Off at first */
    SLUICE_EVENT_ABOUT_TO_CLOSE = 9,         /* the socket is about to be closed; the last moment to read what it holds */
    SLUICE_EVENT_READ_CHANNEL_FINISHED = 10, /* nothing will be received any more */
    SLUICE_EVENT_NEW_CONNECTION = 14,        /* servers: value: connections waiting to be taken */
    SLUICE_EVENT_PENDING_CONNECTION_AVAILABLE = 15, /* servers: comes just before the above, once for each connection */
    SLUICE_EVENT_ACCEPT_ERROR = 17 /* servers: error, system_error, message; value: the error's number. The server goes on by itself */
};

/* Masks for sluice_handle_subscribe. SLUICE_EVENT_MASK(SLUICE_EVENT_READY_READ) is the bit of one type; join several by |. The default
 * is all types but SLUICE_EVENT_BYTES_WRITTEN (and one reserved type). Bits of types that do not exist are ignored. */
#define SLUICE_EVENT_MASK(type) (UINT32_C(1) << (type))
#define SLUICE_EVENTS_NONE 0x00000000u
#define SLUICE_EVENTS_ALL 0xFFFFFFFFu
#define SLUICE_EVENTS_DEFAULT 0xFFFFEEFFu

/* An event. It carries the object's state and openness at the moment it was raised, so that whoever reads it later from the queue sees
 * what a callback would have seen. Later versions may append members; size tells how many bytes there are. */
typedef struct sluice_event {
    uint32_t size; /* of this struct */
    sluice_event_type type;
    sluice_handle handle; /* the object that raised it */
    sluice_state state;   /* the object's state at that moment */
    bool is_open;         /* whether it was open (a server: listening) at that moment */
    uint8_t reserved[3];
    sluice_error error;   /* of the error events, else 0 */
    int32_t system_error; /* errno of the error events where there is one, else 0 */
    int64_t value;        /* see the type */
    const char *message;  /* the error events: a sentence a person understands; else NULL. Valid as long as the event */
} sluice_event;

/* Receives the events of a handle. event and what it points to are valid until the function returns. context is what was given to
 * sluice_handle_set_callback. The function must return normally: no longjmp, no C++ exception may leave it. */
typedef void (*sluice_event_callback)(const sluice_event *event, void *context);

/* A function to be called later: posted work, a timer, a release of borrowed memory. The same rule: it must return normally. */
typedef void (*sluice_callback)(void *context);

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * The library
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* The library's SLUICE_ABI_VERSION, to compare with the header's. Any thread. */
SLUICE_API int32_t sluice_abi_version(void);

/* The library's SLUICE_VERSION. The string is static. Any thread. */
SLUICE_API const char *sluice_version(void);

/* Why the latest function that failed on the calling thread failed, as errno does: a success leaves it as it is, and it is
 * SLUICE_ERROR_NONE before any failure. Functions that return their error set it too. Any thread. */
SLUICE_API sluice_error sluice_last_error(void);

/* The name of an error: "ConnectionRefusedError", "NoError", "InvalidHandleError"; "" for a number that is none. The string is static.
 * Any thread. */
SLUICE_API const char *sluice_error_name(sluice_error error);

/* The name of a state: "Connected"; "" for a number that is none. The string is static. Any thread. */
SLUICE_API const char *sluice_state_name(sluice_state state);

/* The name of an event type: "readyRead"; "" for a number that is none. The string is static. Any thread. */
SLUICE_API const char *sluice_event_name(sluice_event_type type);

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * loop: runs the sockets of one thread
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* Makes a loop that belongs to the calling thread. Returns its handle, or 0: SLUICE_ERROR_SOCKET_RESOURCE when descriptors or memory ran
 * out, SLUICE_ERROR_LIMIT_REACHED when 1,024 loops exist. Any thread. */
SLUICE_API sluice_handle sluice_loop_create(void);

/* Destroys the loop and every object on it, as sluice_handle_destroy does; stops its timers; releases borrowed memory; drops queued
 * events and posted work that has not run (the functions are not called). Its handles are dead from then on. From inside the loop's own
 * callbacks: everything on it is destroyed at once, and the running function of the loop returns when the callback has.
 * sluice_handle_destroy(loop) is the same. */
SLUICE_API sluice_error sluice_loop_destroy(sluice_handle loop);

/* Runs the loop, blocking, until sluice_loop_stop. Takes a detached loop for the calling thread. May be called inside a callback of the
 * loop: turns nest. */
SLUICE_API sluice_error sluice_loop_run(sluice_handle loop);

/* Runs one turn: waits at most timeout milliseconds (0: not at all, -1: without limit) for something to do and does all that is ready.
 * Returns 1 if anything was done, 0 if not, or minus an error. Takes a detached loop for the calling thread. May be called inside a
 * callback of the loop. */
SLUICE_API int64_t sluice_loop_run_once(sluice_handle loop, int64_t timeout);

/* Makes the running sluice_loop_run, sluice_loop_run_once or sluice_loop_next_event return after the current turn, or, when none is
 * running, the next one at once. Several stops before it returns count as one. Any thread. */
SLUICE_API sluice_error sluice_loop_stop(sluice_handle loop);

/* Has function(context) called on the loop's thread, in the loop's next turn, in the order posted; wakes the loop if it sleeps. This is
 * how another thread gets something done with the loop's objects. If the loop is destroyed before, the function is never called. Any
 * thread. */
SLUICE_API sluice_error sluice_loop_post(sluice_handle loop, sluice_callback function, void *context);

/* The loop's pollable descriptor: readable whenever sluice_loop_run_once(loop, 0) has something to do, timers and posted work included.
 * Watch it for reading only and call sluice_loop_run_once(loop, 0) each time it is ready. The descriptor stays the loop's: do not read or
 * close it. Returns the descriptor, or minus an error. */
SLUICE_API int32_t sluice_loop_descriptor(sluice_handle loop);

/* Runs the loop for at most timeout milliseconds (0: one turn without waiting, -1: without limit) until there is an event of a handle
 * without a callback, and copies the oldest to *event. Set event->size before the first call. Returns 1 with an event, 0 without one (the
 * time is over, or the loop was stopped), or minus an error. Callbacks, timers and posted work of the loop run meanwhile. Takes a
 * detached loop for the calling thread.
 * From the first call on (or from sluice_loop_queue_events) such events are queued; before, they are dropped. A SLUICE_EVENT_READY_READ or
 * SLUICE_EVENT_BYTES_WRITTEN that follows one still queued, with no other event of that handle between, is joined to it (bytes written
 * are added up). The queue holds 65,536 events; beyond that old events are dropped, first those that only repeat what others tell, and
 * sluice_loop_dropped_events counts them. An event of a handle that has been destroyed since is still delivered. */
SLUICE_API int64_t sluice_loop_next_event(sluice_handle loop, sluice_event *event, int64_t timeout);

/* Begins (on) or ends (off) queueing the events of handles without a callback. Ending drops what is queued. sluice_loop_next_event begins
 * by itself; call this where the first events must not be missed, or to stop. */
SLUICE_API sluice_error sluice_loop_queue_events(sluice_handle loop, bool on);

/* How many events were dropped from the full queue since the loop was made. */
SLUICE_API int64_t sluice_loop_dropped_events(sluice_handle loop);

/* How many microseconds (0 to 1,000,000; 0 at first: off) the loop asks for work before it sleeps. This trades processor time for
 * latency; the loop gives it up by itself while its waits are long. */
SLUICE_API sluice_error sluice_loop_set_busy_poll(sluice_handle loop, int64_t microseconds);

/* Calls function(context) on the loop's thread after the given milliseconds (0 or more: in a coming turn, never inside this call), once
 * or, when repeats is true, again and again at that interval (then at least 1) until it is stopped. Returns the timer's number (1 or
 * more, never used again on this loop), or minus an error. */
SLUICE_API int64_t sluice_loop_start_timer(sluice_handle loop, int64_t milliseconds, bool repeats, sluice_callback function, void *context);

/* Stops a timer; its function is not called any more. A timer that has run or is stopped already: SLUICE_ERROR_INVALID_ARGUMENT. A timer
 * may stop itself. */
SLUICE_API sluice_error sluice_loop_stop_timer(sluice_handle loop, int64_t timer);

/* Gives the loop up, so that another thread may take it; until then every call on it but post, stop, attach, run, run_once and next_event
 * returns SLUICE_ERROR_WRONG_THREAD. Not inside one of the loop's own callbacks: SLUICE_ERROR_INVALID_STATE. */
SLUICE_API sluice_error sluice_loop_detach(sluice_handle loop);

/* Takes a detached loop for the calling thread. The loop belongs to another thread: SLUICE_ERROR_WRONG_THREAD; to this one already:
 * success. */
SLUICE_API sluice_error sluice_loop_attach(sluice_handle loop);

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * handle: what every object can do
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* Destroys the object: closes it at once, drops what is pending, and frees its handle for ever. It raises the events of an abort before
 * it returns, then never any. Safe inside the object's own callback. A destroyed server also aborts the connections it accepted;
 * the sockets among them that were taken stay yours, Unconnected (sluice_server_close leaves them connected). */
SLUICE_API sluice_error sluice_handle_destroy(sluice_handle handle);

/* What the handle names; SLUICE_KIND_NONE when it names nothing (any more). */
SLUICE_API sluice_kind sluice_handle_kind(sluice_handle handle);

/* Chooses the types of events the socket or server sends: SLUICE_EVENT_MASK(...) bits joined by |, SLUICE_EVENTS_ALL, SLUICE_EVENTS_NONE,
 * SLUICE_EVENTS_DEFAULT (the one at first). Acts on events raised from now on. A loop has no events: SLUICE_ERROR_WRONG_KIND. */
SLUICE_API sluice_error sluice_handle_subscribe(sluice_handle handle, uint32_t events);

/* Sets the function that receives the events of the socket or server, with a context of yours that is handed to it; NULL removes it (its
 * events then go to the loop's queue, if that is in use). context may be NULL and stays yours. Acts on events raised from now on. A loop
 * has no events: SLUICE_ERROR_WRONG_KIND. */
SLUICE_API sluice_error sluice_handle_set_callback(sluice_handle handle, sluice_event_callback callback, void *context);

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * tcp_socket
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* Makes a TCP socket on the loop: Unconnected, without a descriptor. Returns its handle, or 0. */
SLUICE_API sluice_handle sluice_tcp_socket_create(sluice_handle loop);

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * socket: what every socket can do (TCP and local)
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* -- connecting ---------------------------------------------------------------------------------------------------------------------- */

/* Starts to connect to host and port, and returns at once. host is a name or an IPv4 or IPv6 literal; only names
 * are looked up, without blocking. The states are HostLookup, Connecting, Connected; the events
 * SLUICE_EVENT_HOST_FOUND, then SLUICE_EVENT_CONNECTED. All addresses of the host are raced (RFC 8305); protocol keeps to IPv4 or IPv6.
 * A failure comes as SLUICE_EVENT_ERROR_OCCURRED in state Unconnected, with every attempt on record (sluice_socket_attempt): an empty host
 * SLUICE_ERROR_EMPTY_HOST_NAME, port 0 SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE, and those of the network. The attempt is bounded by
 * sluice_socket_set_connect_timeout. mode says what the socket is open for; without any of reading and writing it is for both. Data may be
 * written before the connection stands.
 * Errors at once: SLUICE_ERROR_OPERATION while looking up, connecting, connected or closing (that goes on unharmed, and
 * SLUICE_EVENT_ERROR_OCCURRED tells it too); SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE for a port outside 0 to 65535;
 * SLUICE_ERROR_INVALID_ARGUMENT for an unknown mode or protocol (SLUICE_PROTOCOL_UNKNOWN too). A local socket is connected by
 * sluice_local_socket_connect_to_server: SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION. */
SLUICE_API sluice_error sluice_socket_connect_to_host(sluice_handle handle, const char *host, int32_t port, sluice_open_mode mode,
                                                      sluice_protocol protocol);

/* Ends the connection in order: what was written is sent first (state Closing, bounded by sluice_socket_set_close_timeout), then Unconnected
 * and SLUICE_EVENT_DISCONNECTED; with nothing to send all that happens inside the call. While connecting it is remembered: connect, send,
 * disconnect. The socket stays open, and unread data readable. Unconnected: nothing happens. */
SLUICE_API sluice_error sluice_socket_disconnect_from_host(sluice_handle handle);

/* Closes at once, drops what is unread and unsent, and makes the socket as new; SLUICE_EVENT_DISCONNECTED if it was connected. */
SLUICE_API sluice_error sluice_socket_abort(sluice_handle handle);

/* Raises SLUICE_EVENT_ABOUT_TO_CLOSE, closes the socket for reading and writing (unread data is dropped), then ends the connection as
 * sluice_socket_disconnect_from_host does: what was written is still sent. The handle lives on and may connect again. */
SLUICE_API sluice_error sluice_socket_close(sluice_handle handle);

/* Half close: sends what was written, then tells the peer that no more will come; reading goes on. Not connected: SLUICE_ERROR_OPERATION. */
SLUICE_API sluice_error sluice_socket_shutdown_write(sluice_handle handle);

/* Fixes the local address before connecting: an IPv4 or IPv6 literal or "any", and a port from 0 (the system picks one) to 65535. The state
 * becomes Bound inside the call. A failure (SLUICE_ERROR_ADDRESS_IN_USE, SLUICE_ERROR_SOCKET_ADDRESS_NOT_AVAILABLE,
 * SLUICE_ERROR_SOCKET_ACCESS, ...) is returned and raised as SLUICE_EVENT_ERROR_OCCURRED, and leaves no descriptor. A port outside the
 * range is SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE, any state but Unconnected SLUICE_ERROR_OPERATION. Local sockets:
 * SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION. */
SLUICE_API sluice_error sluice_socket_bind(sluice_handle handle, const char *address, int32_t port, sluice_bind_mode mode);

/* Makes the socket use a native descriptor, which it owns and closes from then on. state says what the descriptor is: Connected, or
 * Unconnected or Bound. An earlier connection is dropped. A descriptor that is no socket, not of this kind or not in that state is refused
 * and stays yours: SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION; one that another object of the loop holds: SLUICE_ERROR_OPERATION; another
 * state: SLUICE_ERROR_INVALID_ARGUMENT. No SLUICE_EVENT_CONNECTED is raised. */
SLUICE_API sluice_error sluice_socket_set_descriptor(sluice_handle handle, int32_t descriptor, sluice_state state, sluice_open_mode mode);

/* The native descriptor: from Connected (or Bound) on, else -1. It stays the socket's: do not close it. */
SLUICE_API int32_t sluice_socket_descriptor(sluice_handle handle);

/* Gives the descriptor away: you own it from then on, the connection lives on, and the socket is Unconnected. With anything unread or
 * unsent: minus SLUICE_ERROR_OPERATION. Without a descriptor: minus SLUICE_ERROR_INVALID_STATE. */
SLUICE_API int32_t sluice_socket_take_descriptor(sluice_handle handle);

/* The limit in milliseconds for getting connected (60,000 at first; -1: none). Past it the attempt ends with SLUICE_ERROR_SOCKET_TIMEOUT. */
SLUICE_API int64_t sluice_socket_connect_timeout(sluice_handle handle);
SLUICE_API sluice_error sluice_socket_set_connect_timeout(sluice_handle handle, int64_t timeout);

/* The limit in milliseconds for sending what is left in state Closing (60,000 at first; -1: none). Past it the socket disconnects with
 * SLUICE_ERROR_SOCKET_TIMEOUT, whose message tells how many bytes were not sent. */
SLUICE_API int64_t sluice_socket_close_timeout(sluice_handle handle);
SLUICE_API sluice_error sluice_socket_set_close_timeout(sluice_handle handle, int64_t timeout);

/* Whether the socket stays Connected, for writing, when the peer ends its side: then SLUICE_EVENT_READ_CHANNEL_FINISHED alone tells it.
 * Off at first: the peer's end ends the connection (after what was written is sent). */
SLUICE_API bool sluice_socket_allow_half_open(sluice_handle handle);
SLUICE_API sluice_error sluice_socket_set_allow_half_open(sluice_handle handle, bool allow);

/* -- what it is ---------------------------------------------------------------------------------------------------------------------- */

/* The state. */
SLUICE_API sluice_state sluice_socket_state(sluice_handle handle);

/* The last error of this socket; SLUICE_ERROR_NONE before any and after a success of the same kind of call. For a handle that cannot be
 * used, why (SLUICE_ERROR_INVALID_HANDLE, ...). */
SLUICE_API sluice_error sluice_socket_error(sluice_handle handle);

/* The last error in words: a sentence that names the peer. A string function. */
SLUICE_API int64_t sluice_socket_error_string(sluice_handle handle, char *buffer, size_t capacity);

/* The errno behind the last error, 0 where there is none. ECONNRESET tells a reset from an orderly close. */
SLUICE_API int32_t sluice_socket_system_error(sluice_handle handle);

/* One attempt to get connected. */
typedef struct sluice_attempt {
    uint32_t size; /* of this struct; set it before the call */
    sluice_phase phase;
    int64_t milliseconds; /* spent in this attempt */
    int32_t system_error; /* errno, 0 where there is none */
    char address[132];    /* the address and port, the name looked up, or the path; cut if longer */
} sluice_attempt;

/* How many attempts the last failed connection made; 0 if none failed. */
SLUICE_API int32_t sluice_socket_attempt_count(sluice_handle handle);

/* Fills *attempt with the attempt of that index, from 0, in the order made. Outside the range: SLUICE_ERROR_INVALID_ARGUMENT. */
SLUICE_API sluice_error sluice_socket_attempt(sluice_handle handle, int32_t index, sluice_attempt *attempt);

/* The type; SLUICE_SOCKET_TYPE_UNKNOWN for a handle that cannot be used. */
SLUICE_API sluice_socket_type sluice_socket_socket_type(sluice_handle handle);

/* What the socket is open for; flags. */
SLUICE_API sluice_open_mode sluice_socket_open_mode(sluice_handle handle);

/* Whether the socket has a live descriptor. */
SLUICE_API bool sluice_socket_is_valid(sluice_handle handle);

/* Whether it is open: from connecting on, until it is closed or aborted. It stays open when the peer disconnects, and after a connection
 * failed. */
SLUICE_API bool sluice_socket_is_open(sluice_handle handle);

/* Whether it is open for reading, for writing. */
SLUICE_API bool sluice_socket_is_readable(sluice_handle handle);
SLUICE_API bool sluice_socket_is_writable(sluice_handle handle);

/* Always true for a socket: it has no position to seek. */
SLUICE_API bool sluice_socket_is_sequential(sluice_handle handle);

/* The local and the peer's address as text ("127.0.0.1", "fe80::1%eth0"), "" when there is none, and their ports, 0 when there is none.
 * Known from Connected (or Bound) on, until after the disconnected event; the local address is "*" while bound to "any". String
 * functions. */
SLUICE_API int64_t sluice_socket_local_address(sluice_handle handle, char *buffer, size_t capacity);
SLUICE_API int32_t sluice_socket_local_port(sluice_handle handle);
SLUICE_API int64_t sluice_socket_peer_address(sluice_handle handle, char *buffer, size_t capacity);
SLUICE_API int32_t sluice_socket_peer_port(sluice_handle handle);

/* The peer's name as given to sluice_socket_connect_to_host; "" for an accepted socket. A string function. */
SLUICE_API int64_t sluice_socket_peer_name(sluice_handle handle, char *buffer, size_t capacity);

/* -- reading ------------------------------------------------------------------------------------------------------------------------- */

/* Bytes received and not yet read. */
SLUICE_API int64_t sluice_socket_bytes_available(sluice_handle handle);

/* Whether nothing is there to read now. True for a handle that cannot be used, so that a reading loop ends. */
SLUICE_API bool sluice_socket_at_end(sluice_handle handle);

/* Whether a whole line, with its newline, is there to read. */
SLUICE_API bool sluice_socket_can_read_line(sluice_handle handle);

/* Reads at most capacity bytes. Returns the count: 0 when nothing is there now. Never blocks. What came before the peer closed is still
 * served. Not open for reading, or not connected and all is read: minus SLUICE_ERROR_OPERATION. */
SLUICE_API int64_t sluice_socket_read(sluice_handle handle, void *buffer, int64_t capacity);

/* Reads all that is there and fits. Returns the count; what does not fit stays (sluice_socket_bytes_available tells how much). Errors as
 * sluice_socket_read. */
SLUICE_API int64_t sluice_socket_read_all(sluice_handle handle, void *buffer, int64_t capacity);

/* Reads a line with its newline, at most capacity bytes of it; without a newline, what is there. No NUL is added. Returns the count.
 * Errors as sluice_socket_read. */
SLUICE_API int64_t sluice_socket_read_line(sluice_handle handle, void *buffer, int64_t capacity);

/* As sluice_socket_read, but leaves the bytes in place. */
SLUICE_API int64_t sluice_socket_peek(sluice_handle handle, void *buffer, int64_t capacity);

/* As sluice_socket_read_all, but leaves the bytes in place. */
SLUICE_API int64_t sluice_socket_peek_all(sluice_handle handle, void *buffer, int64_t capacity);

/* Reads at most size bytes and throws them away. Returns the count. Errors as sluice_socket_read. */
SLUICE_API int64_t sluice_socket_skip(sluice_handle handle, int64_t size);

/* Reads one byte and returns it, 0 to 255. Nothing is there: minus SLUICE_ERROR_TEMPORARY. Other errors as sluice_socket_read. */
SLUICE_API int32_t sluice_socket_get_char(sluice_handle handle);

/* Puts a byte (0 to 255) back in front of what is to be read. Not open for reading: SLUICE_ERROR_OPERATION. */
SLUICE_API sluice_error sluice_socket_unget_char(sluice_handle handle, int32_t byte);

/* The most bytes (0 at first: no limit) the socket holds unread. At the limit it stops receiving, and the system makes the peer stop
 * sending; it goes on when something is read, or the limit raised. Lowering it drops nothing. */
SLUICE_API int64_t sluice_socket_read_buffer_size(sluice_handle handle);
SLUICE_API sluice_error sluice_socket_set_read_buffer_size(sluice_handle handle, int64_t size);

/* -- writing ------------------------------------------------------------------------------------------------------------------------- */

/* Bytes accepted by a write and not yet taken by the system. */
SLUICE_API int64_t sluice_socket_bytes_to_write(sluice_handle handle);

/* Writes size bytes. Never blocks: they are copied, and leave together with the other writes of the same callback or turn when that ends;
 * what the system does not take then is sent when it can be. Returns the count accepted: all, or less (down to 0) at the limit of
 * sluice_socket_set_write_buffer_size. A TCP socket may be written to before it is connected. Not open for writing, or not connected: minus
 * SLUICE_ERROR_OPERATION. */
SLUICE_API int64_t sluice_socket_write(sluice_handle handle, const void *data, int64_t size);

/* Writes without copying. The memory must stay as it is until release(context) is called, exactly once, on the loop's thread: when the last
 * accepted byte has left (perhaps before this function returns), when the data is dropped, or when the socket is destroyed. Returns size:
 * nothing is cut. What goes beyond the limit of sluice_socket_set_write_buffer_size is minus SLUICE_ERROR_LIMIT_REACHED, other errors are
 * those of sluice_socket_write; after an error release is not called, and the memory is yours at once. release may be NULL for memory that
 * lives on; it may call any function. */
SLUICE_API int64_t sluice_socket_write_borrowed(sluice_handle handle, const void *data, int64_t size, sluice_callback release, void *context);

/* Writes one byte, 0 to 255. At the limit of the write buffer: SLUICE_ERROR_LIMIT_REACHED. Errors as sluice_socket_write. */
SLUICE_API sluice_error sluice_socket_put_char(sluice_handle handle, int32_t byte);

/* Sends now what the system takes, without waiting. Returns whether any byte left. */
SLUICE_API bool sluice_socket_flush(sluice_handle handle);

/* Blocks until all that was written is with the system; with nothing unsent it succeeds at once. SLUICE_ERROR_SOCKET_TIMEOUT when that takes
 * longer; the socket's error when it fails. */
SLUICE_API sluice_error sluice_socket_sync(sluice_handle handle, int64_t timeout);

/* The most bytes (0 at first: no limit) accepted and unsent at a time. */
SLUICE_API int64_t sluice_socket_write_buffer_size(sluice_handle handle);
SLUICE_API sluice_error sluice_socket_set_write_buffer_size(sluice_handle handle, int64_t size);

/* -- options ------------------------------------------------------------------------------------------------------------------------- */

/* Puts an option's value into *value. Without a descriptor it is the value that was set; SLUICE_ERROR_INVALID_STATE when there is none.
 * SLUICE_ERROR_INVALID_ARGUMENT for an unknown option, SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION for one this kind of socket lacks. */
SLUICE_API sluice_error sluice_socket_option(sluice_handle handle, sluice_option option, int64_t *value);

/* Sets an option: at once, or as soon as there is a descriptor. A value that does not fit the option is SLUICE_ERROR_INVALID_ARGUMENT. Other
 * errors as sluice_socket_option. */
SLUICE_API sluice_error sluice_socket_set_option(sluice_handle handle, sluice_option option, int64_t value);

/* When the socket pauses: SLUICE_PAUSE_... flags. */
SLUICE_API sluice_pause_mode sluice_socket_pause_mode(sluice_handle handle);
SLUICE_API sluice_error sluice_socket_set_pause_mode(sluice_handle handle, sluice_pause_mode mode);

/* Goes on after a pause; nothing happens when there was none. */
SLUICE_API sluice_error sluice_socket_resume(sluice_handle handle);

/* -- waiting ------------------------------------------------------------------------------------------------------------------------- */

/* Each blocks for at most timeout milliseconds (-1: no limit) until its event has been raised, and returns true; or false, on an error or
 * at the end of the time. sluice_socket_error then tells which; a timeout is SLUICE_ERROR_SOCKET_TIMEOUT and raises
 * SLUICE_EVENT_ERROR_OCCURRED once. In a state that cannot get there they return false at once. While connecting, each waits for the
 * connection first, within the same time. A timeout below -1 returns false and sets sluice_last_error. */

/* Connected already: true. Past its time the attempt is aborted. */
SLUICE_API bool sluice_socket_wait_for_connected(sluice_handle handle, int64_t timeout);

/* Waits for new data: what is unread already does not count. Sends what is unsent meanwhile. */
SLUICE_API bool sluice_socket_wait_for_ready_read(sluice_handle handle, int64_t timeout);

/* Waits until the system has taken some of the unsent bytes. With nothing unsent false at once. */
SLUICE_API bool sluice_socket_wait_for_bytes_written(sluice_handle handle, int64_t timeout);

/* Waits until the connection has ended. Unconnected: false at once. */
SLUICE_API bool sluice_socket_wait_for_disconnected(sluice_handle handle, int64_t timeout);

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * local_socket: Unix domain stream sockets
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* Makes a local socket on the loop: Unconnected, without a descriptor. Returns its handle, or 0. */
SLUICE_API sluice_handle sluice_local_socket_create(sluice_handle loop);

/* Connects to a local server. A bare name is looked for in the temporary folder (TMPDIR, else /tmp), an absolute path is taken as it is;
 * with SLUICE_ACCESS_ABSTRACT_NAMESPACE among its options the name is an abstract one; NULL stands for the name that was set by
 * sluice_local_socket_set_server_name. The states are Connecting and Connected, mostly both inside the call; the socket is open once it is
 * connected. No such server, or a name that none can have ("" or one that is too long), is told by SLUICE_EVENT_ERROR_OCCURRED:
 * SLUICE_ERROR_HOST_NOT_FOUND. Errors at once: SLUICE_ERROR_OPERATION while connecting, connected or closing. */
SLUICE_API sluice_error sluice_local_socket_connect_to_server(sluice_handle handle, const char *name, sluice_open_mode mode);

/* As sluice_socket_disconnect_from_host. */
SLUICE_API sluice_error sluice_local_socket_disconnect_from_server(sluice_handle handle);

/* The server's name as given, and as the path (or abstract name) it stands for; "" when there is none. String functions. */
SLUICE_API int64_t sluice_local_socket_server_name(sluice_handle handle, char *buffer, size_t capacity);
SLUICE_API int64_t sluice_local_socket_full_server_name(sluice_handle handle, char *buffer, size_t capacity);

/* Sets the name to connect to, for sluice_local_socket_connect_to_server with the name NULL. Only while Unconnected, else
 * SLUICE_ERROR_OPERATION. */
SLUICE_API sluice_error sluice_local_socket_set_server_name(sluice_handle handle, const char *name);

/* The socket's options, of which only SLUICE_ACCESS_ABSTRACT_NAMESPACE matters here. Set them while Unconnected, else
 * SLUICE_ERROR_OPERATION. */
SLUICE_API sluice_access sluice_local_socket_socket_options(sluice_handle handle);
SLUICE_API sluice_error sluice_local_socket_set_socket_options(sluice_handle handle, sluice_access options);

/* Who is at the other end. */
typedef struct sluice_credentials {
    uint32_t size; /* of this struct; set it before the call */
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
} sluice_credentials;

/* Fills *credentials with the process and user that connected, or that listens, as the system vouches for them. Not connected:
 * SLUICE_ERROR_INVALID_STATE. */
SLUICE_API sluice_error sluice_local_socket_peer_credentials(sluice_handle handle, sluice_credentials *credentials);

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * server: what every server can do (TCP and local)
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* Stops listening. Connections that were not taken are closed; those taken live on. The handle may listen again. */
SLUICE_API sluice_error sluice_server_close(sluice_handle handle);

/* Whether it listens; whether a connection waits to be taken. */
SLUICE_API bool sluice_server_is_listening(sluice_handle handle);
SLUICE_API bool sluice_server_has_pending_connections(sluice_handle handle);

/* Takes the oldest accepted connection: a new handle of a Connected socket on the server's loop, yours to destroy; 0 when none waits
 * (sluice_last_error is then left alone) or on an error. The socket's handle is made only now: what it raised before went nowhere, and
 * data that came before raises SLUICE_EVENT_READY_READ in a coming turn. */
SLUICE_API sluice_handle sluice_server_next_pending_connection(sluice_handle handle);

/* How many accepted connections may wait to be taken (30 at first, at least 1). At the limit the server stops accepting; the system keeps
 * the rest in its own queue. */
SLUICE_API int64_t sluice_server_max_pending_connections(sluice_handle handle);
SLUICE_API sluice_error sluice_server_set_max_pending_connections(sluice_handle handle, int64_t count);

/* How many connections the system keeps before they are accepted (50 at first, at least 1). Acts from the next listen on. */
SLUICE_API int64_t sluice_server_listen_backlog(sluice_handle handle);
SLUICE_API sluice_error sluice_server_set_listen_backlog(sluice_handle handle, int64_t size);

/* The address it listens on ("" when it does not; "*" for "any"), and the port (0 when there is none). address is a string function. */
SLUICE_API int64_t sluice_server_address(sluice_handle handle, char *buffer, size_t capacity);
SLUICE_API int32_t sluice_server_port(sluice_handle handle);

/* The last error as number (for a handle that cannot be used, why), in words (a string function), and the errno behind it or 0. */
SLUICE_API sluice_error sluice_server_error(sluice_handle handle);
SLUICE_API int64_t sluice_server_error_string(sluice_handle handle, char *buffer, size_t capacity);
SLUICE_API int32_t sluice_server_system_error(sluice_handle handle);

/* The listening descriptor, or -1. It stays the server's: do not close it. */
SLUICE_API int32_t sluice_server_descriptor(sluice_handle handle);

/* Makes the server use a native descriptor that listens already; it owns and closes it from then on. One that is not a listening socket
 * of this kind, or is held by another object, is refused and stays yours. While listening: SLUICE_ERROR_OPERATION. */
SLUICE_API sluice_error sluice_server_set_descriptor(sluice_handle handle, int32_t descriptor);

/* Stops accepting, at once, and starts again; the system keeps connections in its queue meanwhile. Resuming also ends the pause the server
 * makes by itself when descriptors ran out. */
SLUICE_API sluice_error sluice_server_pause_accepting(sluice_handle handle);
SLUICE_API sluice_error sluice_server_resume_accepting(sluice_handle handle);

/* Blocks for at most timeout milliseconds (0: only looks, -1: no limit) until a connection waits to be taken, and returns true; one that
 * waits already counts. False when the time is over (then *timed_out is true) or when the server does not listen (false at once).
 * timed_out may be NULL. */
SLUICE_API bool sluice_server_wait_for_new_connection(sluice_handle handle, int64_t timeout, bool *timed_out);

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * tcp_server, local_server
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* Makes a TCP server on the loop; it does not listen yet. Returns its handle, or 0. */
SLUICE_API sluice_handle sluice_tcp_server_create(sluice_handle loop);

/* Listens on an IPv4 or IPv6 literal or "any" (IPv4 and IPv6), and a port from 0 (the system picks one: sluice_server_port) to 65535. A
 * failure (SLUICE_ERROR_ADDRESS_IN_USE, ...) leaves no descriptor. Listening already: SLUICE_ERROR_OPERATION, and that goes on. */
SLUICE_API sluice_error sluice_tcp_server_listen(sluice_handle handle, const char *address, int32_t port, sluice_bind_mode mode);

/* Makes a local server on the loop; it does not listen yet. Returns its handle, or 0. */
SLUICE_API sluice_handle sluice_local_server_create(sluice_handle loop);

/* Listens under a name; names as for sluice_local_socket_connect_to_server. The file gets the access rights of the options. The file of a
 * dead server is replaced; a live server there is SLUICE_ERROR_ADDRESS_IN_USE. Listening already: SLUICE_ERROR_OPERATION, and that goes
 * on. */
SLUICE_API sluice_error sluice_local_server_listen(sluice_handle handle, const char *name);

/* Listens on a native descriptor that listens already, as sluice_server_set_descriptor does. */
SLUICE_API sluice_error sluice_local_server_listen_descriptor(sluice_handle handle, int32_t descriptor);

/* Removes the file a dead server left behind; names as above. True if there is none any more; false if a live server is there, the file
 * is no socket, or it cannot be removed. Any thread. */
SLUICE_API bool sluice_local_server_remove_server(const char *name);

/* The name it listens under as given, and as the path (or abstract name) it stands for; "" when it does not listen. String functions. */
SLUICE_API int64_t sluice_local_server_server_name(sluice_handle handle, char *buffer, size_t capacity);
SLUICE_API int64_t sluice_local_server_full_server_name(sluice_handle handle, char *buffer, size_t capacity);

/* Who may connect: SLUICE_ACCESS_... flags; none at first. Set them before listening, else SLUICE_ERROR_OPERATION. */
SLUICE_API sluice_access sluice_local_server_socket_options(sluice_handle handle);
SLUICE_API sluice_error sluice_local_server_set_socket_options(sluice_handle handle, sluice_access options);

#ifdef __cplusplus
}
#endif

#endif
