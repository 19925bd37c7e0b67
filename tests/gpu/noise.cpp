// Noise on the device: the host's bits for every generator, element, structure, size, place and alignment.
#include <dpflash/accounting/error.hpp>

#include "device_cases.hpp"
#include "dpflash/noise/device.hpp"

using namespace dpflash;
using namespace cases;
using noise::Position;

namespace {

const std::uint64_t kSizes[] = {0, 1, 3, 127, 640, 1024, 5003};
const std::uint64_t kFirsts[] = {0, 1, 2, 639, 1283};

/// host.privatise for floats, and the function of elements.hpp for the rest.
template <class Mechanism, class T>
void on_host(const Mechanism& mechanism, std::vector<T>& x, NoiseSource& draws, const Position& position) {
  if constexpr (std::is_same_v<T, float>)
    mechanism.privatise(x, draws, position);
  else
    noise::privatise(mechanism, std::span<T>(x), draws, position);
}

/// Calls act(generator, shift, position).
template <class Act>
void for_places(Act&& act) {
  std::size_t shift = 0;
  for (const Generator generator : kGenerators)
    for (const std::uint64_t first : kFirsts) {
      act(generator, shift, Position{5, 6, first});
      shift = (shift + 1) % 9;
    }
}

template <class T, class Mechanism, class OnDevice>
void check_same(const Mechanism& mechanism, Generator generator, std::size_t shift, const Position& position,
                OnDevice&& run) {
  CAPTURE(noise::name_of(generator));
  CAPTURE(sizeof(T));
  CAPTURE(shift);
  CAPTURE(position.first);
  CAPTURE(mechanism.size());
  const gpu::Stream stream;
  std::vector<T> expected = random_elements<T>(mechanism.size(), 3);
  const Shifted<T> device(expected, shift, stream);
  auto host_draws = source(generator);
  auto device_draws = source(generator);
  on_host(mechanism, expected, host_draws, position);
  run(device.span(), noise::DrawFrom(device_draws, position), stream.handle());
  CHECK(difference(device.download(stream), expected) == "");
}

template <class T>
void check_isotropic() {
  for_places([](Generator generator, std::size_t shift, const Position& position) {
    for (const std::uint64_t size : kSizes) {
      if (size == 0) continue;
      const noise::Isotropic mechanism(size, 0.7, gaussian());
      check_same<T>(mechanism, generator, shift, position,
                    [&](auto span, const auto& from, auto stream) { noise::privatise(mechanism, span, from, stream); });
    }
  });
}

template <class T>
void check_weighted() {
  for_places([](Generator generator, std::size_t shift, const Position& position) {
    for (const std::uint64_t size : kSizes) {
      if (size == 0) continue;
      std::vector<float> weights(size);
      for (std::size_t i = 0; i < size; ++i) weights[i] = 0.5f + 0.001f * static_cast<float>(i % 997);
      const noise::Weighted mechanism(weights, 0.7, gaussian());
      check_same<T>(mechanism, generator, shift, position, [&](auto span, const auto& from, auto stream) {
        noise::DeviceWeighted(mechanism, stream).privatise(span, from, stream);
        gpu::synchronise(stream);
      });
    }
  });
}

template <class T>
void check_blocks() {
  for_places([](Generator generator, std::size_t shift, const Position& position) {
    const noise::Block blocks[] = {{1, 1}, {640, 0.5}, {3, 2}, {5000, 0.25}, {639, 4}, {1, 1}, {128, 3}};
    const noise::BlockDiagonal mechanism(blocks, noise::Allocation::least_error, gaussian());
    check_same<T>(mechanism, generator, shift, position, [&](auto span, const auto& from, auto stream) {
      noise::DeviceBlockDiagonal(mechanism, stream).privatise(span, from, stream);
      gpu::synchronise(stream);
    });
  });
}

noise::Mask mask_of(std::size_t kind) {
  constexpr std::size_t kSize = 7001;
  if (kind == 0) return noise::Mask::n_of_m(kSize, 2, 4, 1);
  if (kind == 1) return noise::Mask::every_kth(kSize, 97);
  if (kind == 2) return noise::Mask::n_of_m(kSize, 1, 1);
  const std::uint64_t one[] = {kSize - 1};
  return noise::Mask::of_indices(kSize, one);
}

template <class T>
void check_sparse() {
  for_places([](Generator generator, std::size_t shift, const Position& position) {
    const noise::Sparse mechanism(mask_of(shift % 4), 0.7, gaussian());
    check_same<T>(mechanism, generator, shift, position, [&](auto span, const auto& from, auto stream) {
      noise::DeviceSparse device(mechanism, stream);
      device.privatise(span, from, stream);
      gpu::synchronise(stream);
    });
    // The compact release holds the same numbers.
    const gpu::Stream stream;
    std::vector<T> whole = random_elements<T>(mechanism.size(), 3);
    const Shifted<T> data(whole, shift, stream);
    const Shifted<T> values(std::vector<T>(mechanism.draws()), shift % 3, stream);
    const noise::DeviceSparse device(mechanism, stream.handle());
    auto host_draws = source(generator);
    auto device_draws = source(generator);
    device.release(data.view(), values.span(), {device_draws, position}, stream.handle());
    on_host(mechanism, whole, host_draws, position);
    std::vector<T> kept;
    for (const std::uint64_t at : mechanism.mask().kept()) kept.push_back(whole[at]);
    CHECK(difference(values.download(stream), kept) == "");
  });
}

}  // namespace

TEST_CASE_TEMPLATE("isotropic noise is the host's", T, float, BFloat16, Float16) { check_isotropic<T>(); }
TEST_CASE_TEMPLATE("weighted noise is the host's", T, float, BFloat16, Float16) { check_weighted<T>(); }
TEST_CASE_TEMPLATE("block-diagonal noise is the host's", T, float, BFloat16, Float16) { check_blocks<T>(); }
TEST_CASE_TEMPLATE("sparse noise is the host's", T, float, BFloat16, Float16) { check_sparse<T>(); }

TEST_CASE("Laplace noise is the host's") {
  const auto calibration = Calibration::laplace_stated(accounting::NoiseMultiplier(1.25), accounting::Delta(1e-5));
  for_places([&](Generator generator, std::size_t shift, const Position& position) {
    for (const std::uint64_t size : {std::uint64_t{1}, std::uint64_t{513}, (std::uint64_t{3} << 20) / shrink()}) {
      const noise::Laplace mechanism(size, 0.7, calibration);
      check_same<float>(mechanism, generator, shift, position, [&](auto span, const auto& from, auto stream) {
        noise::privatise(mechanism, span, from, stream);
      });
    }
  });
}

TEST_CASE("millions of draws, the rare ones among them") {
  const std::uint64_t size = (std::uint64_t{1} << 25) / shrink() + 3;
  const noise::Isotropic mechanism(size, 0.7, gaussian());
  for (const Generator generator : kGenerators)
    check_same<float>(mechanism, generator, 0, {1, 2, 4}, [&](auto span, const auto& from, auto stream) {
      noise::privatise(mechanism, span, from, stream);
    });
}

TEST_CASE_TEMPLATE("any cut into shards gives the whole", T, float, BFloat16) {
  const noise::Block blocks[] = {{1, 1}, {640, 0.5}, {3, 2}, {3000, 0.25}};
  const noise::BlockDiagonal diagonal(blocks, noise::Allocation::same_share, gaussian());
  const noise::Isotropic isotropic(diagonal.size(), 0.7, gaussian());
  std::vector<float> weights(diagonal.size(), 0.5f);
  weights[700] = 2;
  const noise::Weighted weighted(weights, 1, gaussian());
  const noise::Sparse sparse(noise::Mask::n_of_m(diagonal.size(), 1, 3), 1, gaussian());
  const gpu::Stream stream;
  const Position position{1, 2, 17};
  const std::vector<T> data = random_elements<T>(diagonal.size(), 3);
  for (const std::size_t cut : {std::size_t{0}, std::size_t{1}, std::size_t{641}, std::size_t{1999}, data.size()}) {
    const auto check = [&](const auto& mechanism, auto&& on_part) {
      std::vector<T> expected = data;
      auto host_draws = source(Generator::chacha20);
      on_host(mechanism, expected, host_draws, position);
      const Shifted<T> device(data, 0, stream);
      auto draws = source(Generator::chacha20);
      on_part(DeviceSpan<T>{device.data() + cut, data.size() - cut}, cut, noise::DrawFrom(draws, position));
      on_part(DeviceSpan<T>{device.data(), cut}, std::size_t{0}, noise::DrawFrom(draws, position));
      CHECK(difference(device.download(stream), expected) == "");
      CHECK_THROWS_AS(on_part(device.span(), std::size_t{0}, noise::DrawFrom(draws, position)), noise::ReusedNoise);
    };
    check(isotropic, [&](auto part, std::size_t begin, const auto& from) {
      noise::privatise_shard(isotropic, part, begin, from, stream.handle());
    });
    check(diagonal, [&](auto part, std::size_t begin, const auto& from) {
      const noise::DeviceBlockDiagonal shard(diagonal, begin, part.size, stream.handle());
      shard.privatise(part, from, stream.handle());
      stream.synchronise();
    });
    check(weighted, [&](auto part, std::size_t begin, const auto& from) {
      const noise::DeviceWeighted shard(weighted, begin, part.size, stream.handle());
      shard.privatise(part, from, stream.handle());
      stream.synchronise();
    });
    check(sparse, [&](auto part, std::size_t begin, const auto& from) {
      noise::DeviceSparse shard(sparse, begin, part.size, stream.handle());
      shard.privatise(part, from, stream.handle());
      stream.synchronise();
    });
  }
}

TEST_CASE("wrong sizes are refused, and no draw is used") {
  const noise::Isotropic mechanism(100, 1, gaussian());
  const gpu::Stream stream;
  const Shifted<float> data(std::vector<float>(101), 0, stream);
  auto draws = source(Generator::philox);
  CHECK_THROWS_AS(noise::privatise(mechanism, data.span(), {draws, {}}, stream.handle()), accounting::UnusableInput);
  CHECK_THROWS_AS(noise::privatise_shard(mechanism, data.span(), 1, {draws, {}}, stream.handle()),
                  accounting::UnusableInput);
  const DeviceSpan<float> right{data.data(), 100};
  CHECK_THROWS_AS(noise::privatise(mechanism, right, {draws, {0, 0, ~std::uint64_t{0} - 1}}, stream.handle()),
                  accounting::UnusableInput);
  noise::privatise(mechanism, right, {draws, {}}, stream.handle());
  CHECK_THROWS_AS(noise::privatise(mechanism, right, {draws, {}}, stream.handle()), noise::ReusedNoise);
  stream.synchronise();
}

TEST_CASE("two streams at once give what one after another gives") {
  const noise::Isotropic mechanism(100003, 0.7, gaussian());
  const std::vector<float> data = random_elements<float>(100003, 9);
  const gpu::Stream streams[2];
  const Shifted<float> first(data, 0, streams[0]);
  const Shifted<float> second(data, 1, streams[1]);
  auto draws = source(Generator::chacha20);
  auto host_draws = source(Generator::chacha20);
  for (std::uint32_t step = 0; step < 20; ++step) {
    noise::privatise(mechanism, first.span(), {draws, {1, step, 0}}, streams[0].handle());
    noise::privatise(mechanism, second.span(), {draws, {2, step, 0}}, streams[1].handle());
  }
  std::vector<float> expected[2] = {data, data};
  for (std::uint32_t step = 0; step < 20; ++step)
    for (std::uint32_t s = 0; s < 2; ++s) mechanism.privatise(expected[s], host_draws, {1 + s, step, 0});
  CHECK(difference(first.download(streams[0]), expected[0]) == "");
  CHECK(difference(second.download(streams[1]), expected[1]) == "");
}
