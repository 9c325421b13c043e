#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void flodea_text_free(flodea_text *text) {
  free(text->data);
  memset(text, 0, sizeof *text);
}

void flodea_text_add_bytes(flodea_text *text, const char *raw, size_t length) {
  if (text->failed) return;
  if (text->length + length + 1 > text->capacity) {
    size_t capacity = (text->length + length + 1) * 2;
    char *data = realloc(text->data, capacity);
    if (data == NULL) {
      text->failed = 1;
      return;
    }
    text->data = data;
    text->capacity = capacity;
  }
  memcpy(text->data + text->length, raw, length);
  text->length += length;
  text->data[text->length] = 0;
}

void flodea_text_add(flodea_text *text, const char *raw) {
  flodea_text_add_bytes(text, raw, strlen(raw));
}

void flodea_text_add_string(flodea_text *text, const char *value) {
  flodea_text_add(text, "\"");
  for (; *value != 0; ++value) {
    unsigned char c = (unsigned char)*value;
    char escaped[8];
    if (c == '"' || c == '\\')
      snprintf(escaped, sizeof escaped, "\\%c", c);
    else if (c < 0x20)
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
    else
      snprintf(escaped, sizeof escaped, "%c", c);
    flodea_text_add(text, escaped);
  }
  flodea_text_add(text, "\"");
}

void flodea_text_add_base64(flodea_text *text, const void *data, size_t length) {
  const unsigned char *bytes = data;
  flodea_text_add(text, "\"");
  for (size_t i = 0; i < length; i += 3) {
    size_t left = length - i;
    uint32_t group = (uint32_t)bytes[i] << 16;
    if (left > 1) group |= (uint32_t)bytes[i + 1] << 8;
    if (left > 2) group |= bytes[i + 2];
    char out[4] = {kDigits[group >> 18], kDigits[group >> 12 & 63],
                   left > 1 ? kDigits[group >> 6 & 63] : '=', left > 2 ? kDigits[group & 63] : '='};
    flodea_text_add_bytes(text, out, 4);
  }
  flodea_text_add(text, "\"");
}

void flodea_text_add_number(flodea_text *text, int64_t number, int quoted) {
  char out[32];
  snprintf(out, sizeof out, quoted ? "\"%lld\"" : "%lld", (long long)number);
  flodea_text_add(text, out);
}

static const char *skip_space(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) ++at;
  return at;
}

// Past the string that begins at `at`.
static const char *skip_string(const char *at, const char *end) {
  for (++at; at < end && *at != '"'; ++at)
    if (*at == '\\') ++at;
  return at < end ? at + 1 : end;
}

// Past the value that begins at `at`.
static const char *skip_value(const char *at, const char *end) {
  int depth = 0;
  while (at < end) {
    if (*at == '"') {
      at = skip_string(at, end);
    } else if (*at == '{' || *at == '[') {
      ++depth;
      ++at;
    } else if (*at == '}' || *at == ']') {
      if (depth == 0) return at;
      --depth;
      ++at;
    } else if (*at == ',' && depth == 0) {
      return at;
    } else {
      ++at;
      continue;
    }
    if (depth == 0) return at;
  }
  return end;
}

flodea_json flodea_json_member(flodea_json object, const char *name) {
  flodea_json none = {NULL, NULL};
  if (object.begin == NULL) return none;
  const char *end = object.end;
  const char *at = skip_space(object.begin, end);
  if (at == end || *at != '{') return none;
  size_t length = strlen(name);
  for (++at; (at = skip_space(at, end)) < end && *at == '"'; ++at) {
    const char *key = at + 1;
    at = skip_string(at, end);
    int found = (size_t)(at - 1 - key) == length && memcmp(key, name, length) == 0;
    at = skip_space(at, end);
    if (at == end || *at != ':') return none;
    at = skip_space(at + 1, end);
    flodea_json value = {at, skip_value(at, end)};
    if (found) return value;
    at = skip_space(value.end, end);
    if (at == end || *at != ',') return none;
  }
  return none;
}

flodea_json flodea_json_first(flodea_json array) {
  flodea_json none = {NULL, NULL};
  if (array.begin == NULL) return none;
  const char *at = skip_space(array.begin, array.end);
  if (at == array.end || *at != '[') return none;
  at = skip_space(at + 1, array.end);
  if (at == array.end || *at == ']') return none;
  flodea_json value = {at, skip_value(at, array.end)};
  return value;
}

int64_t flodea_json_integer(flodea_json value) {
  if (value.begin == NULL) return 0;
  char digits[32];
  const char *at = *value.begin == '"' ? value.begin + 1 : value.begin;
  size_t length = (size_t)(value.end - at);
  if (length >= sizeof digits) return 0;
  memcpy(digits, at, length);
  digits[length] = 0;
  return strtoll(digits, NULL, 10);
}

// A \uXXXX that is no ASCII character becomes '?': texts of the host have theirs in UTF-8.
static char unescape(const char **at, const char *end) {
  switch (*++*at) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'u': {
      if (end - *at < 5) return '?';
      char digits[5] = {(*at)[1], (*at)[2], (*at)[3], (*at)[4], 0};
      *at += 4;
      long point = strtol(digits, NULL, 16);
      return point < 0x80 ? (char)point : '?';
    }
    default: return **at;
  }
}

void flodea_json_copy(flodea_json value, char *out, size_t capacity) {
  size_t length = 0;
  if (value.begin != NULL && *value.begin == '"') {
    const char *end = value.end - 1;
    for (const char *at = value.begin + 1; at < end && length + 1 < capacity; ++at)
      out[length++] = *at == '\\' ? unescape(&at, end) : *at;
  }
  out[length] = 0;
}

static int base64_digit(char c) {
  const char *found = c == 0 ? NULL : strchr(kDigits, c);
  return found == NULL ? -1 : (int)(found - kDigits);
}

void *flodea_json_base64(flodea_json value, size_t *length) {
  size_t most = value.begin == NULL ? 0 : (size_t)(value.end - value.begin);
  unsigned char *out = malloc(most + 1);
  size_t count = 0;
  if (out == NULL) return NULL;
  uint32_t bits = 0;
  int held = 0;
  for (const char *at = value.begin; at < value.end; ++at) {
    int digit = base64_digit(*at);
    if (digit < 0) continue;  // quotes and padding
    bits = bits << 6 | (uint32_t)digit;
    held += 6;
    if (held >= 8) {
      held -= 8;
      out[count++] = (unsigned char)(bits >> held);
    }
  }
  out[count] = 0;
  *length = count;
  return out;
}
