// How tensors are addressed: strides that pass 2^31 elements, and strides of 0.
#include <cuda_runtime_api.h>

#include "attention_cases.hpp"

using namespace dpflash;
using namespace cases;

namespace {

/// Copies rows of a small tensor to and from places far apart.
struct Far {
  std::int64_t batch_stride;
  std::int64_t row_stride;
  std::int64_t head_stride;
  [[nodiscard]] std::int64_t at(std::int64_t b, std::int64_t i, std::int64_t h) const {
    return b * batch_stride + i * row_stride + h * head_stride;
  }
};

struct Sizes {
  std::int64_t batch;
  std::int64_t rows;
  std::int64_t heads;
  std::int64_t columns;
};

template <class Act>
void for_all(const Sizes& n, Act&& act) {
  for (std::int64_t b = 0; b < n.batch; ++b)
    for (std::int64_t i = 0; i < n.rows; ++i)
      for (std::int64_t h = 0; h < n.heads; ++h) act(b, i, h);
}

void scatter(const std::vector<std::uint16_t>& bits, const Sizes& n, const Far& far, std::uint16_t* device,
             const gpu::Stream& stream) {
  std::size_t from = 0;
  for_all(n, [&](std::int64_t b, std::int64_t i, std::int64_t h) {
    gpu::copy_to_device(device + far.at(b, i, h), bits.data() + from, static_cast<std::size_t>(n.columns) * 2,
                        stream.handle());
    from += static_cast<std::size_t>(n.columns);
  });
  stream.synchronise();
}

std::vector<std::uint16_t> gather(const Sizes& n, const Far& far, const std::uint16_t* device,
                                  const gpu::Stream& stream) {
  std::vector<std::uint16_t> bits(static_cast<std::size_t>(n.batch * n.rows * n.heads * n.columns));
  std::size_t to = 0;
  for_all(n, [&](std::int64_t b, std::int64_t i, std::int64_t h) {
    gpu::copy_to_host(bits.data() + to, device + far.at(b, i, h), static_cast<std::size_t>(n.columns) * 2,
                      stream.handle());
    to += static_cast<std::size_t>(n.columns);
  });
  stream.synchronise();
  return bits;
}

std::vector<std::uint16_t> bits_of(const Rows<double>& rows, Element element) {
  std::vector<std::uint16_t> bits;
  for (const double x : rows.values) bits.push_back(to_bits(element, static_cast<float>(x)));
  return bits;
}

}  // namespace

TEST_CASE("strides that pass 2^31 elements give what small strides give") {
  constexpr std::int64_t kPast = (std::int64_t{1} << 31) + 4096;
  const gpu::Stream stream;
  std::size_t free = 0;
  std::size_t total = 0;
  gpu::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  // Inputs share one allocation, at different columns of their rows; outputs have another.
  const std::size_t elements = kPast + (std::size_t{1} << 21);
  if (free < 2 * elements * 2 + (std::size_t{1} << 30) || shrink() > 1) {
    MESSAGE("SKIPPED: needs " << (4 * elements >> 30) + 1 << " GiB of free device memory");
    return;
  }
  const gpu::Memory inputs(elements * 2);
  const gpu::Memory outputs(elements * 2);
  auto* const in = static_cast<std::uint16_t*>(inputs.data());
  auto* const out = static_cast<std::uint16_t*>(outputs.data());
  for (const int dimension : {0, 1, 2}) {
    ReferenceOptions o;
    o.shape.lengths.assign(dimension == 0 ? 2 : 1, {dimension == 1 ? 3 : 70, dimension == 1 ? 3 : 70});
    o.shape.heads = o.shape.kv_heads = dimension == 2 ? 3 : 2;
    o.shape.causal = true;
    o.clips = {{2.0}, {2.0}, {1.0}};
    Problem<double> p(o, 1, 3);
    round_inputs(p, Element::bf16);
    const Sizes n{static_cast<std::int64_t>(o.shape.lengths.size()), o.shape.lengths[0].queries, o.shape.heads, 64};
    // Rows of 64 columns in pitches of 256: q, k and v side by side.
    Far far{kPast / 8 * 8, 256 * n.heads, 256};
    if (dimension == 1) far = {0, kPast / 2 / 8 * 8, 256};
    if (dimension == 2) far = {0, 256, kPast / 2 / 8 * 8};
    scatter(bits_of(p.q, Element::bf16), n, far, in, stream);
    scatter(bits_of(p.k, Element::bf16), n, far, in + 64, stream);
    scatter(bits_of(p.v, Element::bf16), n, far, in + 128, stream);
    DeviceProblem small(p, Element::bf16, Layout::rows_first, stream);
    const DeviceNoise noise = DeviceNoise::stated(std::vector<float>(static_cast<std::size_t>(n.heads), 0.5f));
    for (const Path path : kPaths) {
      if (const std::string why = small.refusal(path); !why.empty()) {
        report_refusal(path, why);
        continue;
      }
      CAPTURE(dimension);
      CAPTURE(name_of(path));
      auto draws = source(Generator::philox);
      small.run(path, noise, {draws, dpflash::noise::Position{1, 1, 0}}, stream);
      const std::vector<std::uint16_t> expected = small.out(stream);
      ForwardTensors& t = small.tensors();
      const ForwardTensors near = t;
      t.q = {in, far.batch_stride, far.row_stride, far.head_stride};
      t.k = {in + 64, far.batch_stride, far.row_stride, far.head_stride};
      t.v = {in + 128, far.batch_stride, far.row_stride, far.head_stride};
      t.out = {out, far.batch_stride, far.row_stride, far.head_stride};
      t.clean = {};
      auto same = source(Generator::philox);
      small.queue(path, noise, {same, dpflash::noise::Position{1, 1, 0}}, stream);
      stream.synchronise();
      CHECK(gather(n, far, out, stream) == expected);
      t = near;
    }
  }
}

TEST_CASE("keys and values that all sequences share are read where they are") {
  const gpu::Stream stream;
  for (const Element element : {Element::bf16, Element::f16}) {
    ReferenceOptions o;
    o.shape.lengths.assign(3, {33, 150});
    o.shape.heads = 4;
    o.shape.kv_heads = 2;
    o.clips = {{2.0}, {2.0}, {1.0}};
    Problem<double> p(o, 1, 3);
    round_inputs(p, element);
    // Every sequence's keys are the first one's; so the strides may say.
    for (Rows<double>* rows : {&p.k, &p.v})
      for (std::int64_t b = 1; b < 3; ++b) std::copy_n(rows->row(0, 0), 150 * 2 * 64, rows->row(b * 150, 0));
    const DeviceNoise noise = DeviceNoise::stated(std::vector<float>(4, 0.5f));
    for (const Path path : kPaths) {
      DeviceProblem device(p, element, Layout::rows_first, stream);
      if (const std::string why = device.refusal(path); !why.empty()) {
        report_refusal(path, why);
        continue;
      }
      CAPTURE(name_of(path));
      auto draws = source(Generator::philox);
      device.run(path, noise, {draws, dpflash::noise::Position{1, 1, 0}}, stream);
      const std::vector<std::uint16_t> copied = device.out(stream);
      device.tensors().k.batch_stride = device.tensors().v.batch_stride = 0;
      if (const std::string why = device.refusal(path); !why.empty()) {
        report_refusal(path, why);
        continue;
      }
      auto same = source(Generator::philox);
      device.run(path, noise, {same, dpflash::noise::Position{1, 1, 0}}, stream);
      CHECK(device.out(stream) == copied);
    }
  }
}
