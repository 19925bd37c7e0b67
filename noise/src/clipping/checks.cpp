#include "clipping/checks.hpp"

#include <dpflash/accounting/error.hpp>

#include "clipping/number.hpp"

namespace dpflash::noise {

using accounting::UnusableInput;

namespace {

constexpr std::uint64_t kMostElements = std::uint64_t{1} << 56;

void check(const TensorRows& tensor, const std::string& field, std::uint64_t batch, std::uint32_t layers) {
  if (tensor.width > kMostElements || tensor.offset > kMostElements - tensor.width)
    throw UnusableInput(field + ".offset",
                        std::to_string(tensor.offset) + " with width " + std::to_string(tensor.width),
                        "offset + width at most 2^56");
  if (tensor.stride != 0 && tensor.stride < tensor.width)
    throw UnusableInput(field + ".stride", std::to_string(tensor.stride),
                        "0, or at least the width " + std::to_string(tensor.width));
  if (tensor.layer >= layers)
    throw UnusableInput(field + ".layer", std::to_string(tensor.layer),
                        "below the " + std::to_string(layers) + " layers");
  if (tensor.data == nullptr && tensor.width > 0 && batch > 0)
    throw UnusableInput(field + ".data", "a null pointer", "rows of floats");
}

}  // namespace

void check(const PerExampleGradients& gradients, std::uint32_t layers) {
  if (gradients.batch > kLargestBatch)
    throw UnusableInput("gradients.batch", std::to_string(gradients.batch), "at most 2^20 examples");
  if (gradients.tensors.size() > kMostTensors)
    throw UnusableInput("gradients.tensors", std::to_string(gradients.tensors.size()) + " tensors", "at most 2^16");
  for (std::size_t t = 0; t < gradients.tensors.size(); ++t)
    check(gradients.tensors[t], "gradients.tensors[" + std::to_string(t) + "]", gradients.batch, layers);
}

void check_size(const std::string& field, std::size_t size, std::uint64_t expected, const char* meaning) {
  if (size != expected)
    throw UnusableInput(field, std::to_string(size) + " numbers", std::to_string(expected) + ", " + meaning);
}

void check_norm(const std::string& field, double norm) {
  if (!(norm >= 1e-30 && norm <= 1e30)) throw UnusableInput(field, written(norm), "a number in [1e-30, 1e30]");
}

}  // namespace dpflash::noise
