#include <algorithm>
#include <cmath>

#include "dpflash/noise/sampling.hpp"
#include "draw/chacha.hpp"
#include "draw/draws.hpp"
#include "draw/philox.hpp"

namespace dpflash::noise {

namespace {

constexpr std::uint64_t kGrain = std::uint64_t{1} << 14;

struct Records {
  draw::KeyWords key;
  Position position;
  std::uint64_t below;
  bool all;
};

/// Record r has words 2 r and 2 r + 1 of the sequence of blocks, high word first.
template <class Source>
void choose(const Records& records, std::uint64_t begin, std::uint64_t end, std::vector<std::uint64_t>& chosen) {
  constexpr std::uint64_t a_block = Source::words / 2;
  const auto key = Source::expand(records.key);
  std::uint32_t words[Source::words];
  for (std::uint64_t record = begin; record < end;) {
    const std::uint64_t block = record / a_block;
    Source::block(key,
                  draw::counter_of(block, draw::Use::poisson_batch, 0, records.position.step, records.position.stream),
                  words);
    for (; record < end && record / a_block == block; ++record) {
      const std::uint64_t i = record % a_block * 2;
      const std::uint64_t word = (std::uint64_t{words[i]} << 32) | words[i + 1];
      if (records.all || word < records.below) chosen.push_back(record);
    }
  }
}

void choose(Generator generator, const Records& records, std::uint64_t begin, std::uint64_t end,
            std::vector<std::uint64_t>& chosen) {
  switch (generator) {
    case Generator::philox:
      return choose<draw::Philox>(records, begin, end, chosen);
    case Generator::chacha12:
      return choose<draw::ChaCha<12>>(records, begin, end, chosen);
    case Generator::chacha20:
      return choose<draw::ChaCha<20>>(records, begin, end, chosen);
  }
}

}  // namespace

std::vector<std::uint64_t> poisson_batch(NoiseSource& source, const Position& position, std::uint64_t count,
                                         accounting::SamplingRate rate) {
  source.claim(position, count);
  const bool all = rate.value() == 1;
  // Exact: scaling by a power of two, then truncation; a rate below 1 is at most 1 - 2^-53.
  const std::uint64_t below = all ? 0 : static_cast<std::uint64_t>(std::ldexp(rate.value(), 64));
  const Records records{key_words(source), position, below, all};
  std::vector<std::vector<std::uint64_t>> parts((count + kGrain - 1) / kGrain);
  in_parallel(count, kGrain, [&](std::uint64_t begin, std::uint64_t end) {
    for (std::uint64_t at = begin; at < end; at += kGrain)
      choose(source.generator(), records, position.first + at, position.first + std::min(end, at + kGrain),
             parts[at / kGrain]);
  });
  std::vector<std::uint64_t> chosen;
  for (const auto& part : parts) chosen.insert(chosen.end(), part.begin(), part.end());
  return chosen;
}

}  // namespace dpflash::noise
