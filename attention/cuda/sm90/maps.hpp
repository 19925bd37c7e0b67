// Tensor maps for the copy engine.
#pragma once

#include <cuda.h>

#include "cuda/forward.hpp"

namespace dpflash::attention::cuda {

/// Whether the copy engine takes a tensor: base and strides in multiples of 16 bytes.
bool takes_view(const View& view, const Forward& problem, bool queries);

/// The map of q, k or v: boxes of 64 columns and `box_rows` rows, 128-byte swizzle, zeros outside of the tensor.
CUtensorMap map_of(const View& view, const Forward& problem, bool queries, int box_rows);

int multiprocessors();

}  // namespace dpflash::attention::cuda
