// What the clipping functions refuse.
#pragma once

#include <string>

#include "dpflash/noise/clipping.hpp"

namespace dpflash::noise {

/// Throws UnusableInput for what no view of gradients may hold.
void check(const PerExampleGradients& gradients, std::uint32_t layers);

/// Throws UnusableInput unless `size` is `expected`; `meaning` says what that is.
void check_size(const std::string& field, std::size_t size, std::uint64_t expected, const char* meaning);

/// Throws UnusableInput unless `norm` is in [1e-30, 1e30].
void check_norm(const std::string& field, double norm);

/// Rows lie this many elements apart.
inline std::uint64_t stride_of(const TensorRows& tensor) { return tensor.stride == 0 ? tensor.width : tensor.stride; }

}  // namespace dpflash::noise
