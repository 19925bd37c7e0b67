// Draws of an attention output on the host.
#pragma once

#include <cstdint>
#include <dpflash/noise/source.hpp>
#include <functional>

namespace dpflash::attention {

inline constexpr std::int64_t kRowsOfAGroup = 16;

/// z[r columns + d]: draws of rows [16 row_group, 16 row_group + 16) of a plane, all columns. No claim.
/// `z` holds 16 * columns numbers; columns in [1, 256], plane = sequence * heads + head below 2^22.
void attention_draws(const noise::NoiseSource& source, std::uint32_t stream, std::uint32_t step, std::uint64_t plane,
                     std::uint32_t row_group, std::int64_t columns, float* z);

/// Calls work(i) once for every i in [0, count), from several threads. The first exception is rethrown.
void for_each_task(std::int64_t count, const std::function<void(std::int64_t)>& work);

}  // namespace dpflash::attention
