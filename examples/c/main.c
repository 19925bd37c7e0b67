/* plan_epsilon: what plans cost, asked of dpflash over its C interface alone. */
#include <dpflash/dpflash.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_member.h"

enum { kFailed = 1, kBadCommandLine = 2, kBlock = 65536 };

static int failed(const char* about, const char* reason) {
  fprintf(stderr, "plan_epsilon: %s: %s\n", about, reason);
  return kFailed;
}

/* For a call of the library that failed: its reason stays with the thread that called, until its next failure. */
static int call_failed(const char* about, int status) {
  fprintf(stderr, "plan_epsilon: %s: %s (%s)\n", about, dpf_last_error(), dpf_status_text(status));
  return kFailed;
}

static char* resized(char* memory, size_t size) {
  char* const out = realloc(memory, size);
  if (out == NULL) exit(failed("memory", "there is no more of it"));
  return out;
}

/* To be freed by the caller. NULL after saying why the file cannot be read. */
static char* read_file(const char* path, size_t* length) {
  FILE* const in = fopen(path, "rb");
  size_t got = in == NULL ? 0 : kBlock;
  char* text = NULL;
  for (*length = 0; got == kBlock; *length += got) {
    text = resized(text, *length + kBlock);
    got = fread(text + *length, 1, kBlock, in);
  }
  if (in == NULL || ferror(in)) {
    failed(path, strerror(errno));
    free(text);
    text = NULL;
  }
  if (in != NULL) fclose(in);
  return text;
}

/* *answer is the caller's to free, also after a failure. */
static int ask_epsilon(json_text plan, double delta, char** answer) {
  const dpf_options options = DPF_OPTIONS_INIT;
  size_t needed = 1024;
  int status;
  do {
    /* Each try works the answer out anew, and it holds the time that took: it may come out some digits longer. */
    const size_t capacity = needed + 64;
    *answer = resized(*answer, capacity);
    status = dpf_epsilon_json(plan.begin, plan.length, delta, &options, *answer, capacity, &needed);
  } while (status == DPF_ERROR_BUFFER_TOO_SMALL);
  return status;
}

/* The file's name without folder and .json, then both ends in the digits that the library wrote. */
static int print_bracket(const char* path, const char* answer) {
  const char* const slash = strrchr(path, '/');
  const char* const name = slash == NULL ? path : slash + 1;
  int width = (int)strlen(name);
  json_text text = {answer, strlen(answer)}, lower, upper;
  if (width >= 5 && strcmp(name + width - 5, ".json") == 0) width -= 5;
  if (!json_member(text, "epsilon", &text) || !json_member(text, "lower", &lower) ||
      !json_member(text, "upper", &upper)) {
    return failed(path, "the library's answer has no bracket");
  }
  printf("%.*s %.*s %.*s\n", width, name, (int)lower.length, lower.begin, (int)upper.length, upper.begin);
  return 0;
}

static int plan_epsilon(const char* path, double delta) {
  json_text plan;
  char* const document = read_file(path, &plan.length);
  char* answer = NULL;
  if (document == NULL) return kFailed;
  plan.begin = document;
  /* A published run has its plan inside. Any other text is handed on as it is: the library judges it. */
  json_member(plan, "plan", &plan);
  const int status = ask_epsilon(plan, delta, &answer);
  const int result = status == DPF_OK ? print_bracket(path, answer) : call_failed(path, status);
  free(answer);
  free(document);
  return result;
}

/* The least noise for a target, from a handle, and the bracket that it was verified to have. */
static int calibrate(double epsilon, double delta, int64_t count, double rate) {
  dpf_releases releases = DPF_RELEASES_INIT;
  dpf_bracket bracket = DPF_BRACKET_INIT;
  dpf_calibration* calibration = NULL;
  double noise_multiplier = 0;
  releases.count = count;
  releases.rate = rate;
  int status = dpf_calibration_gaussian_for(epsilon, delta, &releases, &calibration);
  if (status == DPF_OK) status = dpf_calibration_noise_multiplier(calibration, &noise_multiplier);
  if (status == DPF_OK) status = dpf_calibration_epsilon(calibration, &bracket);
  dpf_calibration_free(calibration);
  if (status != DPF_OK) return call_failed("--calibrate", status);
  printf("%.17g %.17g %.17g\n", noise_multiplier, bracket.lower, bracket.upper);
  return 0;
}

/* Ends the program unless `text` was read to its end as what is `wanted`. */
static void check_read(int holds, const char* name, const char* text, const char* wanted) {
  if (holds) return;
  fprintf(stderr, "plan_epsilon: %s: %s is not %s\n", name, text, wanted);
  exit(kBadCommandLine);
}

/* strtod alone would take nan, white space and hexadecimal digits too. */
static double number(const char* name, const char* text) {
  char* end;
  const double value = strtod(text, &end);
  const int decimal = text[strspn(text, "+-.0123456789eE")] == '\0';
  check_read(decimal && end != text && *end == '\0' && isfinite(value), name, text, "a number");
  return value;
}

static int64_t integer(const char* name, const char* text) {
  char* end;
  errno = 0;
  const long long value = strtoll(text, &end, 10);
  const int decimal = text[strspn(text, "+-0123456789")] == '\0';
  check_read(decimal && end != text && *end == '\0' && errno == 0, name, text, "an integer");
  return value;
}

int main(int argc, char** argv) {
  const int calibrates = argc > 1 && strcmp(argv[1], "--calibrate") == 0;
  int result = 0;
  if (calibrates ? argc != 6 : argc < 3) {
    fprintf(stderr, "usage: plan_epsilon DELTA FILE... | plan_epsilon --calibrate EPSILON DELTA COUNT RATE\n");
    return kBadCommandLine;
  }
  if (dpf_abi_version() < DPF_ABI_VERSION) return failed("libdpflash.so", "older than the header of this program");
  if (calibrates) {
    result = calibrate(number("EPSILON", argv[2]), number("DELTA", argv[3]), integer("COUNT", argv[4]),
                       number("RATE", argv[5]));
  } else {
    const double delta = number("DELTA", argv[1]);
    for (int i = 2; i < argc; ++i) result |= plan_epsilon(argv[i], delta);
  }
  if (fflush(stdout) != 0 || ferror(stdout)) result = failed("standard output", strerror(errno));
  return result;
}
