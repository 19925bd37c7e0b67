// Tensors of queries, keys, values and outputs, as a pointer and strides.
#pragma once

#include <cstdint>

namespace dpflash::attention {

/// Element (b, i, h, d) is at data + b batch_stride + i row_stride + h head_stride + d: strides in elements, the last
/// dimension contiguous. Packed sequences have no batch: row i of sequence b is row (sum of the lengths before b) + i,
/// and batch_stride is not read.
template <class T>
struct Tensor {
  T* data = nullptr;
  std::int64_t batch_stride = 0;
  std::int64_t row_stride = 0;
  std::int64_t head_stride = 0;
};

}  // namespace dpflash::attention
