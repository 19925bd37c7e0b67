// Normal draws rounded to integers, by inversion of 64 uniform bits: IEEE operations alone, so that host and device
// agree bit for bit. Wichura 1988 and Giles 2010 for the method; every polynomial and its error come from
// tests/reference/grid_normal.py. What the error costs in privacy: docs/math/grid-mechanism.md.
#pragma once

#include <cstdint>

#include "draw/counter.hpp"

namespace dpflash::draw {

/// Bits below this (sign taken off) get 128 more: a probability is then known to 2^-192, and draws reach 16 standard
/// deviations. One draw in 2^19.
inline constexpr std::uint64_t kRefillGridBelow = std::uint64_t{1} << 44;

/// Largest standard deviation of grid draws, as a power of two.
inline constexpr int kMostGridBits = 16;

DPF_HD double as_double(std::uint64_t bits) {
#ifdef __CUDA_ARCH__
  return __longlong_as_double(static_cast<long long>(bits));
#else
  return __builtin_bit_cast(double, bits);
#endif
}

DPF_HD std::uint64_t as_bits(double x) {
#ifdef __CUDA_ARCH__
  return static_cast<std::uint64_t>(__double_as_longlong(x));
#else
  return __builtin_bit_cast(std::uint64_t, x);
#endif
}

/// Nearest double.
DPF_HD double to_double(std::uint64_t i) {
#ifdef __CUDA_ARCH__
  return __ull2double_rn(i);
#else
  return static_cast<double>(i);
#endif
}

/// Correctly rounded.
DPF_HD double square_root(double x) {
#ifdef __CUDA_ARCH__
  return __dsqrt_rn(x);
#else
  return __builtin_sqrt(x);
#endif
}

DPF_HD int leading_zeros(std::uint64_t x) {
#ifdef __CUDA_ARCH__
  return __clzll(static_cast<long long>(x));
#else
  return __builtin_clzll(x);
#endif
}

/// A tail probability p in (0, 1/2] of the normal law.
struct Tail {
  double four_p;
  double x;  ///< 1 - 2 p
};

/// The 64 bits of a draw: its sign is bit 63, and the probability (v + 1/2) 2^-64, v the other 63 bits.
DPF_HD std::uint64_t grid_bits(std::uint32_t first, std::uint32_t second) {
  return (static_cast<std::uint64_t>(first) << 32) | second;
}

/// Whether these bits need the four refill words.
DPF_HD bool needs_refill(std::uint64_t bits) { return (bits & 0x7fffffffffffffffu) < kRefillGridBelow; }

/// Both numbers are rounded once.
DPF_HD Tail tail_of(std::uint64_t bits) {
  const std::uint64_t odd = (bits << 1) | 1u;
  return {mul(to_double(odd), 0x1p-63), mul(to_double(~odd + 1u), 0x1p-64)};
}

/// The tail with 128 more bits, e1 before e0: p = (v 2^128 + e1 2^64 + e0) 2^-192, and 2^-192 for 0.
DPF_HD Tail tail_of(std::uint64_t bits, std::uint64_t e1, std::uint64_t e0) {
  std::uint64_t high = bits & 0x7fffffffffffffffu;
  std::uint64_t low = e1;
  int halvings = 62;
  if (high == 0) {
    high = e1;
    low = e0;
    halvings = 126;
  }
  if (high == 0) {
    high = e0 | static_cast<std::uint64_t>(e0 == 0);
    low = 0;
    halvings = 190;
  }
  const int n = leading_zeros(high);
  const std::uint64_t top = n == 0 ? high : (high << n) | (low >> (64 - n));
  const double four_p = mul(to_double(top), as_double(static_cast<std::uint64_t>(1023 - halvings - n) << 52));
  return {four_p, fma(four_p, -0.5, 1.0)};
}

/// -ln a for a normal a in (0, 1]; error at most (1.3 + 1.3 |ln a|) u, u = 2^-53.
DPF_HD double minus_log(double a) {
  const std::uint64_t bits = as_bits(a);
  const auto above = static_cast<std::uint32_t>(bits >> 32) - 0x3fe55556u;
  const int k = static_cast<std::int32_t>(above) >> 20;
  const double r = add(as_double(bits - (static_cast<std::uint64_t>(static_cast<std::int64_t>(k)) << 52)), -1.0);
  double q = -0x1.53efaca4a80dep-4;
  q = fma(q, r, 0x1.64158f7829ca4p-4);
  q = fma(q, r, -0x1.5f19de6125956p-5);
  q = fma(q, r, 0x1.738c6b9da924ap-5);
  q = fma(q, r, -0x1.eda4f5b5e2cf8p-5);
  q = fma(q, r, 0x1.0623368ef6585p-4);
  q = fma(q, r, -0x1.108c2855fbe55p-4);
  q = fma(q, r, 0x1.2407978f96de6p-4);
  q = fma(q, r, -0x1.3b1b06936352ep-4);
  q = fma(q, r, 0x1.555cfc44020a9p-4);
  q = fma(q, r, -0x1.745cd6bcdf08ap-4);
  q = fma(q, r, 0x1.9999564362281p-4);
  q = fma(q, r, -0x1.c71c731b2574cp-4);
  q = fma(q, r, 0x1.000000b164dfbp-3);
  q = fma(q, r, -0x1.24924922a745fp-3);
  q = fma(q, r, 0x1.555555535506fp-3);
  q = fma(q, r, -0x1.999999999c226p-3);
  q = fma(q, r, 0x1.0000000001527p-2);
  q = fma(q, r, -0x1.555555555554dp-2);
  q = fma(q, r, 0x1.ffffffffffff8p-2);
  q = fma(q, r, -0x1p+0);
  return fma(static_cast<double>(-k), 0x1.62e42fefa39efp-1, mul(q, r));
}

/// z / x at w = -ln(4 p (1 - p)) in [0, 6.25].
DPF_HD double central_ratio(double w) {
  const double t = add(w, -1.5);
  double q = 0x1.5a490b7731a15p-68;
  q = fma(q, t, -0x1.982b2a026faa5p-63);
  q = fma(q, t, 0x1.831e1d124a849p-59);
  q = fma(q, t, -0x1.3ea3751933e53p-56);
  q = fma(q, t, -0x1.b6ca2d82a6daep-57);
  q = fma(q, t, 0x1.116f09e91735cp-50);
  q = fma(q, t, -0x1.395a236d30347p-48);
  q = fma(q, t, -0x1.88400c9665b2p-46);
  q = fma(q, t, 0x1.21be6c48ace45p-42);
  q = fma(q, t, 0x1.0c3545958c79p-43);
  q = fma(q, t, -0x1.9e67a2752d75ep-37);
  q = fma(q, t, 0x1.1b8b0073edab3p-35);
  q = fma(q, t, 0x1.d6bacad14bf23p-32);
  q = fma(q, t, -0x1.8893e9370ef69p-29);
  q = fma(q, t, -0x1.5f6e9ee097d9bp-27);
  q = fma(q, t, 0x1.657745fc5948p-23);
  q = fma(q, t, -0x1.8b44b41cf26d2p-24);
  q = fma(q, t, -0x1.fde8f03655bd6p-18);
  q = fma(q, t, 0x1.14462d7c97d17p-15);
  q = fma(q, t, 0x1.0777b990ba01fp-12);
  q = fma(q, t, -0x1.83d783e1fff81p-9);
  q = fma(q, t, 0x1.46272efa4b77bp-10);
  q = fma(q, t, 0x1.6a9044bd712a2p-2);
  q = fma(q, t, 0x1.c54ba7dbb52b6p+0);
  return q;
}

/// z / x at s = sqrt(w) in [2.5, 4].
DPF_HD double near_tail_ratio(double s) {
  const double t = add(s, -3.25);
  double q = 0x1.753244da71d59p-27;
  q = fma(q, t, -0x1.73dc29a025003p-26);
  q = fma(q, t, -0x1.fc23bbe64d3b3p-26);
  q = fma(q, t, 0x1.8fa0f14b2bea5p-23);
  q = fma(q, t, -0x1.74c9fffd25861p-22);
  q = fma(q, t, -0x1.4f7e4baafd004p-25);
  q = fma(q, t, 0x1.1939cfc0eeb21p-19);
  q = fma(q, t, -0x1.7a44ba43d4e4p-18);
  q = fma(q, t, 0x1.1651f01905727p-18);
  q = fma(q, t, 0x1.27c09809b887cp-16);
  q = fma(q, t, -0x1.18b07725c54acp-14);
  q = fma(q, t, 0x1.950e013ca3297p-14);
  q = fma(q, t, 0x1.1d17b77257dcfp-15);
  q = fma(q, t, -0x1.073ea049a167ap-11);
  q = fma(q, t, 0x1.616921a7eed6ep-10);
  q = fma(q, t, -0x1.38f1f694bddc1p-9);
  q = fma(q, t, 0x1.cdd2bb96b03ccp-9);
  q = fma(q, t, -0x1.5bab4c3ae05a7p-8);
  q = fma(q, t, 0x1.f1c95c5e738b2p-8);
  q = fma(q, t, 0x1.6bf14fa6fc348p+0);
  q = fma(q, t, 0x1.171f182e77876p+2);
  return q;
}

/// s in [4, 6.5].
DPF_HD double middle_tail_ratio(double s) {
  const double t = add(s, -5.25);
  double q = 0x1.3fb6086a06499p-43;
  q = fma(q, t, -0x1.dee8a18cfd048p-41);
  q = fma(q, t, 0x1.ec97b1d834c7ep-40);
  q = fma(q, t, 0x1.d778aa61503a9p-42);
  q = fma(q, t, -0x1.f3d8bdb58b31dp-37);
  q = fma(q, t, 0x1.143a8774aea44p-34);
  q = fma(q, t, -0x1.bb6b32d6e783p-33);
  q = fma(q, t, 0x1.21560b968ae04p-31);
  q = fma(q, t, -0x1.404c377556d4fp-30);
  q = fma(q, t, 0x1.3cfbe2bceacf2p-29);
  q = fma(q, t, -0x1.37c516e55505cp-28);
  q = fma(q, t, 0x1.7bfc788f16427p-27);
  q = fma(q, t, -0x1.55fd83e8a5149p-25);
  q = fma(q, t, 0x1.8d991304af4d2p-23);
  q = fma(q, t, -0x1.eb7ff9fa58c78p-21);
  q = fma(q, t, 0x1.27fe5c48fff34p-18);
  q = fma(q, t, -0x1.4cb8858cacdecp-16);
  q = fma(q, t, 0x1.471f5adc73957p-14);
  q = fma(q, t, -0x1.bd02721db08cap-13);
  q = fma(q, t, -0x1.96cbc475f42d5p-12);
  q = fma(q, t, 0x1.6dbacef4f13f4p+0);
  q = fma(q, t, 0x1.cdd2a5effeac9p+2);
  return q;
}

/// s in [6.5, 11.75].
DPF_HD double far_tail_ratio(double s) {
  const double t = add(s, -9.0);
  double q = 0x1.8155b5a3d1d97p-68;
  q = fma(q, t, -0x1.24e16bf0b8e5ep-64);
  q = fma(q, t, 0x1.ee60cab1b7dd8p-62);
  q = fma(q, t, -0x1.ff297712f9666p-59);
  q = fma(q, t, 0x1.3a0ced7ec10e5p-55);
  q = fma(q, t, -0x1.6ae05738d7c03p-52);
  q = fma(q, t, 0x1.947f6fd48489fp-49);
  q = fma(q, t, -0x1.bf050e27df33bp-46);
  q = fma(q, t, 0x1.e79f29c57851ep-43);
  q = fma(q, t, -0x1.052d5e384fe0ep-39);
  q = fma(q, t, 0x1.1199504a53a41p-36);
  q = fma(q, t, -0x1.1650918694e26p-33);
  q = fma(q, t, 0x1.0f7be0c4c3648p-30);
  q = fma(q, t, -0x1.ef806248003a5p-28);
  q = fma(q, t, 0x1.8eeeb64dcfd85p-25);
  q = fma(q, t, -0x1.cd30e1b00d903p-23);
  q = fma(q, t, -0x1.678fde823b267p-22);
  q = fma(q, t, 0x1.e7b53d4663499p-16);
  q = fma(q, t, -0x1.2f3578ef6372ap-11);
  q = fma(q, t, 0x1.6c7967acf9008p+0);
  q = fma(q, t, 0x1.920e62474efe1p+3);
  return q;
}

/// The integer nearest scale times the normal quantile of `tail`, with the sign of bit 63 of `bits`. `scale` is a power
/// of two in [1, 2^16]. Before it is rounded the number is off by at most 6 u of itself, u = 2^-53.
DPF_HD std::int32_t grid_normal_of(const Tail& tail, std::uint64_t bits, double scale) {
  const double w = minus_log(mul(tail.four_p, fma(tail.four_p, -0.25, 1.0)));
  double ratio;
  if (w <= 6.25) {
    ratio = central_ratio(w);
  } else {
    const double s = square_root(w);
    ratio = s <= 4.0 ? near_tail_ratio(s) : s <= 6.5 ? middle_tail_ratio(s) : far_tail_ratio(s);
  }
  // Adding 1.5 2^52 rounds the exact product to an integer, which then stands in the low bits.
  const double rounded = fma(tail.x, mul(ratio, scale), 0x1.8p52);
  const auto magnitude = static_cast<std::int32_t>(static_cast<std::uint32_t>(as_bits(rounded)));
  return (bits >> 63) != 0 ? -magnitude : magnitude;
}

/// The block and first word of grid draw `index`, which takes that word and the next: tiles of 32 blocks, dealt in
/// groups of two draws, so that 32 lanes that own a block each touch consecutive memory.
template <int words>
DPF_HD Address grid_address_of(std::uint64_t index) {
  constexpr std::uint32_t tile = 32u * (words / 2);
  const auto in_tile = static_cast<std::uint32_t>(index % tile);
  return {index / tile * 32u + (in_tile % 64u) / 2u, in_tile / 64u * 4u + in_tile % 2u * 2u};
}

/// The index of the draw that takes words `word` and `word` + 1 of `block`: the inverse of grid_address_of.
template <int words>
DPF_HD std::uint64_t grid_index_of(std::uint64_t block, std::uint32_t word) {
  return block / 32u * (16u * words) + word / 4u * 64u + block % 32u * 2u + word % 4u / 2u;
}

/// Where the four refill words of the draw at `word` of a block stand: `refill` of the counter (1 or 2) and first word.
struct RefillAddress {
  std::uint32_t refill;
  std::uint32_t word;
};

template <int words>
DPF_HD RefillAddress grid_refill_of(std::uint32_t word) {
  const std::uint32_t first = word * 2u;
  return {1u + first / words, first % words};
}

/// Grid draw whose words are `word` and `word` + 1 of x, block `block` of stream and step; `key` is expanded.
template <class Source, class Key>
DPF_HD std::int32_t grid_normal(const Key& key, const std::uint32_t (&x)[Source::words], std::uint32_t word,
                                std::uint64_t block, std::uint32_t step, std::uint32_t stream, double scale) {
  const std::uint64_t bits = grid_bits(x[word], x[word + 1]);
  Tail tail = tail_of(bits);
  if (needs_refill(bits)) {
    const RefillAddress at = grid_refill_of<Source::words>(word);
    std::uint32_t e[Source::words];
    Source::block(key, counter_of(block, Use::grid_normal, at.refill, step, stream), e);
    // Chosen by comparison: a variable index would put the block into local memory on the device.
    std::uint32_t take[4] = {e[0], e[1], e[2], e[3]};
#ifdef __CUDA_ARCH__
#pragma unroll
#endif
    for (std::uint32_t j = 4; j < Source::words; j += 4)
      if (at.word == j) {
        take[0] = e[j];
        take[1] = e[j + 1];
        take[2] = e[j + 2];
        take[3] = e[j + 3];
      }
    tail = tail_of(bits, grid_bits(take[0], take[1]), grid_bits(take[2], take[3]));
  }
  return grid_normal_of(tail, bits, scale);
}

}  // namespace dpflash::draw
