// Included by kernels_generic.cpp and kernels_avx2.cpp inside their namespaces.
namespace {

#include "lanes.inl"

/// Words of refill for draw word `word` of `block`: two of the first or second extra block.
template <class Source>
void refill_words(const Run& run, draw::Use use, std::uint64_t block, std::uint32_t word, std::uint32_t& e1,
                  std::uint32_t& e0) {
  constexpr std::uint32_t half = Source::words / 2;
  std::uint32_t extra[Source::words];
  Source::block(Source::expand(run.key), draw::counter_of(block, use, 1 + word / half, run.step, run.stream), extra);
  e1 = extra[word % half * 2];
  e0 = extra[word % half * 2 + 1];
}

template <class Source>
void block_of_laplace(const Run& run, std::uint64_t block, float (&z)[Source::words]) {
  std::uint32_t x[Source::words];
  Source::block(Source::expand(run.key), draw::counter_of(block, draw::Use::laplace, 0, run.step, run.stream), x);
  for (std::uint32_t w = 0; w < Source::words; ++w) {
    z[w] = draw::laplace_of(x[w]);
    if (!draw::laplace_is_rare(x[w])) continue;
    std::uint32_t e1;
    std::uint32_t e0;
    refill_words<Source>(run, draw::Use::laplace, block, w, e1, e0);
    z[w] = draw::rare_laplace_of(x[w], e1, e0);
  }
}

/// Deals the draws of lanes to a range of [first, first + count): draw(group, lane, z) gives one lane's `quads` times
/// four.
template <int quads, class Draw>
void fill_by_lanes(std::uint64_t first, float* out, std::uint64_t count, Draw&& draw) {
  constexpr std::uint64_t group = 128u * quads;
  const std::uint64_t last = first + count;
  for (std::uint64_t start = first / group * group; start < last; start += group) {
    for (std::uint32_t lane = 0; lane < 32; ++lane) {
      // Skips lanes of the first and last group of which nothing is wanted.
      bool wanted = false;
      for (std::uint32_t q = 0; q < quads; ++q) {
        const std::uint64_t i = start + q * 128u + lane * 4u;
        wanted |= i < last && i + 4 > first;
      }
      if (!wanted) continue;
      float z[4 * quads];
      draw(start / group, lane, z);
      for (std::uint32_t w = 0; w < 4 * quads; ++w) {
        const std::uint64_t i = start + w / 4 * 128u + lane * 4u + w % 4;
        if (i >= first && i < last) out[i - first] = z[w];
      }
    }
  }
}

template <class Source>
void fill(const Run& run, draw::Use use, float* out, std::uint64_t count) {
  if (use == draw::Use::normal) {
    fill_normals<Source>(run, out, count);
  } else {
    fill_by_lanes<Source::words / 4>(run.first, out, count,
                                     [&](std::uint64_t group, std::uint32_t lane, float(&z)[Source::words]) {
                                       block_of_laplace<Source>(run, (group << 5) | lane, z);
                                     });
  }
}

/// Grid draws, in the order of grid_address_of.
template <class Source>
void fill_grid(const Run& run, double scale, std::int64_t* out, std::uint64_t count) {
  constexpr std::uint64_t tile = 16u * Source::words;
  const auto key = Source::expand(run.key);
  const std::uint64_t last = run.first + count;
  for (std::uint64_t start = run.first / tile * tile; start < last; start += tile) {
    for (std::uint32_t lane = 0; lane < 32; ++lane) {
      const std::uint64_t block = start / tile * 32 + lane;
      // Skips blocks of the first and last tile of which nothing is wanted.
      bool wanted = false;
      for (std::uint32_t w = 0; w < Source::words; w += 4) {
        const std::uint64_t i = draw::grid_index_of<Source::words>(block, w);
        wanted |= i < last && i + 2 > run.first;
      }
      if (!wanted) continue;
      std::uint32_t x[Source::words];
      Source::block(key, draw::counter_of(block, draw::Use::grid_normal, 0, run.step, run.stream), x);
      for (std::uint32_t w = 0; w < Source::words; w += 2) {
        const std::uint64_t i = draw::grid_index_of<Source::words>(block, w);
        if (i >= run.first && i < last)
          out[i - run.first] = draw::grid_normal<Source>(key, x, w, block, run.step, run.stream, scale);
      }
    }
  }
}

}  // namespace

GridFill grid_fill_of(Bits bits) {
  switch (bits) {
    case Bits::philox:
      return &fill_grid<draw::Philox>;
    case Bits::chacha12:
      return &fill_grid<draw::ChaCha<12>>;
    case Bits::chacha20:
      return &fill_grid<draw::ChaCha<20>>;
  }
  return nullptr;
}

Fill fill_of(Bits bits) {
  switch (bits) {
    case Bits::philox:
      return &fill<draw::Philox>;
    case Bits::chacha12:
      return &fill<draw::ChaCha<12>>;
    case Bits::chacha20:
      return &fill<draw::ChaCha<20>>;
  }
  return nullptr;
}
