#include "discrete/words.hpp"

#include <bit>
#include <stdexcept>

#include "draw/chacha.hpp"
#include "draw/philox.hpp"

namespace dpflash::noise::discrete {

namespace {

constexpr std::uint64_t kBlocksOfAnOutput = std::uint64_t{1} << 16;

template <class Source>
void block_of(const draw::KeyWords& key, const draw::Counter& counter, std::array<std::uint32_t, 16>& out) {
  std::uint32_t x[Source::words];
  Source::block(Source::expand(key), counter, x);
  for (std::uint32_t i = 0; i < Source::words; ++i) out[i] = x[i];
}

}  // namespace

WordStream::WordStream(const NoiseSource& source, std::uint32_t stream, std::uint32_t step)
    : key_(key_words(source)), block_(&block_of<draw::ChaCha<20>>), words_(16), stream_(stream), step_(step) {
  if (source.generator() == Generator::chacha12) block_ = &block_of<draw::ChaCha<12>>;
  if (source.generator() == Generator::philox) {
    block_ = &block_of<draw::Philox>;
    words_ = draw::Philox::words;
  }
}

void WordStream::start(std::uint64_t index) {
  next_block_ = index * kBlocksOfAnOutput;
  end_block_ = next_block_ + kBlocksOfAnOutput;
  used_ = words_;
}

std::uint32_t WordStream::next() {
  if (used_ == words_) {
    if (next_block_ == end_block_) throw std::runtime_error("an exact sampler used up the random words of an output");
    block_(key_, draw::counter_of(next_block_, draw::Use::uniform_bits, 0, step_, stream_), buffer_);
    ++next_block_;
    used_ = 0;
  }
  return buffer_[used_++];
}

Wide WordStream::below(Wide n) {
  const Wide most = n - 1;
  if (most == 0) return 0;
  const auto high = static_cast<std::uint64_t>(most >> 64);
  const auto low = static_cast<std::uint64_t>(most);
  const int bits = static_cast<int>(high != 0 ? 64 + std::bit_width(high) : std::bit_width(low));
  const Wide mask = ~Wide{0} >> (128 - bits);
  for (;;) {
    Wide value = 0;
    for (int taken = 0; taken < bits; taken += 32) value = (value << 32) | next();
    value &= mask;
    if (value <= most) return value;
  }
}

}  // namespace dpflash::noise::discrete
