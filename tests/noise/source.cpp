// Draws depend on (key, stream, step, index) alone, and are used once.
#include "dpflash/noise/source.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "draw/chacha.hpp"
#include "draw/kernels.hpp"
#include "draw/philox.hpp"

using namespace dpflash;
using noise::Generator;
using noise::NoiseSource;

namespace {
constexpr Generator kAll[] = {Generator::philox, Generator::chacha12, Generator::chacha20};
}

TEST_CASE("ChaCha20's block is RFC 8439's, section 2.3.2") {
  draw::KeyWords key;
  for (std::uint32_t i = 0; i < 8; ++i) key.word[i] = 0x03020100u + 0x04040404u * i;
  std::uint32_t out[16];
  draw::ChaCha<20>::block(key, {{1u, 0x09000000u, 0x4a000000u, 0u}}, out);
  const std::uint32_t expected[16] = {0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033,
                                      0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
                                      0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2};
  for (int i = 0; i < 16; ++i) CHECK(out[i] == expected[i]);
}

TEST_CASE("ChaCha20's blocks are RFC 8439's, appendix A.1") {
  draw::KeyWords key{};
  std::uint32_t out[16];
  draw::ChaCha<20>::block(key, {{0, 0, 0, 0}}, out);
  CHECK(out[0] == 0xade0b876u);
  CHECK(out[15] == 0x8665eeb2u);
  draw::ChaCha<20>::block(key, {{1, 0, 0, 0}}, out);
  CHECK(out[0] == 0xbee7079fu);
  CHECK(out[15] == 0x6f4d794bu);
  key.word[7] = 0x01000000u;
  draw::ChaCha<20>::block(key, {{1, 0, 0, 0}}, out);
  CHECK(out[0] == 0x2452eb3au);
  CHECK(out[15] == 0xa0136c00u);
}

TEST_CASE("Philox4x32-10 gives the known answers of its authors") {
  std::uint32_t out[4];
  draw::KeyWords key{};
  draw::Philox::block(draw::Philox::expand(key), {{0, 0, 0, 0}}, out);
  CHECK(out[0] == 0x6627e8d5u);
  CHECK(out[1] == 0xe169c58du);
  CHECK(out[2] == 0xbc57ac4cu);
  CHECK(out[3] == 0x9b00dbd8u);
  key.word[0] = key.word[1] = 0xffffffffu;
  draw::Philox::block(draw::Philox::expand(key), {{0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}}, out);
  CHECK(out[0] == 0x408f276du);
  CHECK(out[3] == 0x6d5451fdu);
}

TEST_CASE("any shard of a range holds the draws of the whole") {
  for (const Generator generator : kAll) {
    std::vector<float> whole(20000);
    NoiseSource::reproducible(generator, 7).normal(whole, {3, 5, 100});
    for (const std::size_t cut : {1u, 13u, 512u, 4096u, 12345u}) {
      auto source = NoiseSource::reproducible(generator, 7);
      std::vector<float> parts(whole.size());
      source.normal(std::span(parts).subspan(cut), {3, 5, 100 + cut});
      source.normal(std::span(parts).first(cut), {3, 5, 100});
      CHECK(std::memcmp(whole.data(), parts.data(), whole.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("the loops with and without AVX2 give the same bits") {
  const noise::kernels::Run run{{{1, 2, 3, 4, 5, 6, 7, 8}}, 9, 10, 77};
  for (const auto bits : {noise::kernels::Bits::philox, noise::kernels::Bits::chacha12}) {
    for (const auto use : {draw::Use::normal, draw::Use::laplace}) {
      std::vector<float> a(300001), b(300001);
      noise::kernels::generic::fill_of(bits)(run, use, a.data(), a.size());
      noise::kernels::fill_of(bits)(run, use, b.data(), b.size());
      CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("streams, steps, keys and generators differ") {
  std::vector<std::vector<float>> all;
  for (const Generator generator : kAll)
    for (const std::uint64_t seed : {1u, 2u})
      for (const std::uint32_t stream : {0u, 1u})
        for (const std::uint32_t step : {0u, 1u}) {
          all.emplace_back(64);
          NoiseSource::reproducible(generator, seed).normal(all.back(), {stream, step, 0});
        }
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) CHECK(all[i] != all[j]);
  std::vector<float> a(64), b(64);
  NoiseSource::from_entropy().normal(a, {});
  NoiseSource::from_entropy().normal(b, {});
  CHECK(a != b);
}

TEST_CASE("what was drawn is not drawn again") {
  auto source = NoiseSource::from_entropy();
  source.claim({1, 2, 100}, 50);
  CHECK_THROWS_AS(source.claim({1, 2, 149}, 1), noise::ReusedNoise);
  CHECK_THROWS_AS(source.claim({1, 2, 0}, 101), noise::ReusedNoise);
  CHECK_THROWS_AS(source.claim({1, 2, 120}, 5), noise::ReusedNoise);
  source.claim({1, 2, 150}, 50);
  source.claim({1, 2, 50}, 50);
  CHECK_THROWS_AS(source.claim({1, 2, 75}, 100), noise::ReusedNoise);
  source.claim({1, 3, 75}, 100);
  source.claim({2, 2, 75}, 100);
  source.claim({2, 2, 75}, 0);
  CHECK_THROWS_AS(source.claim({0, 0, ~0ull}, 2), std::invalid_argument);
}

TEST_CASE("an attention output takes all of a stream and step, and nothing of other uses") {
  auto source = NoiseSource::from_entropy();
  source.claim({1, 2, 0}, std::uint64_t{1} << 56);
  source.claim_attention(1, 2);
  CHECK_THROWS_AS(source.claim_attention(1, 2), noise::ReusedNoise);
  CHECK_THROWS_AS(source.claim_attention(1, 0, 3), noise::ReusedNoise);
  source.claim_attention(2, 2);
  source.claim_attention(1, 0, 2);
  source.claim_attention(1, 3, 4);
  source.claim_attention(1, 5, 0);
  for (std::uint32_t step = 0; step < 7; ++step) CHECK_THROWS_AS(source.claim_attention(1, step), noise::ReusedNoise);
  source.claim_attention(1, 7);
  source.claim_attention(1, ~std::uint32_t{0});
  CHECK_THROWS_AS(source.claim_attention(1, ~std::uint32_t{0}, 2), std::invalid_argument);
  source.claim({1, 7, 0}, 1);
}

TEST_CASE("a source of another's key draws the same") {
  auto one = NoiseSource::from_entropy();
  auto two = NoiseSource::from_key(one.generator(), one.key());
  std::vector<float> a(1000), b(1000);
  one.laplace(a, {});
  two.laplace(b, {});
  CHECK(a == b);
}
