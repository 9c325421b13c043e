// Just enough JSON for flodea.c: a text that grows, and looking up members of what the host, which
// is trusted, has sent.
#ifndef FLODEA_JSON_H
#define FLODEA_JSON_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  char* data;  // ended by a zero byte once something was added; NULL: nothing yet
  size_t length;
  size_t capacity;
  int failed;  // no memory: what was added since is missing
} flodea_text;

void flodea_text_free(flodea_text* text);
void flodea_text_add(flodea_text* text, const char* raw);
void flodea_text_add_bytes(flodea_text* text, const char* raw, size_t length);
void flodea_text_add_string(flodea_text* text, const char* value);                // quoted
void flodea_text_add_base64(flodea_text* text, const void* data, size_t length);  // quoted
void flodea_text_add_number(flodea_text* text, int64_t number, int quoted);

typedef struct {
  const char* begin;  // NULL: there is none
  const char* end;
} flodea_json;

flodea_json flodea_json_member(flodea_json object, const char* name);
flodea_json flodea_json_first(flodea_json array);
// Of a number, or of a string that holds one, as 64-bit integers do; 0 where there is none.
int64_t flodea_json_integer(flodea_json value);
// Unescaped, at most `capacity` - 1 bytes and a zero byte.
void flodea_json_copy(flodea_json value, char* out, size_t capacity);
// The bytes of a base64 string with a zero byte after them, to be freed; NULL: no memory.
void* flodea_json_base64(flodea_json value, size_t* length);

#endif
