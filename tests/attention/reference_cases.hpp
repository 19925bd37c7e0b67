// What the attention tests share: tensors of random rows, and the operation written a second time.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "dpflash/attention/reference.hpp"

namespace cases {

using dpflash::attention::Clips;
using dpflash::attention::ReferenceOptions;
using dpflash::attention::ReferenceTensors;
using dpflash::attention::SequenceLengths;
using dpflash::attention::Shape;
using dpflash::attention::Tensor;
using dpflash::attention::Window;

/// Rows of a tensor, [rows of all sequences, heads, columns].
template <class T>
struct Rows {
  std::int64_t heads = 0;
  std::int64_t columns = 0;
  std::vector<T> values;

  Rows() = default;
  Rows(std::int64_t rows, std::int64_t heads_, std::int64_t columns_)
      : heads(heads_), columns(columns_), values(static_cast<std::size_t>(rows * heads_ * columns_)) {}
  T* row(std::int64_t i, std::int64_t h) { return values.data() + (i * heads + h) * columns; }
  const T* row(std::int64_t i, std::int64_t h) const { return values.data() + (i * heads + h) * columns; }
  /// As a tensor; `rows`: of one sequence, 0 when packed.
  Tensor<const T> input(std::int64_t rows) const {
    return {values.data(), rows * heads * columns, heads * columns, columns};
  }
  Tensor<T> output(std::int64_t rows) { return {values.data(), rows * heads * columns, heads * columns, columns}; }
};

/// Normal rows with norms of about `norm`.
template <class T>
void fill(Rows<T>& rows, double norm, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(0, norm / std::sqrt(static_cast<double>(rows.columns)));
  for (T& x : rows.values) x = static_cast<T>(normal(random));
}

/// One problem with its tensors and answers, contiguous.
template <class T>
struct Problem {
  ReferenceOptions options;
  Rows<T> q, k, v, out, clean;
  std::vector<T> lse;
  std::vector<std::uint64_t> clipped;

  /// norms: of q, k and v in units of their first clips.
  Problem(const ReferenceOptions& o, double norms, std::uint64_t seed) : options(o) {
    std::int64_t rows = 0;
    std::int64_t keys = 0;
    for (const SequenceLengths& l : o.shape.lengths) {
      rows += l.queries;
      keys += l.keys;
    }
    const Shape& s = o.shape;
    q = clean = out = Rows<T>(rows, s.heads, s.head_dim);
    k = v = Rows<T>(keys, s.kv_heads, s.head_dim);
    fill(q, norms * o.clips.q[0], seed);
    fill(k, norms * o.clips.k[0], seed + 1);
    fill(v, norms * o.clips.v[0], seed + 2);
    lse.resize(static_cast<std::size_t>(rows * s.heads));
    clipped.resize(static_cast<std::size_t>(s.kv_heads) * 3);
    poison();
  }
  void poison() {
    std::fill(out.values.begin(), out.values.end(), std::numeric_limits<T>::quiet_NaN());
    clean.values = out.values;
    std::fill(lse.begin(), lse.end(), std::numeric_limits<T>::quiet_NaN());
  }
  ReferenceTensors<T> tensors() {
    const SequenceLengths& first = options.shape.lengths.front();
    const std::int64_t rows = options.packed ? 0 : first.queries;
    const std::int64_t keys = options.packed ? 0 : first.keys;
    return {q.input(rows),      k.input(keys), v.input(keys), out.output(rows),
            clean.output(rows), lse.data(),    clipped.data()};
  }
  void run() { dpflash::attention::reference(tensors(), options); }
};

inline double clip_of(const std::vector<double>& clips, std::int64_t g) {
  return clips[clips.size() == 1 ? 0 : static_cast<std::size_t>(g)];
}

/// A row scaled into the ball, by the definition.
template <class T>
std::vector<double> clipped_row(const T* row, std::int64_t columns, double clip) {
  std::vector<double> u(row, row + columns);
  double squares = 0;
  bool finite = true;
  for (const double x : u) {
    finite = finite && std::isfinite(x);
    squares += x * x;
  }
  if (!finite || squares >= 0x1p126) return std::vector<double>(u.size(), 0.0);
  const double shrink = 1 - (static_cast<double>(columns) / 2 + 4) / 16777216;
  const double factor = squares == 0 ? 1 : std::min(1.0, clip / std::sqrt(squares) * shrink);
  for (double& x : u) x *= factor;
  return u;
}

/// Whether a query sees a key, word for word as shape.hpp says.
inline bool sees(const Shape& s, const SequenceLengths& l, std::int64_t i, std::int64_t j) {
  const std::int64_t off = l.keys - l.queries;
  return (!s.causal || j <= i + off) && (s.window.left < 0 || j >= i + off - s.window.left) &&
         (s.window.right < 0 || j <= i + off + s.window.right);
}

struct Row {
  std::vector<double> clean;
  double lse;
};

/// One query's answer in the usual way, with a row maximum, whatever the reference does.
template <class T>
Row plain_row(const Problem<T>& p, std::size_t sequence, std::int64_t first_q, std::int64_t first_k, std::int64_t i,
              std::int64_t h) {
  const Shape& s = p.options.shape;
  const SequenceLengths& l = s.lengths[sequence];
  const std::int64_t g = h / (s.heads / s.kv_heads);
  const double scale = s.scale.value_or(1 / std::sqrt(static_cast<double>(s.head_dim)));
  const auto q = clipped_row(p.q.row(first_q + i, h), s.head_dim, clip_of(p.options.clips.q, g));
  std::vector<std::int64_t> keys;
  std::vector<double> scores;
  for (std::int64_t j = 0; j < l.keys; ++j) {
    if (!sees(s, l, i, j)) continue;
    const auto k = clipped_row(p.k.row(first_k + j, g), s.head_dim, clip_of(p.options.clips.k, g));
    double score = 0;
    for (std::size_t d = 0; d < k.size(); ++d) score += q[d] * k[d];
    score *= scale;
    if (s.softcap) score = *s.softcap * std::tanh(score / *s.softcap);
    keys.push_back(j);
    scores.push_back(score);
  }
  Row row{std::vector<double>(q.size(), 0.0), -std::numeric_limits<double>::infinity()};
  if (keys.empty()) return row;
  const double most = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& x : scores) sum += x = std::exp(x - most);
  for (std::size_t n = 0; n < keys.size(); ++n) {
    const auto v = clipped_row(p.v.row(first_k + keys[n], g), s.head_dim, clip_of(p.options.clips.v, g));
    for (std::size_t d = 0; d < v.size(); ++d) row.clean[d] += scores[n] / sum * v[d];
  }
  row.lse = most + std::log(sum);
  return row;
}

/// Calls act(sequence, first query row, first key row, row, head) for all rows.
template <class Act>
void for_rows(const Shape& s, Act&& act) {
  std::int64_t first_q = 0;
  std::int64_t first_k = 0;
  for (std::size_t b = 0; b < s.lengths.size(); ++b) {
    for (std::int64_t i = 0; i < s.lengths[b].queries; ++i)
      for (std::int64_t h = 0; h < s.heads; ++h) act(b, first_q, first_k, i, h);
    first_q += s.lengths[b].queries;
    first_k += s.lengths[b].keys;
  }
}

/// The place of a row's lse.
inline std::size_t lse_at(const ReferenceOptions& o, std::size_t b, std::int64_t first_q, std::int64_t i,
                          std::int64_t h) {
  if (!o.packed)
    return (b * static_cast<std::size_t>(o.shape.heads) + static_cast<std::size_t>(h)) *
               static_cast<std::size_t>(o.shape.lengths[0].queries) +
           static_cast<std::size_t>(i);
  std::int64_t total = 0;
  for (const SequenceLengths& l : o.shape.lengths) total += l.queries;
  return static_cast<std::size_t>(h * total + first_q + i);
}

/// Largest difference of a problem's answers from the plain ones, in units of C_v, and of lse.
template <class T>
double largest_difference(const Problem<T>& p) {
  double largest = 0;
  for_rows(
      p.options.shape, [&](std::size_t b, std::int64_t first_q, std::int64_t first_k, std::int64_t i, std::int64_t h) {
        const Row plain = plain_row(p, b, first_q, first_k, i, h);
        const std::int64_t g = h / (p.options.shape.heads / p.options.shape.kv_heads);
        const T* const clean = p.clean.row(first_q + i, h);
        for (std::size_t d = 0; d < plain.clean.size(); ++d) {
          const double off = std::abs(static_cast<double>(clean[d]) - plain.clean[d]) / clip_of(p.options.clips.v, g);
          largest = std::isnan(off) ? off : std::max(largest, off);
        }
        const double lse = p.lse[lse_at(p.options, b, first_q, i, h)];
        if (std::isinf(plain.lse))
          CHECK(lse == plain.lse);
        else
          largest = std::max(largest, std::abs(lse - plain.lse));
      });
  return largest;
}

}  // namespace cases
