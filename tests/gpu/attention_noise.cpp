// Noise of the attention kernels: the host's draws bit for bit, whatever the layout, kernel or graph.
#include <dpflash/accounting/error.hpp>

#include "attention_answers.hpp"
#include "device_graph.hpp"

using namespace dpflash;
using namespace cases;
using noise::GraphSteps;
using noise::Position;

namespace {

std::vector<float> table_of(std::size_t size) {
  std::vector<float> sigma(size);
  for (std::size_t i = 0; i < size; ++i) sigma[i] = 0.1f + 0.01f * static_cast<float>(i % 89);
  return sigma;
}

}  // namespace

TEST_CASE("noise is the host's, for every generator, element, width and kernel") {
  const gpu::Stream stream;
  const std::vector<std::vector<SequenceLengths>> lengths = {
      {{1, 7}}, {{3, 3}, {3, 3}}, {{97, 33}}, {{203, 0}}, {{130, 64}, {130, 64}, {130, 64}}};
  std::size_t number = 0;
  for (const std::int32_t head_dim : {32, 40, 64, 80, 96, 128, 192, 256})
    for (const Element element : {Element::bf16, Element::f16})
      for (const Generator generator : kGenerators) {
        ++number;
        if (shrink() > 1 && number % 7 != 0) continue;
        const ReferenceOptions o = options_of(lengths[number % lengths.size()], 6, 2, head_dim);
        const Problem<double> p = without_values(o);
        DeviceProblem device(p, element, number % 2 == 0 ? Layout::rows_first : Layout::gaps, stream);
        const bool rows = number % 3 == 0;
        const auto most = static_cast<std::size_t>(o.shape.lengths[0].queries);
        const std::vector<float> sigma = table_of(rows ? 6 * most : 6);
        const DeviceNoise noise = rows ? DeviceNoise::stated(sigma, 6, stream.handle()) : DeviceNoise::stated(sigma);
        const Position at{static_cast<std::uint32_t>(number), 3, 0};
        CAPTURE(head_dim);
        CAPTURE(number);
        on_paths(device, [&](Path path) {
          auto draws = source(generator);
          device.run(path, noise, {draws, at}, stream);
          CHECK(differences(device.out(stream), expected_noise(o, element, draws, at, sigma)) == 0);
          std::size_t not_zero = 0;
          for (const std::uint16_t bits : device.clean(stream)) not_zero += (bits & 0x7fffu) != 0;
          CHECK(not_zero == 0);
        });
      }
}

TEST_CASE("a packed sequence has the noise and the values it has alone in a padded batch") {
  const gpu::Stream stream;
  const std::vector<SequenceLengths> lengths = {{5, 40}, {203, 203}, {0, 3}, {97, 12}, {1, 1}};
  for (const Element element : {Element::bf16, Element::f16})
    for (const std::int32_t head_dim : {64, 80}) {
      const ReferenceOptions o = options_of(lengths, 4, 2, head_dim, true);
      Problem<double> packed(o, 1, 5);
      round_inputs(packed, element);
      DeviceProblem device(packed, element, Layout::rows_first, stream);
      const std::vector<float> sigma = {0.5f, 0.25f, 1.0f, 2.0f};
      const DeviceNoise noise = DeviceNoise::stated(sigma);
      on_paths(device, [&](Path path) {
        auto draws = source(Generator::chacha20);
        device.run(path, noise, {draws, Position{1, 2, 0}}, stream);
        const std::vector<std::uint16_t> whole = device.out(stream);
        std::int64_t first_q = 0;
        std::int64_t first_k = 0;
        for (std::size_t b = 0; b < lengths.size(); ++b) {
          // The sequence at the same place of a batch of its own shape: the same planes.
          const SequenceLengths& l = lengths[b];
          const ReferenceOptions one = options_of(std::vector<SequenceLengths>(lengths.size(), l), 4, 2, head_dim);
          Problem<double> padded(one, 1, 6);
          round_inputs(padded, element);
          const auto place = static_cast<std::int64_t>(b);
          std::copy_n(packed.q.row(first_q, 0), l.queries * 4 * head_dim, padded.q.row(place * l.queries, 0));
          std::copy_n(packed.k.row(first_k, 0), l.keys * 2 * head_dim, padded.k.row(place * l.keys, 0));
          std::copy_n(packed.v.row(first_k, 0), l.keys * 2 * head_dim, padded.v.row(place * l.keys, 0));
          DeviceProblem alone(padded, element, Layout::rows_first, stream);
          auto same = source(Generator::chacha20);
          alone.run(path, noise, {same, Position{1, 2, 0}}, stream);
          const std::vector<std::uint16_t> part = alone.out(stream);
          const auto size = static_cast<std::ptrdiff_t>(l.queries * 4 * head_dim);
          CHECK(std::equal(part.begin() + place * size, part.begin() + (place + 1) * size,
                           whole.begin() + first_q * 4 * head_dim));
          first_q += l.queries;
          first_k += l.keys;
        }
      });
    }
}

TEST_CASE("250 repeats give the same bits") {
  const gpu::Stream stream;
  ReferenceOptions o = options_of({{300, 333}, {300, 333}}, 4, 2, 128);
  o.shape.causal = true;
  for (const Element element : {Element::bf16, Element::f16}) {
    Problem<double> p(o, 3, 7);
    round_inputs(p, element);
    DeviceProblem device(p, element, Layout::rows_first, stream);
    check_repeats(device, stream);
  }
}

TEST_CASE("replays draw at one step after another, then give NaN") {
  const gpu::Stream stream;
  for (const bool packed : {false, true})
    for (const Generator generator : kGenerators) {
      const ReferenceOptions o = options_of({{97, 20}, {97, 20}}, 4, 2, 64, packed);
      const Problem<double> p = without_values(o);
      const std::vector<float> sigma = {0.5f, 0.25f, 1.0f, 2.0f};
      const DeviceNoise noise = DeviceNoise::stated(sigma);
      DeviceProblem device(p, Element::bf16, Layout::rows_first, stream);
      on_paths(device, [&](Path path) {
        device.prepare(path);
        device.poison(stream);
        auto draws = source(generator);
        GraphSteps steps(7, 10, 3, 2, stream.handle());
        const Graph graph(stream, [&] { device.queue(path, noise, {draws, steps, 0}, stream); });
        // All steps belong to that launch.
        CHECK_THROWS_AS(device.queue(path, noise, {draws, steps, 0}, stream), noise::ReusedNoise);
        CHECK_THROWS_AS(draws.claim_attention(7, 12), noise::ReusedNoise);
        for (std::uint32_t step = 10; step < 13; ++step) {
          graph.replay(stream);
          CHECK(differences(device.out(stream), expected_noise(o, Element::bf16, draws, {7, step, 0}, sigma)) == 0);
        }
        graph.replay(stream);
        std::size_t numbers = 0;
        for (const std::uint16_t bits : device.out(stream)) numbers += (bits & 0x7fffu) <= 0x7f80u;
        CHECK(numbers == 0);
      });
    }
}

TEST_CASE("a step is used once, and what is unusable is named before anything is queued") {
  const gpu::Stream stream;
  const ReferenceOptions o = options_of({{16, 16}}, 4, 2, 64);
  const Problem<double> p(o, 1, 1);
  DeviceProblem device(p, Element::f16, Layout::rows_first, stream);
  const DeviceNoise noise = DeviceNoise::stated(std::vector<float>(4, 1.0f));
  auto draws = source(Generator::chacha12);
  device.run(Path::automatic, noise, {draws, Position{1, 1, 0}}, stream);
  CHECK_THROWS_AS(device.run(Path::automatic, noise, {draws, Position{1, 1, 0}}, stream), noise::ReusedNoise);
  const auto refused = [&](auto&& change) -> std::string {
    DeviceProblem bad(p, Element::f16, Layout::rows_first, stream);
    change(bad.tensors(), bad.options());
    try {
      bad.run(Path::automatic, noise, {draws, Position{1, 2, 0}}, stream);
    } catch (const accounting::UnusableInput& e) {
      return e.field();
    }
    return "";
  };
  CHECK(refused([](auto&, auto& options) { options.clips.q[0] = 100; }) == "scale C_q C_k");
  CHECK(refused([](auto&, auto& options) { options.shape.head_dim = 60; }) == "D");
  CHECK(refused([](auto&, auto& options) { options.shape.window.left = -2; }) == "window[0]");
  CHECK(refused([](auto& t, auto&) { t.out.data = nullptr; }) == "out.data");
  CHECK(refused([](auto& t, auto&) { t.out.data = const_cast<void*>(t.q.data); }) == "out.data");
  CHECK(refused([](auto& t, auto&) { t.k.row_stride = -8; }) == "k.row_stride");
  CHECK(refused([](auto& t, auto&) { t.out.row_stride = 64; }) == "out.row_stride");
  CHECK_THROWS_AS(DeviceNoise::stated(std::vector<float>(4, 0.0f)), accounting::UnusableInput);
  const DeviceNoise other = DeviceNoise::stated(std::vector<float>(3, 1.0f));
  CHECK_THROWS_AS(device.run(Path::automatic, other, {draws, Position{1, 2, 0}}, stream), accounting::UnusableInput);
  CHECK_THROWS_AS(device.run(Path::automatic, noise, {draws, Position{1, 2, 1}}, stream), accounting::UnusableInput);
  // None of these took the step.
  device.run(Path::automatic, noise, {draws, Position{1, 2, 0}}, stream);
}
