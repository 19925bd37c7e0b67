/* Constants, statuses, and structs of this, an older and a later version. */
#include <string.h>

#include "check.h"

static void constants_are_those_of_the_library(void) {
  CHECK(dpf_abi_version() == DPF_ABI_VERSION);
  CHECK(strcmp(dpf_version(), "0.1.0") == 0);
  CHECK(dpf_has_cuda() == 0 || dpf_has_cuda() == 1);
}

static void every_status_has_a_text(void) {
  int status;
  for (status = DPF_OK; status <= DPF_ERROR_CANCELLED; ++status) {
    CHECK(strcmp(dpf_status_text(status), "unknown status") != 0);
  }
  CHECK(strcmp(dpf_status_text(-1), "unknown status") == 0);
  CHECK(strcmp(dpf_status_text(DPF_ERROR_CANCELLED + 1), "unknown status") == 0);
}

/* The macro and the function write the same bytes, over whatever was there. */
#define CHECK_INIT(type, macro, function)                                             \
  do {                                                                                \
    const type by_macro = macro;                                                      \
    type by_function;                                                                 \
    memset(&by_function, 0xA5, sizeof by_function);                                   \
    CHECK_STATUS(function(&by_function, DPF_ABI_VERSION), DPF_OK);                    \
    CHECK(memcmp(&by_macro, &by_function, sizeof by_macro) == 0);                     \
    CHECK(by_macro.struct_size == sizeof(type));                                      \
    CHECK_STATUS(function(NULL, DPF_ABI_VERSION), DPF_ERROR_UNUSABLE_INPUT);          \
    CHECK_STATUS(function(&by_function, 0), DPF_ERROR_UNUSABLE_INPUT);                \
    CHECK_STATUS(function(&by_function, DPF_ABI_VERSION + 1), DPF_ERROR_UNSUPPORTED); \
    CHECK_REASON("abi_version");                                                      \
    CHECK(memcmp(&by_macro, &by_function, sizeof by_macro) == 0);                     \
  } while (0)

static void macros_and_functions_agree(void) {
  CHECK_INIT(dpf_options, DPF_OPTIONS_INIT, dpf_options_init);
  CHECK_INIT(dpf_bracket, DPF_BRACKET_INIT, dpf_bracket_init);
  CHECK_INIT(dpf_releases, DPF_RELEASES_INIT, dpf_releases_init);
  CHECK_INIT(dpf_attention, DPF_ATTENTION_INIT, dpf_attention_init);
  CHECK_INIT(dpf_attention_tensors, DPF_ATTENTION_TENSORS_INIT, dpf_attention_tensors_init);
  CHECK_INIT(dpf_draws, DPF_DRAWS_INIT, dpf_draws_init);
  CHECK_INIT(dpf_labels, DPF_LABELS_INIT, dpf_labels_init);
  CHECK_INIT(dpf_receipt, DPF_RECEIPT_INIT, dpf_receipt_init);
}

static void wrong_headers_are_refused(void) {
  dpf_releases releases = DPF_RELEASES_INIT;
  dpf_calibration* calibration = NULL;
  releases.struct_size = 0;
  CHECK_STATUS(dpf_calibration_gaussian_for(1, 1e-5, &releases, &calibration), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("releases.struct_size: 0");
  releases.struct_size = sizeof releases - 1;
  CHECK_STATUS(dpf_calibration_gaussian_for(1, 1e-5, &releases, &calibration), DPF_ERROR_UNUSABLE_INPUT);
  releases.struct_size = sizeof releases + 8;
  CHECK_STATUS(dpf_calibration_gaussian_for(1, 1e-5, &releases, &calibration), DPF_ERROR_UNUSABLE_INPUT);
  /* A larger struct of a later version: said to be what it is. */
  releases.abi_version = DPF_ABI_VERSION + 1;
  CHECK_STATUS(dpf_calibration_gaussian_for(1, 1e-5, &releases, &calibration), DPF_ERROR_UNSUPPORTED);
  CHECK_REASON("releases.abi_version: 2");
  releases.struct_size = sizeof releases;
  releases.abi_version = 0;
  CHECK_STATUS(dpf_calibration_gaussian_for(1, 1e-5, &releases, &calibration), DPF_ERROR_UNUSABLE_INPUT);
  CHECK(calibration == NULL);
}

void test_structs(void) {
  constants_are_those_of_the_library();
  every_status_has_a_text();
  macros_and_functions_agree();
  wrong_headers_are_refused();
}
