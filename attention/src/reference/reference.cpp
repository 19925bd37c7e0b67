#include "dpflash/attention/reference.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <type_traits>

#include "draw/attention_normal.hpp"
#include "reference/draws.hpp"
#include "reference/problem.hpp"

namespace dpflash::attention {

namespace {

enum Part : std::size_t { of_q, of_k, of_v };

/// The public numbers of one kv head, in the type of the arithmetic.
template <class T>
struct Head {
  T clip[3];
  T shrink;  ///< factor of a quotient
};

template <class T>
T at_most(double x) {
  if constexpr (std::is_same_v<T, double>)
    return x;
  else
    return float_down(x);
}

template <class T>
Head<T> head_of(const ReferenceOptions& options, std::int32_t g) {
  const Clips& clips = options.clips;
  const double shrink = 1 - (options.shape.head_dim / 2.0 + 4) * 0x1p-24;
  return {{at_most<T>(clip_of(clips.q, g)), at_most<T>(clip_of(clips.k, g)), at_most<T>(clip_of(clips.v, g))},
          at_most<T>(shrink)};
}

/// Writes the clipped row, element d to out[d * step]; true when it is clipped or taken as zero.
template <class T>
bool clip_row(const T* row, std::int64_t columns, T clip, T shrink, T* out, std::int64_t step) {
  T squares = 0;
  for (std::int64_t d = 0; d < columns; ++d) squares += row[d] * row[d];
  // Not below the limit when an entry is infinite or NaN.
  if (!(squares < T(0x1p126))) {
    for (std::int64_t d = 0; d < columns; ++d) out[d * step] = 0;
    return true;
  }
  const T largest = clip * shrink;
  const T norm = std::sqrt(squares);
  const T factor = norm > largest ? largest / norm : T(1);
  for (std::int64_t d = 0; d < columns; ++d) out[d * step] = row[d] * factor;
  return factor < 1;
}

template <class T>
class Run {
 public:
  Run(const ReferenceTensors<T>& tensors, const ReferenceOptions& options, const Places& places)
      : t_(tensors),
        options_(options),
        shape_(options.shape),
        places_(places),
        columns_(shape_.head_dim),
        scale_(static_cast<T>(scale_of(shape_))),
        softcap_(static_cast<T>(shape_.softcap.value_or(0))) {}

  void clip_keys();
  /// Rows [16 group, ...) of a plane; `z` holds their draws, or is null.
  void rows(std::int64_t plane, std::int64_t group, std::span<const float> sigma, const float* z);
  void add_counts();

 private:
  /// The place of kv head g of sequence b among the clipped keys and values.
  [[nodiscard]] std::int64_t place(std::int64_t b, std::int64_t g) const {
    const std::int64_t before = places_.first_k[static_cast<std::size_t>(b)];
    const std::int64_t keys = shape_.lengths[static_cast<std::size_t>(b)].keys;
    return (before * shape_.kv_heads + keys * g) * columns_;
  }
  void clip_keys_of(std::int64_t b, std::int64_t g);
  void count(std::int32_t g, Part part, std::uint64_t rows) {
    if (rows != 0) counts_[static_cast<std::size_t>(g) * 3 + part] += rows;
  }
  /// Clean answer and lse of one clipped query.
  T attend(const T* q, const T* keys, const T* values, std::int64_t length, const Visible& seen,
           std::vector<T>& weights, T* clean) const;

  const ReferenceTensors<T>& t_;
  const ReferenceOptions& options_;
  const Shape& shape_;
  const Places& places_;
  std::int64_t columns_;
  T scale_;
  T softcap_;
  std::vector<T> keys_;    ///< of each sequence and kv head: [head_dim, keys], so that scores are sums of columns
  std::vector<T> values_;  ///< [keys, head_dim]
  std::vector<std::atomic<std::uint64_t>> counts_;
};

template <class T>
void Run<T>::clip_keys() {
  const auto numbers = static_cast<std::size_t>(places_.total_k() * shape_.kv_heads * columns_);
  keys_.resize(numbers);
  values_.resize(numbers);
  counts_ = std::vector<std::atomic<std::uint64_t>>(static_cast<std::size_t>(shape_.kv_heads) * 3);
  for_each_task(places_.batch() * shape_.kv_heads,
                [&](std::int64_t task) { clip_keys_of(task / shape_.kv_heads, task % shape_.kv_heads); });
}

template <class T>
void Run<T>::clip_keys_of(std::int64_t b, std::int64_t g) {
  const auto head = static_cast<std::int32_t>(g);
  const Head<T> numbers = head_of<T>(options_, head);
  const std::int64_t first = places_.first_k[static_cast<std::size_t>(b)];
  const std::int64_t keys = shape_.lengths[static_cast<std::size_t>(b)].keys;
  std::uint64_t clipped_k = 0;
  std::uint64_t clipped_v = 0;
  for (std::int64_t j = 0; j < keys; ++j) {
    clipped_k += clip_row(row_of(t_.k, places_.packed, first, b, j, g), columns_, numbers.clip[of_k], numbers.shrink,
                          keys_.data() + place(b, g) + j, keys);
    clipped_v += clip_row(row_of(t_.v, places_.packed, first, b, j, g), columns_, numbers.clip[of_v], numbers.shrink,
                          values_.data() + place(b, g) + j * columns_, 1);
  }
  count(head, of_k, clipped_k);
  count(head, of_v, clipped_v);
}

template <class T>
T Run<T>::attend(const T* q, const T* keys, const T* values, std::int64_t length, const Visible& seen,
                 std::vector<T>& weights, T* clean) const {
  std::fill_n(clean, columns_, T(0));
  const std::int64_t count = seen.count();
  if (count == 0) return -std::numeric_limits<T>::infinity();
  weights.assign(static_cast<std::size_t>(count), T(0));
  for (std::int64_t d = 0; d < columns_; ++d) {
    const T* const column = keys + d * length + seen.begin;
    const T factor = q[d];
    for (std::int64_t j = 0; j < count; ++j) weights[static_cast<std::size_t>(j)] += factor * column[j];
  }
  T sum = 0;
  for (T& weight : weights) {
    T score = scale_ * weight;
    if (softcap_ > 0) score = softcap_ * std::tanh(score / softcap_);
    weight = std::exp(score);
    sum += weight;
  }
  for (std::int64_t j = 0; j < count; ++j) {
    const T* const value = values + (seen.begin + j) * columns_;
    const T weight = weights[static_cast<std::size_t>(j)];
    for (std::int64_t d = 0; d < columns_; ++d) clean[d] += weight * value[d];
  }
  for (std::int64_t d = 0; d < columns_; ++d) clean[d] /= sum;
  return std::log(sum);
}

template <class T>
void Run<T>::rows(std::int64_t plane, std::int64_t group, std::span<const float> sigma, const float* z) {
  const std::int64_t b = plane / shape_.heads;
  const std::int64_t h = plane % shape_.heads;
  const auto g = static_cast<std::int32_t>(h / (shape_.heads / shape_.kv_heads));
  const Head<T> numbers = head_of<T>(options_, g);
  const SequenceLengths& lengths = shape_.lengths[static_cast<std::size_t>(b)];
  const std::int64_t first = places_.first_q[static_cast<std::size_t>(b)];
  const std::int64_t end = std::min(lengths.queries, (group + 1) * kRowsOfAGroup);
  const bool per_row = sigma.size() != static_cast<std::size_t>(shape_.heads);
  std::vector<T> q(static_cast<std::size_t>(columns_));
  std::vector<T> clean(static_cast<std::size_t>(columns_));
  std::vector<T> weights;
  std::uint64_t clipped = 0;
  for (std::int64_t i = group * kRowsOfAGroup; i < end; ++i) {
    clipped += clip_row(row_of(t_.q, places_.packed, first, b, i, h), columns_, numbers.clip[of_q], numbers.shrink,
                        q.data(), 1);
    const T lse = attend(q.data(), keys_.data() + place(b, g), values_.data() + place(b, g), lengths.keys,
                         visible(shape_, lengths, i), weights, clean.data());
    if (t_.lse != nullptr) t_.lse[places_.packed ? h * places_.total_q() + first + i : plane * places_.rows + i] = lse;
    if (t_.clean.data != nullptr)
      std::copy(clean.begin(), clean.end(), row_of(t_.clean, places_.packed, first, b, i, h));
    if (z == nullptr) continue;
    const T deviation = sigma[static_cast<std::size_t>(per_row ? h * places_.rows + i : h)];
    T* const out = row_of(t_.out, places_.packed, first, b, i, h);
    for (std::int64_t d = 0; d < columns_; ++d)
      out[d] =
          std::fma(deviation, static_cast<T>(z[i % kRowsOfAGroup * columns_ + d]), clean[static_cast<std::size_t>(d)]);
  }
  count(g, of_q, clipped);
}

template <class T>
void Run<T>::add_counts() {
  if (t_.clipped == nullptr) return;
  for (std::size_t i = 0; i < counts_.size(); ++i) t_.clipped[i] += counts_[i];
}

template <class T>
Places checked(const ReferenceTensors<T>& t, const ReferenceOptions& options) {
  Places places = places_of(options.shape, options.clips, options.packed);
  check_magnitudes(options.shape, options.clips);
  check_sums(options.shape, options.clips, places, std::is_same_v<T, double> ? 700 : 88);
  const Extents queries = query_extents(options.shape, places);
  const Extents keys = key_extents(options.shape, places);
  check_tensor("q", t.q.data != nullptr, strides_of(t.q), queries);
  check_tensor("k", t.k.data != nullptr, strides_of(t.k), keys);
  check_tensor("v", t.v.data != nullptr, strides_of(t.v), keys);
  if (t.clean.data != nullptr) check_output("clean", true, strides_of(t.clean), queries);
  return places;
}

/// `draws(plane, group, z)` fills z; empty for none.
template <class T>
void run(const ReferenceTensors<T>& t, const ReferenceOptions& options, const Places& places,
         std::span<const float> sigma, const std::function<void(std::uint64_t, std::uint32_t, float*)>& draws) {
  Run<T> run(t, options, places);
  run.clip_keys();
  const std::int64_t groups = (places.rows + kRowsOfAGroup - 1) / kRowsOfAGroup;
  for_each_task(places.batch() * options.shape.heads * groups, [&](std::int64_t task) {
    const std::int64_t plane = task / groups;
    const std::int64_t group = task % groups;
    std::vector<float> z;
    if (draws) {
      z.resize(static_cast<std::size_t>(kRowsOfAGroup * options.shape.head_dim));
      draws(static_cast<std::uint64_t>(plane), static_cast<std::uint32_t>(group), z.data());
    }
    run.rows(plane, group, sigma, draws ? z.data() : nullptr);
  });
  run.add_counts();
}

void check_noise(const ReferenceOptions& options, const Places& places, std::span<const float> sigma) {
  const auto heads = static_cast<std::size_t>(options.shape.heads);
  const auto table = heads * static_cast<std::size_t>(places.rows);
  if (sigma.size() != heads && sigma.size() != table)
    throw accounting::UnusableInput(
        "sigma.size", std::to_string(sigma.size()),
        std::to_string(heads) + " (one a head) or " + std::to_string(table) + " (one a head and row)");
  for (std::size_t i = 0; i < sigma.size(); ++i)
    if (!(sigma[i] > 0) || !std::isfinite(sigma[i]))
      throw accounting::UnusableInput("sigma[" + std::to_string(i) + "]", text(static_cast<double>(sigma[i])),
                                      "a finite number above 0");
}

void check_planes(const Shape& shape, const Places& places) {
  if (shape.head_dim > static_cast<std::int32_t>(draw::kAttentionMaxColumns))
    throw accounting::UnusableInput("D", std::to_string(shape.head_dim), "an integer in [1, 256]");
  if (places.batch() > static_cast<std::int64_t>(draw::kAttentionMaxPlanes) / shape.heads)
    throw accounting::UnusableInput("lengths", std::to_string(places.batch()) + " sequences",
                                    "sequences times heads at most 2^22");
}

}  // namespace

template <class T>
void reference(const ReferenceTensors<T>& tensors, const ReferenceOptions& options) {
  run<T>(tensors, options, checked(tensors, options), {}, nullptr);
}

template <class T>
void private_reference(const ReferenceTensors<T>& tensors, const ReferenceOptions& options,
                       std::span<const float> sigma, noise::NoiseSource& source, const noise::Position& position) {
  const Places places = checked(tensors, options);
  check_planes(options.shape, places);
  check_noise(options, places, sigma);
  check_output("out", tensors.out.data != nullptr, strides_of(tensors.out), query_extents(options.shape, places));
  if (position.first != 0)
    throw accounting::UnusableInput("position.first", std::to_string(position.first),
                                    "0: an attention output has all draws of its stream and step");
  source.claim_attention(position.stream, position.step);
  run<T>(tensors, options, places, sigma, [&](std::uint64_t plane, std::uint32_t group, float* z) {
    attention_draws(source, position.stream, position.step, plane, group, options.shape.head_dim, z);
  });
}

template void reference(const ReferenceTensors<float>&, const ReferenceOptions&);
template void reference(const ReferenceTensors<double>&, const ReferenceOptions&);
template void private_reference(const ReferenceTensors<float>&, const ReferenceOptions&, std::span<const float>,
                                noise::NoiseSource&, const noise::Position&);
template void private_reference(const ReferenceTensors<double>&, const ReferenceOptions&, std::span<const float>,
                                noise::NoiseSource&, const noise::Position&);

}  // namespace dpflash::attention
