/* Members of JSON objects, found in the text itself: a number keeps every digit that it was written with. */
#ifndef DPFLASH_EXAMPLES_JSON_MEMBER_H
#define DPFLASH_EXAMPLES_JSON_MEMBER_H

#include <stddef.h>

/* A piece of a text that somebody else owns. */
typedef struct json_text {
  const char* begin;
  size_t length;
} json_text;

/* Sets *value to what the member `name` of `object` holds, the last one of that name. Returns 0, with *value as it was,
 * without such a member or when `object` is not one JSON object. What lies inside the members is not checked: the
 * library does that with a plan. A name that is written with an escape is never found. */
int json_member(json_text object, const char* name, json_text* value);

#endif
