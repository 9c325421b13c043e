#include "flodea.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"

#define FIRST_CAPACITY 4096
#define FIRST_GRPC_ERROR (-32000)
#define METHOD_NOT_FOUND (-32601)
#define INVALID_PARAMS (-32602)

static char error_text[512];
static int32_t stop_stream;
static int stop_noticed;

const char *flodea_error_text(void) { return error_text; }

static const char *describe(int error) {
  switch (error) {
    case FLODEA_TOO_LONG: return "the request or the answer is longer than 1 MiB";
    case FLODEA_BAD_HANDLE: return "no such stream";
    case FLODEA_FAULT: return "a pointer leads out of memory";
    case FLODEA_INVALID: return "the request is no JSON object with a method and params";
    case FLODEA_TOO_MANY: return "16 streams are open";
    case FLODEA_NO_MEMORY: return "out of memory";
    case FLODEA_NOT_AN_AGENT: return "not an agent of Flodea's";
    case FLODEA_CLOSED: return "the connection to Flodea has ended";
    case FLODEA_TIMED_OUT: return "the time is over";
    default: return "an answer that this SDK does not understand";
  }
}

static int failed(int error) {
  snprintf(error_text, sizeof error_text, "%s", describe(error));
  return error;
}

// The status of {"code":…,"message":…}, whose words are kept.
static int failed_call(flodea_json error) {
  int64_t code = flodea_json_integer(flodea_json_member(error, "code"));
  flodea_json_copy(flodea_json_member(error, "message"), error_text, sizeof error_text);
  if (code == METHOD_NOT_FOUND) return FLODEA_UNIMPLEMENTED;
  if (code == INVALID_PARAMS) return FLODEA_INVALID_ARGUMENT;
  int64_t status = FIRST_GRPC_ERROR - code;
  return status >= 1 && status <= 16 ? (int)status : FLODEA_INTERNAL;
}

// *reply: the answer, to be freed, of *length bytes and a zero byte.
static int exchange(const flodea_text *request, char **reply, size_t *length) {
  uint32_t capacity = FIRST_CAPACITY;
  char *buffer = malloc(capacity + 1);
  if (buffer == NULL || request->failed) {
    free(buffer);
    return failed(FLODEA_NO_MEMORY);
  }
  int32_t got =
      flodea_import_call(request->data, (uint32_t)request->length, buffer, capacity);
  if (got > (int32_t)capacity) {
    char *larger = realloc(buffer, (size_t)got + 1);
    if (larger == NULL) {
      free(buffer);
      return failed(FLODEA_NO_MEMORY);
    }
    buffer = larger;
    got = flodea_import_reply(buffer, (uint32_t)got);
  }
  if (got < 0) {
    free(buffer);
    return failed(got);
  }
  buffer[got] = 0;
  *reply = buffer;
  *length = (size_t)got;
  return 0;
}

// Sends what stands in `params`, and frees it. *result lies in *reply, which is to be freed.
static int call(const char *method, flodea_text *params, char **reply, flodea_json *result) {
  flodea_text request = {0};
  size_t length = 0;
  flodea_text_add(&request, "{\"method\":");
  flodea_text_add_string(&request, method);
  flodea_text_add(&request, ",\"params\":");
  flodea_text_add(&request, params->data == NULL ? "{}" : params->data);
  flodea_text_add(&request, "}");
  request.failed |= params->failed;
  flodea_text_free(params);
  int status = exchange(&request, reply, &length);
  flodea_text_free(&request);
  if (status != 0) return status;
  flodea_json answer = {*reply, *reply + length};
  flodea_json error = flodea_json_member(answer, "error");
  *result = flodea_json_member(answer, "result");
  if (error.begin != NULL)
    status = failed_call(error);
  else if (result->begin == NULL)
    status = failed(FLODEA_BAD_REPLY);
  if (status != 0) {
    free(*reply);
    *reply = NULL;
  }
  return status;
}

int flodea_call(const char *method, const char *params, char **result) {
  flodea_text text = {0};
  char *reply = NULL;
  flodea_json value;
  if (params != NULL) flodea_text_add(&text, params);
  int status = call(method, &text, &reply, &value);
  if (status != 0) return status;
  size_t length = (size_t)(value.end - value.begin);
  if (result != NULL) {
    memmove(reply, value.begin, length);
    reply[length] = 0;
    *result = reply;
  } else {
    free(reply);
  }
  return 0;
}

// --- clock ---

int flodea_now(flodea_time *now) {
  flodea_text params = {0};
  char *reply = NULL;
  flodea_json result;
  int status = call("flodea.kernel.v1.Clock/Now", &params, &reply, &result);
  if (status != 0) return status;
  now->wall_nanos = flodea_json_integer(flodea_json_member(result, "wallNanos"));
  now->monotonic_nanos = flodea_json_integer(flodea_json_member(result, "monotonicNanos"));
  free(reply);
  return 0;
}

int flodea_sleep(int64_t nanos) {
  flodea_time now;
  int status = flodea_now(&now);
  if (status != 0) return status;
  flodea_text params = {0};
  flodea_text_add(&params, "{\"monotonicNanos\":");
  flodea_text_add_number(&params, now.monotonic_nanos + (nanos > 0 ? nanos : 0), 1);
  flodea_text_add(&params, "}");
  char *reply = NULL;
  flodea_json result;
  status = call("flodea.kernel.v1.Clock/SleepUntil", &params, &reply, &result);
  free(reply);
  return status;
}

// --- store ---

int flodea_get(const void *key, size_t key_length, void **value, size_t *length,
               uint64_t *version) {
  flodea_text params = {0};
  flodea_text_add(&params, "{\"key\":");
  flodea_text_add_base64(&params, key, key_length);
  flodea_text_add(&params, "}");
  char *reply = NULL;
  flodea_json result;
  int status = call("flodea.storage.v1.Store/Get", &params, &reply, &result);
  if (status != 0) return status;
  flodea_json entry = flodea_json_member(result, "entry");
  *value = flodea_json_base64(flodea_json_member(entry, "value"), length);
  if (version != NULL)
    *version = (uint64_t)flodea_json_integer(flodea_json_member(entry, "version"));
  free(reply);
  return *value == NULL ? failed(FLODEA_NO_MEMORY) : 0;
}

// A commit's own key: the same call again, after the supervisor died under it, changes nothing.
static void add_dedup_key(flodea_text *params) {
  unsigned char random[16];
  char hex[2 * sizeof random + 1];
  if (getentropy(random, sizeof random) != 0) params->failed = 1;
  for (size_t i = 0; i < sizeof random; ++i) snprintf(hex + 2 * i, 3, "%02x", random[i]);
  flodea_text_add(params, "{\"dedupKey\":");
  flodea_text_add_string(params, hex);
}

static void add_condition(flodea_text *params, const void *key, size_t length,
                          const uint64_t *version) {
  if (version == NULL) return;
  flodea_text_add(params, ",\"conditions\":[{\"key\":");
  flodea_text_add_base64(params, key, length);
  flodea_text_add(params, ",\"version\":");
  flodea_text_add_number(params, (int64_t)*version, 1);
  flodea_text_add(params, "}]");
}

int flodea_put(const void *key, size_t key_length, const void *value, size_t length,
               const uint64_t *if_version, uint64_t *version) {
  flodea_text params = {0};
  add_dedup_key(&params);
  add_condition(&params, key, key_length, if_version);
  flodea_text_add(&params, ",\"puts\":[{\"key\":");
  flodea_text_add_base64(&params, key, key_length);
  flodea_text_add(&params, ",\"value\":");
  flodea_text_add_base64(&params, value, length);
  flodea_text_add(&params, "}]}");
  char *reply = NULL;
  flodea_json result;
  int status = call("flodea.storage.v1.Store/Commit", &params, &reply, &result);
  if (status == 0 && version != NULL)
    *version = (uint64_t)flodea_json_integer(flodea_json_member(result, "version"));
  free(reply);
  return status;
}

int flodea_delete(const void *key, size_t key_length, const uint64_t *if_version, int *existed) {
  flodea_text params = {0};
  add_dedup_key(&params);
  add_condition(&params, key, key_length, if_version);
  flodea_text_add(&params, ",\"deletes\":[");
  flodea_text_add_base64(&params, key, key_length);
  flodea_text_add(&params, "]}");
  char *reply = NULL;
  flodea_json result;
  int status = call("flodea.storage.v1.Store/Commit", &params, &reply, &result);
  if (status == 0 && existed != NULL)
    *existed = flodea_json_integer(flodea_json_member(result, "deleted")) > 0;
  free(reply);
  return status;
}

// --- agent ---

int flodea_log(enum flodea_level level, const char *message) {
  flodea_text params = {0};
  flodea_text_add(&params, "{\"records\":[{\"level\":");
  flodea_text_add_number(&params, level, 0);
  flodea_text_add(&params, ",\"message\":");
  flodea_text_add_string(&params, message);
  flodea_text_add(&params, "}]}");
  char *reply = NULL;
  flodea_json result;
  int status = call("flodea.agent.v1.Self/Log", &params, &reply, &result);
  free(reply);
  return status;
}

int flodea_ready(void) { return flodea_call("flodea.agent.v1.Self/Ready", NULL, NULL); }

int flodea_beat(void) { return flodea_call("flodea.agent.v1.Self/Beat", NULL, NULL); }

int flodea_wait_stop(int32_t timeout_ms) {
  static const char request[] = "{\"method\":\"flodea.agent.v1.Self/WatchStop\",\"params\":{}}";
  char notice[FIRST_CAPACITY];
  if (stop_noticed) return 1;
  if (stop_stream == 0) {
    int32_t handle = flodea_import_open(request, sizeof request - 1);
    if (handle < 0) return failed(handle);
    stop_stream = handle;
  }
  int32_t got = flodea_import_next(stop_stream, notice, sizeof notice, timeout_ms);
  if (got == FLODEA_TIMED_OUT) return 0;
  if (got > 0) {
    stop_noticed = 1;
    return 1;
  }
  // Ended without a notice: the next question opens it again.
  flodea_import_close(stop_stream);
  stop_stream = 0;
  return got < 0 ? failed(got) : 0;
}

int flodea_stop_requested(void) { return flodea_wait_stop(0); }
