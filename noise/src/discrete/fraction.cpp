#include <boost/multiprecision/cpp_int.hpp>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <string>

#include "discrete/samplers.hpp"

namespace dpflash::noise::discrete {

namespace {

/// 53 bits of a double times 63 of a factor, squared: 232. Overflow throws.
using Integer = boost::multiprecision::checked_uint256_t;

/// ceil(i 2^shift).
Integer shifted_up(const Integer& i, int shift) {
  if (shift >= 0) return i << static_cast<unsigned>(shift);
  const auto down = static_cast<unsigned>(-shift);
  const Integer below = i >> down;
  return (below << down) == i ? below : Integer(below + 1);
}

}  // namespace

Fraction fraction_above(double value, std::int64_t factor, int power, const char* field) {
  const double size = value * static_cast<double>(factor);
  if (!(size >= 0x1p-10 && size <= 0x1p20))
    throw accounting::UnusableInput(field, std::to_string(size), "a noise scale in [2^-10, 2^20]");
  int exponent = 0;
  const double mantissa = std::frexp(value, &exponent);
  // value = base 2^(exponent - 53) exactly.
  Integer base = static_cast<std::uint64_t>(std::ldexp(mantissa, 53));
  base *= static_cast<std::uint64_t>(factor);
  exponent -= 53;
  if (power == 2) {
    base *= base;
    exponent *= 2;
  }
  const int length = static_cast<int>(msb(base)) + 1;
  // The number is in [2^(length - 1), 2^length) 2^exponent; 31 bits of it are kept, fewer where it is large itself.
  int places = 31 - (length + exponent);
  if (places < 0) places = 0;
  const Integer numerator = shifted_up(base, exponent + places);
  return {static_cast<std::uint64_t>(numerator), std::uint64_t{1} << places};
}

}  // namespace dpflash::noise::discrete
