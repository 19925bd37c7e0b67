// The host's draw loops, built once for any x86-64 or other processor and once for AVX2 and FMA: the same bits.
#pragma once

#include <cstdint>

#include "draw/counter.hpp"

namespace dpflash::noise::kernels {

/// What a run of draws is made of.
struct Run {
  draw::KeyWords key;
  std::uint32_t stream;
  std::uint32_t step;
  std::uint64_t first;
};

using draw::Bits;

using Fill = void (*)(const Run& run, draw::Use use, float* out, std::uint64_t count);

/// Grid draws of standard deviation `scale` (draw/grid_normal.hpp).
using GridFill = void (*)(const Run& run, double scale, std::int64_t* out, std::uint64_t count);

namespace generic {
Fill fill_of(Bits bits);
GridFill grid_fill_of(Bits bits);
}  // namespace generic
namespace avx2 {
Fill fill_of(Bits bits);
GridFill grid_fill_of(Bits bits);
}  // namespace avx2

/// The fastest that this processor runs.
Fill fill_of(Bits bits);
GridFill grid_fill_of(Bits bits);

}  // namespace dpflash::noise::kernels
