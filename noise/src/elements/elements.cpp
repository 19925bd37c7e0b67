#include "dpflash/noise/elements.hpp"

#include <bit>
#include <dpflash/accounting/error.hpp>
#include <vector>

namespace dpflash::noise {

namespace {

constexpr std::uint16_t kNaN = 0x7fff;

bool is_nan(std::uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; }

BFloat16 narrow(float x, BFloat16) { return to_bfloat16(x); }
Float16 narrow(float x, Float16) { return to_float16(x); }

template <class Mechanism, class T>
void privatise_elements(const Mechanism& mechanism, std::span<T> sum, NoiseSource& source, const Position& position) {
  std::vector<float> wide(sum.size());
  for (std::size_t i = 0; i < sum.size(); ++i) wide[i] = to_float(sum[i]);
  mechanism.privatise(wide, source, position);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = narrow(wide[i], T{});
}

}  // namespace

BFloat16 to_bfloat16(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (is_nan(bits)) return {kNaN};
  // Ties to even; a carry out of the largest fraction gives the next exponent, and infinity at the end.
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

Float16 to_float16(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (is_nan(bits)) return {kNaN};
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t size = bits & 0x7fffffffu;
  if (size >= 0x47800000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};  // 2^16 and more
  std::uint32_t fraction = size;
  int drop = 13;
  if (size < 0x38800000u) {
    // Below 2^-14 the unit is 2^-24: the fraction, its first bit made explicit, is moved down to it.
    const int exponent = static_cast<int>(size >> 23);
    drop = 126 - exponent;
    if (drop > 25) return {sign};
    fraction = (size & 0x007fffffu) | (exponent == 0 ? 0u : 0x00800000u);
  } else {
    fraction -= 0x38000000u;
  }
  const std::uint32_t kept = fraction >> drop;
  const std::uint32_t rest = fraction & ((1u << drop) - 1u);
  const std::uint32_t half = 1u << (drop - 1);
  const std::uint32_t up = rest > half || (rest == half && (kept & 1u) != 0) ? 1u : 0u;
  return {static_cast<std::uint16_t>(sign | (kept + up))};
}

float to_float(BFloat16 x) noexcept { return std::bit_cast<float>(std::uint32_t{x.bits} << 16); }

float to_float(Float16 x) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(x.bits & 0x8000u) << 16;
  const std::uint32_t size = x.bits & 0x7fffu;
  if (size >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | ((size & 0x3ffu) << 13));
  if (size >= 0x0400u) return std::bit_cast<float>(sign | ((size << 13) + 0x38000000u));
  const float subnormal = static_cast<float>(size) * 0x1p-24f;
  return sign != 0 ? -subnormal : subnormal;
}

template <class T>
void privatise(const Isotropic& mechanism, std::span<T> sum, NoiseSource& source, const Position& position) {
  privatise_elements(mechanism, sum, source, position);
}
template <class T>
void privatise(const Weighted& mechanism, std::span<T> sum, NoiseSource& source, const Position& position) {
  privatise_elements(mechanism, sum, source, position);
}
template <class T>
void privatise(const BlockDiagonal& mechanism, std::span<T> sum, NoiseSource& source, const Position& position) {
  privatise_elements(mechanism, sum, source, position);
}
template <class T>
void privatise(const Sparse& mechanism, std::span<T> sum, NoiseSource& source, const Position& position) {
  privatise_elements(mechanism, sum, source, position);
}

#define DPFLASH_FOR_ELEMENT(T)                                                                \
  template void privatise(const Isotropic&, std::span<T>, NoiseSource&, const Position&);     \
  template void privatise(const Weighted&, std::span<T>, NoiseSource&, const Position&);      \
  template void privatise(const BlockDiagonal&, std::span<T>, NoiseSource&, const Position&); \
  template void privatise(const Sparse&, std::span<T>, NoiseSource&, const Position&);
DPFLASH_FOR_ELEMENT(BFloat16)
DPFLASH_FOR_ELEMENT(Float16)
#undef DPFLASH_FOR_ELEMENT

}  // namespace dpflash::noise
