// What tests of whole answers share: problems by their numbers, the noise that is due, and what a record may change.
#pragma once

#include "attention_cases.hpp"
#include "reference/draws.hpp"

namespace cases {

inline ReferenceOptions options_of(std::vector<SequenceLengths> lengths, std::int32_t heads, std::int32_t kv_heads,
                                   std::int32_t head_dim, bool packed = false) {
  ReferenceOptions o;
  o.shape.lengths = std::move(lengths);
  o.shape.heads = heads;
  o.shape.kv_heads = kv_heads;
  o.shape.head_dim = head_dim;
  o.packed = packed;
  o.clips = {{3.0}, {3.0}, {1.0}};
  return o;
}

/// Calls act(path) for the paths that take the problem; says which do not.
inline void on_paths(DeviceProblem& device, const std::function<void(Path)>& act) {
  for (const Path path : kPaths) {
    const std::string why = device.refusal(path);
    INFO("path ", name_of(path));
    if (why.empty())
      act(path);
    else
      report_refusal(path, why);
  }
}

/// 250 calls with the same draws give the same bits.
inline void check_repeats(DeviceProblem& device, const dpflash::gpu::Stream& stream) {
  const auto heads = static_cast<std::size_t>(device.options().shape.heads);
  const DeviceNoise noise = DeviceNoise::stated(std::vector<float>(heads, 0.5f));
  on_paths(device, [&](Path path) {
    std::vector<std::uint16_t> first;
    std::size_t different = 0;
    const int repeats = shrink() > 1 ? 3 : 250;
    for (int repeat = 0; repeat < repeats; ++repeat) {
      auto draws = source(dpflash::noise::Generator::philox);
      device.run(path, noise, {draws, dpflash::noise::Position{1, 2, 0}}, stream);
      const std::vector<std::uint16_t> now = device.raw_out(stream);
      if (first.empty()) first = now;
      different += now != first;
    }
    CHECK(different == 0);
  });
}

/// Values are 0, and so are the clean answers: what comes out is the noise.
inline Problem<double> without_values(const ReferenceOptions& o) {
  Problem<double> p(o, 1, 1);
  std::fill(p.v.values.begin(), p.v.values.end(), 0.0);
  return p;
}

/// Bits of round(fma(sigma, z, 0)) in the order of the queries; `sigma`: [heads] or [heads, most queries].
inline std::vector<std::uint16_t> expected_noise(const ReferenceOptions& o, Element element, const NoiseSource& draws,
                                                 const dpflash::noise::Position& at, std::span<const float> sigma) {
  const Shape& s = o.shape;
  std::int64_t most = 0;
  for (const SequenceLengths& l : s.lengths) most = std::max(most, l.queries);
  std::vector<std::uint16_t> bits;
  std::vector<float> z(static_cast<std::size_t>(16 * s.head_dim));
  std::int64_t first = 0;
  for (std::size_t b = 0; b < s.lengths.size(); ++b) {
    const std::int64_t rows = s.lengths[b].queries;
    bits.resize(static_cast<std::size_t>((first + rows) * s.heads * s.head_dim));
    for (std::int64_t h = 0; h < s.heads; ++h)
      for (std::int64_t i = 0; i < rows; ++i) {
        if (i % 16 == 0)
          dpflash::attention::attention_draws(draws, at.stream, at.step,
                                              b * static_cast<std::size_t>(s.heads) + static_cast<std::size_t>(h),
                                              static_cast<std::uint32_t>(i / 16), s.head_dim, z.data());
        const bool table = sigma.size() != static_cast<std::size_t>(s.heads);
        const float deviation = sigma[static_cast<std::size_t>(table ? h * most + i : h)];
        for (std::int64_t d = 0; d < s.head_dim; ++d)
          bits[static_cast<std::size_t>(((first + i) * s.heads + h) * s.head_dim + d)] =
              to_bits(element, std::fma(deviation, z[static_cast<std::size_t>(i % 16 * s.head_dim + d)], 0.0f));
      }
    first += rows;
  }
  return bits;
}

inline std::size_t differences(const std::vector<std::uint16_t>& a, const std::vector<std::uint16_t>& b) {
  REQUIRE(a.size() == b.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
  return count;
}

inline std::vector<std::uint16_t> clean_of(DeviceProblem& device, Path path, const dpflash::gpu::Stream& stream) {
  auto draws = source(Generator::philox);
  device.run(path, no_noise(device.options().shape.heads), {draws, dpflash::noise::Position{}}, stream);
  return device.clean(stream);
}

/// Elements that changed in rows that do not see key `record` of sequence 1 and kv head 0.
inline std::size_t changed_unseen(const ReferenceOptions& o, std::int64_t record, const std::vector<std::uint16_t>& a,
                                  const std::vector<std::uint16_t>& b) {
  std::size_t changed = 0;
  const Shape& s = o.shape;
  for_rows(s, [&](std::size_t sequence, std::int64_t first, std::int64_t, std::int64_t i, std::int64_t h) {
    const bool seen = sequence == 1 && h < s.heads / s.kv_heads && sees(s, s.lengths[1], i, record);
    const auto at = static_cast<std::size_t>(((first + i) * s.heads + h) * s.head_dim);
    for (std::size_t d = 0; d < static_cast<std::size_t>(s.head_dim) && !seen; ++d) changed += a[at + d] != b[at + d];
  });
  return changed;
}

}  // namespace cases
