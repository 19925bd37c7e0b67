#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <string>
#include <utility>

#include "clip/clip.hpp"
#include "clipping/checks.hpp"
#include "clipping/number.hpp"

namespace dpflash::noise {

namespace {

/// sqrt of the sum of squares, rounded up: squares of [1e-30, 1e30], at most 2^16 of them, relative error below 2^-34.
double root_of_squares(const std::vector<double>& norms) {
  if (norms.size() == 1) return norms[0];
  double sum = 0;
  for (const double norm : norms) sum += norm * norm;
  const double additions = static_cast<double>(norms.size()) + 8;
  return std::sqrt(sum) * (1 + additions * 0x1p-53);
}

}  // namespace

Clipping::Clipping(std::vector<double> norms, double gamma) : norms_(std::move(norms)), gamma_(gamma) {
  for (const double norm : norms_) reduced_.push_back(norm * (1 - clip::kSumCharge));
  total_norm_ = root_of_squares(norms_);
}

Clipping Clipping::flat(double norm) {
  check_norm("norm", norm);
  return Clipping({norm}, 0);
}

Clipping Clipping::per_layer(std::vector<double> norms) {
  if (norms.empty() || norms.size() > kMostTensors)
    throw accounting::UnusableInput("norms", std::to_string(norms.size()) + " layers", "1 to 2^16 layers");
  for (std::size_t l = 0; l < norms.size(); ++l) check_norm("norms[" + std::to_string(l) + "]", norms[l]);
  return Clipping(std::move(norms), 0);
}

Clipping Clipping::per_layer_equal(double norm, std::uint32_t layers) {
  check_norm("norm", norm);
  if (layers == 0 || layers > kMostTensors)
    throw accounting::UnusableInput("layers", std::to_string(layers), "1 to 2^16 layers");
  const double share = layers == 1 ? norm : norm / std::sqrt(static_cast<double>(layers)) * (1 - 0x1p-35);
  return per_layer(std::vector<double>(layers, share));
}

Clipping Clipping::automatic(double norm, double gamma) {
  check_norm("norm", norm);
  if (!(gamma > 0 && gamma <= 1e30 && norm / gamma <= 1e30))
    throw accounting::UnusableInput("gamma", written(gamma), "a number in (0, 1e30], at least norm / 1e30");
  return Clipping({norm}, gamma);
}

void Clipping::factors(std::span<const double> squared_norms, std::span<float> out) const {
  if (squared_norms.size() % layers() != 0)
    throw accounting::UnusableInput("squared_norms", std::to_string(squared_norms.size()) + " numbers",
                                    "a multiple of the " + std::to_string(layers()) + " layers");
  check_size("out", out.size(), squared_norms.size(), "one factor a squared norm");
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = clip::factor(squared_norms[i], reduced_[i % layers()], gamma_);
}

}  // namespace dpflash::noise
