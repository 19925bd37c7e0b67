// Random attention calls that the tests of the analyser share.
#pragma once

#include <dpflash/attention/sensitivity.hpp>
#include <random>
#include <vector>

namespace cases {

/// Short sequences, any mask, unit, heads, and now and then a block or charges for finite precision.
inline dpflash::attention::SensitivityQuestion random_question(std::mt19937_64& random) {
  using dpflash::attention::Unit;
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); };
  const auto real = [&](double low, double high) { return std::uniform_real_distribution<double>(low, high)(random); };
  dpflash::attention::SensitivityQuestion q;
  q.unit = static_cast<Unit>(pick(0, 4));
  for (int s = pick(1, 3); s > 0; --s) {
    const int queries = pick(0, 14);
    q.shape.lengths.push_back({queries, q.unit == Unit::self_token ? queries + pick(0, 6) : pick(0, 18)});
  }
  q.shape.kv_heads = pick(1, 3);
  q.shape.heads = q.shape.kv_heads * pick(1, 2);
  q.shape.causal = pick(0, 1) == 1;
  if (pick(0, 1) == 1) q.shape.window = {pick(-1, 8), pick(-1, 8)};
  q.shape.scale = real(0.1, 2);
  q.clips = {{real(0.1, 2)}, {real(0.1, 2)}, {}};
  if (pick(0, 1) == 1) q.clips.k.resize(static_cast<std::size_t>(q.shape.kv_heads));
  for (double& c : q.clips.k) c = real(0.1, 2);
  for (int h = 0; h < q.shape.kv_heads; ++h) q.clips.v.push_back(real(0.2, 3));
  if (q.unit == Unit::token && pick(0, 2) == 0) q.block = pick(2, 9);
  if (pick(0, 2) == 0) q.precision = {real(0, 0.01), real(0, 0.1), real(0, 0.02)};
  return q;
}

}  // namespace cases
