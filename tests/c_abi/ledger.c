/* The ledger through the C interface, and handles that are not alive. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

static const char kPlan[] = "{\"events\":[{\"mechanism\":{\"type\":\"gaussian\",\"noise_multiplier\":4}}]}";
static const char kMuch[] = "{\"events\":[{\"mechanism\":{\"type\":\"gaussian\",\"noise_multiplier\":0.1}}]}";
static const char kOther[] =
    "{\"adjacency\":\"replace-one\",\"events\":[{\"mechanism\":{\"type\":\"gaussian\",\"noise_multiplier\":4}}]}";

#define LENGTH(text) (sizeof(text) - 1)

static void name_of_file(char* path, size_t size) {
  const char* folder = getenv("TMPDIR");
  snprintf(path, size, "%s/dpflash-c-%ld.db", folder != NULL ? folder : "/tmp", (long)getpid());
  remove(path);
}

static void spends_are_recorded_and_refused(const char* path) {
  dpf_ledger* ledger = NULL;
  dpf_ledger* again = NULL;
  dpf_labels labels = DPF_LABELS_INIT;
  dpf_receipt receipt = DPF_RECEIPT_INIT;
  dpf_receipt reserved = DPF_RECEIPT_INIT;
  char text[8192];
  size_t size = 0;
  CHECK_STATUS(dpf_ledger_create(path, 2, 1e-5, DPF_ADD_OR_REMOVE_ONE, &ledger), DPF_OK);
  CHECK_STATUS(dpf_ledger_create(path, 2, 1e-5, DPF_ADD_OR_REMOVE_ONE, &again), DPF_ERROR_LEDGER);
  CHECK(again == NULL);
  labels.run = "first";
  labels.first_step = 0;
  labels.last_step = 9;
  CHECK_STATUS(dpf_ledger_spend(ledger, kPlan, LENGTH(kPlan), &labels, &receipt), DPF_OK);
  CHECK(receipt.sequence == 2);
  CHECK(strlen(receipt.hash) == 64);
  CHECK_STATUS(dpf_ledger_spend(ledger, kPlan, LENGTH(kPlan), NULL, NULL), DPF_OK);
  CHECK_STATUS(dpf_ledger_spend(ledger, kMuch, LENGTH(kMuch), NULL, &receipt), DPF_ERROR_OVER_BUDGET);
  CHECK_REASON("2 is allowed");
  CHECK(receipt.sequence == 2);
  CHECK_STATUS(dpf_ledger_spend(ledger, kOther, LENGTH(kOther), NULL, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("plan.adjacency");
  labels.last_step = -5;
  CHECK_STATUS(dpf_ledger_spend(ledger, kPlan, LENGTH(kPlan), &labels, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("labels.steps");
  /* What would be written is checked before anything is recorded. */
  receipt.struct_size = 3;
  CHECK_STATUS(dpf_ledger_spend(ledger, kPlan, LENGTH(kPlan), NULL, &receipt), DPF_ERROR_UNUSABLE_INPUT);
  receipt.struct_size = sizeof receipt;
  CHECK_STATUS(dpf_ledger_reserve(ledger, kPlan, LENGTH(kPlan), NULL, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_ledger_reserve(ledger, kPlan, LENGTH(kPlan), NULL, &reserved), DPF_OK);
  CHECK_STATUS(dpf_ledger_commit(ledger, reserved.sequence, 2, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_ledger_commit(ledger, reserved.sequence, 0, NULL), DPF_OK);
  CHECK_STATUS(dpf_ledger_abort(ledger, reserved.sequence, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_ledger_state_json(ledger, text, sizeof text, &size), DPF_OK);
  CHECK(strstr(text, "\"entries\":5") != NULL);
  CHECK_STATUS(dpf_ledger_state_json(ledger, NULL, 0, &size), DPF_OK);
  CHECK(size > 100);
  CHECK_STATUS(dpf_ledger_state_json(ledger, text, 10, &size), DPF_ERROR_BUFFER_TOO_SMALL);
  CHECK_STATUS(dpf_ledger_entries_json(ledger, 2, 1, text, sizeof text, NULL), DPF_OK);
  CHECK(strstr(text, "\"steps\":[0,9]") != NULL);
  CHECK_STATUS(dpf_ledger_verify_json(ledger, &receipt, 1, text, sizeof text, NULL), DPF_OK);
  CHECK(strstr(text, "\"sound\":true") != NULL);
  receipt.hash[0] = receipt.hash[0] == 'a' ? 'b' : 'a';
  CHECK_STATUS(dpf_ledger_verify_json(ledger, &receipt, 1, text, sizeof text, NULL), DPF_OK);
  CHECK(strstr(text, "\"sound\":false") != NULL);
  dpf_ledger_free(ledger);
}

static int count_calls(double done, void* user) {
  ++*(int*)user;
  return done > 2;
}

static int give_up(double done, void* user) {
  (void)user;
  return done >= 0;
}

static void reports_can_be_cancelled(const char* path) {
  dpf_ledger* ledger = NULL;
  char text[8192];
  int calls = 0;
  CHECK_STATUS(dpf_ledger_open(path, 1, &ledger), DPF_OK);
  CHECK_STATUS(dpf_ledger_report(ledger, "run", 0, count_calls, &calls, text, sizeof text, NULL), DPF_OK);
  CHECK(calls == 2);
  CHECK(strstr(text, "\"marginal\"") != NULL);
  CHECK_STATUS(dpf_ledger_report(ledger, "run", 1, NULL, NULL, text, sizeof text, NULL), DPF_OK);
  CHECK(strstr(text, "</svg>") != NULL);
  CHECK_STATUS(dpf_ledger_report(ledger, "run", 0, give_up, NULL, text, sizeof text, NULL), DPF_ERROR_CANCELLED);
  CHECK_STATUS(dpf_ledger_report(ledger, "day", 0, NULL, NULL, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("one of: run, layer, head, all");
  CHECK_STATUS(dpf_ledger_report(ledger, NULL, 0, NULL, NULL, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_ledger_spend(ledger, kPlan, LENGTH(kPlan), NULL, NULL), DPF_ERROR_LEDGER);
  dpf_ledger_free(ledger);
  CHECK_STATUS(dpf_ledger_open(path, 2, &ledger), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_ledger_open("/no/such/file", 0, &ledger), DPF_ERROR_LEDGER);
  CHECK_STATUS(dpf_ledger_open(NULL, 0, &ledger), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_ledger_open(path, 0, NULL), DPF_ERROR_UNUSABLE_INPUT);
}

static void handles_that_were_freed_are_told(const char* path) {
  dpf_ledger* ledger = NULL;
  dpf_calibration* calibration = NULL;
  dpf_noise_source* source = NULL;
  double number = 7;
  char text[4096];
  CHECK_STATUS(dpf_ledger_open(path, 0, &ledger), DPF_OK);
  dpf_ledger_free(ledger);
  CHECK_STATUS(dpf_ledger_spend(ledger, kPlan, LENGTH(kPlan), NULL, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("ledger: a handle that was freed");
  CHECK_STATUS(dpf_ledger_state_json(ledger, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  dpf_ledger_free(ledger);
  dpf_ledger_free(NULL);
  CHECK_STATUS(dpf_ledger_spend(NULL, kPlan, LENGTH(kPlan), NULL, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_calibration_gaussian_stated(1, 1e-5, NULL, &calibration), DPF_OK);
  dpf_calibration_free(calibration);
  CHECK_STATUS(dpf_calibration_noise_multiplier(calibration, &number), DPF_ERROR_UNUSABLE_INPUT);
  CHECK(number == 7);
  dpf_calibration_free(calibration);
  CHECK_STATUS(dpf_noise_source_reproducible(DPF_PHILOX, 1, &source), DPF_OK);
  dpf_noise_source_free(source);
  dpf_noise_source_free(source);
  /* A handle of another kind, or of nothing. */
  CHECK_STATUS(dpf_calibration_noise_multiplier((const dpf_calibration*)(const void*)text, &number),
               DPF_ERROR_UNUSABLE_INPUT);
}

void test_ledger(void) {
  char path[512];
  name_of_file(path, sizeof path);
  spends_are_recorded_and_refused(path);
  reports_can_be_cancelled(path);
  handles_that_were_freed_are_told(path);
  remove(path);
}
