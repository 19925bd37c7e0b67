/* Answers, buffers, and everything that is refused. */
#include <math.h>
#include <string.h>

#include "check.h"

static const char kPlan[] = "{\"events\":[{\"mechanism\":{\"type\":\"gaussian\",\"noise_multiplier\":1}}]}";
static const char kHole[] =
    "{\"events\":[{\"mechanism\":{\"type\":\"gaussian\",\"noise_multiplier\":null},"
    "\"sampling\":{\"type\":\"poisson\",\"rate\":0.004},\"count\":20000}]}";
/* Gaussian, noise multiplier 1, delta 1e-5 (analytic). */
static const double kEpsilon = 4.377178095681225;

static int ask(const char* plan, double delta, const dpf_options* options, char* buffer, size_t capacity,
               size_t* size) {
  return dpf_epsilon_json(plan, plan == NULL ? 0 : strlen(plan), delta, options, buffer, capacity, size);
}

static void answers_hold_the_truth(void) {
  char text[1024];
  size_t size = 0;
  CHECK_STATUS(ask(kPlan, 1e-5, NULL, text, sizeof text, &size), DPF_OK);
  CHECK(size == strlen(text) + 1);
  CHECK(number_of(text, "\"lower\":") <= kEpsilon);
  CHECK(number_of(text, "\"upper\":") >= kEpsilon);
  CHECK(number_of(text, "\"upper\":") <= kEpsilon * (1 + 1e-4));
  CHECK(strstr(text, "\"accountant\":\"pld\"") != NULL);
  CHECK_STATUS(dpf_delta_json(kPlan, strlen(kPlan), kEpsilon, NULL, text, sizeof text, NULL), DPF_OK);
  CHECK(number_of(text, "\"lower\":") <= 1e-5);
  CHECK(number_of(text, "\"upper\":") >= 1e-5 * (1 - 1e-12));
}

static void every_accountant_answers(void) {
  char text[1024];
  dpf_options options = DPF_OPTIONS_INIT;
  options.accountant = DPF_ACCOUNTANT_RDP;
  CHECK_STATUS(ask(kPlan, 1e-5, &options, text, sizeof text, NULL), DPF_OK);
  CHECK(number_of(text, "\"upper\":") >= kEpsilon);
  CHECK(strstr(text, "\"order\":") != NULL);
  options.accountant = DPF_ACCOUNTANT_BASIC;
  CHECK_STATUS(ask(kPlan, 1e-5, &options, text, sizeof text, NULL), DPF_OK);
  CHECK(number_of(text, "\"upper\":") >= kEpsilon);
  options.accountant = 3;
  CHECK_STATUS(ask(kPlan, 1e-5, &options, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("options.accountant: 3");
}

static void infinity_is_null_and_unbounded(void) {
  static const char plan[] = "{\"events\":[{\"mechanism\":{\"type\":\"epsilon_delta\",\"epsilon\":1,\"delta\":0.5}}]}";
  char text[1024];
  CHECK_STATUS(ask(plan, 1e-5, NULL, text, sizeof text, NULL), DPF_OK);
  CHECK(strstr(text, "\"upper\":null,\"unbounded\":true") != NULL);
}

static void buffers_are_asked_for_and_checked(void) {
  char text[1024];
  size_t needed = 0;
  size_t again = 0;
  CHECK_STATUS(ask(kPlan, 1e-5, NULL, NULL, 0, &needed), DPF_OK);
  CHECK(needed > 100 && needed < sizeof text);
  strcpy(text, "as it was");
  CHECK_STATUS(ask(kPlan, 1e-5, NULL, text, 10, &again), DPF_ERROR_BUFFER_TOO_SMALL);
  CHECK(again > 100);
  CHECK(strcmp(text, "as it was") == 0);
  CHECK_STATUS(ask(kPlan, 1e-5, NULL, NULL, 0, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(ask(kPlan, 1e-5, NULL, NULL, 5, &again), DPF_ERROR_UNUSABLE_INPUT);
}

static void bad_input_is_named(void) {
  char text[1024];
  dpf_options options = DPF_OPTIONS_INIT;
  CHECK_STATUS(dpf_epsilon_json(NULL, 5, 1e-5, NULL, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("plan: NULL");
  CHECK_STATUS(ask(NULL, 1e-5, NULL, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(ask("{", 1e-5, NULL, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(ask(kPlan, 0, NULL, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("delta");
  CHECK_STATUS(ask(kPlan, NAN, NULL, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_delta_json(kPlan, strlen(kPlan), HUGE_VAL, NULL, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  options.engine = DPF_ENGINE_LATTICE;
  options.accountant = DPF_ACCOUNTANT_RDP;
  CHECK_STATUS(ask(kPlan, 1e-5, &options, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(ask("{\"adjacency\":\"replace-one\",\"events\":[{\"mechanism\":{\"type\":\"laplace\","
                   "\"noise_multiplier\":1},\"sampling\":{\"type\":\"poisson\",\"rate\":0.5}}]}",
                   1e-5, NULL, text, sizeof text, NULL),
               DPF_ERROR_NOT_COMPUTABLE);
}

static void calibration_of_a_plan_meets_its_target(void) {
  char text[1024];
  CHECK_STATUS(dpf_calibrate_json(kHole, strlen(kHole), 3, 1e-5, NULL, text, sizeof text, NULL), DPF_OK);
  CHECK(fabs(number_of(text, "\"value\":") - 1.03337194) < 1e-5);
  CHECK(number_of(text, "\"upper\":") <= 3);
  CHECK_STATUS(dpf_calibrate_json(kHole, strlen(kHole), 0, 1e-5, NULL, text, sizeof text, NULL),
               DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_calibrate_json(kPlan, strlen(kPlan), 3, 1e-5, NULL, text, sizeof text, NULL),
               DPF_ERROR_UNUSABLE_INPUT);
}

static void all_accountants_side_by_side(void) {
  static const char plan[] = "{\"events\":[{\"mechanism\":{\"type\":\"gaussian\",\"noise_multiplier\":1}}]}";
  char text[4096];
  CHECK_STATUS(dpf_compare_json(plan, sizeof plan - 1, 1e-5, NULL, text, sizeof text, NULL), DPF_OK);
  CHECK(strstr(text, "\"accountant\":\"rdp-classic\"") != NULL);
  CHECK(fabs(number_of(text, "\"upper\":") - 4.377178095681225) < 1e-3);
  CHECK_STATUS(dpf_compare_json(plan, sizeof plan - 1, 2, NULL, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
}

static void noise_is_added_once(void) {
  dpf_calibration* gaussian = NULL;
  dpf_calibration* laplace = NULL;
  dpf_noise_source* source = NULL;
  dpf_draws draws = DPF_DRAWS_INIT;
  float sum[64] = {0};
  float again[64] = {0};
  float record[2] = {3, 4};
  uint16_t half[64] = {0};
  CHECK_STATUS(dpf_calibration_gaussian_stated(2, 1e-5, NULL, &gaussian), DPF_OK);
  CHECK_STATUS(dpf_calibration_laplace_stated(2, 1e-5, NULL, &laplace), DPF_OK);
  CHECK_STATUS(dpf_noise_source_reproducible(DPF_PHILOX, 7, &source), DPF_OK);
  draws.source = source;
  CHECK_STATUS(dpf_privatise(gaussian, 1, DPF_F32, sum, 64, &draws), DPF_OK);
  CHECK(sum[0] != 0 && sum[0] != sum[1]);
  CHECK_STATUS(dpf_privatise(gaussian, 1, DPF_F32, again, 64, &draws), DPF_ERROR_REUSED_NOISE);
  CHECK(again[0] == 0);
  draws.step = 1;
  CHECK_STATUS(dpf_privatise(gaussian, 1, DPF_BF16, half, 64, &draws), DPF_OK);
  CHECK(half[0] != 0);
  draws.step = 2;
  CHECK_STATUS(dpf_privatise(laplace, 1, DPF_F16, half, 64, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("element");
  CHECK_STATUS(dpf_privatise(laplace, 1, DPF_F32, again, 64, &draws), DPF_OK);
  CHECK_STATUS(dpf_privatise(gaussian, 1, DPF_F64, again, 32, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_privatise(gaussian, 1, DPF_F32, (char*)again + 1, 8, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_privatise(gaussian, -1, DPF_F32, again, 8, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_privatise(gaussian, 1, DPF_F32, NULL, 8, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_privatise(gaussian, 1, DPF_F32, again, 0, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_clip(gaussian, 1, record, 2), DPF_OK);
  CHECK(fabs(record[0] - 0.6) < 1e-6 && fabs(record[1] - 0.8) < 1e-6);
  record[0] = 3;
  record[1] = 4;
  CHECK_STATUS(dpf_clip(laplace, 1, record, 2), DPF_OK);
  CHECK(fabs(record[0] - 3.0 / 7) < 1e-6);
  draws.source = NULL;
  CHECK_STATUS(dpf_privatise(gaussian, 1, DPF_F32, again, 8, &draws), DPF_ERROR_UNUSABLE_INPUT);
  dpf_noise_source_free(source);
  draws.source = source;
  CHECK_STATUS(dpf_privatise(gaussian, 1, DPF_F32, again, 8, &draws), DPF_ERROR_UNUSABLE_INPUT);
  dpf_calibration_free(gaussian);
  dpf_calibration_free(laplace);
}

void test_accounting(void) {
  all_accountants_side_by_side();
  noise_is_added_once();
  answers_hold_the_truth();
  every_accountant_answers();
  infinity_is_null_and_unbounded();
  buffers_are_asked_for_and_checked();
  bad_input_is_named();
  calibration_of_a_plan_meets_its_target();
}

static void handles_answer(void) {
  dpf_calibration* calibration = NULL;
  dpf_releases releases = DPF_RELEASES_INIT;
  dpf_bracket epsilon = DPF_BRACKET_INIT;
  double noise = 0;
  char text[2048];
  releases.count = 100;
  CHECK_STATUS(dpf_calibration_gaussian_for(2, 1e-6, &releases, &calibration), DPF_OK);
  CHECK_STATUS(dpf_calibration_noise_multiplier(calibration, &noise), DPF_OK);
  CHECK_STATUS(dpf_calibration_epsilon(calibration, &epsilon), DPF_OK);
  CHECK(noise > 10 && epsilon.upper <= 2 && epsilon.lower > 1.999);
  CHECK_STATUS(dpf_calibration_certificate_json(calibration, text, sizeof text, NULL), DPF_OK);
  CHECK(strstr(text, "\"family\":\"gaussian\"") != NULL);
  dpf_calibration_free(calibration);

  CHECK_STATUS(dpf_calibration_gaussian_stated(1, 1e-5, NULL, &calibration), DPF_OK);
  CHECK_STATUS(dpf_calibration_epsilon(calibration, &epsilon), DPF_OK);
  CHECK(epsilon.lower <= kEpsilon && epsilon.upper >= kEpsilon);
  epsilon.struct_size = 4;
  CHECK_STATUS(dpf_calibration_epsilon(calibration, &epsilon), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_calibration_epsilon(calibration, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_calibration_noise_multiplier(calibration, NULL), DPF_ERROR_UNUSABLE_INPUT);
  dpf_calibration_free(calibration);
}

static void handles_are_null_after_failures(void) {
  dpf_calibration* calibration = (dpf_calibration*)kPlan;
  dpf_releases releases = DPF_RELEASES_INIT;
  double noise = 0;
  CHECK_STATUS(dpf_calibration_gaussian_for(-1, 1e-6, NULL, &calibration), DPF_ERROR_UNUSABLE_INPUT);
  CHECK(calibration == NULL);
  CHECK_STATUS(dpf_calibration_gaussian_for(1, 1e-6, NULL, NULL), DPF_ERROR_UNUSABLE_INPUT);
  releases.adjacency = 17;
  CHECK_STATUS(dpf_calibration_gaussian_for(1, 1e-6, &releases, &calibration), DPF_ERROR_UNUSABLE_INPUT);
  releases.adjacency = DPF_REPLACE_ONE;
  releases.reserved = 1;
  CHECK_STATUS(dpf_calibration_gaussian_for(1, 1e-6, &releases, &calibration), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("releases.reserved");
  CHECK_STATUS(dpf_calibration_noise_multiplier(NULL, &noise), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_calibration_certificate_json(NULL, NULL, 0, NULL), DPF_ERROR_UNUSABLE_INPUT);
  dpf_calibration_free(NULL);
}

void test_calibration(void) {
  handles_answer();
  handles_are_null_after_failures();
}
