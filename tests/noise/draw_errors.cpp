// The draws against long double: every radius, every angle, rare words, and what docs/math/randomness.md states.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <vector>

#include "draw/laplace.hpp"
#include "draw/normal.hpp"

using namespace dpflash;

namespace {

constexpr long double kPi = std::numbers::pi_v<long double>;
constexpr std::uint32_t kCells = 1u << 24;
constexpr std::uint32_t kRareCells = draw::kNormalRareBelow >> 8;

// docs/math/randomness.md, section 3.
constexpr double kRadiusSquaredError = 2.9e-7;
constexpr double kRadiusError = 1.9e-7;
constexpr double kCosineError = 1.7e-7;
constexpr double kSineError = 7.1e-7;
constexpr double kLaplaceError = 3.3e-7;

long double minus_two_log(long double u) { return -2 * (u > 0.5L ? std::log1p(u - 1) : std::log(u)); }

double relative(float value, long double exact) {
  return static_cast<double>(std::abs(static_cast<long double>(value) - exact) / exact);
}

/// 88 bits as a fraction, rounded to 64 bits.
long double fraction(std::uint32_t cell, std::uint32_t e1, std::uint32_t e0) {
  return std::ldexp(static_cast<long double>(cell), -24) + std::ldexp(static_cast<long double>(e1), -56) +
         std::ldexp(static_cast<long double>(e0), -88);
}

/// Words that matter: every octave's ends and neighbours.
std::vector<std::uint32_t> boundaries() {
  std::vector<std::uint32_t> words{0, 0xffffffffu};
  for (int k = 0; k < 32; ++k)
    for (int off = -2; off <= 2; ++off) words.push_back((1u << k) + static_cast<std::uint32_t>(off));
  return words;
}

struct Pair {
  float z0;
  float z1;
};
Pair pair_of(float radius_squared, std::uint32_t angle) {
  Pair pair{};
  draw::normal_pair(radius_squared, angle, pair.z0, pair.z1);
  return pair;
}

}  // namespace

TEST_CASE("every radius that is not rare keeps its error, and its cell's width bounds the coupling") {
  double squared = 0;
  double root = 0;
  double coupling = 0;
  double excess = 0;
  long double mean = 0;
  long double upper = std::sqrt(minus_two_log(std::ldexp(static_cast<long double>(kRareCells), -24)));
  for (std::uint32_t cell = kRareCells; cell < kCells; ++cell) {
    const float r2 = draw::radius_squared(cell << 8 | (cell & 0xffu));
    const float r = draw::square_root(r2);
    const long double u = std::ldexp(static_cast<long double>(cell) + 0.5L, -24);
    const long double middle = minus_two_log(u);
    squared = std::max(squared, relative(r2, middle));
    const long double exact = std::sqrt(middle);
    root = std::max(root, relative(r, exact));
    // Ideal radii of this cell run from `lower` to `upper`.
    const long double lower = cell + 1 == kCells ? 0 : std::sqrt(minus_two_log(u + 0x1p-25L));
    const long double off = std::max(upper - static_cast<long double>(r), static_cast<long double>(r) - lower);
    coupling = std::max(coupling, static_cast<double>(off));
    const long double allowed = exact * (0x1p-25L / (u - 0x1p-25L) / middle + static_cast<long double>(kRadiusError));
    if (cell + 16 < kCells) excess = std::max(excess, static_cast<double>(off / allowed));
    mean += static_cast<long double>(r2);
    upper = lower;
  }
  // The mean of r^2 over the rare radii, exactly: integral of -2 ln u below 2^-15.
  const long double rare = 0x1p-15L * (2 + 30 * std::numbers::ln2_v<long double>);
  const long double variance = (mean / kCells + rare) / 2;
  MESSAGE("r^2 " << squared << ", r " << root << ", |r - R| " << coupling << ", share of the bound " << excess
                 << ", E r^2 / 2 - 1 = " << static_cast<double>(variance - 1));
  CHECK(squared <= kRadiusSquaredError);
  CHECK(root <= kRadiusError);
  CHECK(coupling <= 2.5e-4);
  CHECK(excess <= 1.02);
  CHECK(std::abs(static_cast<double>(variance - 1)) <= 1e-7);
}

TEST_CASE("rare radii keep their error in every octave and reach eleven standard deviations") {
  double worst = 0;
  float largest = 0;
  bool finite = true;
  std::mt19937 random(1);
  const auto check = [&](std::uint32_t cell, std::uint32_t e1, std::uint32_t e0) {
    const float r2 = draw::rare_radius_squared(cell << 8 | 0xabu, e1, e0);
    finite = finite && std::isfinite(r2);
    largest = std::max(largest, r2);
    const long double u = std::max(fraction(cell, e1, e0), 0x1p-88L);
    worst = std::max(worst, relative(r2, minus_two_log(u)));
  };
  const std::vector<std::uint32_t> ends = boundaries();
  for (std::uint32_t cell = 0; cell < kRareCells; ++cell) {
    for (const std::uint32_t e1 : ends) check(cell, e1, static_cast<std::uint32_t>(random()));
    for (int i = 0; i < 2000; ++i)
      check(cell, static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random()));
  }
  for (const std::uint32_t e1 : ends)
    for (const std::uint32_t e0 : ends) check(0, e1, e0);
  for (int k = 0; k < 64; ++k)
    for (int i = 0; i < 2000; ++i) {
      const std::uint64_t e = ((std::uint64_t{random()} << 32) | random()) >> k;
      check(0, static_cast<std::uint32_t>(e >> 32), static_cast<std::uint32_t>(e));
    }
  MESSAGE("rare r^2 " << worst << ", largest radius " << std::sqrt(largest));
  CHECK(worst <= kRadiusSquaredError);
  CHECK(finite);
  CHECK(std::sqrt(largest) >= 11.04);
  CHECK(pair_of(largest, 0x00400000u).z0 >= 11.04f);
  CHECK(pair_of(largest, 0x80400000u).z0 <= -11.04f);
  CHECK(pair_of(largest, 0x00000000u).z1 <= -11.04f);
  CHECK(pair_of(largest, 0x007fffffu).z1 >= 11.04f);
}

TEST_CASE("radii do not jump where rare words begin") {
  const float last = draw::rare_radius_squared(draw::kNormalRareBelow - 1, 0xffffffffu, 0xffffffffu);
  const float first = draw::radius_squared(draw::kNormalRareBelow);
  // Half a cell of the first radius lies between them: 2 ln(512.5 / 512).
  CHECK(last - first > 0);
  CHECK(static_cast<double>(last - first) <= 2 * std::log(512.5 / 512) + 1e-5);
}

TEST_CASE("every angle keeps cosine and sine within their errors, and the circle is covered evenly") {
  bool mirror = true;
  int zeros = 0;
  double cosine = 0;
  double sine = 0;
  long double sum_sine = 0;
  long double cosine_squared = 0;
  long double sine_squared = 0;
  for (std::uint32_t angle = 0; angle < (1u << 23); ++angle) {
    // Pairs of words share the middle of their cell.
    const long double theta = kPi * (std::ldexp(static_cast<long double>(angle | 1u), -23) - 0.5L);
    // A squared radius of 1 shows cosine and sine themselves; the other bits of an angle word do not matter.
    const Pair at = pair_of(1.0f, angle | 0x55000000u);
    const Pair mirrored = pair_of(1.0f, angle | 0x80000000u);
    zeros += at.z0 == 0 || at.z1 == 0 ? 1 : 0;
    mirror = mirror && mirrored.z0 == -at.z0 && mirrored.z1 == at.z1;
    const long double c = static_cast<long double>(at.z0);
    const long double s = static_cast<long double>(at.z1);
    cosine = std::max(cosine, static_cast<double>(std::abs(c - std::cos(theta))));
    sine = std::max(sine, static_cast<double>(std::abs(s - std::sin(theta))));
    sum_sine += s;
    cosine_squared += c * c;
    sine_squared += s * s;
  }
  const long double angles = 0x1p23L;
  MESSAGE("cosine " << cosine << ", sine " << sine << ", E sine " << static_cast<double>(sum_sine / angles)
                    << ", 2 E c^2 - 1 = " << static_cast<double>(2 * cosine_squared / angles - 1)
                    << ", 2 E s^2 - 1 = " << static_cast<double>(2 * sine_squared / angles - 1));
  CHECK(mirror);
  CHECK(zeros == 0);
  CHECK(cosine <= kCosineError);
  CHECK(sine <= kSineError);
  CHECK(sum_sine == 0);
  CHECK(std::abs(static_cast<double>(2 * cosine_squared / angles - 1)) <= 3e-7);
  CHECK(std::abs(static_cast<double>(2 * sine_squared / angles - 1)) <= 3e-7);
}

TEST_CASE("a pair stays within the stated distance of its ideal one") {
  std::mt19937_64 random(2);
  double worst = 0;
  for (int i = 0; i < 4000000; ++i) {
    const auto word = static_cast<std::uint32_t>(random() >> (i % 3 == 0 ? 32 + i % 15 : 32));
    const auto angle = static_cast<std::uint32_t>(random());
    const auto [e1, e0] = std::pair(static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random()));
    const bool rare = word < draw::kNormalRareBelow;
    const Pair z = pair_of(rare ? draw::rare_radius_squared(word, e1, e0) : draw::radius_squared(word), angle);
    // The ideal pair: the same leading bits, anything after them.
    const auto tail = std::ldexp(static_cast<long double>(random() >> 1) + 0.5L, -63);
    const long double u =
        rare ? fraction(word >> 8, e1, e0) : std::ldexp(static_cast<long double>(word >> 8) + tail, -24);
    const long double turn = std::ldexp(static_cast<long double>(angle & 0x7fffffu) + 1 - tail, -23) - 0.5L;
    const long double radius = std::sqrt(minus_two_log(u));
    const long double x = radius * std::cos(kPi * turn) * ((angle >> 31) != 0 ? -1 : 1);
    const long double y = radius * std::sin(kPi * turn);
    const long double off0 = static_cast<long double>(z.z0) - x;
    const long double off1 = static_cast<long double>(z.z1) - y;
    const auto distance = static_cast<double>(std::sqrt(off0 * off0 + off1 * off1));
    const auto r = static_cast<double>(radius);
    const double low = std::max(static_cast<double>(u) - 0x1p-24, 0x1p-25);
    const double cell = rare ? 0 : std::min(0x1p-25 / low / r, 2.5e-4);
    worst = std::max(worst, distance / (cell + 1.4e-6 * r));
  }
  MESSAGE("share of the bound " << worst);
  CHECK(worst <= 1);
}

TEST_CASE("no word makes a normal or Laplace draw that is not a finite number") {
  const std::vector<std::uint32_t> words = boundaries();
  bool finite = true;
  float largest = 0;
  const auto see = [&](float z) {
    finite = finite && std::isfinite(z);
    largest = std::max(largest, std::abs(z));
  };
  for (const std::uint32_t word : words)
    for (const std::uint32_t angle : words) {
      const Pair z = pair_of(draw::radius_squared(word), angle);
      see(z.z0);
      see(z.z1);
      for (const std::uint32_t e0 : words) {
        if (word < draw::kNormalRareBelow) {
          const Pair rare = pair_of(draw::rare_radius_squared(word, angle, e0), e0);
          see(rare.z0);
          see(rare.z1);
        }
        if (draw::laplace_is_rare(word)) see(draw::rare_laplace_of(word, angle, e0) / 7);
      }
      see(draw::laplace_of(word) / 7);
    }
  CHECK(finite);
  CHECK(largest <= 11.05f);
}

TEST_CASE("Laplace draws keep their error in every octave, both signs, and reach 66 scales") {
  double worst = 0;
  bool signs = true;
  const auto check = [&](std::uint32_t word) {
    if (draw::laplace_is_rare(word)) return;
    const long double u = std::ldexp(static_cast<long double>(draw::laplace_magnitude(word)), -32);
    const float z = draw::laplace_of(word);
    signs = signs && std::signbit(z) == ((word >> 31) != 0);
    worst = std::max(worst, relative(std::abs(z), minus_two_log(u) / 2));
  };
  for (const std::uint32_t word : boundaries()) check(word);
  for (std::uint64_t word = 0; word < (std::uint64_t{1} << 32); word += 509) check(static_cast<std::uint32_t>(word));
  for (std::uint32_t near = 0; near < (1u << 20); ++near) check(0x7fffffffu - near);

  double rare = 0;
  float largest = 0;
  std::mt19937 random(3);
  const auto check_rare = [&](std::uint32_t word, std::uint32_t e1, std::uint32_t e0) {
    const std::uint32_t magnitude = (word << 1) | (e0 & 1u);
    const long double u = std::ldexp(static_cast<long double>(magnitude), -32) +
                          std::ldexp(static_cast<long double>(e1), -64) + std::ldexp(static_cast<long double>(e0), -96);
    const float z = std::abs(draw::rare_laplace_of(word, e1, e0));
    largest = std::max(largest, z);
    rare = std::max(rare, relative(z, minus_two_log(std::max(u, 0x1p-96L)) / 2));
  };
  for (std::uint32_t word = 0; word < (1u << 15); ++word) {
    signs = signs && draw::laplace_is_rare(word);
    for (int i = 0; i < 30; ++i)
      check_rare(word | (i % 2 == 0 ? 0x80000000u : 0), static_cast<std::uint32_t>(random()),
                 static_cast<std::uint32_t>(random()));
  }
  for (const std::uint32_t e1 : boundaries())
    for (const std::uint32_t e0 : boundaries()) check_rare(0, e1, e0);
  MESSAGE("Laplace " << worst << ", rare " << rare << ", largest " << largest);
  CHECK(signs);
  CHECK_FALSE(draw::laplace_is_rare(1u << 15));
  CHECK(worst <= kLaplaceError);
  CHECK(rare <= kLaplaceError);
  CHECK(largest >= 66.5f);
  CHECK(largest <= 66.6f);
}
