// Draws on the host, from several threads, for the mechanisms.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "dpflash/noise/source.hpp"
#include "draw/counter.hpp"

namespace dpflash::noise {

/// Calls work(begin, end) on pieces of [0, count) that start at multiples of `grain`, from as many threads as pay.
/// The first exception is rethrown.
void in_parallel(std::uint64_t count, std::uint64_t grain,
                 const std::function<void(std::uint64_t, std::uint64_t)>& work);

/// Fills `out` with draws position.first ... of standard normals (use = normal) or Laplace numbers. One thread, no
/// claim.
void draw(const NoiseSource& source, draw::Use use, const Position& position, std::span<float> out);

/// Calls apply(i, z) for consecutive pieces of the draws position.first + [0, count): z holds draws i ... i + z.size()
/// (i counts from 0). Pieces come from several threads, at most 5120 draws each. No claim.
void with_draws(const NoiseSource& source, draw::Use use, const Position& position, std::uint64_t count,
                const std::function<void(std::uint64_t, std::span<const float>)>& apply);

/// Fills `out` with grid draws position.first ... of standard deviation 2^bits (draw/grid_normal.hpp). One thread, no
/// claim.
void draw_grid(const NoiseSource& source, int bits, const Position& position, std::span<std::int64_t> out);

/// with_draws for grid draws.
void with_grid_draws(const NoiseSource& source, int bits, const Position& position, std::uint64_t count,
                     const std::function<void(std::uint64_t, std::span<const std::int64_t>)>& apply);

/// The source's key as words.
draw::KeyWords key_words(const NoiseSource& source);

}  // namespace dpflash::noise
