#include "json_member.h"

#include <string.h>

static int is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static const char* skip_space(const char* at, const char* end) {
  while (at != end && is_space(*at)) ++at;
  return at;
}

/* Past the string that begins at `at`, or `end` when it does not close. */
static const char* skip_string(const char* at, const char* end) {
  for (++at; at < end; ++at) {
    if (*at == '"') return at + 1;
    if (*at == '\\' && ++at == end) break;
  }
  return end;
}

/* The comma or bracket after the value at `at`, or `end` when there is none. */
static const char* skip_value(const char* at, const char* end) {
  size_t depth = 0;
  while (at != end) {
    if (*at == '"') {
      at = skip_string(at, end);
      continue;
    }
    if (depth == 0 && (*at == ',' || *at == '}' || *at == ']')) break;
    if (*at == '{' || *at == '[') ++depth;
    if (*at == '}' || *at == ']') --depth;
    ++at;
  }
  return at;
}

int json_member(json_text object, const char* name, json_text* value) {
  const char* const end = object.begin + object.length;
  const char* at = skip_space(object.begin, end);
  json_text found = {NULL, 0};
  if (at == end || *at != '{') return 0;
  do {
    const char* const key = skip_space(at + 1, end);
    const char* const key_end = key == end || *key != '"' ? end : skip_string(key, end);
    const char* const colon = skip_space(key_end, end);
    if (colon == end || *colon != ':') return 0;
    const char* const begin = skip_space(colon + 1, end);
    at = skip_value(begin, end);
    if (at == end) return 0;
    if ((size_t)(key_end - key) == strlen(name) + 2 && memcmp(key + 1, name, strlen(name)) == 0) {
      found.begin = begin;
      found.length = (size_t)(at - begin);
      while (found.length > 0 && is_space(begin[found.length - 1])) --found.length;
    }
  } while (*at == ',');
  if (*at != '}' || skip_space(at + 1, end) != end || found.begin == NULL) return 0;
  *value = found;
  return 1;
}
