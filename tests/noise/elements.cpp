// Conversions of 16-bit elements.
#include "dpflash/noise/elements.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>

using namespace dpflash::noise;

namespace {

template <class T>
T narrow(float x);
template <>
BFloat16 narrow<BFloat16>(float x) {
  return to_bfloat16(x);
}
template <>
Float16 narrow<Float16>(float x) {
  return to_float16(x);
}

/// Value of a finite element's magnitude from its definition.
double magnitude(std::uint32_t bits, int fraction_bits, int bias) {
  const int exponent = static_cast<int>(bits >> fraction_bits);
  const std::uint32_t fraction = bits & ((1u << fraction_bits) - 1u);
  if (exponent == 0) return std::ldexp(fraction, 1 - bias - fraction_bits);
  return std::ldexp(fraction | (1u << fraction_bits), exponent - bias - fraction_bits);
}

template <class T>
void check_all(std::uint32_t infinity, int fraction_bits, int bias) {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const T x{static_cast<std::uint16_t>(bits)};
    const std::uint32_t size = bits & 0x7fffu;
    const float wide = to_float(x);
    REQUIRE(std::signbit(wide) == (bits >= 0x8000u));
    if (size > infinity) {
      REQUIRE(std::isnan(wide));
      REQUIRE(narrow<T>(wide).bits == 0x7fff);
      continue;
    }
    REQUIRE(narrow<T>(wide) == x);
    if (size == infinity) {
      REQUIRE(std::isinf(wide));
      continue;
    }
    REQUIRE(std::abs(static_cast<double>(wide)) == magnitude(size, fraction_bits, bias));
    // The middle to the next element goes to the even one, and its neighbours to the nearer one.
    const double next = magnitude(size + 1, fraction_bits, bias);
    const auto middle = static_cast<float>((std::abs(static_cast<double>(wide)) + next) / 2);
    const std::uint32_t even = size + (size & 1u);
    const std::uint32_t sign = bits & 0x8000u;
    const auto signed_bits = [&](float m) { return narrow<T>(sign != 0 ? -m : m).bits; };
    REQUIRE(signed_bits(middle) == (sign | even));
    REQUIRE(signed_bits(std::nextafter(middle, 0.0f)) == (sign | size));
    REQUIRE(signed_bits(std::nextafter(middle, HUGE_VALF)) == (sign | (size + 1)));
  }
}

}  // namespace

TEST_CASE("every bfloat16 and every middle between two") { check_all<BFloat16>(0x7f80, 7, 127); }
TEST_CASE("every binary16 and every middle between two") { check_all<Float16>(0x7c00, 10, 15); }

TEST_CASE("what lies beyond the largest element is infinite, NaN is one NaN") {
  CHECK(to_float16(65519.996f).bits == 0x7bff);
  CHECK(to_float16(65520.0f).bits == 0x7c00);
  CHECK(to_float16(-1e30f).bits == 0xfc00);
  CHECK(to_float16(0x1p-26f).bits == 0);
  CHECK(to_float16(-0x1p-149f).bits == 0x8000);
  CHECK(to_bfloat16(3.4e38f).bits == 0x7f80);
  CHECK(to_bfloat16(-std::nanf("1")).bits == 0x7fff);
  CHECK(to_float16(std::nanf("5")).bits == 0x7fff);
}
