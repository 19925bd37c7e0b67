// Where a draw's random words come from: (key, stream, step, index) alone. Proof of the mapping:
// docs/math/randomness.md.
#pragma once

#include <cstdint>

#include "draw/arith.hpp"

namespace dpflash::draw {

/// What turns a key and a counter into words.
enum class Bits : std::uint32_t { philox, chacha12, chacha20 };

/// What the words of a block are used for: different uses never share a counter.
enum class Use : std::uint32_t {
  normal = 0,         ///< three words for four draws
  laplace = 1,        ///< one word a draw
  grid_normal = 2,    ///< two words a draw
  uniform_bits = 3,   ///< a plain sequence of words for the host's exact samplers
  poisson_batch = 4,  ///< which records take part in a step
  attention = 5,      ///< three words for four draws, laid out as matrix accumulators
};

/// 256 bits as eight little-endian words; Philox uses the first two.
struct KeyWords {
  std::uint32_t word[8];
};

/// The 128-bit counter of a block: index (56 bits), use (3 bits) and refill (5 bits: extra words for a rare draw),
/// step, stream.
struct Counter {
  std::uint32_t word[4];
};

DPF_HD Counter counter_of(std::uint64_t block, Use use, std::uint32_t refill, std::uint32_t step,
                          std::uint32_t stream) {
  return {{static_cast<std::uint32_t>(block),
           (static_cast<std::uint32_t>(block >> 32) & 0x00ffffffu) | (static_cast<std::uint32_t>(use) << 24) |
               (refill << 27),
           step, stream}};
}

/// Blocks of one draw: `words` is a block's size in words.
struct Address {
  std::uint64_t block;
  std::uint32_t word;
};

/// The block and word of draw `index` when a draw takes one word: tiles of 32 blocks, dealt in groups of four words, so
/// that 32 lanes that own a block each touch consecutive memory.
template <int words>
DPF_HD Address address_of(std::uint64_t index) {
  constexpr std::uint32_t tile = 32u * words;
  const auto in_tile = static_cast<std::uint32_t>(index % tile);
  return {index / tile * 32u + (in_tile % 128u) / 4u, in_tile / 128u * 4u + in_tile % 4u};
}

}  // namespace dpflash::draw
