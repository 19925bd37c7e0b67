// Standard Laplace draws (scale 1), one word each.
#pragma once

#include "draw/logarithm.hpp"

namespace dpflash::draw {

/// The word's magnitude as an odd fraction of 2^32; bit 31 is the sign.
DPF_HD std::uint32_t laplace_magnitude(std::uint32_t word) { return (word << 1) | 1u; }

/// Whether 64 more bits are drawn, so that the tail does not end.
DPF_HD bool laplace_is_rare(std::uint32_t word) { return laplace_magnitude(word) < (1u << 16); }

DPF_HD float laplace_of(std::uint32_t word) {
  return as_float(as_bits(mul(minus_two_log(laplace_magnitude(word)), 0.5f)) | (word & 0x80000000u));
}

/// The same with the refill words of a rare draw; at most 66.6.
DPF_HD float rare_laplace_of(std::uint32_t word, std::uint32_t e1, std::uint32_t e0) {
  // The magnitude's last bit is free: it comes from the refill, whose own last bit does not matter.
  const float size = mul(minus_two_log_rare((word << 1) | (e0 & 1u), e1, e0), 0.5f);
  return as_float(as_bits(size) | (word & 0x80000000u));
}

}  // namespace dpflash::draw
