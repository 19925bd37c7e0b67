/* Attention on the host, handles of noise, and what is refused. */
#include <math.h>
#include <string.h>

#include "check.h"

enum { kSequences = 2, kQueries = 3, kKeys = 4, kHeads = 2, kDim = 8 };
enum { kQ = kSequences * kQueries * kHeads * kDim, kK = kSequences * kKeys * kHeads * kDim };

static const int64_t kLengths[] = {kQueries, kKeys, kQueries, kKeys};
static const double kClip[] = {1};
static const char kShape[] =
    "{\"unit\":\"token\",\"lengths\":[[3,4]],\"causal\":false,\"H\":2,\"H_kv\":2,\"D\":8,"
    "\"C_q\":1,\"C_k\":1,\"C_v\":1}";
static double q[kQ], k[kK], v[kK], out[kQ], clean[kQ];

static int stated(const float* sigma, size_t count, dpf_attention_noise** noise) {
  return dpf_attention_noise_stated(kShape, strlen(kShape), sigma, count, noise);
}

static void set_strides(int64_t* strides, int64_t rows) {
  strides[0] = rows * kHeads * kDim;
  strides[1] = kHeads * kDim;
  strides[2] = kDim;
}

static void fill(double* data, int size, unsigned seed) {
  int i;
  for (i = 0; i < size; ++i) {
    seed = seed * 1664525u + 1013904223u;
    data[i] = (double)(seed >> 8) / (1 << 23) - 1;
  }
}

static dpf_attention attention_of_case(void) {
  dpf_attention attention = DPF_ATTENTION_INIT;
  attention.lengths = kLengths;
  attention.sequences = kSequences;
  attention.heads = attention.kv_heads = kHeads;
  attention.head_dim = kDim;
  attention.clip_q = attention.clip_k = attention.clip_v = kClip;
  attention.clips = 1;
  return attention;
}

static dpf_attention_tensors tensors_of_case(void) {
  dpf_attention_tensors tensors = DPF_ATTENTION_TENSORS_INIT;
  fill(q, kQ, 1);
  fill(k, kK, 2);
  fill(v, kK, 3);
  tensors.element = DPF_F64;
  tensors.q = q;
  tensors.k = k;
  tensors.v = v;
  tensors.out = out;
  tensors.clean = clean;
  set_strides(tensors.q_strides, kQueries);
  set_strides(tensors.k_strides, kKeys);
  set_strides(tensors.v_strides, kKeys);
  set_strides(tensors.out_strides, kQueries);
  set_strides(tensors.clean_strides, kQueries);
  return tensors;
}

/* One clipped row of the case, by the definition. */
static double clean_of(int b, int i, int h, int d) {
  double weights = 0, sum = 0;
  int j, e;
  for (j = 0; j < kKeys; ++j) {
    const double* const qi = q + ((b * kQueries + i) * kHeads + h) * kDim;
    const double* const kj = k + ((b * kKeys + j) * kHeads + h) * kDim;
    const double* const vj = v + ((b * kKeys + j) * kHeads + h) * kDim;
    double qq = 0, kk = 0, vv = 0, qk = 0, p;
    for (e = 0; e < kDim; ++e) {
      qq += qi[e] * qi[e];
      kk += kj[e] * kj[e];
      vv += vj[e] * vj[e];
      qk += qi[e] * kj[e];
    }
    p = exp(qk * fmin(1, 1 / sqrt(qq)) * fmin(1, 1 / sqrt(kk)) / sqrt(kDim));
    weights += p;
    sum += p * vj[d] * fmin(1, 1 / sqrt(vv));
  }
  return sum / weights;
}

static void clean_answers_follow_the_definition(void) {
  const dpf_attention attention = attention_of_case();
  dpf_attention_tensors tensors = tensors_of_case();
  double worst = 0;
  int b, i, h, d, at = 0;
  tensors.out = NULL;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, NULL, NULL), DPF_OK);
  for (b = 0; b < kSequences; ++b)
    for (i = 0; i < kQueries; ++i)
      for (h = 0; h < kHeads; ++h)
        for (d = 0; d < kDim; ++d) worst = fmax(worst, fabs(clean[at++] - clean_of(b, i, h, d)));
  CHECK(worst < 1e-5);
}

static void noise_is_that_of_the_seed_and_used_once(void) {
  const float sigma[] = {0.5f, 2.0f};
  const dpf_attention attention = attention_of_case();
  const dpf_attention_tensors tensors = tensors_of_case();
  dpf_attention_noise* noise = NULL;
  dpf_draws draws = DPF_DRAWS_INIT;
  double first[kQ];
  double energy = 0;
  int i;
  CHECK_STATUS(stated(sigma, kHeads, &noise), DPF_OK);
  CHECK_STATUS(dpf_noise_source_reproducible(DPF_CHACHA20, 7, &draws.source), DPF_OK);
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_OK);
  memcpy(first, out, sizeof out);
  for (i = 0; i < kQ; ++i) {
    const double z = (out[i] - clean[i]) / sigma[i / kDim % kHeads];
    energy += z * z;
  }
  CHECK(energy > kQ * 0.5 && energy < kQ * 1.7);
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_REUSED_NOISE);
  draws.step = 1;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_OK);
  CHECK(memcmp(first, out, sizeof out) != 0);
  dpf_noise_source_free(draws.source);
  CHECK_STATUS(dpf_noise_source_reproducible(DPF_CHACHA20, 7, &draws.source), DPF_OK);
  draws.step = 0;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_OK);
  CHECK(memcmp(first, out, sizeof out) == 0);
  dpf_noise_source_free(draws.source);
  dpf_attention_noise_free(noise);
}

static void bad_calls_are_named(void) {
  const float bad[] = {1, 0};
  const float good[] = {1, 1};
  const double other_clip[] = {1.5};
  const int64_t other_lengths[] = {kQueries, kKeys + 1, kQueries, kKeys + 1};
  dpf_attention attention = attention_of_case();
  dpf_attention_tensors tensors = tensors_of_case();
  dpf_attention_noise* noise = NULL;
  dpf_noise_source* source = NULL;
  dpf_draws draws = DPF_DRAWS_INIT;
  CHECK_STATUS(stated(bad, 2, &noise), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("sigma");
  CHECK_STATUS(stated(bad, 0, &noise), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(stated(NULL, 2, &noise), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(stated(good, 5, &noise), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_attention_noise_stated("{}", 2, good, 2, &noise), DPF_ERROR_UNUSABLE_INPUT);
  CHECK(noise == NULL);
  CHECK_STATUS(dpf_noise_source_from_entropy(3, &source), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_noise_source_from_entropy(DPF_PHILOX, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_attention_reference(NULL, &tensors, NULL, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_attention_reference(&attention, NULL, NULL, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, NULL, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("noise: NULL");
  CHECK_STATUS(stated(good, 2, &noise), DPF_OK);
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("draws.source: NULL");
  CHECK_STATUS(dpf_noise_source_from_entropy(DPF_CHACHA12, &draws.source), DPF_OK);
  attention.causal = 1;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("another causal");
  attention = attention_of_case();
  attention.clip_k = other_clip;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("another clip_k");
  attention = attention_of_case();
  attention.lengths = other_lengths;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("another lengths");
  attention = attention_of_case();
  tensors.element = DPF_BF16;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNUSABLE_INPUT);
  tensors.element = DPF_F64;
  attention.sequences = -1;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNUSABLE_INPUT);
  attention.sequences = INT64_MAX;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNUSABLE_INPUT);
  attention = attention_of_case();
  attention.clip_v = NULL;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNUSABLE_INPUT);
  attention.clip_v = kClip;
  attention.abi_version = 2;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNSUPPORTED);
  dpf_attention_noise_free(noise);
  dpf_noise_source_free(draws.source);
  dpf_noise_source_free(NULL);
  dpf_attention_noise_free(NULL);
  dpf_graph_steps_free(NULL);
}

static void outputs_over_other_tensors_are_refused(void) {
  const float sigma[] = {1, 1};
  const dpf_attention attention = attention_of_case();
  const dpf_attention_tensors good = tensors_of_case();
  void* const taken[] = {q, k, v, clean};
  dpf_attention_tensors tensors;
  dpf_attention_noise* noise = NULL;
  dpf_draws draws = DPF_DRAWS_INIT;
  size_t i;
  CHECK_STATUS(stated(sigma, kHeads, &noise), DPF_OK);
  CHECK_STATUS(dpf_noise_source_from_entropy(DPF_CHACHA20, &draws.source), DPF_OK);
  for (i = 0; i < sizeof taken / sizeof *taken; ++i) {
    tensors = good;
    tensors.out = taken[i];
    CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNUSABLE_INPUT);
    CHECK_REASON(taken[i] == clean ? "tensors.clean" : "tensors.out");
  }
  tensors = good;
  tensors.lse = out;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("tensors.lse");
  tensors = good;
  tensors.clipped = (uint64_t*)(void*)out;
  CHECK_STATUS(dpf_attention_reference(&attention, &tensors, noise, &draws), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_REASON("tensors.clipped");
  /* Refused calls have used no draws. */
  CHECK_STATUS(dpf_attention_reference(&attention, &good, noise, &draws), DPF_OK);
  dpf_noise_source_free(draws.source);
  dpf_attention_noise_free(noise);
}

static void calibrated_noise_meets_its_multiplier(void) {
  dpf_calibration* calibration = NULL;
  dpf_attention_noise* noise = NULL;
  float sigma[kHeads * kQueries];
  size_t count = 0;
  double mu = 0;
  char text[4096];
  int32_t allocation;
  CHECK_STATUS(dpf_calibration_gaussian_stated(4, 1e-5, NULL, &calibration), DPF_OK);
  for (allocation = DPF_ALLOCATION_UNIFORM; allocation <= DPF_ALLOCATION_OPTIMAL; ++allocation) {
    CHECK_STATUS(dpf_attention_noise_calibrated(kShape, strlen(kShape), calibration, allocation, &noise), DPF_OK);
    CHECK_STATUS(dpf_attention_noise_mu(noise, &mu), DPF_OK);
    CHECK(mu <= 0.25 && mu > 0.2499);
    CHECK_STATUS(dpf_attention_noise_sigma(noise, NULL, 0, &count), DPF_OK);
    CHECK(count == kHeads || count == kHeads * kQueries);
    CHECK_STATUS(dpf_attention_noise_sigma(noise, sigma, count - 1, &count), DPF_ERROR_BUFFER_TOO_SMALL);
    CHECK_STATUS(dpf_attention_noise_sigma(noise, sigma, count, &count), DPF_OK);
    CHECK(sigma[0] > 0 && sigma[count - 1] > 0);
    CHECK_STATUS(dpf_attention_noise_certificate_json(noise, text, sizeof text, NULL), DPF_OK);
    CHECK(strstr(text, "\"mu\":") != NULL);
    dpf_attention_noise_free(noise);
  }
  CHECK_STATUS(dpf_attention_noise_calibrated(kShape, strlen(kShape), calibration, 3, &noise),
               DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_attention_noise_calibrated(kShape, strlen(kShape), NULL, 0, &noise), DPF_ERROR_UNUSABLE_INPUT);
  CHECK(noise == NULL);
  CHECK_STATUS(dpf_attention_noise_mu(NULL, &mu), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_attention_noise_sigma(NULL, NULL, 0, &count), DPF_ERROR_UNUSABLE_INPUT);
  dpf_calibration_free(calibration);
}

static void builds_without_cuda_say_so(void) {
  dpf_attention_tensors tensors = tensors_of_case();
  dpf_attention attention = attention_of_case();
  dpf_graph_steps* steps = NULL;
  size_t bytes = 0;
  if (dpf_has_cuda()) return;
  CHECK_STATUS(dpf_attention_workspace(&attention, &tensors, &bytes), DPF_ERROR_UNSUPPORTED);
  CHECK_REASON("no CUDA parts");
  CHECK_STATUS(dpf_attention_forward(&attention, &tensors, NULL, NULL, NULL, 0, NULL), DPF_ERROR_UNSUPPORTED);
  CHECK_STATUS(dpf_graph_steps_create(0, 0, 1, 1, NULL, &steps), DPF_ERROR_UNSUPPORTED);
  CHECK_STATUS(dpf_attention_noise_upload(NULL, NULL), DPF_ERROR_UNSUPPORTED);
}

static void sensitivity_is_that_of_the_formula(void) {
  static const char shape[] =
      "{\"unit\":\"token\",\"lengths\":[[4,4]],\"causal\":false,\"H\":1,\"D\":1,\"scale\":1,\"C_q\":1,\"C_k\":1,"
      "\"C_v\":1,\"sigma\":2}";
  /* Four rows move by 2 / (1 + 3 e^-2) each. */
  const double delta = 4 / (1 + 3 * exp(-2.0));
  char text[1024];
  CHECK_STATUS(dpf_sensitivity_json(shape, strlen(shape), text, sizeof text, NULL), DPF_OK);
  CHECK(fabs(number_of(text, "\"delta_total\":") / delta - 1) < 1e-11);
  CHECK(number_of(text, "\"delta_total\":") >= delta * (1 - 1e-15));
  CHECK(fabs(number_of(text, "\"mu\":") / (delta / 2) - 1) < 1e-11);
  CHECK_STATUS(dpf_sensitivity_json("{}", 2, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
  CHECK_STATUS(dpf_sensitivity_json(NULL, 2, text, sizeof text, NULL), DPF_ERROR_UNUSABLE_INPUT);
}

void test_attention(void) {
  clean_answers_follow_the_definition();
  noise_is_that_of_the_seed_and_used_once();
  bad_calls_are_named();
  outputs_over_other_tensors_are_refused();
  calibrated_noise_meets_its_multiplier();
  builds_without_cuda_say_so();
  sensitivity_is_that_of_the_formula();
}
