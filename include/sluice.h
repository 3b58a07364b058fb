/*
 * sluice.h - sockets with states, buffers and events, for C.
 *
 * This header is the manual of libsluice and the source of truth for its names and numbers. A number published here never changes its
 * meaning; numbers missing in a list are reserved.
 *
 *
 * HANDLES
 *   Every object (loop, socket, server, lookup, relay) is a sluice_handle, a 64-bit number; 0 is none. You never hold a pointer into the
 *   library. After an object is destroyed its number never names another object, so a stale handle is an error
 *   (SLUICE_ERROR_INVALID_HANDLE), not a crash. A handle lives until sluice_handle_destroy, or until its loop is destroyed; closing or
 *   losing the connection does not end it.
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
 *   Such a mistake changes nothing in the object and raises no event, but for one about a datagram or a group, which is told as every
 *   error of a datagram is.
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
    SLUICE_KIND_UDP_SOCKET = 3,
    SLUICE_KIND_LOCAL_SOCKET = 4,
    SLUICE_KIND_TLS_SOCKET = 5,
    SLUICE_KIND_TCP_SERVER = 6,
    SLUICE_KIND_LOCAL_SERVER = 7,
    SLUICE_KIND_RELAY = 8,
    SLUICE_KIND_LOOKUP = 9
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
    SLUICE_SOCKET_TYPE_LOCAL = 2,
    SLUICE_SOCKET_TYPE_TLS = 3
};

/* Options of a socket for sluice_socket_option and sluice_socket_set_option. Switches are set by 0 (off) or anything else (on), and are
 * read as 0 or 1. In parentheses the kinds of sockets that have it. */
typedef int32_t sluice_option;
enum {
    SLUICE_OPTION_LOW_DELAY = 0,           /* (TCP) a switch: TCP_NODELAY */
    SLUICE_OPTION_KEEP_ALIVE = 1,          /* (TCP, UDP) a switch: SO_KEEPALIVE; without effect on UDP */
    SLUICE_OPTION_MULTICAST_TTL = 2,       /* (UDP; TCP can read it) how many hops datagrams to groups may make: 0 to 255 */
    SLUICE_OPTION_MULTICAST_LOOPBACK = 3,  /* (UDP, TCP) a switch: whether this machine gets what it sends to groups */
    SLUICE_OPTION_TYPE_OF_SERVICE = 4,     /* (TCP, UDP) 0 to 255; the traffic class on IPv6 */
    SLUICE_OPTION_SEND_BUFFER_SIZE = 5,    /* (all) bytes, of the system; Linux doubles what is set */
    SLUICE_OPTION_RECEIVE_BUFFER_SIZE = 6, /* (all) bytes, of the system; Linux doubles what is set */
    SLUICE_OPTION_PATH_MTU = 7,            /* (TCP, UDP) bytes; read of a connected socket; set on IPv6, 1280 at least, 0 for none */
    SLUICE_OPTION_KEEP_ALIVE_IDLE = 8,     /* (TCP) seconds before the first probe, 1 to 32767 */
    SLUICE_OPTION_KEEP_ALIVE_INTERVAL = 9, /* (TCP) seconds between probes, 1 to 32767 */
    SLUICE_OPTION_KEEP_ALIVE_COUNT = 10,   /* (TCP) probes, 1 to 127 */
    SLUICE_OPTION_USER_TIMEOUT = 11,       /* (TCP) milliseconds that sent data may stay unacknowledged; 0: as the system has it */
    SLUICE_OPTION_BROADCAST = 12,          /* (UDP) a switch, on at first: whether datagrams may go to broadcast addresses */
    SLUICE_OPTION_QUICK_ACK = 13           /* (TCP) a switch: TCP_QUICKACK */
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

/* How an address is shared with other sockets; flags. All who share one have to ask for it. */
typedef int32_t sluice_bind_mode;
enum {
    SLUICE_BIND_DEFAULT = 0,
    SLUICE_BIND_SHARE_ADDRESS = 1,      /* UDP: SO_REUSEADDR; datagrams to a group reach all sockets of the address, others the last */
    SLUICE_BIND_DONT_SHARE_ADDRESS = 2, /* no SO_REUSEADDR, whatever else is set */
    SLUICE_BIND_REUSE_ADDRESS_HINT = 4, /* SO_REUSEADDR */
    SLUICE_BIND_REUSE_PORT = 8          /* SO_REUSEPORT: the system spreads connections and datagrams over all of them */
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

/* What is asked of a TLS peer's certificate. */
typedef int32_t sluice_tls_verify_mode;
enum {
    SLUICE_TLS_VERIFY_AUTOMATIC = 0, /* as PEER for clients, and for servers that name certificate authorities; else as NONE */
    SLUICE_TLS_VERIFY_QUERY = 1,     /* it is asked for and judged (sluice_tls_socket_ssl_errors), but nothing depends on it */
    SLUICE_TLS_VERIFY_PEER = 2,      /* there must be one, and a good one */
    SLUICE_TLS_VERIFY_NONE = 3       /* a client takes any, a server asks for none */
};

/* The oldest TLS that is spoken. */
typedef int32_t sluice_tls_version;
enum {
    SLUICE_TLS_VERSION_DEFAULT = 0, /* TLS 1.2 */
    SLUICE_TLS_VERSION_1_2 = 0x0303,
    SLUICE_TLS_VERSION_1_3 = 0x0304
};

/* What a network interface is and can; flags. */
typedef int32_t sluice_interface_flags;
enum {
    SLUICE_INTERFACE_IS_UP = 1,
    SLUICE_INTERFACE_IS_RUNNING = 2,
    SLUICE_INTERFACE_CAN_BROADCAST = 4,
    SLUICE_INTERFACE_IS_LOOPBACK = 8,
    SLUICE_INTERFACE_IS_POINT_TO_POINT = 16,
    SLUICE_INTERFACE_CAN_MULTICAST = 32
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
    SLUICE_EVENT_PROXY_AUTHENTICATION_REQUIRED = 11, /* a proxy wants credentials; name: the proxy, message: its realm */
    SLUICE_EVENT_PROPERTY_CHANGED = 12,      /* a property has a new value; name, and message: the value as JSON. Off at first */
    SLUICE_EVENT_COMPLETED = 13,             /* all properties that came by sluice_socket_from_json are set */
    SLUICE_EVENT_NEW_CONNECTION = 14,        /* servers: value: connections waiting to be taken */
    SLUICE_EVENT_PENDING_CONNECTION_AVAILABLE = 15, /* servers: comes just before the above, once for each connection */
    SLUICE_EVENT_INCOMING_CONNECTION = 16, /* servers with SLUICE_INCOMING_EVENTS: value: a descriptor, which is yours from then on */
    SLUICE_EVENT_ACCEPT_ERROR = 17, /* servers: error, system_error, message; value: the error's number. The server goes on by itself */
    SLUICE_EVENT_ENCRYPTED = 18,    /* the TLS handshake is over: all that is read and written is encrypted */
    SLUICE_EVENT_SSL_ERRORS = 19,   /* the peer's certificates are not good; value: how many errors, message: they as JSON */
    SLUICE_EVENT_FINISHED = 20      /* lookups and relays: done; error, system_error, message if it failed, value: the error's number */
};

/* Masks for sluice_handle_subscribe. SLUICE_EVENT_MASK(SLUICE_EVENT_READY_READ) is the bit of one type; join several by |. The default
 * is all types but SLUICE_EVENT_BYTES_WRITTEN and SLUICE_EVENT_PROPERTY_CHANGED. Bits of types that do not exist are ignored. */
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
    const char *message;  /* the error events: a sentence a person understands; others: see the type; else NULL. Valid as long as the event */
    const char *name;     /* see the type; else NULL. Valid as long as the event */
} sluice_event;

/* Receives the events of a handle. event and what it points to are valid until the function returns. context is what was given to
 * sluice_handle_set_callback. The function must return normally: no longjmp, no C++ exception may leave it. */
typedef void (*sluice_event_callback)(const sluice_event *event, void *context);

/* Receives an accepted connection as a native descriptor; see sluice_server_set_incoming_handler. The same rule: it must return normally. */
typedef void (*sluice_incoming_handler)(sluice_handle server, int32_t descriptor, void *context);

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

/* That failure in words, where there is more to say than the number does: which argument, which property, where in a text; else "". A string
 * function, cut at 511 bytes. Any thread. */
SLUICE_API int64_t sluice_last_error_message(char *buffer, size_t capacity);

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
 * SLUICE_EVENT_BYTES_WRITTEN that follows one still queued, with no other event of that handle between but
 * SLUICE_EVENT_PROPERTY_CHANGED, is joined to it (bytes written are added up). The queue holds 65,536 events; beyond that old events are
 * dropped, first those that only repeat what others tell, and sluice_loop_dropped_events counts them. An event of a handle that has been
 * destroyed since is still delivered. */
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
 * socket: what every socket can do (TCP, UDP, local, TLS)
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
 * sluice_local_socket_connect_to_server: SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION.
 * A UDP socket only fixes its peer: nothing is sent, only that peer's datagrams come in from then on, and reading and writing are with it.
 * An address is connected to inside the call; of a name's addresses the first that can be reached is taken; a bound socket keeps its own
 * address. What was queued for others before is dropped and told by SLUICE_ERROR_DATAGRAM_WRITE. */
SLUICE_API sluice_error sluice_socket_connect_to_host(sluice_handle handle, const char *host, int32_t port, sluice_open_mode mode,
                                                      sluice_protocol protocol);

/* Ends the connection in order: what was written is sent first (state Closing, bounded by sluice_socket_set_close_timeout), then Unconnected
 * and SLUICE_EVENT_DISCONNECTED; with nothing to send all that happens inside the call. While connecting it is remembered: connect, send,
 * disconnect. The socket stays open, and unread data readable. Unconnected: nothing happens. A UDP socket drops what is unread; one that
 * was merely bound ends without SLUICE_EVENT_DISCONNECTED. */
SLUICE_API sluice_error sluice_socket_disconnect_from_host(sluice_handle handle);

/* Closes at once, drops what is unread and unsent, and makes the socket as new; SLUICE_EVENT_DISCONNECTED if it was connected. */
SLUICE_API sluice_error sluice_socket_abort(sluice_handle handle);

/* Raises SLUICE_EVENT_ABOUT_TO_CLOSE, closes the socket for reading and writing (unread data is dropped), then ends the connection as
 * sluice_socket_disconnect_from_host does: what was written is still sent. The handle lives on and may connect again. */
SLUICE_API sluice_error sluice_socket_close(sluice_handle handle);

/* Half close: sends what was written, then tells the peer that no more will come; reading goes on. Not connected: SLUICE_ERROR_OPERATION.
 * UDP: SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION. */
SLUICE_API sluice_error sluice_socket_shutdown_write(sluice_handle handle);

/* Fixes the local address: for TCP before connecting, for UDP to receive at. It is an IPv4 or IPv6 literal, "any" (IPv4 and IPv6),
 * "AnyIPv4", "AnyIPv6", "LocalHost" or "LocalHostIPv6", and a port from 0 (the system picks one) to 65535. The state becomes Bound inside
 * the call. A failure (SLUICE_ERROR_ADDRESS_IN_USE, SLUICE_ERROR_SOCKET_ADDRESS_NOT_AVAILABLE,
 * SLUICE_ERROR_SOCKET_ACCESS, ...) is returned and raised as SLUICE_EVENT_ERROR_OCCURRED, and leaves no descriptor. A port outside the
 * range is SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE, any state but Unconnected SLUICE_ERROR_OPERATION. Local sockets:
 * SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION. */
SLUICE_API sluice_error sluice_socket_bind(sluice_handle handle, const char *address, int32_t port, sluice_bind_mode mode);

/* Makes the socket use a native descriptor, which it owns and closes from then on. state says what the descriptor is: Connected, or
 * Unconnected or Bound. An earlier connection is dropped. A descriptor that is no socket, not of this kind, not connected, or the socket's
 * own already is refused: SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION; one that another object of the loop holds: SLUICE_ERROR_OPERATION;
 * another state: SLUICE_ERROR_INVALID_ARGUMENT. What is refused stays whose it was. No SLUICE_EVENT_CONNECTED is raised. */
SLUICE_API sluice_error sluice_socket_set_descriptor(sluice_handle handle, int32_t descriptor, sluice_state state, sluice_open_mode mode);

/* The native descriptor: from Connected (or Bound) on, else -1. It stays the socket's: do not close it. */
SLUICE_API int32_t sluice_socket_descriptor(sluice_handle handle);

/* Gives the descriptor away, in blocking mode: you own it from then on, the connection lives on, and the socket is Unconnected. With
 * anything unread or unsent (UDP: datagrams that wait in the system too): minus SLUICE_ERROR_OPERATION. Without a descriptor: minus
 * SLUICE_ERROR_INVALID_STATE. */
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
 * failed. A socket that is merely bound is not open. */
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

/* -- reading -------------------------------------------------------------------------------------------------------------------------
 * UDP: these read from the next datagram alone, never from two. What did not fit stays and is read next; an empty datagram is read by any
 * read, which returns 0. They are for connected sockets (sluice_udp_socket_read_datagram is for all). */

/* Bytes received and not yet read. UDP: the size of the next datagram, or of what is left of it. */
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
 * sending; it goes on when something is read, or the limit raised. Lowering it drops nothing. UDP: without effect;
 * SLUICE_OPTION_RECEIVE_BUFFER_SIZE decides how many datagrams wait. */
SLUICE_API int64_t sluice_socket_read_buffer_size(sluice_handle handle);
SLUICE_API sluice_error sluice_socket_set_read_buffer_size(sluice_handle handle, int64_t size);

/* -- writing -------------------------------------------------------------------------------------------------------------------------
 * UDP: each write is one datagram to the peer, sent at once, whole or not at all; it may be empty. What the system does not take is queued.
 * They are for connected sockets (sluice_udp_socket_write_datagram is for all). */

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
 * lives on; it may call any function. UDP: what must wait is copied, so that release is called before this returns. */
SLUICE_API int64_t sluice_socket_write_borrowed(sluice_handle handle, const void *data, int64_t size, sluice_callback release, void *context);

/* Writes one byte, 0 to 255. At the limit of the write buffer: SLUICE_ERROR_LIMIT_REACHED. Errors as sluice_socket_write. */
SLUICE_API sluice_error sluice_socket_put_char(sluice_handle handle, int32_t byte);

/* Sends now what the system takes, without waiting. Returns whether any byte left. */
SLUICE_API bool sluice_socket_flush(sluice_handle handle);

/* Blocks until all that was written is with the system; with nothing unsent it succeeds at once. SLUICE_ERROR_SOCKET_TIMEOUT when that takes
 * longer; the socket's error when it fails. */
SLUICE_API sluice_error sluice_socket_sync(sluice_handle handle, int64_t timeout);

/* The most bytes (0 at first: no limit; UDP: 1 MiB) accepted and unsent at a time. */
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

/* Waits for new data: what is unread already does not count (of UDP it does). Sends what is unsent meanwhile. UDP: false also when an earlier
 * datagram turns out to have reached nobody (SLUICE_ERROR_CONNECTION_REFUSED). */
SLUICE_API bool sluice_socket_wait_for_ready_read(sluice_handle handle, int64_t timeout);

/* Waits until the system has taken some of the unsent bytes. With nothing unsent false at once. */
SLUICE_API bool sluice_socket_wait_for_bytes_written(sluice_handle handle, int64_t timeout);

/* Waits until the connection has ended. Unconnected: false at once. */
SLUICE_API bool sluice_socket_wait_for_disconnected(sluice_handle handle, int64_t timeout);

/* -- properties ----------------------------------------------------------------------------------------------------------------------
 * What a socket is and does, by name, as JSON (RFC 8259). Settable are among others objectId, hostname, port, protocol, autoConnect,
 * reconnectDelay {first, ceiling, jitter}, idleTimeout, connectTimeout, closeTimeout, readBufferSize, writeBufferSize, allowHalfOpen, and
 * the native options under their names (keepAlive, lowDelay, receiveBufferSize, ...); state, error, bytesAvailable and the like are read
 * only. Times are milliseconds, sizes bytes. With autoConnect (on at first) a socket whose hostname and port were set as properties connects
 * by itself, and again after errors and remote closes; sluice_socket_connect_to_host leaves it out. SLUICE_EVENT_PROPERTY_CHANGED tells
 * every change.
 * An unknown name, a value that the property does not take, or a text that is no JSON: SLUICE_ERROR_INVALID_ARGUMENT, and nothing changes;
 * sluice_last_error_message says what is wrong. */

/* All properties as a JSON object. A string function. */
SLUICE_API int64_t sluice_socket_properties(sluice_handle handle, char *buffer, size_t capacity);

/* Sets the properties that a JSON object has members for: all of them or, where one cannot be set, none. */
SLUICE_API sluice_error sluice_socket_set_properties(sluice_handle handle, const char *json);

/* The value of one property as JSON (a text comes in quotes). A string function. */
SLUICE_API int64_t sluice_socket_property(sluice_handle handle, const char *name, char *buffer, size_t capacity);

/* Sets one property to a JSON value: "true", "8080", "\"example.org\"". */
SLUICE_API sluice_error sluice_socket_set_property(sluice_handle handle, const char *name, const char *json);

/* The properties as they were set, to be set again elsewhere: of this socket alone, or (graph) as an object with a member for each socket of
 * its loop that has an objectId. A string function. */
SLUICE_API int64_t sluice_socket_to_json(sluice_handle handle, bool graph, char *buffer, size_t capacity);

/* Sets the properties that sluice_socket_to_json gave, all or none; what is read only is left out. With graph every member must be the
 * objectId of a socket of this loop. SLUICE_EVENT_COMPLETED follows in a coming turn of the loop, before anything is connected. */
SLUICE_API sluice_error sluice_socket_from_json(sluice_handle handle, const char *json, bool graph);

/* -- proxies -------------------------------------------------------------------------------------------------------------------------
 * A proxy is a text: "http://user:password@host:8080", "socks5h://host:1080" (the proxy looks names up), "socks5://host:1080" (they are
 * looked up here); "none"; or "default", which every socket has at first: that of sluice_proxy_set_application. In URLs '%41' is 'A'. */

/* The socket's proxy, without user and password. A string function. */
SLUICE_API int64_t sluice_socket_proxy(sluice_handle handle, char *buffer, size_t capacity);

/* Sets the proxy for the next connection (UDP: the next bind or connection; SOCKS 5 only). A text that is no proxy:
 * SLUICE_ERROR_INVALID_ARGUMENT. Local sockets have none: SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION. */
SLUICE_API sluice_error sluice_socket_set_proxy(sluice_handle handle, const char *url);

/* The limit in milliseconds for the whole dialogue with the proxy (30,000 at first; -1: none). Past it:
 * SLUICE_ERROR_PROXY_CONNECTION_TIMEOUT. */
SLUICE_API int64_t sluice_socket_proxy_timeout(sluice_handle handle);
SLUICE_API sluice_error sluice_socket_set_proxy_timeout(sluice_handle handle, int64_t timeout);

/* Answers SLUICE_EVENT_PROXY_AUTHENTICATION_REQUIRED: the dialogue goes on with these credentials; an empty user gives up. Without such a
 * question: SLUICE_ERROR_OPERATION. */
SLUICE_API sluice_error sluice_socket_authenticate_proxy(sluice_handle handle, const char *user, const char *password);

/* Whether the answer may come after the event's callback, until the limit is over. Off at first: an unanswered question is
 * SLUICE_ERROR_PROXY_AUTHENTICATION_REQUIRED at once. Switch it on where events are read from the queue. */
SLUICE_API bool sluice_socket_awaits_proxy_authentication(sluice_handle handle);
SLUICE_API sluice_error sluice_socket_set_awaits_proxy_authentication(sluice_handle handle, bool awaits);

/* -- a transport of your own ---------------------------------------------------------------------------------------------------------
 * A transport carries a stream's bytes in place of a descriptor: a tunnel, a serial line, encryption, memory. The TCP or local socket in
 * front of it keeps its face: states, events, buffers, limits, waits. */

/* The functions of a transport. Each is called on the loop's thread, with the context that was given with it. Results are as those of
 * system calls: a count, or minus an error number of errno.h (anything below is taken for -EIO). They must return normally, and must leave
 * the socket alone but for sluice_socket_transport_ready. */
typedef struct sluice_transport {
    uint32_t size; /* of this struct */
    /* Begins to connect: 0 when that is done; -EINPROGRESS when it is under way, and sluice_socket_set_state ends it (SLUICE_STATE_CONNECTED,
     * or sluice_socket_set_error and SLUICE_STATE_UNCONNECTED); or why it cannot be. NULL: it cannot be asked to connect. */
    int64_t (*connect)(void *context, const char *host, int32_t port);
    /* Puts up to capacity bytes into buffer and returns how many; 0 at the end of the stream, -EAGAIN when nothing is there now. */
    int64_t (*receive)(void *context, void *buffer, int64_t capacity);
    /* Takes bytes and returns how many; -EAGAIN (or 0) when none can be taken now. What was taken is not offered again. */
    int64_t (*send)(void *context, const void *data, int64_t size);
    /* Nothing more will be sent: 0 when the peer is told, -EAGAIN to be asked again after sluice_socket_transport_ready. NULL: as 0. */
    int64_t (*finish_sending)(void *context);
    /* The connection is over, for whatever reason. Another connect may follow. May be NULL. */
    void (*close)(void *context);
    /* For the blocking waits: sleeps until receiving (readable) or sending (writable) may be worth a try, or the time (milliseconds, -1: no
     * limit) is over. Returns as poll: above 0, 0 at the end of the time, or minus an error. NULL: nobody can wait for it, and the waits
     * return false at once where they would sleep. */
    int64_t (*wait)(void *context, bool readable, bool writable, int64_t timeout);
    /* Nothing of this will be called again: it was replaced, or the socket is gone. May be NULL. */
    void (*release)(void *context);
} sluice_transport;

/* Puts a transport behind a TCP or local socket, or takes it away (NULL). The struct is copied; context may be NULL and stays yours until
 * release. It stays until it is replaced: sluice_socket_connect_to_host and sluice_local_socket_connect_to_server then ask it to connect,
 * and sluice_socket_set_state(SLUICE_STATE_CONNECTED) begins a connection that is there already. Any state but Unconnected:
 * SLUICE_ERROR_OPERATION. SLUICE_ERROR_INVALID_ARGUMENT without receive or send; release is not called after an error. */
SLUICE_API sluice_error sluice_socket_set_transport(sluice_handle handle, const sluice_transport *transport, void *context);

/* Tells the socket that receive (readable) or send (writable), having said -EAGAIN, is worth another try. Inside a transport's function the
 * try comes in a later turn. Without a connection over a transport nothing happens. */
SLUICE_API sluice_error sluice_socket_transport_ready(sluice_handle handle, bool readable, bool writable);

/* Set what the socket shows of its connection while it has no descriptor: for transports, and for objects that only look like a socket.
 * No event is raised but by set_state with a transport: SLUICE_STATE_CONNECTED then begins the flow of bytes (SLUICE_EVENT_CONNECTED), and
 * SLUICE_STATE_UNCONNECTED ends it (SLUICE_EVENT_DISCONNECTED; while connecting SLUICE_EVENT_ERROR_OCCURRED with the error that was set).
 * A socket with a connection of its own refuses them: SLUICE_ERROR_OPERATION. A port outside 0 to 65535 is
 * SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE, a state or error that is none SLUICE_ERROR_INVALID_ARGUMENT. The next connection begins with
 * nothing set. */
SLUICE_API sluice_error sluice_socket_set_peer_name(sluice_handle handle, const char *name);
SLUICE_API sluice_error sluice_socket_set_peer_address(sluice_handle handle, const char *address);
SLUICE_API sluice_error sluice_socket_set_peer_port(sluice_handle handle, int32_t port);
SLUICE_API sluice_error sluice_socket_set_local_address(sluice_handle handle, const char *address);
SLUICE_API sluice_error sluice_socket_set_local_port(sluice_handle handle, int32_t port);
SLUICE_API sluice_error sluice_socket_set_state(sluice_handle handle, sluice_state state);
SLUICE_API sluice_error sluice_socket_set_error(sluice_handle handle, sluice_error error);
SLUICE_API sluice_error sluice_socket_set_error_string(sluice_handle handle, const char *message);

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * udp_socket: datagrams (RFC 768)
 *
 * A UDP socket is bound to an address (sluice_socket_bind), from where it talks to anybody, or connected to one peer
 * (sluice_socket_connect_to_host), or both. Every datagram is sent and received whole, once or not at all: the network may lose them, double
 * them or change their order. SLUICE_EVENT_READY_READ tells that there is something to read, and comes again only after something was read.
 * An error concerns one datagram, is told by SLUICE_EVENT_ERROR_OCCURRED, and changes nothing about the socket: a connected socket hears of
 * datagrams that reached nobody as SLUICE_ERROR_CONNECTION_REFUSED.
 *
 *      sluice_handle socket = sluice_udp_socket_create(loop);
 *      sluice_socket_bind(socket, "any", 5000, SLUICE_BIND_DEFAULT);
 *      while (sluice_socket_wait_for_ready_read(socket, -1)) {
 *          char buffer[2048];
 *          sluice_datagram datagram = { .size = sizeof datagram, .data = buffer, .capacity = sizeof buffer };
 *          while (sluice_udp_socket_read_datagram(socket, &datagram) >= 0)
 *              sluice_udp_socket_write_datagram(socket, buffer, datagram.length, datagram.sender_address, datagram.sender_port);
 *      }
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* Makes a UDP socket on the loop: Unconnected, without a descriptor. Returns its handle, or 0. */
SLUICE_API sluice_handle sluice_udp_socket_create(sluice_handle loop);

/* A received datagram. size, data and capacity are yours to set, the rest is filled in; nothing in it has to be freed. The addresses are
 * literals, "" when they are not known; a socket for both families shows IPv4 as ::ffff:192.0.2.1. An IPv6 destination comes with its
 * interface (::1%1). */
typedef struct sluice_datagram {
    uint32_t size;  /* of this struct; set it before the call */
    bool truncated; /* there was more of it than fitted; the rest is lost */
    uint8_t reserved[3];
    void *data;       /* your room for its bytes; may be NULL when capacity is 0 */
    int64_t capacity; /* bytes of room */
    int64_t length;   /* bytes of it that are in data; it may be 0 */
    int32_t sender_port;
    int32_t destination_port;
    int32_t interface_index;      /* the interface that it came in by, as if_nametoindex numbers them; 0 when it is not known */
    int32_t hop_limit;            /* what is left of its hop limit (time to live); -1 when it is not known */
    char sender_address[64];      /* who sent it */
    char destination_address[64]; /* the address of this machine, the group or the broadcast address that it was sent to */
} sluice_datagram;

/* A datagram to be sent. Set all that is not needed to 0 or NULL. */
typedef struct sluice_outgoing_datagram {
    uint32_t size;              /* of this struct */
    int32_t port;               /* 1 to 65535; not looked at without an address */
    const void *data;           /* may be NULL when length is 0 */
    int64_t length;             /* bytes, 0 or more */
    const char *address;        /* a literal or a name; NULL: the peer of a connected socket */
    const char *source_address; /* the address of this machine, a literal, that it shall come from; NULL: as the system chooses */
    int32_t interface_index;    /* the interface that it shall leave by; 0: as the system chooses */
    int32_t hop_limit;          /* 1 to 255; 0: as the socket has it */
} sluice_outgoing_datagram;

/* Sends one datagram, whole or not at all, and returns its size, which may be 0. address is a literal or a name, port 1 to 65535; the
 * address NULL stands for the peer of a connected socket, and port is then not looked at. An unbound socket is bound first: to "AnyIPv4"
 * for an IPv4 destination, else to "any". What the system does not take at once, and what goes to a name that is still being looked up,
 * is copied and queued (up to the limit of sluice_socket_set_write_buffer_size), and fails later if it has to.
 * Errors, which SLUICE_EVENT_ERROR_OCCURRED tells too: minus SLUICE_ERROR_DATAGRAM_TOO_LARGE (65,507 bytes fit into IPv4 at most);
 * SLUICE_ERROR_PORT_NUMBER_OUT_OF_RANGE; SLUICE_ERROR_INVALID_ARGUMENT for an empty or "any" address;
 * SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION for one of a family that the socket is not bound to; SLUICE_ERROR_NETWORK without a destination
 * or a way to it; SLUICE_ERROR_TEMPORARY when the queue is full; SLUICE_ERROR_OPERATION while connecting or closing. */
SLUICE_API int64_t sluice_udp_socket_write_datagram(sluice_handle handle, const void *data, int64_t size, const char *address, int32_t port);

/* Sends an array of count datagrams in their order and in as few system calls as possible, and returns how many were sent or queued; each
 * as by sluice_udp_socket_write_datagram. It ends early where the queue is full, or at one that cannot be sent:
 * SLUICE_EVENT_ERROR_OCCURRED tells that error, and it is returned if it is about the first of all. The first struct's size counts for all.
 * A struct that makes no sense (a negative length or hop limit, NULL data, a text that is not UTF-8, a source that is no literal) is
 * SLUICE_ERROR_INVALID_ARGUMENT, and then nothing was sent. datagrams may be NULL when count is 0. */
SLUICE_API int64_t sluice_udp_socket_write_datagrams(sluice_handle handle, const sluice_outgoing_datagram *datagrams, int64_t count);

/* Whether a datagram waits to be read; the size of the next one, -1 when there is none (or the handle cannot be used). Both ask the
 * system. */
SLUICE_API bool sluice_udp_socket_has_pending_datagrams(sluice_handle handle);
SLUICE_API int64_t sluice_udp_socket_pending_datagram_size(sluice_handle handle);

/* Reads the next datagram into *datagram: its first capacity bytes, and all else that is known of it. Returns its length, which may be 0;
 * what did not fit is lost. Never blocks. Nothing is there: minus SLUICE_ERROR_TEMPORARY. Neither bound nor connected: minus
 * SLUICE_ERROR_OPERATION. A connected socket hears here too of an earlier datagram that reached nobody. */
SLUICE_API int64_t sluice_udp_socket_read_datagram(sluice_handle handle, sluice_datagram *datagram);

/* Reads as many datagrams as there are into an array with room for count, each as by sluice_udp_socket_read_datagram, in as few system
 * calls as possible. Returns how many; 0 when there is none. The first struct's size counts for all; data and capacity of all must be set
 * before the call. One that makes no sense (a negative capacity, NULL data) is SLUICE_ERROR_INVALID_ARGUMENT, and then nothing was read.
 * datagrams may be NULL when count is 0. Neither bound nor connected: minus SLUICE_ERROR_OPERATION. */
SLUICE_API int64_t sluice_udp_socket_read_datagrams(sluice_handle handle, sluice_datagram *datagrams, int64_t count);

/* Receives what is sent to a group from now on, or no more. group is the literal of a multicast address; interface_name the name or number
 * of an interface, NULL or "" for the one to which the route to the group leads. The socket has to be bound: to "AnyIPv4" or an IPv4
 * address for a group of IPv4, to "any" or an IPv6 address for one of IPv6. Errors, which SLUICE_EVENT_ERROR_OCCURRED tells too:
 * SLUICE_ERROR_OPERATION (not bound; in the group already, or not in it); SLUICE_ERROR_INVALID_ARGUMENT (no group, no such interface);
 * SLUICE_ERROR_UNSUPPORTED_SOCKET_OPERATION (bound to the other family); SLUICE_ERROR_NETWORK (no way to the group);
 * SLUICE_ERROR_SOCKET_RESOURCE (too many groups). */
SLUICE_API sluice_error sluice_udp_socket_join_multicast_group(sluice_handle handle, const char *group, const char *interface_name);
SLUICE_API sluice_error sluice_udp_socket_leave_multicast_group(sluice_handle handle, const char *group, const char *interface_name);

/* The name of the interface by which datagrams to groups leave; "" when the system chooses. A string function. */
SLUICE_API int64_t sluice_udp_socket_multicast_interface(sluice_handle handle, char *buffer, size_t capacity);

/* Chooses that interface, by name or number; NULL or "" leaves it to the system. Without a descriptor it is kept and set when there is
 * one. No such interface: SLUICE_ERROR_INVALID_ARGUMENT, which SLUICE_EVENT_ERROR_OCCURRED tells too. */
SLUICE_API sluice_error sluice_udp_socket_set_multicast_interface(sluice_handle handle, const char *interface_name);

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

/* Sends a descriptor of any sort to the peer, which gets a duplicate (SCM_RIGHTS): it travels with the next byte that is written after this
 * call; without one it is never sent. Yours stays yours and may be closed at once. Not connected or not open for writing:
 * SLUICE_ERROR_OPERATION; no descriptor: SLUICE_ERROR_INVALID_ARGUMENT; too many that wait for a byte: SLUICE_ERROR_LIMIT_REACHED. */
SLUICE_API sluice_error sluice_local_socket_send_descriptor(sluice_handle handle, int32_t descriptor);

/* Takes the descriptor that came first: it is yours from then on, and close-on-exec. It is there as soon as the byte is that it travelled
 * with. None came: minus SLUICE_ERROR_TEMPORARY. At most 16 wait to be taken; when more came they were closed, which minus
 * SLUICE_ERROR_LIMIT_REACHED tells once. */
SLUICE_API int32_t sluice_local_socket_receive_descriptor(sluice_handle handle);

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

/* Gives accepted connections away as native descriptors, instead of making sockets of them: each is handler(server, descriptor, context)'s to
 * keep, to wrap (sluice_socket_set_descriptor) or to close; it is in blocking mode and close-on-exec. SLUICE_EVENT_NEW_CONNECTION follows.
 * NULL: sockets again. SLUICE_INCOMING_EVENTS: the descriptor comes as the value of SLUICE_EVENT_INCOMING_CONNECTION instead, and is the
 * receiver's; it is closed when there is none, and when the event is dropped from the queue. */
#define SLUICE_INCOMING_EVENTS ((sluice_incoming_handler)1)
SLUICE_API sluice_error sluice_server_set_incoming_handler(sluice_handle handle, sluice_incoming_handler handler, void *context);

/* Puts a connected TCP or local socket of the server's loop into the queue of connections that wait to be taken
 * (SLUICE_EVENT_PENDING_CONNECTION_AVAILABLE). sluice_server_next_pending_connection gives back that same handle, which stays yours all
 * the time.
 * Not listening, not connected, or in the queue already: SLUICE_ERROR_OPERATION; a socket of another loop: SLUICE_ERROR_WRONG_THREAD. */
SLUICE_API sluice_error sluice_server_add_pending_connection(sluice_handle handle, sluice_handle socket);

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

/* Gives the listening descriptor away: you own it from then on, and the server listens no more. Connections that wait to be taken: minus
 * SLUICE_ERROR_OPERATION. Not listening: minus SLUICE_ERROR_INVALID_STATE. */
SLUICE_API int32_t sluice_server_take_descriptor(sluice_handle handle);

/* Stops accepting, at once, and starts again; the system keeps connections in its queue meanwhile. Resuming also ends the pause the server
 * makes by itself when descriptors ran out. */
SLUICE_API sluice_error sluice_server_pause_accepting(sluice_handle handle);
SLUICE_API sluice_error sluice_server_resume_accepting(sluice_handle handle);

/* Blocks for at most timeout milliseconds (0: only looks, -1: no limit) until a connection waits to be taken, and returns true; one that
 * waits already counts. False when the time is over (then *timed_out is true) or when the server does not listen (false at once).
 * timed_out may be NULL. */
SLUICE_API bool sluice_server_wait_for_new_connection(sluice_handle handle, int64_t timeout, bool *timed_out);

/* The server's proxy, as sluice_socket_proxy and sluice_socket_set_proxy: a TCP server listens through SOCKS 5, at the proxy's address, for
 * one connection at a time. */
SLUICE_API int64_t sluice_server_proxy(sluice_handle handle, char *buffer, size_t capacity);
SLUICE_API sluice_error sluice_server_set_proxy(sluice_handle handle, const char *url);

/* Whether each connection begins with a header of the PROXY protocol (1 or 2), from which its addresses are then taken; off at first. One
 * without is closed and told by SLUICE_EVENT_ACCEPT_ERROR. */
SLUICE_API bool sluice_server_proxy_protocol(sluice_handle handle);
SLUICE_API sluice_error sluice_server_set_proxy_protocol(sluice_handle handle, bool on);

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

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * tls_socket: encrypted streams (TLS 1.2 and 1.3)
 *
 * A TLS socket is a TCP socket that can encrypt: from the beginning (sluice_tls_socket_connect_to_host_encrypted), or from some point on. A
 * failed handshake is SLUICE_ERROR_SSL_HANDSHAKE_FAILED and ends the connection. What is written before the handshake is over waits for
 * it. A connection that ends without TLS's own end (close_notify) was cut off: SLUICE_ERROR_SSL_INTERNAL.
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* Makes a TLS socket on the loop: Unconnected, without a descriptor. Returns its handle, or 0. */
SLUICE_API sluice_handle sluice_tls_socket_create(sluice_handle loop);

/* How TLS is spoken. All but size may be 0 or NULL: not set. Certificates and keys are PEM texts or the paths of files with them. */
typedef struct sluice_tls_configuration {
    uint32_t size; /* of this struct */
    sluice_tls_verify_mode verify_mode;
    sluice_tls_version minimum_version;
    const char *certificate_authorities; /* who may issue the peer's certificate: PEM, a file, or a folder; NULL: the system's */
    const char *certificate;             /* ours, and after it those that issued it but for the root */
    const char *private_key;             /* of that certificate */
    const char *passphrase;              /* of that key */
    const char *verify_name;             /* whom the peer's certificate must be for; NULL: the host that was connected to */
    const char *alpn;                    /* the protocols to speak over it, joined by commas, the preferred one first: "h2,http/1.1" */
    const char *ciphers;                 /* as OpenSSL's cipher lists */
    const char *session_ticket;          /* of an earlier connection, from sluice_tls_socket_session_ticket */
} sluice_tls_configuration;

/* Sets the configuration for the next encryption; NULL: a fresh one. Everything is copied. Bad material is
 * SLUICE_ERROR_SSL_INVALID_USER_DATA, and sluice_last_error_message names it. While encrypted: SLUICE_ERROR_OPERATION. */
SLUICE_API sluice_error sluice_tls_socket_set_configuration(sluice_handle handle, const sluice_tls_configuration *configuration);

/* The configuration as a JSON object, without what is secret. A string function. */
SLUICE_API int64_t sluice_tls_socket_configuration(sluice_handle handle, char *buffer, size_t capacity);

/* As sluice_socket_connect_to_host, then encrypts as a client: SLUICE_EVENT_CONNECTED, SLUICE_EVENT_ENCRYPTED. The name of the host is sent
 * (SNI) and the certificate must be for it. The connect timeout is for both. */
SLUICE_API sluice_error sluice_tls_socket_connect_to_host_encrypted(sluice_handle handle, const char *host, int32_t port,
                                                                    sluice_open_mode mode, sluice_protocol protocol);

/* Begin to encrypt a Connected socket, as client or as server (which needs a certificate). Not Connected, or encrypted already:
 * SLUICE_ERROR_OPERATION. */
SLUICE_API sluice_error sluice_tls_socket_start_client_encryption(sluice_handle handle);
SLUICE_API sluice_error sluice_tls_socket_start_server_encryption(sluice_handle handle);

/* Blocks for at most timeout milliseconds (-1: no limit) until the socket is encrypted. False when that failed, was never begun, or took
 * longer. */
SLUICE_API bool sluice_tls_socket_wait_for_encrypted(sluice_handle handle, int64_t timeout);

/* Forgives errors in the peer's certificates for every connection of this socket: their names joined by commas
 * ("SelfSignedCertificate,HostNameMismatch"), "" none, NULL all. An unknown name: SLUICE_ERROR_INVALID_ARGUMENT. With
 * SLUICE_PAUSE_ON_SSL_ERRORS the handshake waits after SLUICE_EVENT_SSL_ERRORS for sluice_socket_resume. */
SLUICE_API sluice_error sluice_tls_socket_ignore_errors(sluice_handle handle, const char *names);

/* Whether all that is read and written is encrypted; whether the handshake was short thanks to a ticket. */
SLUICE_API bool sluice_tls_socket_is_encrypted(sluice_handle handle);
SLUICE_API bool sluice_tls_socket_is_session_resumed(sluice_handle handle);

/* "TLSv1.3", the cipher, what was agreed on of alpn; "" before the handshake is over. String functions. */
SLUICE_API int64_t sluice_tls_socket_session_protocol(sluice_handle handle, char *buffer, size_t capacity);
SLUICE_API int64_t sluice_tls_socket_session_cipher(sluice_handle handle, char *buffer, size_t capacity);
SLUICE_API int64_t sluice_tls_socket_negotiated_protocol(sluice_handle handle, char *buffer, size_t capacity);

/* For the configuration of a later connection to the same server; "" when there is none (yet). It holds secrets. A string function. */
SLUICE_API int64_t sluice_tls_socket_session_ticket(sluice_handle handle, char *buffer, size_t capacity);

/* The peer's certificate as a JSON object {pem, subject, issuer, commonName, serialNumber, validFrom, validUntil, subjectAlternativeNames,
 * fingerprint, isSelfSigned}, "null" when there is none; and the list of all it sent, its own first. String functions. */
SLUICE_API int64_t sluice_tls_socket_peer_certificate(sluice_handle handle, char *buffer, size_t capacity);
SLUICE_API int64_t sluice_tls_socket_peer_certificate_chain(sluice_handle handle, char *buffer, size_t capacity);

/* What is wrong with the peer's certificates, forgiven or not: a JSON list of {error, message, depth}. A string function. */
SLUICE_API int64_t sluice_tls_socket_ssl_errors(sluice_handle handle, char *buffer, size_t capacity);

/* Makes the connections of a server encrypted: they are TLS sockets, and the handshake begins when they are accepted. NULL: plain again.
 * Errors as sluice_tls_socket_set_configuration; a server needs a certificate. */
SLUICE_API sluice_error sluice_server_set_tls_configuration(sluice_handle handle, const sluice_tls_configuration *configuration);

/* That configuration as sluice_tls_socket_configuration, "null" when there is none. A string function. */
SLUICE_API int64_t sluice_server_tls_configuration(sluice_handle handle, char *buffer, size_t capacity);

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * host, proxy
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* Looks a name up, without blocking: returns the handle of the lookup (0 on an error), and SLUICE_EVENT_FINISHED comes from a later turn of
 * the loop. A literal is its own answer. timeout in milliseconds, -1: no limit; past it SLUICE_ERROR_SOCKET_TIMEOUT. sluice_handle_destroy
 * cancels it, and frees it when it is done. */
SLUICE_API sluice_handle sluice_host_lookup(sluice_handle loop, const char *name, sluice_protocol protocol, int64_t timeout);

/* Whether it is done, well or not. */
SLUICE_API bool sluice_host_is_finished(sluice_handle handle);

/* Blocks for at most timeout milliseconds (-1: no limit) until it is done; returns whether it is. */
SLUICE_API bool sluice_host_wait_for_finished(sluice_handle handle, int64_t timeout);

/* Why it failed, as a number (for a handle that cannot be used, why) and in words (a string function); SLUICE_ERROR_NONE and "" else. */
SLUICE_API sluice_error sluice_host_error(sluice_handle handle);
SLUICE_API int64_t sluice_host_error_string(sluice_handle handle, char *buffer, size_t capacity);

/* The addresses that were found, as literals, in the order in which to try them: index from 0. address is a string function; an index outside
 * the range: minus SLUICE_ERROR_INVALID_ARGUMENT. */
SLUICE_API int32_t sluice_host_address_count(sluice_handle handle);
SLUICE_API int64_t sluice_host_address(sluice_handle handle, int32_t index, char *buffer, size_t capacity);

/* An address of a network interface. */
typedef struct sluice_interface {
    uint32_t size; /* of this struct; set it before the call */
    int32_t index; /* the system's number for it */
    sluice_interface_flags flags;
    char name[20];    /* "lo", "eth0" */
    char address[64]; /* a literal; "" when it has none */
} sluice_interface;

/* Fills an array with room for count: one struct for each address of each interface of this machine, and one for an interface without any.
 * Returns how many there are, which may be more than count. The first struct's size counts for all. interfaces may be NULL when count is 0.
 * Any thread. */
SLUICE_API int64_t sluice_host_interfaces(sluice_interface *interfaces, int64_t count);

/* The proxy that sockets with the proxy "default" use, "none" at first; "default" for this means the environment's (sluice_proxy_for_query).
 * For the whole process. application is a string function. Any thread. */
SLUICE_API int64_t sluice_proxy_application(char *buffer, size_t capacity);
SLUICE_API sluice_error sluice_proxy_set_application(const char *url);

/* The proxies that the environment (ALL_PROXY, HTTP_PROXY, HTTPS_PROXY, NO_PROXY) names for that host and port, one a line, without
 * credentials; "None" for a direct way. A string function. Any thread. */
SLUICE_API int64_t sluice_proxy_for_query(const char *host, int32_t port, char *buffer, size_t capacity);

/* ---------------------------------------------------------------------------------------------------------------------------------------
 * relay
 * ------------------------------------------------------------------------------------------------------------------------------------ */

/* Moves bytes both ways between two connected stream sockets of one loop, inside the library (by splice where it can), half closes passed
 * on, until both have ended: SLUICE_EVENT_FINISHED. Their SLUICE_EVENT_READY_READ, SLUICE_EVENT_LINE_AVAILABLE and
 * SLUICE_EVENT_BYTES_WRITTEN are the relay's meanwhile, and nothing should be read from them or written to them. Returns its handle, or 0:
 * SLUICE_ERROR_OPERATION for a socket that is not connected or in another relay, SLUICE_ERROR_INVALID_ARGUMENT for twice the same,
 * SLUICE_ERROR_WRONG_THREAD for two loops. */
SLUICE_API sluice_handle sluice_relay_create(sluice_handle a, sluice_handle b);

/* How many bytes b has got from a, and a from b. Either pointer may be NULL. */
SLUICE_API sluice_error sluice_relay_counters(sluice_handle handle, int64_t *a_to_b, int64_t *b_to_a);

/* Whether it is done. */
SLUICE_API bool sluice_relay_is_finished(sluice_handle handle);

#ifdef __cplusplus
}
#endif

#endif
