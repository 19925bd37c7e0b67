// Where random numbers come from: a key, and draws that depend on (key, stream, step, index) alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string_view>

namespace dpflash::noise {

/// What turns a key and a counter into random bits.
enum class Generator {
  philox,    ///< Philox4x32-10: reproducible and fastest; for research, no defence against whoever guesses the key
  chacha12,  ///< ChaCha with 12 rounds, 256-bit key
  chacha20   ///< ChaCha with 20 rounds (RFC 8439), 256-bit key; the default
};

/// "philox", "chacha12" or "chacha20".
std::string_view name_of(Generator generator);

/// Which draws: number `first` onwards of stream `stream` at step `step`. A trainer takes one stream a tensor group and
/// one step a release; a shard that holds elements [a, b) of a tensor draws from first = a.
struct Position {
  std::uint32_t stream = 0;
  std::uint32_t step = 0;
  std::uint64_t first = 0;  ///< first + count at most 2^56
};

/// Draws that were used before were asked for again: noise that is used twice can be subtracted.
class ReusedNoise : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// A key and the record of what was drawn with it. Moves, does not copy; the key is wiped when it goes (copies that a
/// launch's parameters or a thread's stack hold for a time are not). What was moved from may be assigned to or
/// destroyed, nothing else. A forked process has a copy of both: parent and child draw the same noise where they claim
/// the same positions, and neither sees it. One thread at a time. Layout of the draws and what is proven about them:
/// docs/math/randomness.md.
class NoiseSource {
 public:
  /// A fresh 256-bit key from the operating system. Throws std::system_error when there is none.
  static NoiseSource from_entropy(Generator generator = Generator::chacha20);
  /// The same draws again for the same seed. Whoever knows the seed can subtract the noise: for tests and research.
  static NoiseSource reproducible(Generator generator, std::uint64_t seed);
  /// The key of another source, as `key()` gave it: a second rank, or a run that goes on. It knows nothing of what the
  /// other drew; the caller gives the ranks disjoint positions, or the same ones where they must agree.
  static NoiseSource from_key(Generator generator, std::span<const std::byte, 32> key);

  NoiseSource(NoiseSource&&) noexcept;
  NoiseSource& operator=(NoiseSource&&) noexcept;
  ~NoiseSource();

  [[nodiscard]] Generator generator() const noexcept;
  /// The 256-bit key, a secret: whoever has it can subtract the noise. Philox uses its first 64 bits.
  [[nodiscard]] std::span<const std::byte, 32> key() const noexcept;

  /// Marks `count` draws from `position` as used. Throws ReusedNoise when one of them was used before with this source,
  /// UnusableInput when position.first + count exceeds 2^56. Mechanisms call it before they draw. Memory grows with the
  /// number of gaps, not of draws.
  void claim(const Position& position, std::uint64_t count);

  /// Marks the attention draws of `stream` at steps [first_step, first_step + count) as used: one attention output
  /// takes all of a (stream, step), whatever its size. They come from counters that no other use has, so `claim` knows
  /// nothing of them. Throws ReusedNoise, with nothing marked, when one of the steps was used for attention before with
  /// this source; UnusableInput when first_step + count exceeds 2^32. Memory grows with the gaps between steps.
  void claim_attention(std::uint32_t stream, std::uint32_t first_step, std::uint32_t count = 1);

  /// Standard normal draws, claimed. Multithreaded above 2^16 draws.
  void normal(std::span<float> out, const Position& position);
  /// Standard Laplace draws (scale 1), claimed.
  void laplace(std::span<float> out, const Position& position);

 private:
  struct State;
  explicit NoiseSource(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace dpflash::noise
