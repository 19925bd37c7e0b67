// A sequence of random words for each output of an exact sampler.
#pragma once

#include <array>
#include <cstdint>

#include "draw/draws.hpp"

namespace dpflash::noise::discrete {

__extension__ typedef unsigned __int128 Wide;

/// Outputs of one (stream, step): each owns 2^16 blocks of its 2^56.
inline constexpr std::uint64_t kMostOutputs = std::uint64_t{1} << 40;

/// The words of one output at a time. Which words an output reads depends on its index alone, however many words its
/// neighbours needed: shards agree.
class WordStream {
 public:
  WordStream(const NoiseSource& source, std::uint32_t stream, std::uint32_t step);

  /// Starts the sequence of output `index`, below kMostOutputs.
  void start(std::uint64_t index);
  /// The next word. Throws std::runtime_error after 2^16 blocks, which no sampler here reaches with probability above
  /// e^-10000.
  std::uint32_t next();
  /// Uniform in [0, n), n >= 1, by rejection: exact.
  Wide below(Wide n);

 private:
  using Block = void (*)(const draw::KeyWords&, const draw::Counter&, std::array<std::uint32_t, 16>&);

  draw::KeyWords key_;
  Block block_;
  std::uint32_t words_;
  std::uint32_t stream_;
  std::uint32_t step_;
  std::uint64_t next_block_ = 0;
  std::uint64_t end_block_ = 0;
  std::uint32_t used_ = 0;
  std::array<std::uint32_t, 16> buffer_{};
};

}  // namespace dpflash::noise::discrete
