#include "draws.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels.hpp"

namespace dpflash::noise {

namespace {

/// A whole number of groups of every generator.
constexpr std::uint64_t kPiece = 5120;
constexpr std::uint64_t kDrawsWorthAThread = std::uint64_t{1} << 16;

kernels::Bits bits_of(Generator generator) {
  switch (generator) {
    case Generator::philox:
      return kernels::Bits::philox;
    case Generator::chacha12:
      return kernels::Bits::chacha12;
    case Generator::chacha20:
      break;
  }
  return kernels::Bits::chacha20;
}

}  // namespace

namespace kernels {

Fill fill_of(Bits bits) {
#if defined(DPFLASH_AVX2_DRAWS)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::fill_of(bits);
#endif
  return generic::fill_of(bits);
}

GridFill grid_fill_of(Bits bits) {
#if defined(DPFLASH_AVX2_DRAWS)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::grid_fill_of(bits);
#endif
  return generic::grid_fill_of(bits);
}

}  // namespace kernels

void in_parallel(std::uint64_t count, std::uint64_t grain,
                 const std::function<void(std::uint64_t, std::uint64_t)>& work) {
  if (count == 0) return;
  const std::uint64_t grains = (count + grain - 1) / grain;
  const std::uint64_t useful = std::max<std::uint64_t>(1, count / kDrawsWorthAThread);
  // The number of processors costs a system call, more than a small release does.
  const std::uint64_t most = std::min(grains, useful);
  const std::uint64_t threads =
      most == 1 ? 1 : std::min<std::uint64_t>(most, std::max(1u, std::thread::hardware_concurrency()));
  if (threads == 1) {
    work(0, count);
    return;
  }
  std::mutex mutex;
  std::exception_ptr failure;
  const auto guarded = [&](std::uint64_t t) {
    const std::uint64_t begin = std::min(count, grains * t / threads * grain);
    const std::uint64_t end = std::min(count, grains * (t + 1) / threads * grain);
    try {
      if (begin < end) work(begin, end);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> pool;
    std::uint64_t next = 1;
    // Draws are claimed by now: where no thread is to be had, this one does all the work rather than half of it.
    try {
      pool.reserve(threads);
      for (; next < threads; ++next) pool.emplace_back(guarded, next);
    } catch (const std::exception&) {
    }
    guarded(0);
    for (; next < threads; ++next) guarded(next);
  }
  if (failure) std::rethrow_exception(failure);
}

void draw(const NoiseSource& source, draw::Use use, const Position& position, std::span<float> out) {
  const kernels::Run run{key_words(source), position.stream, position.step, position.first};
  kernels::fill_of(bits_of(source.generator()))(run, use, out.data(), out.size());
}

namespace {

/// Calls fill(index, piece) and apply(i, piece) on pieces of [0, count), index = first + i, from several threads.
template <class T, class FillPiece>
void in_pieces(std::uint64_t first, std::uint64_t count, const FillPiece& fill,
               const std::function<void(std::uint64_t, std::span<const T>)>& apply) {
  in_parallel(count, kPiece, [&](std::uint64_t begin, std::uint64_t end) {
    std::array<T, kPiece> z;
    // Pieces end where tiles of draws do, so that no block is computed twice.
    for (std::uint64_t i = begin; i < end;) {
      const std::uint64_t index = first + i;
      const std::uint64_t n = std::min(end - i, kPiece - index % kPiece);
      const std::span<T> piece(z.data(), static_cast<std::size_t>(n));
      fill(index, piece);
      apply(i, piece);
      i += n;
    }
  });
}

}  // namespace

void with_draws(const NoiseSource& source, draw::Use use, const Position& position, std::uint64_t count,
                const std::function<void(std::uint64_t, std::span<const float>)>& apply) {
  in_pieces<float>(
      position.first, count,
      [&](std::uint64_t index, std::span<float> piece) {
        draw(source, use, {position.stream, position.step, index}, piece);
      },
      apply);
}

void draw_grid(const NoiseSource& source, int bits, const Position& position, std::span<std::int64_t> out) {
  const kernels::Run run{key_words(source), position.stream, position.step, position.first};
  kernels::grid_fill_of(bits_of(source.generator()))(run, std::ldexp(1.0, bits), out.data(), out.size());
}

void with_grid_draws(const NoiseSource& source, int bits, const Position& position, std::uint64_t count,
                     const std::function<void(std::uint64_t, std::span<const std::int64_t>)>& apply) {
  in_pieces<std::int64_t>(
      position.first, count,
      [&](std::uint64_t index, std::span<std::int64_t> piece) {
        draw_grid(source, bits, {position.stream, position.step, index}, piece);
      },
      apply);
}

}  // namespace dpflash::noise
