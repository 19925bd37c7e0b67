#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

int checks_failed = 0;

static void fail(const char* what, const char* file, int line) {
  ++checks_failed;
  printf("%s:%d: %s\n", file, line, what);
}

void check_true(int holds, const char* expression, const char* file, int line) {
  if (!holds) fail(expression, file, line);
}

void check_status(int got, int wanted, const char* expression, const char* file, int line) {
  if (got == wanted) return;
  fail(expression, file, line);
  printf("  %s (%s), wanted %s\n", dpf_status_text(got), dpf_last_error(), dpf_status_text(wanted));
}

void check_reason(const char* part, const char* file, int line) {
  if (strstr(dpf_last_error(), part) != NULL && strchr(dpf_last_error(), '\n') == NULL) return;
  fail("the reason should be one line with this in it", file, line);
  printf("  %s\n  %s\n", part, dpf_last_error());
}

double number_of(const char* json, const char* name) {
  const char* at = strstr(json, name);
  return at == NULL ? HUGE_VAL : strtod(at + strlen(name), NULL);
}

int main(void) {
  test_structs();
  test_accounting();
  test_calibration();
  test_attention();
  test_ledger();
  printf("%d checks failed\n", checks_failed);
  return checks_failed == 0 ? 0 : 1;
}
