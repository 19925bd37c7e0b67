#include "dpflash/noise/source.hpp"

#include <sys/random.h>

#include <cerrno>
#include <cstring>
#include <dpflash/accounting/error.hpp>
#include <map>
#include <string>
#include <system_error>
#include <utility>

#include "draw/draws.hpp"

namespace dpflash::noise {

namespace {

constexpr std::uint64_t kLastIndex = std::uint64_t{1} << 56;

/// Ranges of numbers, begin -> end: disjoint, never adjacent.
using Ranges = std::map<std::uint64_t, std::uint64_t>;

/// Adds [begin, end), which is not empty; false, and nothing changed, when a part of it was there.
bool add_range(Ranges& ranges, std::uint64_t begin, std::uint64_t end) {
  auto next = ranges.lower_bound(begin);
  const bool overlaps_next = next != ranges.end() && next->first < end;
  const bool overlaps_previous = next != ranges.begin() && std::prev(next)->second > begin;
  if (overlaps_next || overlaps_previous) return false;
  const bool joins_next = next != ranges.end() && next->first == end;
  if (joins_next) end = next->second;
  // Marked before anything is forgotten: emplace may throw.
  if (next != ranges.begin() && std::prev(next)->second == begin)
    std::prev(next)->second = end;
  else
    ranges.emplace_hint(next, begin, end);
  if (joins_next) ranges.erase(next);
  return true;
}

void fill_from_system(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::getrandom(out.data() + done, out.size() - done, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      throw std::system_error(errno, std::generic_category(), "no random bytes from the operating system");
    }
    done += static_cast<std::size_t>(got);
  }
}

/// One integer of a well-spread sequence (splitmix64): spreads a seed over a key.
std::uint64_t next_spread(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15u;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

std::string_view name_of(Generator generator) {
  switch (generator) {
    case Generator::philox:
      return "philox";
    case Generator::chacha12:
      return "chacha12";
    case Generator::chacha20:
      break;
  }
  return "chacha20";
}

struct NoiseSource::State {
  explicit State(Generator g) : generator(g) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { ::explicit_bzero(key.data(), key.size()); }

  Generator generator;
  std::array<std::byte, 32> key{};
  /// Used indices of each (stream, step).
  std::map<std::pair<std::uint32_t, std::uint32_t>, Ranges> used;
  /// Steps whose attention draws were used, of each stream.
  std::map<std::uint32_t, Ranges> attention;
};

NoiseSource::NoiseSource(std::unique_ptr<State> state) : state_(std::move(state)) {}
NoiseSource::NoiseSource(NoiseSource&&) noexcept = default;
NoiseSource& NoiseSource::operator=(NoiseSource&&) noexcept = default;
NoiseSource::~NoiseSource() = default;

NoiseSource NoiseSource::from_entropy(Generator generator) {
  auto state = std::make_unique<State>(generator);
  fill_from_system(state->key);
  return NoiseSource(std::move(state));
}

NoiseSource NoiseSource::reproducible(Generator generator, std::uint64_t seed) {
  auto state = std::make_unique<State>(generator);
  for (std::size_t i = 0; i < state->key.size(); i += 8) {
    const std::uint64_t word = next_spread(seed);
    std::memcpy(state->key.data() + i, &word, 8);
  }
  return NoiseSource(std::move(state));
}

NoiseSource NoiseSource::from_key(Generator generator, std::span<const std::byte, 32> key) {
  auto state = std::make_unique<State>(generator);
  std::memcpy(state->key.data(), key.data(), key.size());
  return NoiseSource(std::move(state));
}

Generator NoiseSource::generator() const noexcept { return state_->generator; }

std::span<const std::byte, 32> NoiseSource::key() const noexcept { return state_->key; }

void NoiseSource::claim(const Position& position, std::uint64_t count) {
  if (position.first > kLastIndex || count > kLastIndex - position.first)
    throw accounting::UnusableInput("position.first",
                                    std::to_string(position.first) + " with " + std::to_string(count) + " draws",
                                    "first + count at most 2^56");
  if (count == 0) return;
  const std::uint64_t end = position.first + count;
  if (!add_range(state_->used[{position.stream, position.step}], position.first, end))
    throw ReusedNoise("draws [" + std::to_string(position.first) + ", " + std::to_string(end) + ") of stream " +
                      std::to_string(position.stream) + " at step " + std::to_string(position.step) +
                      " were used before; a new step, stream or range is needed");
}

void NoiseSource::claim_attention(std::uint32_t stream, std::uint32_t first_step, std::uint32_t count) {
  const std::uint64_t end = std::uint64_t{first_step} + count;
  if (end > std::uint64_t{1} << 32)
    throw accounting::UnusableInput("first_step",
                                    std::to_string(first_step) + " with " + std::to_string(count) + " steps",
                                    "first_step + count at most 2^32");
  if (count == 0) return;
  if (!add_range(state_->attention[stream], first_step, end))
    throw ReusedNoise("attention noise of stream " + std::to_string(stream) + " at steps [" +
                      std::to_string(first_step) + ", " + std::to_string(end) +
                      ") was used before; a new step or stream is needed");
}

void NoiseSource::normal(std::span<float> out, const Position& position) {
  claim(position, out.size());
  with_draws(*this, draw::Use::normal, position, out.size(),
             [&](std::uint64_t i, std::span<const float> z) { std::memcpy(out.data() + i, z.data(), z.size_bytes()); });
}

void NoiseSource::laplace(std::span<float> out, const Position& position) {
  claim(position, out.size());
  with_draws(*this, draw::Use::laplace, position, out.size(),
             [&](std::uint64_t i, std::span<const float> z) { std::memcpy(out.data() + i, z.data(), z.size_bytes()); });
}

draw::KeyWords key_words(const NoiseSource& source) {
  draw::KeyWords words;
  std::memcpy(words.word, source.key().data(), sizeof words.word);
  return words;
}

}  // namespace dpflash::noise
