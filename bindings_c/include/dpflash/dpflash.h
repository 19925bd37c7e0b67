/* The C interface of dpflash: what other languages call. Strict C99; nothing here throws or aborts.
 *
 * Status. Every function that can fail returns an int: DPF_OK (0) or a DPF_ERROR_ code. dpf_status_text() names a code;
 * dpf_last_error() gives the reason of this thread's last failure in one line. Codes are only ever added. A call that
 * fails leaves what it would have written as it was, except where its comment says otherwise.
 *
 * Structs. Every public struct begins with struct_size and abi_version and has no padding. Start from its _INIT macro,
 * or its _init function, which writes the same bytes. Later versions add fields at the end: a program keeps working
 * with a newer library, which gives the fields that the program does not know their defaults; a program built for a
 * newer ABI is refused (DPF_ERROR_UNSUPPORTED) by an older library.
 *
 * Handles are opaque, owned by the caller and released by their _free function, which takes NULL. They are numbers that
 * are never given twice: one that was freed, or never made, is refused (DPF_ERROR_UNUSABLE_INPUT). Different handles
 * may be used by different threads at once; one handle by one thread at a time, unless its comment says otherwise.
 *
 * Texts that go in are UTF-8 with a length in bytes, and need no 0 at the end. Texts that come out go to a buffer of
 * the caller, ended by 0: *size is set to the bytes needed with that 0, also when the buffer is too small
 * (DPF_ERROR_BUFFER_TOO_SMALL; nothing else is written). A NULL buffer with capacity 0 asks for the size alone; the
 * answer is worked out each time, so a first try with some kilobytes is the better way. size may be NULL when the
 * buffer is not.
 */
#ifndef DPFLASH_DPFLASH_H
#define DPFLASH_DPFLASH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DPF_API __attribute__((visibility("default")))

/* Version of the structs below. */
#define DPF_ABI_VERSION 1

enum {
  DPF_OK = 0,
  DPF_ERROR_UNUSABLE_INPUT = 1,   /* the reason names the field, its value and what is allowed */
  DPF_ERROR_NOT_COMPUTABLE = 2,   /* a well-formed question without a sound answer */
  DPF_ERROR_UNSUPPORTED = 3,      /* not in this build, or asked by a program of a later ABI */
  DPF_ERROR_REUSED_NOISE = 4,     /* draws were asked for that had been used before */
  DPF_ERROR_DEVICE = 5,           /* a CUDA call failed, or there is no device */
  DPF_ERROR_OUT_OF_MEMORY = 6,    /* host memory */
  DPF_ERROR_SYSTEM = 7,           /* the operating system refused, e.g. has no entropy */
  DPF_ERROR_BUFFER_TOO_SMALL = 8, /* *size says how much is needed */
  DPF_ERROR_INTERNAL = 9,         /* a bug of this library */
  DPF_ERROR_OVER_BUDGET = 10,     /* a ledger's budget does not allow it; nothing was recorded */
  DPF_ERROR_LEDGER = 11,          /* a ledger's file cannot be used: damaged, busy, full, no ledger */
  DPF_ERROR_CANCELLED = 12        /* the caller's progress function asked for it */
};

/* A few words for a status code, e.g. "unusable input"; "unknown status" for others. Static text, never NULL. */
DPF_API const char* dpf_status_text(int status);

/* Why this thread's last failing call failed: one line, at most 1023 bytes; empty before any failure. Calls that
 * succeed leave it. Valid until the thread's next failure. */
DPF_API const char* dpf_last_error(void);

/* "0.1.0". Static text. */
DPF_API const char* dpf_version(void);

/* DPF_ABI_VERSION of the library, to be compared with the program's. */
DPF_API uint32_t dpf_abi_version(void);

/* 1 in builds with the CUDA parts, else 0. Says nothing about devices. */
DPF_API int dpf_has_cuda(void);

/* Called now and then by a long call, on the thread that made it, with the share that is done in [0, 1]. 0: go on; any
 * other number: give up with DPF_ERROR_CANCELLED. It must not call into the handle that the call is about. */
typedef int (*dpf_progress)(double done, void* user);

/* ---- Accounting ------------------------------------------------------------------------------------------------- */

enum { DPF_ACCOUNTANT_PLD = 0, DPF_ACCOUNTANT_RDP = 1, DPF_ACCOUNTANT_BASIC = 2 };
enum { DPF_ENGINE_AUTO = 0, DPF_ENGINE_LATTICE = 1, DPF_ENGINE_INVERSION = 2 };
enum { DPF_ADD_OR_REMOVE_ONE = 0, DPF_REPLACE_ONE = 1, DPF_REPLACE_SPECIAL = 2, DPF_ADD_ONE = 3, DPF_REMOVE_ONE = 4 };

/* How a question is answered. */
typedef struct dpf_options {
  uint32_t struct_size;
  uint32_t abi_version;
  int32_t accountant;    /* DPF_ACCOUNTANT_: pld is certified from both sides, rdp and basic from above */
  int32_t engine;        /* DPF_ENGINE_: pld only */
  double relative_width; /* (upper - lower) / upper asked of pld's bracket, in [1e-12, 1] */
} dpf_options;

#define DPF_OPTIONS_INIT \
  { sizeof(dpf_options), DPF_ABI_VERSION, DPF_ACCOUNTANT_PLD, DPF_ENGINE_AUTO, 1e-4 }
DPF_API int dpf_options_init(dpf_options* options, uint32_t abi_version);

/* Certified epsilon of a plan at `delta` in (0, 1). `plan` is the JSON document of a plan, as `dpflash epsilon
 * --events` reads it, at most 16 MiB. `options` may be NULL. The answer is one JSON object:
 *   {"accountant":"pld","engine":"inversion","adjacency":"add-or-remove-one","delta":1e-05,
 *    "epsilon":{"lower":6.18770,"estimate":6.18771,"upper":6.18773},"seconds":0.004}
 * lower is rounded down and upper up; upper is the end to publish. Infinite ends are null, with "unbounded":true inside
 * the bracket. "engine" is there with pld only; rdp adds "order" (null when infinite).
 * Errors: UNUSABLE_INPUT, NOT_COMPUTABLE. Thread-safe. Cost: 0.1 ms, up to about 2 s for the hardest plans. */
DPF_API int dpf_epsilon_json(const char* plan, size_t plan_length, double delta, const dpf_options* options,
                             char* buffer, size_t capacity, size_t* size);

/* Certified delta of a plan at `epsilon`, any finite number; otherwise as dpf_epsilon_json, with "epsilon" a number and
 * "delta" the bracket. */
DPF_API int dpf_delta_json(const char* plan, size_t plan_length, double epsilon, const dpf_options* options,
                           char* buffer, size_t capacity, size_t* size);

/* The value of one field with which the plan just meets (target_epsilon > 0, delta): `plan` holds null in exactly one
 * noise_multiplier, count or rate. Least noise, most steps or highest rate, on the safe side and verified:
 *   {"solve":"noise-multiplier","value":1.0334,"epsilon":{...},"delta":1e-05,"seconds":0.01,"engine":"inversion",
 *    "adjacency":"add-or-remove-one"}
 * The bracket is the plan's epsilon at exactly this value; its upper end is at most the target. Accountant pld only.
 * Errors: UNUSABLE_INPUT, NOT_COMPUTABLE (no value meets the target, or all do). Thread-safe. */
DPF_API int dpf_calibrate_json(const char* plan, size_t plan_length, double target_epsilon, double delta,
                               const dpf_options* options, char* buffer, size_t capacity, size_t* size);

/* Epsilon by every accountant side by side, with the time each took, as one JSON object: {"delta", "adjacency",
 * "results":[{"accountant":"pld","epsilon":{...},"seconds",...},...]}; one that cannot answer has null and a note.
 * Accountant and engine of `options` are not read. Otherwise as dpf_epsilon_json. */
DPF_API int dpf_compare_json(const char* plan, size_t plan_length, double delta, const dpf_options* options,
                             char* buffer, size_t capacity, size_t* size);

/* ---- Noise ------------------------------------------------------------------------------------------------------ */

/* A certified interval: lower <= truth <= upper; upper may be infinite. */
typedef struct dpf_bracket {
  uint32_t struct_size;
  uint32_t abi_version;
  double lower;
  double estimate; /* not certified */
  double upper;    /* the end to publish */
} dpf_bracket;

#define DPF_BRACKET_INIT \
  { sizeof(dpf_bracket), DPF_ABI_VERSION, 0, 0, 0 }
DPF_API int dpf_bracket_init(dpf_bracket* bracket, uint32_t abi_version);

/* How often a mechanism is released, on which share of the records, and what neighbours are. */
typedef struct dpf_releases {
  uint32_t struct_size;
  uint32_t abi_version;
  int64_t count;     /* in [1, 1e12] */
  double rate;       /* Poisson sampling, in (0, 1]; 1: every record takes part */
  int32_t adjacency; /* DPF_ADD_OR_REMOVE_ONE, ... */
  int32_t reserved;  /* 0 */
} dpf_releases;

#define DPF_RELEASES_INIT \
  { sizeof(dpf_releases), DPF_ABI_VERSION, 1, 1, DPF_ADD_OR_REMOVE_ONE, 0 }
DPF_API int dpf_releases_init(dpf_releases* releases, uint32_t abi_version);

/* A noise multiplier with the certificate of what it costs. Never changes: any number of threads may read one. */
typedef struct dpf_calibration dpf_calibration;

/* Least Gaussian noise for (target_epsilon > 0, delta) over `releases` (NULL: one release of every record). On failure
 * *calibration is NULL. Errors: UNUSABLE_INPUT, NOT_COMPUTABLE. */
DPF_API int dpf_calibration_gaussian_for(double target_epsilon, double delta, const dpf_releases* releases,
                                         dpf_calibration** calibration);
/* Gaussian noise as stated, noise_multiplier in [1e-3, 1e9], with what it costs at `delta`; otherwise as above. */
DPF_API int dpf_calibration_gaussian_stated(double noise_multiplier, double delta, const dpf_releases* releases,
                                            dpf_calibration** calibration);
/* The same for Laplace noise on vectors of bounded L1 norm. */
DPF_API int dpf_calibration_laplace_for(double target_epsilon, double delta, const dpf_releases* releases,
                                        dpf_calibration** calibration);
DPF_API int dpf_calibration_laplace_stated(double noise_multiplier, double delta, const dpf_releases* releases,
                                           dpf_calibration** calibration);
DPF_API void dpf_calibration_free(dpf_calibration* calibration);

/* Standard deviation of the noise over one record's clipping norm. */
DPF_API int dpf_calibration_noise_multiplier(const dpf_calibration* calibration, double* noise_multiplier);
/* Epsilon of the releases at the calibration's delta. */
DPF_API int dpf_calibration_epsilon(const dpf_calibration* calibration, dpf_bracket* epsilon);
/* All of it as one JSON object: family, noise_multiplier, accountant, engine, delta, epsilon {lower, upper}, event,
 * plan. */
DPF_API int dpf_calibration_certificate_json(const dpf_calibration* calibration, char* buffer, size_t capacity,
                                             size_t* size);

/* Where random numbers come from: a key, and the record of what was drawn with it. A forked process has a copy of both
 * and would draw the same noise: a child makes a source of its own. */
typedef struct dpf_noise_source dpf_noise_source;

enum { DPF_PHILOX = 0, DPF_CHACHA12 = 1, DPF_CHACHA20 = 2 };

/* A fresh 256-bit key from the operating system. DPF_CHACHA20 unless there is a reason: Philox is no defence against
 * whoever guesses its 64-bit key. On failure *source is NULL. Errors: UNUSABLE_INPUT, SYSTEM. */
DPF_API int dpf_noise_source_from_entropy(int32_t generator, dpf_noise_source** source);
/* The same draws again for the same seed. Whoever knows the seed can subtract the noise: for tests and research. */
DPF_API int dpf_noise_source_reproducible(int32_t generator, uint64_t seed, dpf_noise_source** source);
DPF_API void dpf_noise_source_free(dpf_noise_source* source);

/* Steps for launches that are captured in a CUDA graph: each replay draws at the next step, and gives NaN past the
 * last. Must outlive every graph that holds a launch of it. */
typedef struct dpf_graph_steps dpf_graph_steps;

/* Sets steps [first_step, first_step + count) of `stream` aside for `launches` captured calls; count in [1, 2^24],
 * launches in [1, 2^16]. An attention call takes all of a step, so that one attention call has a dpf_graph_steps of its
 * own. Allocates on the current device and waits on cuda_stream (a cudaStream_t). On failure *steps is NULL. Errors:
 * UNUSABLE_INPUT, DEVICE, UNSUPPORTED. */
DPF_API int dpf_graph_steps_create(uint32_t stream, uint32_t first_step, uint32_t count, uint32_t launches,
                                   void* cuda_stream, dpf_graph_steps** steps);
DPF_API void dpf_graph_steps_free(dpf_graph_steps* steps);

enum { DPF_BF16 = 0, DPF_F16 = 1, DPF_F32 = 2, DPF_F64 = 3 };

/* Which draws a call takes: those of (stream, step), or those of a captured launch. Noise on a sum takes draws 0 to
 * count - 1 of them, attention all: each may be taken once from a source. */
typedef struct dpf_draws {
  uint32_t struct_size;
  uint32_t abi_version;
  dpf_noise_source* source;
  dpf_graph_steps* steps; /* NULL, or the steps of a captured launch: stream and step are not read then */
  uint32_t stream;
  uint32_t step;
} dpf_draws;

#define DPF_DRAWS_INIT \
  { sizeof(dpf_draws), DPF_ABI_VERSION, 0, 0, 0, 0 }
DPF_API int dpf_draws_init(dpf_draws* draws, uint32_t abi_version);

/* Scales one record's contribution, `count` floats, down to norm `clip` at most: the L2 norm for a Gaussian
 * calibration, the L1 norm for a Laplace one. Rounded towards zero; one with a NaN or an infinity becomes zero. */
DPF_API int dpf_clip(const dpf_calibration* calibration, double clip, float* contribution, size_t count);

/* Adds the calibration's noise, scaled by `clip`, to the sum of all clipped contributions: sum[i] = round(fma(scale,
 * z_i, sum[i])). Elements are DPF_F32, or with a Gaussian calibration DPF_BF16 or DPF_F16: then neighbouring sums must
 * be within the clip of each other as 16-bit numbers. A call that fails has changed nothing. draws->steps must be NULL.
 * Not covered: the last bits of what is released (docs/math/attacks.md, section 2). Errors: UNUSABLE_INPUT,
 * REUSED_NOISE. */
DPF_API int dpf_privatise(const dpf_calibration* calibration, double clip, int32_t element, void* sum, size_t count,
                          const dpf_draws* draws);
/* The same bits on the current CUDA device: work is queued on cuda_stream and has not run when the call returns.
 * Laplace is for DPF_F32. Errors: also DEVICE, UNSUPPORTED without the CUDA parts. */
DPF_API int dpf_privatise_device(const dpf_calibration* calibration, double clip, int32_t element, void* sum,
                                 size_t count, const dpf_draws* draws, void* cuda_stream);

/* ---- Attention -------------------------------------------------------------------------------------------------- */

/* How far one record can move the output of clipped softmax attention. `shape` is the JSON document that `dpflash
 * sensitivity` reads: unit, lengths, causal, H, D, C_q, C_k, C_v; where wanted block_m, window, softcap, H_kv, scale,
 * sigma, finite_precision. The answer has unit, B_effective, worst_sequence, worst_j (null when it is a whole
 * sequence), rows_moved, delta_per_head, delta_total; with sigma mu; with finite_precision its numbers. Bounds are
 * rounded up. Errors: UNUSABLE_INPUT. Thread-safe. Cost: some 10 ms for 1e6 rows. */
DPF_API int dpf_sensitivity_json(const char* shape, size_t shape_length, char* buffer, size_t capacity, size_t* size);

/* Public numbers of an attention call. Query head h reads kv head h / (heads / kv_heads). Key j is visible to query i,
 * off = keys - queries of the sequence, when (not causal or j <= i + off) and (window_left < 0 or j >= i + off -
 * window_left) and (window_right < 0 or j <= i + off + window_right). */
typedef struct dpf_attention {
  uint32_t struct_size;
  uint32_t abi_version;
  const int64_t* lengths; /* [sequences, 2]: queries and keys of each sequence */
  int64_t sequences;
  int32_t heads;
  int32_t kv_heads; /* divides heads */
  int32_t head_dim;
  int32_t causal; /* 0 or 1 */
  int64_t window_left;
  int64_t window_right;
  double scale;         /* 0: 1 / sqrt(head_dim) */
  double softcap;       /* scores s become softcap tanh(s / softcap); 0: none */
  const double* clip_q; /* L2 norms that rows are clipped to, [clips] */
  const double* clip_k;
  const double* clip_v;
  int64_t clips; /* 1, which counts for all, or kv_heads */
} dpf_attention;

#define DPF_ATTENTION_INIT \
  { sizeof(dpf_attention), DPF_ABI_VERSION, 0, 0, 1, 1, 64, 0, -1, -1, 0, 0, 0, 0, 0, 0 }
DPF_API int dpf_attention_init(dpf_attention* attention, uint32_t abi_version);

enum { DPF_PATH_AUTO = 0, DPF_PATH_SM80 = 1, DPF_PATH_SM90 = 2 };

/* Where the tensors of an attention call are. Element (b, i, h, d) of a tensor is at data + b strides[0] + i strides[1]
 * + h strides[2] + d, strides in elements. Packed sequences have no batch: row i of sequence b is row (sum of the
 * lengths before b) + i, and strides[0] is not read. Inputs may overlap; outputs overlap nothing:
 * an output at the address of another tensor is refused. */
typedef struct dpf_attention_tensors {
  uint32_t struct_size;
  uint32_t abi_version;
  int32_t element;  /* of q, k, v, out and clean: DPF_BF16 or DPF_F16 on a device, DPF_F32 or DPF_F64 on the host */
  int32_t packed;   /* 1: sequences lie one after the other; 0: all lengths are the same */
  int32_t path;     /* which kernel: DPF_PATH_AUTO for the fastest that takes the problem */
  int32_t reserved; /* 0 */
  const void* q;    /* [sequences, queries, heads, head_dim] */
  const void* k;    /* [sequences, keys, kv_heads, head_dim] */
  const void* v;    /* as k */
  void* out;        /* as q: the private answer */
  void* clean;      /* as q, or NULL: the answer without noise. PRIVATE: never to be released */
  void* lse;        /* or NULL: [sequences, heads, queries], packed [heads, total queries], float (double with DPF_F64);
                       natural logarithms of the sums of exponentials. PRIVATE */
  uint64_t* clipped; /* or NULL: [kv_heads, 3]; numbers of rows of q, k, v that were clipped are added to it. PRIVATE */
  int64_t q_strides[3];
  int64_t k_strides[3];
  int64_t v_strides[3];
  int64_t out_strides[3];
  int64_t clean_strides[3];
} dpf_attention_tensors;

#define DPF_ATTENTION_TENSORS_INIT                                                                                 \
  {                                                                                                                \
    sizeof(dpf_attention_tensors), DPF_ABI_VERSION, DPF_BF16, 0, DPF_PATH_AUTO, 0, 0, 0, 0, 0, 0, 0, 0, {0, 0, 0}, \
        {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {                                                                         \
      0, 0, 0                                                                                                      \
    }                                                                                                              \
  }
DPF_API int dpf_attention_tensors_init(dpf_attention_tensors* tensors, uint32_t abi_version);

/* Standard deviations of the noise on an output, and the mu that they were verified to have: one release is a Gaussian
 * mechanism of sensitivity mu and noise 1. Good for the shape it was made for alone: calls with another one are
 * refused. After it is made (and uploaded) it never changes: any number of threads may read one. */
typedef struct dpf_attention_noise dpf_attention_noise;

enum { DPF_ALLOCATION_UNIFORM = 0, DPF_ALLOCATION_PER_HEAD = 1, DPF_ALLOCATION_OPTIMAL = 2 };

/* The noise of one release of a calibration's mechanism: mu is at most 1 / its noise multiplier. `shape` is as in
 * dpf_sensitivity_json, without sigma; for dpf_attention_forward its finite_precision is the tensors' element, "bf16"
 * or "fp16". DPF_ALLOCATION_ says how the noise is shared out at the same mu: one sigma for all, one a head, or one for
 * each row of each head with the least total variance. The calibration's adjacency must be add-or-remove-one: the unit
 * of the shape says what neighbours differ in. On failure *noise is NULL. Errors: UNUSABLE_INPUT. Cost: some 10 ms for
 * 1e4 rows, up to a second for sliding windows. */
DPF_API int dpf_attention_noise_calibrated(const char* shape, size_t shape_length, const dpf_calibration* calibration,
                                           int32_t allocation, dpf_attention_noise** noise);
/* Noise as stated: `count` numbers, one a query head, or [heads, rows] with one for row i of every sequence, rows being
 * the most queries of any. Each is a normal float above 0. Nothing says that it is enough: ask for mu. */
DPF_API int dpf_attention_noise_stated(const char* shape, size_t shape_length, const float* sigma, size_t count,
                                       dpf_attention_noise** noise);
/* mu of one release, all heads together, rounded up. */
DPF_API int dpf_attention_noise_mu(const dpf_attention_noise* noise, double* mu);
/* The numbers themselves: *count is set to how many there are, [heads] or [heads, rows]; sigma is NULL, or has room for
 * `capacity` (else BUFFER_TOO_SMALL). */
DPF_API int dpf_attention_noise_sigma(const dpf_attention_noise* noise, float* sigma, size_t capacity, size_t* count);
/* mechanism, unit, block, allocation, score_bound, delta_total, mu, total_variance, saving, sigma {least, most},
 * calibration (its certificate, or null), as one JSON object. */
DPF_API int dpf_attention_noise_certificate_json(const dpf_attention_noise* noise, char* buffer, size_t capacity,
                                                 size_t* size);
/* Places the noise on the current device, where the calls of dpf_attention_forward are to be; at most once. Allocates
 * and waits when there is a number a row. Errors: UNUSABLE_INPUT, DEVICE, UNSUPPORTED. */
DPF_API int dpf_attention_noise_upload(dpf_attention_noise* noise, void* cuda_stream);
DPF_API void dpf_attention_noise_free(dpf_attention_noise* noise);

/* Bytes of device memory that dpf_attention_forward works in, 16-byte aligned; may be 0. Errors as there. */
DPF_API int dpf_attention_workspace(const dpf_attention* attention, const dpf_attention_tensors* tensors,
                                    size_t* bytes);

/* out = round(softmax(clipped, masked scores) clip(v) + sigma z) on the current device. Work is queued on cuda_stream
 * and has not run when the call returns; nothing is allocated or waited for, and the call can be captured in a CUDA
 * graph, with draws->steps: a capture without them is refused, since all replays would have the same noise (its stream
 * and step count as used). The workspace belongs to the call until it has run; what it then holds is PRIVATE. Errors:
 * UNUSABLE_INPUT naming the field, REUSED_NOISE when attention was drawn at this (stream, step) of the source before,
 * DEVICE, UNSUPPORTED without the CUDA parts; the output must not be used then. */
DPF_API int dpf_attention_forward(const dpf_attention* attention, const dpf_attention_tensors* tensors,
                                  const dpf_attention_noise* noise, const dpf_draws* draws, void* workspace,
                                  size_t workspace_bytes, void* cuda_stream);

/* The same on the host, in the tensors' arithmetic: the definition that the kernels are held to, in plain loops. What
 * that arithmetic rounds is in the noise's mu only if the shape's finite_precision says so. With out NULL, noise and
 * draws may be NULL: the clean answer alone. draws->steps must be NULL. */
DPF_API int dpf_attention_reference(const dpf_attention* attention, const dpf_attention_tensors* tensors,
                                    const dpf_attention_noise* noise, const dpf_draws* draws);

/* ---- Ledger ------------------------------------------------------------------------------------------------------ */

/* A file that records what was released, by whom, against a budget that cannot be overspent. Spends are checked with
 * the composed privacy loss of everything spent and reserved, and are on the disk when the call returns: release noise
 * after DPF_OK alone. Any number of processes, threads and handles may have one file open; writers wait for one
 * another. One handle is used by one thread at a time and by the process that opened it: a fork opens the
 * file again. The budget holds for plans that do not depend on what earlier
 * releases gave out (docs/math/ledger.md). */
typedef struct dpf_ledger dpf_ledger;

/* Who releases: texts of at most 256 bytes of UTF-8, ended by 0; NULL or empty where they say nothing. */
typedef struct dpf_labels {
  uint32_t struct_size;
  uint32_t abi_version;
  const char* run;
  const char* layer; /* else the label of each event of the plan */
  const char* head;
  int64_t first_step; /* steps of the run, both included; -1, -1: none */
  int64_t last_step;
} dpf_labels;

#define DPF_LABELS_INIT \
  { sizeof(dpf_labels), DPF_ABI_VERSION, 0, 0, 0, -1, -1 }
DPF_API int dpf_labels_init(dpf_labels* labels, uint32_t abi_version);

/* Proof that an entry was recorded. Kept elsewhere, it shows later that the entry is there, and unchanged. */
typedef struct dpf_receipt {
  uint32_t struct_size;
  uint32_t abi_version;
  int64_t sequence; /* number of the entry, from 1 on */
  char hash[72];    /* 64 hexadecimal digits, ended by 0 */
} dpf_receipt;

#define DPF_RECEIPT_INIT                           \
  {                                                \
    sizeof(dpf_receipt), DPF_ABI_VERSION, 0, { 0 } \
  }
DPF_API int dpf_receipt_init(dpf_receipt* receipt, uint32_t abi_version);

/* Makes a file with a budget: epsilon in [0, 1e6] at delta in (0, 1), DPF_ADD_OR_REMOVE_ONE or another adjacency.
 * `path` ends with 0. On failure *ledger is NULL. Errors: UNUSABLE_INPUT, LEDGER (also when the file is there already).
 */
DPF_API int dpf_ledger_create(const char* path, double epsilon, double delta, int32_t adjacency, dpf_ledger** ledger);
/* Opens a file; with read_only 1 nothing is ever written to it. */
DPF_API int dpf_ledger_open(const char* path, int32_t read_only, dpf_ledger** ledger);
DPF_API void dpf_ledger_free(dpf_ledger* ledger);

/* How long calls wait for other writers, in [0, 1e6] seconds; 60 at first. */
DPF_API int dpf_ledger_set_patience(dpf_ledger* ledger, double seconds);

/* Records a release that is about to happen. `plan` as in dpf_epsilon_json, of the ledger's adjacency; labels and
 * receipt may be NULL. Errors: OVER_BUDGET, UNUSABLE_INPUT, NOT_COMPUTABLE, LEDGER: nothing was recorded. */
DPF_API int dpf_ledger_spend(dpf_ledger* ledger, const char* plan, size_t plan_length, const dpf_labels* labels,
                             dpf_receipt* receipt);
/* Sets a plan aside: it counts against the budget until it is committed or aborted, also when its process is gone. The
 * receipt's sequence, which must not be NULL here, is the reservation's number. */
DPF_API int dpf_ledger_reserve(dpf_ledger* ledger, const char* plan, size_t plan_length, const dpf_labels* labels,
                               dpf_receipt* receipt);
/* Records that what a reservation still holds is about to be released: never over budget. count > 0: so many releases
 * of a reservation of one event, and the rest stays reserved; 0: all. */
DPF_API int dpf_ledger_commit(dpf_ledger* ledger, int64_t reservation, int64_t count, dpf_receipt* receipt);
/* Gives back what a reservation still holds, which was never released. */
DPF_API int dpf_ledger_abort(dpf_ledger* ledger, int64_t reservation, dpf_receipt* receipt);

/* {"budget":{epsilon, delta, adjacency},"spent":{lower, estimate, upper},"claimed":{...},"open_reservations":[...],
 *  "entries":N,"head":{sequence, hash}}; claimed is spent and reserved. */
DPF_API int dpf_ledger_state_json(const dpf_ledger* ledger, char* buffer, size_t capacity, size_t* size);
/* At most `count` entries from number `first` (1: the oldest) on, as a JSON array. */
DPF_API int dpf_ledger_entries_json(const dpf_ledger* ledger, int64_t first, int64_t count, char* buffer,
                                    size_t capacity, size_t* size);
/* Who spent what: state, and "shares" with alone, without, marginal of each group by "run", "layer", "head" or "all".
 * With svg 1 the same as a chart. progress may be NULL. Cost: two certified epsilons a group. */
DPF_API int dpf_ledger_report(const dpf_ledger* ledger, const char* by, int32_t svg, dpf_progress progress, void* user,
                              char* buffer, size_t capacity, size_t* size);
/* Reads every entry: {"sound":true,"entries":N,"head":{...},"faults":[...]}. `receipts`, `count` of them or NULL, are
 * entries that must be there. DPF_OK also when faults were found. Cost: some 5 s for a million entries. */
DPF_API int dpf_ledger_verify_json(const dpf_ledger* ledger, const dpf_receipt* receipts, size_t count, char* buffer,
                                   size_t capacity, size_t* size);

#ifdef __cplusplus
}
#endif

#endif
