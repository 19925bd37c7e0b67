// Per-example gradients on the integer grid of a GridMechanism, on a CUDA device. What holds for all calls: device.hpp.
#pragma once

#include <cstdint>
#include <dpflash/noise/device.hpp>
#include <dpflash/noise/grid.hpp>

namespace dpflash::noise {

/// GridMechanism::add for a batch at a time: the same integers as on the host.
class DeviceGrid {
 public:
  /// `most_examples`: largest batch of one call, in [1, 2^20]. Work space: 8 (parameters / 1000 + 8) bytes an example.
  DeviceGrid(const GridMechanism& mechanism, std::uint64_t most_examples);

  /// sum[j] += grid(row b)[j] for the rows b < batch, row b being at rows + b * stride (stride at least size(), or 0
  /// for size()), modulo 2^64 or 2^32. Each row is clipped and rounded until the exact sum of its integers' squares is
  /// at most integer_clip^2; a row with a NaN or an infinity adds nothing. Integer is std::int64_t or std::int32_t.
  /// Reads the rows three times, and once more for each further try of a row.
  template <class Integer>
  void add(const float* rows, std::uint64_t stride, std::uint64_t batch, gpu::DeviceSpan<Integer> sum,
           gpu::StreamHandle stream);

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  std::size_t size_;
  double per_unit_;
  std::int64_t integer_clip_;
  std::uint64_t most_examples_;
  gpu::Memory work_;
};

}  // namespace dpflash::noise
