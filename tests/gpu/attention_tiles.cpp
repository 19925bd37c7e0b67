// Blocks that take tile after tile of queries: values, noise, repeats, and what a record may change, with more tiles
// than any device has multiprocessors.
#include "attention_answers.hpp"

using namespace dpflash;
using namespace cases;

namespace {

/// Tiles of 128 queries: five a block and more, on up to 150 multiprocessors.
constexpr std::int64_t kTiles = 750;

struct Case {
  Element element;
  std::int32_t head_dim;
  std::int32_t kv_heads;
  bool causal;
  Window window;
  std::vector<SequenceLengths> lengths;
  bool packed = false;
};

std::vector<SequenceLengths> eight(SequenceLengths one) { return std::vector<SequenceLengths>(8, one); }

/// Sequences of many lengths, without queries, without keys, and with neither.
std::vector<SequenceLengths> ragged() {
  return {{0, 0},     {1600, 900}, {0, 300}, {0, 0}, {1, 1},  {129, 0}, {700, 700}, {1, 2000},
          {500, 900}, {900, 500},  {0, 1},   {3, 5}, {0, 40}, {0, 0},   {2000, 40}, {0, 0}};
}

ReferenceOptions options_of(const Case& c) {
  ReferenceOptions o = cases::options_of(c.lengths, 16, c.kv_heads, c.head_dim, c.packed);
  o.shape.causal = c.causal;
  o.shape.window = c.window;
  std::int64_t tiles = 0;
  for (const SequenceLengths& l : c.lengths) tiles += (l.queries + 127) / 128 * o.shape.heads;
  REQUIRE(tiles >= kTiles);
  return o;
}

std::vector<Case> all_cases() {
  return {{Element::bf16, 64, 4, true, {}, eight({700, 700})},
          {Element::f16, 64, 16, false, {}, eight({700, 300})},
          {Element::bf16, 128, 16, false, {100, 50}, eight({700, 700})},
          {Element::f16, 128, 2, true, {}, eight({700, 300})},
          {Element::bf16, 256, 4, true, {}, eight({700, 400})},
          {Element::f16, 256, 16, false, {130, 0}, eight({700, 700})},
          {Element::bf16, 80, 4, true, {}, ragged(), true},
          {Element::f16, 96, 16, false, {200, 100}, ragged(), true},
          {Element::bf16, 128, 1, false, {}, ragged(), true},
          {Element::bf16, 192, 16, true, {}, ragged(), true}};
}

/// Largest difference from the exact answer, and the largest exact element.
void check_values(const std::vector<std::uint16_t>& bits, Element element, const std::vector<double>& exact) {
  REQUIRE(bits.size() == exact.size());
  double off = 0;
  double largest = 0;
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const double e = std::abs(static_cast<double>(from_bits(element, bits[i])) - exact[i]);
    off = std::isnan(e) ? 1e9 : std::max(off, e);
    largest = std::max(largest, std::abs(exact[i]));
  }
  // A tile too many or too few would be off by as much as answers are large.
  CHECK(off <= (element == Element::bf16 ? 0x1p-7 : 0x1p-10) * largest);
}

}  // namespace

TEST_CASE("tile after tile: values and sums are those of binary64") {
  const gpu::Stream stream;
  std::uint64_t seed = 0;
  for (const Case& c : all_cases()) {
    ++seed;
    if (shrink() > 1 && seed % 4 != 3) continue;
    Problem<double> p(options_of(c), 1.5, seed);
    round_inputs(p, c.element);
    p.run();
    DeviceProblem device(p, c.element, Layout::rows_first, stream);
    CAPTURE(seed);
    on_paths(device, [&](Path path) {
      check_values(clean_of(device, path, stream), c.element, p.clean.values);
      const std::vector<float> lse = device.lse(stream);
      double off = 0;
      for (std::size_t i = 0; i < lse.size(); ++i) {
        const auto x = static_cast<double>(lse[i]);
        if (x != p.lse[i]) off = std::max(off, std::isfinite(x) ? std::abs(x - p.lse[i]) : 1e9);
      }
      CHECK(off < 5e-5);
    });
  }
}

TEST_CASE("tile after tile: noise is the host's") {
  const gpu::Stream stream;
  std::uint32_t number = 0;
  for (const Case& c : all_cases()) {
    ++number;
    if (shrink() > 1 && number % 4 != 3) continue;
    const Generator generator = kGenerators[number % std::size(kGenerators)];
    const ReferenceOptions o = options_of(c);
    const Problem<double> p = without_values(o);
    DeviceProblem device(p, c.element, Layout::rows_first, stream);
    std::vector<float> sigma(16);
    for (std::size_t h = 0; h < sigma.size(); ++h) sigma[h] = 0.125f + 0.03f * static_cast<float>(h);
    const DeviceNoise noise = DeviceNoise::stated(sigma);
    const noise::Position at{number, 5, 0};
    CAPTURE(number);
    on_paths(device, [&](Path path) {
      auto draws = source(generator);
      device.run(path, noise, {draws, at}, stream);
      CHECK(differences(device.out(stream), expected_noise(o, c.element, draws, at, sigma)) == 0);
    });
  }
}

TEST_CASE("tile after tile: 250 repeats give the same bits") {
  const gpu::Stream stream;
  for (const Case& c : {Case{Element::bf16, 128, 4, true, {}, eight({650, 333})},
                        Case{Element::f16, 64, 16, false, {}, eight({650, 200})},
                        Case{Element::bf16, 80, 4, true, {}, ragged(), true}}) {
    Problem<double> p(options_of(c), 3, 7);
    round_inputs(p, c.element);
    DeviceProblem device(p, c.element, Layout::rows_first, stream);
    check_repeats(device, stream);
  }
}

TEST_CASE("tile after tile: what does not see a record keeps every bit") {
  const gpu::Stream stream;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<SequenceLengths> packed = ragged();
  std::swap(packed[1], packed[6]);
  for (const Case& c : {Case{Element::bf16, 64, 4, true, {}, eight({700, 700})},
                        Case{Element::f16, 128, 16, false, {90, 20}, eight({700, 700})},
                        Case{Element::bf16, 256, 4, false, {33, 40}, eight({700, 500})},
                        Case{Element::bf16, 80, 4, true, {}, packed, true}}) {
    if (shrink() > 1 && c.head_dim != 80) continue;
    const ReferenceOptions o = options_of(c);
    Problem<double> p(o, 1, 4);
    round_inputs(p, c.element);
    constexpr std::int64_t kRecord = 437;
    DeviceProblem device(p, c.element, Layout::rows_first, stream);
    on_paths(device, [&](Path path) {
      DeviceProblem changing(p, c.element, Layout::rows_first, stream);
      const std::vector<std::uint16_t> first = clean_of(changing, path, stream);
      for (const double becomes : {0.0, 65504.0, -65504.0, nan}) {
        changing.fill_record(c.lengths[0].keys + kRecord, becomes, stream);
        const std::vector<std::uint16_t> second = clean_of(changing, path, stream);
        CHECK(changed_unseen(o, kRecord, first, second) == 0);
        CHECK(first != second);
      }
    });
  }
}

TEST_CASE("one long sequence among thousands of short ones costs no more than its rows") {
  const gpu::Stream stream;
  if (shrink() > 1) return;
  std::vector<SequenceLengths> lengths(3000, SequenceLengths{1, 3});
  lengths[1234] = {65536, 1024};
  const ReferenceOptions o = cases::options_of(lengths, 1, 1, 64, true);
  Problem<double> p(o, 1, 1);
  round_inputs(p, Element::bf16);
  DeviceProblem device(p, Element::bf16, Layout::rows_first, stream);
  const DeviceNoise noise = DeviceNoise::stated(std::vector<float>(1, 0.5f));
  on_paths(device, [&](Path path) {
    auto draws = source(Generator::philox);
    device.run(path, noise, {draws, noise::Position{1, 2, 0}}, stream);
    std::size_t bad = 0;
    for (const std::uint16_t bits : device.out(stream)) bad += (bits & 0x7fffu) > 0x7f80u;
    CHECK(bad == 0);
    device.options().path = path;
    const double tensors = 2.0 * 64 * (2 * (65536 + 2999) + 2 * (1024 + 3 * 2999));
    const auto bytes = static_cast<double>(attention::workspace_bytes(device.tensors(), device.options()));
    MESSAGE(name_of(path) << ": work space " << bytes << " bytes beside " << tensors);
    CHECK(bytes < 0.008 * tensors);
  });
}
