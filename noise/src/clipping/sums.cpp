#include "clipping/sums.hpp"

#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>

#include "clipping/checks.hpp"
#include "clipping/number.hpp"
#include "draw/draws.hpp"

namespace dpflash::noise {

void check_factors(const PerExampleGradients& gradients, std::span<const float> factors, std::uint32_t layers) {
  check(gradients, layers);
  check_size("factors", factors.size(), gradients.batch * layers, "batch x layers");
  for (std::size_t i = 0; i < factors.size(); ++i)
    if (!(factors[i] >= 0 && std::isfinite(factors[i])))
      throw accounting::UnusableInput("factors[" + std::to_string(i) + "]", written(factors[i]),
                                      "a finite number, at least 0");
}

void add_piece(const TensorRows& tensor, std::uint64_t batch, std::span<const float> factors, std::uint32_t layers,
               std::uint64_t begin, std::span<double> sums) {
  double* const sum = sums.data();
  const std::size_t count = sums.size();
  for (std::uint64_t b = 0; b < batch; ++b) {
    const double factor = factors[b * layers + tensor.layer];
    if (factor == 0) continue;
    const float* const row = tensor.data + b * stride_of(tensor) + begin;
    // Product of two floats: exact, so that this is the fused operation on every processor.
    for (std::size_t j = 0; j < count; ++j) sum[j] += factor * static_cast<double>(row[j]);
  }
}

void in_pieces(const PerExampleGradients& gradients,
               const std::function<void(std::size_t, std::uint64_t, std::uint64_t)>& work) {
  std::vector<std::uint64_t> start(gradients.tensors.size() + 1, 0);
  for (std::size_t t = 0; t < gradients.tensors.size(); ++t) start[t + 1] = start[t] + gradients.tensors[t].width;
  // A parameter costs one addition an example: counted in those, so that small models with large batches are shared.
  const std::uint64_t cost = std::clamp<std::uint64_t>(gradients.batch, 1, 128);
  const std::uint64_t grain = kSumPiece * cost;
  in_parallel(start.back() * cost, grain, [&](std::uint64_t from, std::uint64_t to) {
    std::uint64_t i = from / cost;
    const std::uint64_t last = to / cost;
    auto t = static_cast<std::size_t>(std::upper_bound(start.begin(), start.end(), i) - start.begin() - 1);
    while (i < last) {
      while (start[t + 1] <= i) ++t;
      const std::uint64_t begin = i - start[t];
      const std::uint64_t to_edge = kSumPiece - (gradients.tensors[t].offset + begin) % kSumPiece;
      const std::uint64_t count = std::min({last - i, start[t + 1] - i, to_edge});
      work(t, begin, begin + count);
      i += count;
    }
  });
}

void add_clipped(const PerExampleGradients& gradients, std::span<const float> factors, std::uint32_t layers,
                 std::span<const std::span<double>> sums) {
  check_factors(gradients, factors, layers);
  check_size("sums", sums.size(), gradients.tensors.size(), "one a tensor");
  for (std::size_t t = 0; t < sums.size(); ++t)
    check_size("sums[" + std::to_string(t) + "]", sums[t].size(), gradients.tensors[t].width, "the tensor's width");
  in_pieces(gradients, [&](std::size_t t, std::uint64_t begin, std::uint64_t end) {
    add_piece(gradients.tensors[t], gradients.batch, factors, layers, begin, sums[t].subspan(begin, end - begin));
  });
}

}  // namespace dpflash::noise
