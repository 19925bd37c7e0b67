// Standard normal draws of an attention output: sixteen a lane, where matrix units leave a thread's accumulators.
#pragma once

#include "draw/chacha.hpp"
#include "draw/normal.hpp"
#include "draw/philox.hpp"

namespace dpflash::draw {

/// Rows come in groups of 16, columns in blocks of 32; lane l of a (group, block) owns rows l / 4 and l / 4 + 8 of the
/// group and columns 2 (l mod 4), 2 (l mod 4) + 1 of each of the four eighths q of the block. Draw 4 q + k of the lane:
/// k = 0, 1 the lower row's two columns, k = 2, 3 the upper row's. The layout knows nothing of tiles, padding, or other
/// sequences.
inline constexpr std::uint32_t kAttentionRows = 16;
inline constexpr std::uint32_t kAttentionColumns = 32;
inline constexpr std::uint64_t kAttentionMaxRows = 1ull << 28;
inline constexpr std::uint64_t kAttentionMaxPlanes = 1ull << 22;
inline constexpr std::uint32_t kAttentionMaxColumns = 256;

/// `plane` is batch * heads + head, below 2^22; `row_group` below 2^24, `column_block` below 2^3.
DPF_HD std::uint64_t attention_group(std::uint64_t plane, std::uint32_t row_group, std::uint32_t column_block) {
  return (((plane << 24) | row_group) << 3) | column_block;
}

/// Twelve words a lane: three blocks of Philox, or the first twelve words of one of ChaCha.
template <class Source>
struct AttentionLayout {
  static constexpr std::uint32_t blocks = Source::words == 4 ? 3 : 1;
  DPF_HD static std::uint64_t block_of(std::uint64_t group, std::uint32_t lane, std::uint32_t block) {
    return ((group * blocks + block) << 5) | lane;
  }
};

/// The twelve words of a lane.
template <class Source>
DPF_HD void attention_words(const typename Source::Key& key, std::uint64_t group, std::uint32_t lane,
                            std::uint32_t step, std::uint32_t stream, std::uint32_t (&x)[12]) {
  using Layout = AttentionLayout<Source>;
  for (std::uint32_t b = 0; b < Layout::blocks; ++b) {
    std::uint32_t words[Source::words];
    Source::block(key, counter_of(Layout::block_of(group, lane, b), Use::attention, 0, step, stream), words);
    for (std::uint32_t i = 0; i < 12 / Layout::blocks; ++i) x[b * 4 + i] = words[i];
  }
}

/// Words that a rare radius needs beside its own, for quad q: refill block 1 + q / (quads a block).
template <class Source>
DPF_HD void attention_refill(const typename Source::Key& key, std::uint64_t group, std::uint32_t lane,
                             std::uint32_t step, std::uint32_t stream, std::uint32_t q, std::uint32_t (&e)[4]) {
  constexpr std::uint32_t quads_a_block = Source::words / 4;
  std::uint32_t words[Source::words];
  Source::block(key,
                counter_of(AttentionLayout<Source>::block_of(group, lane, 0), Use::attention, 1 + q / quads_a_block,
                           step, stream),
                words);
  for (std::uint32_t i = 0; i < 4; ++i) e[i] = words[4 * (q % quads_a_block) + i];
}

/// The sixteen draws of a lane.
template <class Source>
DPF_HD void attention_normals(const typename Source::Key& key, std::uint64_t group, std::uint32_t lane,
                              std::uint32_t step, std::uint32_t stream, float (&z)[16]) {
  std::uint32_t x[12];
  attention_words<Source>(key, group, lane, step, stream, x);
  for (std::uint32_t q = 0; q < 4; ++q) {
    const std::uint32_t* const w = &x[3 * q];
    float r[2] = {radius_squared(w[0]), radius_squared(w[1])};
    if (w[0] < kNormalRareBelow || w[1] < kNormalRareBelow) {
      std::uint32_t e[4];
      attention_refill<Source>(key, group, lane, step, stream, q, e);
      if (w[0] < kNormalRareBelow) r[0] = rare_radius_squared(w[0], e[0], e[1]);
      if (w[1] < kNormalRareBelow) r[1] = rare_radius_squared(w[1], e[2], e[3]);
    }
    normal_quad(r[0], r[1], w[0], w[1], w[2], &z[4 * q]);
  }
}

}  // namespace dpflash::draw
