// Private attention on the host, in plain loops: the definition that the device's kernels are held to.
#pragma once

#include <cstdint>
#include <dpflash/attention/shape.hpp>
#include <dpflash/attention/tensor.hpp>
#include <dpflash/noise/source.hpp>
#include <span>

/// The operation, for one sequence, query head h and its kv head g = h / (heads / kv_heads):
///
///   u(x, C)  = x min(1, (C / |x|) (1 - (D/2 + 4) 2^-24))    a row x of D numbers, clipped into the ball of radius C;
///              0 when an entry is infinite or NaN, or |x|^2 >= 2^126
///   s_ij     = scale <u(q_i, C_q[g]), u(k_j, C_k[g])>, then softcap tanh(s_ij / softcap) where there is a softcap
///   p_ij     = exp(s_ij) where row i sees key j (Shape), else 0
///   l_i      = sum_j p_ij;  clean_i = sum_j p_ij u(v_j, C_v[g]) / l_i;  lse_i = ln l_i
///   clean_i  = 0 and lse_i = -infinity where row i sees no key
///   out_id   = clean_id + sigma_i z_id, one fused multiply-add
///
/// - The factor is below C / |x| by what a norm and a quotient in binary32 may be off, so that a clipped row is inside
///   the ball whoever computes it, and the sensitivity holds for C (docs/math/attention-sensitivity.md). A row is
///   *clipped* when its factor is below 1 or when it is taken as 0; a row of zeros is not.
/// - A row that is taken as zero goes on taking part: as a key it has score 0, as a value it is a 0 among the averaged.
///   What a broken record does to others is bounded as for any other record.
/// - There is no row maximum: scores are bounded by B = |scale| C_q C_k, p_ij is a function of q_i and k_j alone, and
///   rounding cannot carry one record's change into another's weight.
/// - z is drawn from (key, stream, step) by plane = sequence * heads + h, row i of the sequence and column d alone, in
///   counters that are used for nothing else: the same noise whether sequences are padded or packed, whatever lies
///   beside them, and whichever kernel runs (gpu/src/draw/attention_normal.hpp).
/// - Clean answers and lse are PRIVATE: for tests and for the backward pass.
namespace dpflash::attention {

/// Host pointers of one call, element (b, i, h, d) as in tensor.hpp. T is float or double: the type of the elements
/// and of all arithmetic. Inputs may overlap, outputs overlap nothing.
template <class T>
struct ReferenceTensors {
  Tensor<const T> q;  ///< [batch, queries, heads, head_dim], packed [total queries, heads, head_dim]
  Tensor<const T> k;  ///< [batch, keys, kv_heads, head_dim], packed [total keys, kv_heads, head_dim]
  Tensor<const T> v;  ///< as k
  Tensor<T> out;      ///< as q, or data null
  Tensor<T> clean;    ///< as q, or data null
  T* lse = nullptr;   ///< [batch, heads, queries], packed [heads, total queries], without gaps; or null
  /// [kv_heads, 3] or null: rows of q, k and v that were clipped are added to it, a query row once a query head.
  std::uint64_t* clipped = nullptr;
};

/// Public numbers of one call.
struct ReferenceOptions {
  Shape shape;
  Clips clips;
  bool packed = false;  ///< otherwise all lengths are the same
};

/// Clean answers, lse and counts; `out` is not touched. Rounding: a few units of T an operation. Threads: one a core;
/// the result does not depend on how many. Work 4 D operations a pair of a query and a key that it sees, memory
/// 2 * total keys * kv_heads * D numbers. Throws UnusableInput naming the field: numbers out of range, clips, |scale|
/// and softcap outside [2^-40, 2^40]; null data or a negative stride; exp(largest score) times keys times C_v above
/// e^700 (float: e^88).
template <class T>
void reference(const ReferenceTensors<T>& tensors, const ReferenceOptions& options);

/// The same with `out`. `sigma`: standard deviations, one a query head, or [heads, rows] with one for row i of every
/// sequence, rows being the most queries of any; finite, above 0. All attention draws of `position` are claimed;
/// position.first must be 0. head_dim at most 256, sequences times heads at most 2^22. Throws ReusedNoise as well.
template <class T>
void private_reference(const ReferenceTensors<T>& tensors, const ReferenceOptions& options,
                       std::span<const float> sigma, noise::NoiseSource& source, const noise::Position& position);

}  // namespace dpflash::attention
