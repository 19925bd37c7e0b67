#include "dpflash/noise/private_gradient.hpp"

#include <algorithm>
#include <array>
#include <dpflash/accounting/error.hpp>
#include <string>
#include <utility>

#include "clipping/checks.hpp"
#include "clipping/draw_ranges.hpp"
#include "clipping/number.hpp"
#include "clipping/sums.hpp"
#include "draw/draws.hpp"

namespace dpflash::noise {

using accounting::UnusableInput;

namespace {

void check_denominator(double denominator) {
  if (!(denominator >= 1e-30 && denominator <= 1e30))
    throw UnusableInput("denominator", written(denominator), "a number in [1e-30, 1e30]");
}

void check_clip(const std::string& field, double norm, double clip) {
  if (!(norm <= clip)) throw UnusableInput(field, written(norm), "at most the mechanism's clip " + written(clip));
}

void claim(std::span<const TensorRows> tensors, NoiseSource& source, const Position& position) {
  for (const DrawRange& range : draw_ranges(tensors, position.first))
    source.claim({position.stream, position.step, range.first}, range.count);
}

/// sum + scale z over the denominator for one piece; `out` and `sums` are of the same size.
void add_noise(const NoiseSource& source, const Position& position, float scale, double denominator,
               std::span<const double> sums, std::span<float> out) {
  std::array<float, kSumPiece> z;
  draw(source, draw::Use::normal, position, std::span(z).first(sums.size()));
  for (std::size_t j = 0; j < sums.size(); ++j)
    out[j] = static_cast<float>((sums[j] + static_cast<double>(scale) * static_cast<double>(z[j])) / denominator);
}

}  // namespace

PrivateGradient::PrivateGradient(Clipping clipping, const Isotropic& mechanism, double denominator)
    : clipping_(std::move(clipping)), denominator_(denominator) {
  check_denominator(denominator);
  check_clip("clipping.total_norm", clipping_.total_norm(), mechanism.clip_norm());
  blocks_.assign(clipping_.layers(), {0, mechanism.size(), mechanism.scale()});
}

PrivateGradient::PrivateGradient(Clipping clipping, const BlockDiagonal& mechanism, double denominator)
    : clipping_(std::move(clipping)), denominator_(denominator) {
  check_denominator(denominator);
  check_size("mechanism.blocks", mechanism.table().size(), clipping_.layers(), "one block a layer");
  for (std::size_t l = 0; l < clipping_.layers(); ++l) {
    const BlockDiagonal::Entry& block = mechanism.table()[l];
    check_clip("clipping.norms[" + std::to_string(l) + "]", clipping_.norms()[l], block.clip);
    blocks_.push_back({block.begin, block.begin + block.size, block.scale});
  }
}

void PrivateGradient::check_tensors(std::span<const TensorRows> tensors) const {
  check({tensors, 0}, clipping_.layers());
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const Part& block = blocks_[tensors[t].layer];
    if (tensors[t].offset < block.begin || tensors[t].offset + tensors[t].width > block.end)
      throw UnusableInput(
          "gradients.tensors[" + std::to_string(t) + "].offset", std::to_string(tensors[t].offset),
          "parameters inside the mechanism's [" + std::to_string(block.begin) + ", " + std::to_string(block.end) + ")");
  }
}

void PrivateGradient::check_places(std::span<const TensorRows> tensors, std::span<const std::span<float>> out) const {
  check_tensors(tensors);
  check_size("out", out.size(), tensors.size(), "one a tensor");
  for (std::size_t t = 0; t < tensors.size(); ++t)
    check_size("out[" + std::to_string(t) + "]", out[t].size(), tensors[t].width, "the tensor's width");
}

void PrivateGradient::release(const PerExampleGradients& gradients, NoiseSource& source, const Position& position,
                              std::span<const std::span<float>> out, std::span<float> factors_out) const {
  const std::uint32_t layers = clipping_.layers();
  check(gradients, layers);
  check_places(gradients.tensors, out);
  const std::uint64_t count = gradients.batch * layers;
  if (!factors_out.empty()) check_size("factors_out", factors_out.size(), count, "batch x layers");
  std::vector<double> norms(count);
  std::vector<float> factors(count);
  squared_norms(gradients, layers, norms);
  clipping_.factors(norms, factors);
  claim(gradients.tensors, source, position);
  std::ranges::copy(std::span(factors).first(factors_out.size()), factors_out.begin());
  in_pieces(gradients, [&](std::size_t t, std::uint64_t begin, std::uint64_t end) {
    const TensorRows& tensor = gradients.tensors[t];
    std::array<double, kSumPiece> buffer;
    const std::span<double> sums(buffer.data(), static_cast<std::size_t>(end - begin));
    std::ranges::fill(sums, 0.0);
    add_piece(tensor, gradients.batch, factors, layers, begin, sums);
    add_noise(source, {position.stream, position.step, position.first + tensor.offset + begin},
              blocks_[tensor.layer].scale, denominator_, sums, out[t].subspan(begin, sums.size()));
  });
}

void PrivateGradient::finish(std::span<const TensorRows> tensors, std::span<const std::span<const double>> sums,
                             NoiseSource& source, const Position& position,
                             std::span<const std::span<float>> out) const {
  check_places(tensors, out);
  check_size("sums", sums.size(), tensors.size(), "one a tensor");
  for (std::size_t t = 0; t < tensors.size(); ++t)
    check_size("sums[" + std::to_string(t) + "]", sums[t].size(), tensors[t].width, "the tensor's width");
  claim(tensors, source, position);
  in_pieces({tensors, 0}, [&](std::size_t t, std::uint64_t begin, std::uint64_t end) {
    add_noise(source, {position.stream, position.step, position.first + tensors[t].offset + begin},
              blocks_[tensors[t].layer].scale, denominator_, sums[t].subspan(begin, end - begin),
              out[t].subspan(begin, end - begin));
  });
}

}  // namespace dpflash::noise
