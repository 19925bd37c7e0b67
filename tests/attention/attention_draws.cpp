// The noise of attention outputs: its law, its counters, and what it does not depend on.
#include <cstring>
#include <set>

#include "../noise/statistics.hpp"
#include "draw/attention_normal.hpp"
#include "reference/draws.hpp"
#include "reference_cases.hpp"

using namespace dpflash;
using namespace cases;
using noise::Generator;
using noise::NoiseSource;
using noise::Position;

namespace {

constexpr Generator kGenerators[] = {Generator::philox, Generator::chacha12, Generator::chacha20};
/// Rate of false alarms of each statistical test below, over all of its p-values (Bonferroni). Keys are fixed: a test
/// that passes once passes always.
constexpr double kFalseAlarms = 1e-4;

/// Standard draws of `rows` rows of a plane.
std::vector<float> draws(const NoiseSource& source, const Position& at, std::uint64_t plane, std::uint32_t groups,
                         std::int64_t columns) {
  const auto a_group = static_cast<std::size_t>(16 * columns);
  std::vector<float> z(groups * a_group);
  for (std::uint32_t g = 0; g < groups; ++g)
    attention::attention_draws(source, at.stream, at.step, plane, g, columns, z.data() + g * a_group);
  return z;
}

double correlation(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum / std::sqrt(static_cast<double>(a.size()));
}

ReferenceOptions options_of(std::vector<SequenceLengths> lengths, bool packed) {
  ReferenceOptions o;
  o.shape.lengths = std::move(lengths);
  o.shape.heads = 4;
  o.shape.kv_heads = 2;
  o.shape.head_dim = 40;
  o.clips = {{1.0}, {1.0}, {1.0}};
  o.packed = packed;
  return o;
}

/// A generator whose words are all 0, so that every radius is rare, and that keeps the counters it was asked for.
template <int count>
struct Recorder {
  static constexpr int words = count;
  struct Key {
    std::set<std::vector<std::uint32_t>>* seen;
    std::size_t* asked;
  };
  static void block(const Key& key, const draw::Counter& counter, std::uint32_t (&out)[words]) {
    key.seen->insert(std::vector<std::uint32_t>(counter.word, counter.word + 4));
    ++*key.asked;
    for (std::uint32_t& word : out) word = 0;
  }
};

}  // namespace

TEST_CASE("draws of every head are standard normal") {
  constexpr std::uint64_t kHeads = 8;
  for (const Generator generator : kGenerators)
    for (std::uint64_t head = 0; head < kHeads; ++head) {
      const auto source = NoiseSource::reproducible(generator, 5);
      std::vector<float> z = draws(source, {1, 2, 0}, head, 128, 96);
      double squares = 0;
      for (const float x : z) squares += static_cast<double>(x) * static_cast<double>(x);
      const auto n = static_cast<double>(z.size());
      const test::FitStatistics fit = test::fit_statistics(z, test::normal_below, test::normal_above);
      // Three p-values for each of 24 samples.
      constexpr double level = kFalseAlarms / 72;
      CHECK(test::kolmogorov_p_value(fit.kolmogorov, n) > level);
      CHECK(test::anderson_darling_p_value(fit.anderson_darling) > level);
      CHECK(test::two_sided((squares - n) / std::sqrt(2 * n)) > level);
    }
}

TEST_CASE("rows, columns, heads, steps and streams are uncorrelated") {
  const auto source = NoiseSource::reproducible(Generator::chacha20, 6);
  constexpr std::int64_t kColumns = 64;
  const std::vector<float> z = draws(source, {3, 4, 0}, 5, 64, kColumns);
  std::vector<double> scores;
  const auto compare = [&](const std::vector<float>& other) { scores.push_back(correlation(z, other)); };
  compare(draws(source, {3, 5, 0}, 5, 64, kColumns));
  compare(draws(source, {4, 4, 0}, 5, 64, kColumns));
  compare(draws(source, {4, 3, 0}, 5, 64, kColumns));
  compare(draws(source, {3, 4, 0}, 6, 64, kColumns));
  compare(draws(source, {3, 4, 0}, 5 + (1u << 21), 64, kColumns));
  compare(draws(NoiseSource::reproducible(Generator::chacha20, 7), {3, 4, 0}, 5, 64, kColumns));
  compare(draws(NoiseSource::reproducible(Generator::chacha12, 6), {3, 4, 0}, 5, 64, kColumns));
  // Shifts by columns, rows, a lane's two rows, and groups.
  for (const std::size_t shift : {1, 2, 8, 32, 64, 64 * 8, 64 * 16, 64 * 17}) {
    const std::span<const float> all(z);
    scores.push_back(correlation(all.first(z.size() - shift), all.subspan(shift)));
    std::vector<float> squares(z);
    for (float& x : squares) x = (x * x - 1) / std::numbers::sqrt2_v<float>;
    const std::span<const float> of_squares(squares);
    scores.push_back(correlation(of_squares.first(z.size() - shift), of_squares.subspan(shift)));
  }
  for (const double score : scores) CHECK(test::two_sided(score) > kFalseAlarms / static_cast<double>(scores.size()));
}

TEST_CASE("a draw depends on its plane, row and column alone") {
  for (const Generator generator : kGenerators) {
    const auto source = NoiseSource::reproducible(generator, 8);
    const std::vector<float> wide = draws(source, {1, 1, 0}, 3, 2, 256);
    for (const std::int64_t columns : {1, 7, 32, 33, 80, 255}) {
      const std::vector<float> narrow = draws(source, {1, 1, 0}, 3, 2, columns);
      for (std::int64_t row = 0; row < 32; ++row)
        CHECK(std::memcmp(narrow.data() + row * columns, wide.data() + row * 256,
                          static_cast<std::size_t>(columns) * sizeof(float)) == 0);
    }
    // Every element has a draw of its own.
    CHECK(std::set<float>(wide.begin(), wide.end()).size() == wide.size());
  }
}

TEST_CASE("the noise is the same padded and packed, and is added by one rounding") {
  const std::vector<SequenceLengths> lengths = {{5, 9}, {37, 20}, {16, 16}};
  const ReferenceOptions packed_options = options_of(lengths, true);
  const ReferenceOptions padded_options = options_of({{37, 20}, {37, 20}, {37, 20}}, false);
  const float sigma[] = {0.5f, 1.0f, 2.0f, 0.125f};
  for (const Generator generator : kGenerators) {
    Problem<float> packed(packed_options, 1, 1);
    Problem<float> padded(padded_options, 1, 1);
    auto source = NoiseSource::reproducible(generator, 9);
    auto same = NoiseSource::reproducible(generator, 9);
    attention::private_reference(packed.tensors(), packed_options, sigma, source, {7, 8, 0});
    attention::private_reference(padded.tensors(), padded_options, sigma, same, {7, 8, 0});
    for_rows(packed_options.shape,
             [&](std::size_t b, std::int64_t first, std::int64_t, std::int64_t i, std::int64_t h) {
               std::vector<float> z(16 * 40);
               attention::attention_draws(source, 7, 8, b * 4 + static_cast<std::size_t>(h),
                                          static_cast<std::uint32_t>(i / 16), 40, z.data());
               const std::int64_t row = static_cast<std::int64_t>(b) * 37 + i;
               const float deviation = sigma[static_cast<std::size_t>(h)];
               for (std::int64_t d = 0; d < 40; ++d) {
                 const float draw = z[static_cast<std::size_t>(i % 16 * 40 + d)];
                 CHECK(packed.out.row(first + i, h)[d] == std::fma(deviation, draw, packed.clean.row(first + i, h)[d]));
                 CHECK(padded.out.row(row, h)[d] == std::fma(deviation, draw, padded.clean.row(row, h)[d]));
               }
             });
  }
}

TEST_CASE("deviations can be given for every head and row") {
  const ReferenceOptions o = options_of({{3, 4}, {5, 2}}, true);
  std::vector<float> sigma(4 * 5);
  for (std::size_t i = 0; i < sigma.size(); ++i) sigma[i] = 0.25f * static_cast<float>(i + 1);
  Problem<float> p(o, 1, 2);
  auto source = NoiseSource::reproducible(Generator::philox, 10);
  attention::private_reference(p.tensors(), o, sigma, source, {});
  for_rows(o.shape, [&](std::size_t b, std::int64_t first, std::int64_t, std::int64_t i, std::int64_t h) {
    std::vector<float> z(16 * 40);
    attention::attention_draws(source, 0, 0, b * 4 + static_cast<std::size_t>(h), 0, 40, z.data());
    const float deviation = sigma[static_cast<std::size_t>(h * 5 + i)];
    for (std::int64_t d = 0; d < 40; ++d)
      CHECK(p.out.row(first + i, h)[d] ==
            std::fma(deviation, z[static_cast<std::size_t>(i * 40 + d)], p.clean.row(first + i, h)[d]));
  });
}

TEST_CASE("rows that see nothing get noise, and a stream and step is used once") {
  ReferenceOptions o = options_of({{20, 0}}, false);
  Problem<double> p(o, 1, 3);
  const float sigma[] = {1, 1, 1, 1};
  auto source = NoiseSource::reproducible(Generator::chacha20, 11);
  attention::private_reference(p.tensors(), o, sigma, source, {1, 5, 0});
  for (const double x : p.clean.values) CHECK(x == 0);
  for (const double x : p.out.values) CHECK((std::isfinite(x) && x != 0));
  CHECK_THROWS_AS(attention::private_reference(p.tensors(), o, sigma, source, {1, 5, 0}), noise::ReusedNoise);
  CHECK_THROWS_AS(attention::private_reference(p.tensors(), o, sigma, source, {1, 6, 1}), std::invalid_argument);
  attention::private_reference(p.tensors(), o, sigma, source, {1, 6, 0});
  const float none[] = {1, 1, 0, 1};
  CHECK_THROWS_AS(attention::private_reference(p.tensors(), o, none, source, {1, 7, 0}), std::invalid_argument);
}

TEST_CASE("the layout of draws is what it was") {
  // Elements (0, 0), (9, 41) and (15, 255) of the rows from 96 on of plane 5, stream 3, step 4, seed 2, as this code
  // gave them when the layout was fixed.
  const float pinned[3][3] = {{-0x1.3f199ep+0f, 0x1.70ab94p-6f, 0x1.771308p+0f},
                              {-0x1.0aa626p+0f, -0x1.f71976p+0f, 0x1.0271ep-1f},
                              {0x1.42124p-1f, 0x1.44a598p-4f, -0x1.03dcf8p-1f}};
  for (std::size_t g = 0; g < 3; ++g) {
    std::vector<float> z(16 * 256);
    attention::attention_draws(NoiseSource::reproducible(kGenerators[g], 2), 3, 4, 5, 6, 256, z.data());
    CHECK(z[0] == pinned[g][0]);
    CHECK(z[9 * 256 + 41] == pinned[g][1]);
    CHECK(z[15 * 256 + 255] == pinned[g][2]);
  }
}

// Counters. A word is named by (counter, place in the block). attention_group is injective on planes below 2^22, row
// groups below 2^24 and column blocks below 2^3: disjoint bit fields of 49 bits. A block is (group * blocks + b) * 32 +
// lane with b < blocks <= 3 and lane < 32, a mixed radix: injective, and below 2^49 * 3 * 32 < 2^56, so that it fits
// the counter's field. Quad q < 4 has words 3q to 3q + 2 of the lane's twelve, and refill words of block b = 0 with
// refill 1 + q (four words a block: all its own) or refill 1, words 4q to 4q + 3 (sixteen words). Refills stay below
// 2^5. Uses have three bits of their own: no other use has these counters.
TEST_CASE("counters stay in their field and never collide, up to the ends of the ranges") {
  const auto last = draw::attention_group(draw::kAttentionMaxPlanes - 1, (1u << 24) - 1, 7);
  CHECK(last == (std::uint64_t{1} << 49) - 1);
  CHECK(draw::kAttentionMaxRows == std::uint64_t{16} << 24);
  CHECK(draw::kAttentionMaxColumns == 32 << 3);
  CHECK(draw::AttentionLayout<draw::Philox>::block_of(last, 31, 2) < std::uint64_t{1} << 56);
  CHECK(draw::AttentionLayout<draw::ChaCha<20>>::block_of(last, 31, 0) < std::uint64_t{1} << 56);
}

TEST_CASE_TEMPLATE("every word and refill has a counter of its own", Source, Recorder<4>, Recorder<16>) {
  std::set<std::vector<std::uint32_t>> seen;
  std::size_t asked = 0;
  std::size_t quads = 0;
  for (const std::uint64_t plane : {0ull, 1ull, 2ull, 3ull, (1ull << 21), (1ull << 22) - 1})
    for (const std::uint32_t group : {0u, 1u, 2u, 3u, 1u << 23, (1u << 24) - 1})
      for (const std::uint32_t block : {0u, 1u, 7u})
        for (std::uint32_t lane = 0; lane < 32; ++lane)
          for (const std::uint32_t step : {0u, ~0u}) {
            float z[16];
            draw::attention_normals<Source>({&seen, &asked}, draw::attention_group(plane, group, block), lane, step,
                                            step ^ 5u, z);
            quads += 4;
            for (const float x : z) REQUIRE(std::isfinite(x));
          }
  // Four-word blocks are each asked for once. Of sixteen words one block serves four quads' refills.
  if (Source::words == 4) {
    CHECK(seen.size() == asked);
    CHECK(asked == quads / 4 * 7);
  } else {
    CHECK(asked == quads / 4 * 5);
    CHECK(seen.size() == quads / 4 * 2);
  }
  for (const auto& counter : seen) REQUIRE((counter[1] >> 24 & 7u) == static_cast<std::uint32_t>(draw::Use::attention));
}

TEST_CASE("no draw is shared with other mechanisms at the same stream and step") {
  for (const Generator generator : kGenerators) {
    auto source = NoiseSource::reproducible(generator, 12);
    std::vector<float> other(1 << 16);
    source.normal(other, {1, 2, 0});
    const std::vector<float> z = draws(source, {1, 2, 0}, 0, 64, 64);
    REQUIRE(z.size() == other.size());
    CHECK(test::two_sided(correlation(z, other)) > kFalseAlarms / 3);
    std::size_t equal = 0;
    for (std::size_t i = 0; i < z.size(); ++i) equal += z[i] == other[i];
    CHECK(equal < 8);
  }
}
