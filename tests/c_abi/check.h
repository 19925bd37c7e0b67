/* Checks that go on after a failure and count it. */
#ifndef DPFLASH_TESTS_CHECK_H
#define DPFLASH_TESTS_CHECK_H

#include <dpflash/dpflash.h>

extern int checks_failed;

void check_true(int holds, const char* expression, const char* file, int line);
void check_status(int got, int wanted, const char* expression, const char* file, int line);
/* The last error contains `part`. */
void check_reason(const char* part, const char* file, int line);

/* The number after `name`, e.g. "\"upper\":", in a JSON text; infinity where there is none. */
double number_of(const char* json, const char* name);

#define CHECK(expression) check_true((expression) != 0, #expression, __FILE__, __LINE__)
#define CHECK_STATUS(call, wanted) check_status((call), (wanted), #call, __FILE__, __LINE__)
#define CHECK_REASON(part) check_reason((part), __FILE__, __LINE__)

void test_structs(void);
void test_accounting(void);
void test_calibration(void);
void test_attention(void);
void test_ledger(void);

#endif
