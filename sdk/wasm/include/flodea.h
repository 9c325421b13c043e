// Flodea for WebAssembly agents written in C or C++: clang --target=wasm32-wasi, with src/flodea.c.
//
// Functions that return `int` return 0, or what went wrong: above 0 one of enum flodea_status, the
// module's answer; below 0 one of enum flodea_error, which never reached it. flodea_error_text()
// says either in words. Nothing here is for more than one thread. Memory that is handed out is the
// caller's to free(). docs/sdk_wasm.md.
#ifndef FLODEA_H
#define FLODEA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The numbers of gRPC's status codes.
enum flodea_status {
  FLODEA_OK = 0,
  FLODEA_CANCELLED = 1,
  FLODEA_INVALID_ARGUMENT = 3,
  FLODEA_DEADLINE_EXCEEDED = 4,
  FLODEA_NOT_FOUND = 5,
  FLODEA_ALREADY_EXISTS = 6,
  FLODEA_PERMISSION_DENIED = 7,
  FLODEA_RESOURCE_EXHAUSTED = 8,
  FLODEA_FAILED_PRECONDITION = 9,
  FLODEA_ABORTED = 10,
  FLODEA_OUT_OF_RANGE = 11,
  FLODEA_UNIMPLEMENTED = 12,
  FLODEA_INTERNAL = 13,
  FLODEA_UNAVAILABLE = 14,
  FLODEA_DATA_LOSS = 15,
};

// Negative numbers of WASI's errno.
enum flodea_error {
  FLODEA_TOO_LONG = -1,    // a request or an answer of more than 1 MiB
  FLODEA_BAD_HANDLE = -8,  // no stream has this number
  FLODEA_FAULT = -21,      // a pointer and length that are not within memory; nothing was sent
  FLODEA_INVALID = -28,    // no JSON object with "method" and, if wanted, "params", "deadline_ms",
                           // "idempotency_key"; not UTF-8; nested more than 64 deep
  FLODEA_STREAM_FAILED = -29,  // the stream ended with an error: flodea_import_reply has it
  FLODEA_TOO_MANY = -33,       // 16 streams are open
  FLODEA_NO_MEMORY = -48,
  FLODEA_NOT_AN_AGENT = -53,  // this module does not run as an agent of Flodea's
  FLODEA_CLOSED = -64,        // the connection to Flodea has ended
  FLODEA_BAD_REPLY = -65,     // an answer that this SDK does not understand
  FLODEA_TIMED_OUT = -73,
};

// ---- the host's functions: module "flodea"
// -------------------------------------------------------- Lengths in bytes. Messages are JSON, as
// docs/agent_protocol.md has them, without "jsonrpc" and "id".

#define FLODEA_IMPORT(name) __attribute__((import_module("flodea"), import_name(name)))

// Makes a call and waits for its answer, {"result":…} or {"error":{"code":…,"message":…,"data":…}}.
// Returns the answer's length; what is longer than `capacity` is not copied, and waits for
// flodea_import_reply until the next flodea_import_call. Below 0: enum flodea_error.
FLODEA_IMPORT("call")
int32_t flodea_import_call(const char* request, uint32_t request_length, char* reply,
                           uint32_t capacity);

// What did not fit, or the error of the stream that failed last: its length, copied if it fits; 0:
// there is none. Once copied it is gone.
FLODEA_IMPORT("reply") int32_t flodea_import_reply(char* buffer, uint32_t capacity);

// Opens a stream of a method that answers with one: a handle above 0. Does not wait. While a stream
// of flodea.agent.v1.Self/WatchStop is open, SIGTERM does not end the module.
FLODEA_IMPORT("open") int32_t flodea_import_open(const char* request, uint32_t request_length);

// Waits for the stream's next message, at most `timeout_ms` (below 0: for ever). Returns its
// length; one longer than `capacity` is not copied and stays the next. 0: the stream has ended.
FLODEA_IMPORT("next")
int32_t flodea_import_next(int32_t handle, char* buffer, uint32_t capacity, int32_t timeout_ms);

// Ends a stream, and forgets its handle.
FLODEA_IMPORT("close") int32_t flodea_import_close(int32_t handle);

// ---- calls
// ----------------------------------------------------------------------------------------

// Any method by name; params: a JSON object, or NULL. *result: the answer's JSON, ended by a zero
// byte, to be freed; NULL if it is not wanted.
int flodea_call(const char* method, const char* params, char** result);

// Of the last function that failed: words for people, valid until the next call.
const char* flodea_error_text(void);

// ---- clock
// ----------------------------------------------------------------------------------------

typedef struct {
  int64_t wall_nanos;       // since 1970-01-01T00:00:00Z; may jump
  int64_t monotonic_nanos;  // never jumps, for durations; starts anew when the node boots
} flodea_time;

int flodea_now(flodea_time* now);
// Goes on through a restart of the supervisor. At most 366 days.
int flodea_sleep(int64_t nanos);

// ---- store: keys of 1 to 1,024 bytes, values of 0 to 256 KiB
// ---------------------------------------

// *value: to be freed, *length bytes and a zero byte after them. *version: > 0; NULL if not wanted.
int flodea_get(const void* key, size_t key_length, void** value, size_t* length, uint64_t* version);
// On disk once it returns, and done once though the supervisor dies under it. if_version: write
// only if the key's version is this (0: only if it does not exist), else
// FLODEA_FAILED_PRECONDITION; NULL: whatever it is. *version: the new one; NULL if not wanted.
int flodea_put(const void* key, size_t key_length, const void* value, size_t length,
               const uint64_t* if_version, uint64_t* version);
// *existed: 1 or 0; NULL if not wanted.
int flodea_delete(const void* key, size_t key_length, const uint64_t* if_version, int* existed);

// ---- the agent
// ------------------------------------------------------------------------------------

enum flodea_level { FLODEA_DEBUG = 1, FLODEA_INFO = 2, FLODEA_WARNING = 3, FLODEA_ERROR = 4 };
// A structured record of its log, at most 8 KiB.
int flodea_log(enum flodea_level level, const char* message);
// With `readiness: {signal: self}` in its manifest the agent is `running` from now on.
int flodea_ready(void);
// With `liveness: {beat: 30s}` in its manifest an agent that does not say this for so long is hung,
// and ended.
int flodea_beat(void);

// Whether it was asked to stop: 1, 0, or below 0. Does not wait. Once this or flodea_wait_stop was
// called SIGTERM no longer ends the module: end it, within `stop_timeout` of the manifest.
int flodea_stop_requested(void);
// The same, after waiting at most `timeout_ms` (below 0: for ever) for it.
int flodea_wait_stop(int32_t timeout_ms);

#ifdef __cplusplus
}
#endif
#endif
