// Which words make which draws: docs/math/randomness.md, section 2. The host's own loops, with words set by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "draw/chacha.hpp"
#include "draw/grid_normal.hpp"
#include "draw/kernels.hpp"
#include "draw/laplace.hpp"
#include "draw/normal.hpp"
#include "draw/philox.hpp"

namespace dpflash::noise::kernels::set_by_hand {
#include "draw/kernels.inl"
}

using namespace dpflash;
namespace by_hand = dpflash::noise::kernels::set_by_hand;

namespace {

using WordName = std::array<std::uint32_t, 5>;  // counter, place

WordName name_of(const draw::Counter& counter, std::uint32_t place) {
  return {counter.word[0], counter.word[1], counter.word[2], counter.word[3], place};
}

/// All words are 0 but one; and the names of all that were asked for while there was none.
struct Words {
  WordName special{};
  std::uint32_t special_value = 0;
  bool has_special = false;
  std::set<WordName> seen;
};
Words words_now;

/// A generator whose words are `words_now`.
template <int count>
struct Hand {
  static constexpr int words = count;
  using Key = draw::KeyWords;
  static Key expand(const draw::KeyWords& key) { return key; }
  static void block(const Key&, const draw::Counter& counter, std::uint32_t (&out)[count]) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const WordName name = name_of(counter, i);
      if (!words_now.has_special) words_now.seen.insert(name);
      out[i] = words_now.has_special && name == words_now.special ? words_now.special_value : 0;
    }
  }
};

constexpr noise::kernels::Run kRun{{{1, 2, 3, 4, 5, 6, 7, 8}}, 9, 10, 0};

/// Normals lane by lane, as a device makes them, for whole groups.
template <class Source>
void lane_draws(const noise::kernels::Run& run, std::vector<float>& out) {
  using Layout = draw::NormalLayout<Source>;
  const auto key = Source::expand(run.key);
  for (std::uint64_t group = 0; group < out.size() / Layout::group; ++group)
    for (std::uint32_t lane = 0; lane < 32; ++lane) {
      float z[4 * Layout::quads];
      draw::lane_normals<Source>(key, run.first / Layout::group + group, lane, run.step, run.stream, z);
      for (std::uint32_t i = 0; i < 4 * Layout::quads; ++i)
        out[group * Layout::group + i / 4 * 128 + lane * 4 + i % 4] = z[i];
    }
}

template <class Source>
std::vector<double> draws(draw::Use use, std::size_t count) {
  std::vector<double> out(count);
  if (use == draw::Use::grid_normal) {
    std::vector<std::int64_t> grid(count);
    by_hand::fill_grid<Source>(kRun, 65536.0, grid.data(), count);
    std::transform(grid.begin(), grid.end(), out.begin(), [](std::int64_t k) { return static_cast<double>(k); });
  } else {
    std::vector<float> z(count);
    if (use == draw::Use::normal)
      lane_draws<Source>(kRun, z);
    else
      by_hand::fill_by_lanes<Source::words / 4>(
          0, z.data(), count, [](std::uint64_t group, std::uint32_t lane, float(&out_of)[Source::words]) {
            by_hand::block_of_laplace<Source>(kRun, (group << 5) | lane, out_of);
          });
    std::transform(z.begin(), z.end(), out.begin(), [](float value) { return static_cast<double>(value); });
  }
  return out;
}

struct Influence {
  std::map<std::uint64_t, std::set<WordName>> words_of;  ///< of each draw
  bool one_owner = true;                                 ///< no word serves two owners
};

/// Changes every word that the draws read, one at a time, and sees which draws change. `owner` draws belong together.
template <class Source>
Influence influence(draw::Use use, std::size_t count, std::uint64_t owner) {
  Influence result;
  words_now = {};
  const std::vector<double> plain = draws<Source>(use, count);
  const std::set<WordName> names = words_now.seen;
  for (const WordName& name : names) {
    words_now.special = name;
    words_now.special_value = 0x80c0ff43u;
    words_now.has_special = true;
    const std::vector<double> changed = draws<Source>(use, count);
    std::set<std::uint64_t> owners;
    for (std::uint64_t i = 0; i < count; ++i)
      if (changed[i] != plain[i] || std::signbit(changed[i]) != std::signbit(plain[i])) {
        owners.insert(i / owner);
        result.words_of[i].insert(name);
      }
    result.one_owner = result.one_owner && owners.size() <= 1;
  }
  words_now = {};
  return result;
}

template <class Source>
void check_ownership() {
  // All words zero: every draw is rare, so that refills are among the words.
  const std::size_t count = 2 * draw::NormalLayout<Source>::group;
  for (const auto& [use, owner] :
       {std::pair(draw::Use::normal, 4u), std::pair(draw::Use::laplace, 1u), std::pair(draw::Use::grid_normal, 1u)}) {
    const Influence found = influence<Source>(use, count, owner);
    CHECK(found.one_owner);
    CHECK(found.words_of.size() == count);
  }
}

}  // namespace

TEST_CASE("a word serves one quad of normals, one Laplace or one grid draw, refills included") {
  check_ownership<Hand<4>>();
  check_ownership<Hand<16>>();
}

TEST_CASE("the host's loops place draws as the layout says") {
  const auto check = [](auto source, noise::kernels::Bits bits) {
    using Source = decltype(source);
    noise::kernels::Run run = kRun;
    run.first = 7 * draw::NormalLayout<Source>::group;
    // Long enough to meet some hundred rare radii.
    std::vector<float> lanes(4000 * draw::NormalLayout<Source>::group);
    lane_draws<Source>(run, lanes);
    std::vector<float> filled(lanes.size());
    noise::kernels::fill_of(bits)(run, draw::Use::normal, filled.data(), filled.size());
    CHECK(std::memcmp(lanes.data(), filled.data(), lanes.size() * sizeof(float)) == 0);
    noise::kernels::generic::fill_of(bits)(run, draw::Use::normal, filled.data(), filled.size());
    CHECK(std::memcmp(lanes.data(), filled.data(), lanes.size() * sizeof(float)) == 0);
  };
  check(draw::Philox{}, noise::kernels::Bits::philox);
  check(draw::ChaCha<12>{}, noise::kernels::Bits::chacha12);
  check(draw::ChaCha<20>{}, noise::kernels::Bits::chacha20);
}

TEST_CASE("three words make four normals: upper bytes the radii, the rest the angles") {
  const auto quad = [](const std::array<std::uint32_t, 3>& x) {
    std::array<float, 4> z{};
    draw::normal_quad(draw::radius_squared(x[0]), draw::radius_squared(x[1]), x[0], x[1], x[2], z.data());
    return z;
  };
  std::mt19937 random(1);
  std::set<int> bits_that_matter;
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::array<std::uint32_t, 3> w{};
    for (std::uint32_t& word : w) word = static_cast<std::uint32_t>(random()) | 0x10000000u;
    const std::array<float, 4> plain = quad(w);
    for (std::uint32_t bit = 0; bit < 96; ++bit) {
      std::array<std::uint32_t, 3> x = w;
      x[bit / 32] ^= 1u << bit % 32;
      const std::array<float, 4> z = quad(x);
      const bool first = z[0] != plain[0] || z[1] != plain[1];
      const bool second = z[2] != plain[2] || z[3] != plain[3];
      const bool belongs_to_first = bit / 32 != 1 && bit % 32 >= 8;
      CHECK_FALSE((belongs_to_first ? second : first));
      if (first || second) bits_that_matter.insert(static_cast<int>(bit));
    }
  }
  // An angle's last bit gives way to the middle of its cell: bit 8 of the third word for the first pair, of the lowest
  // bytes the first one's for the second.
  CHECK(bits_that_matter.size() == 94);
  CHECK(bits_that_matter.count(64 + 8) == 0);
  CHECK(bits_that_matter.count(0) == 0);
}

TEST_CASE("whether a radius is rare depends on its own 24 bits alone") {
  for (std::uint32_t low = 0; low < 256; ++low) {
    CHECK(((draw::kNormalRareBelow - 256) | low) < draw::kNormalRareBelow);
    CHECK_FALSE((draw::kNormalRareBelow | low) < draw::kNormalRareBelow);
    CHECK(draw::radius_squared(0x12345600u | low) == draw::radius_squared(0x12345600u));
    CHECK(draw::rare_radius_squared(0x5600u | low, 7, 8) == draw::rare_radius_squared(0x5600u, 7, 8));
  }
}

TEST_CASE("counters keep every field apart, up to the last index") {
  std::set<std::array<std::uint32_t, 4>> counters;
  std::size_t count = 0;
  constexpr std::uint64_t last = (std::uint64_t{1} << 56) - 1;
  for (const std::uint64_t block : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0xffffffff},
                                    std::uint64_t{1} << 32, std::uint64_t{1} << 55, last})
    for (std::uint32_t use = 0; use < 8; ++use)
      for (std::uint32_t refill = 0; refill < 32; ++refill)
        for (const std::uint32_t step : {0u, 1u, 0xffffffffu})
          for (const std::uint32_t stream : {0u, 1u, 0xffffffffu}) {
            const auto c = draw::counter_of(block, static_cast<draw::Use>(use), refill, step, stream);
            counters.insert({c.word[0], c.word[1], c.word[2], c.word[3]});
            ++count;
          }
  CHECK(counters.size() == count);
}

TEST_CASE("the last draws a source may claim stay within 56 bits of block number") {
  constexpr std::uint64_t last = (std::uint64_t{1} << 56) - 1;
  constexpr std::uint64_t limit = std::uint64_t{1} << 56;
  using Four = draw::NormalLayout<Hand<4>>;
  using Sixteen = draw::NormalLayout<Hand<16>>;
  CHECK(Four::group == 512);
  CHECK(Sixteen::group == 640);
  CHECK(Four::block_of(last / Four::group, 31, 2) < limit);
  CHECK(Sixteen::block_of(last / Sixteen::group, 31, 0) < limit);
  CHECK(draw::grid_address_of<4>(last).block < limit);
  CHECK(draw::grid_address_of<16>(last).block < limit);
  CHECK(draw::address_of<4>(last).block < limit);
  CHECK(draw::address_of<16>(last).block < limit);
}
