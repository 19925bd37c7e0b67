// What a table of noise is worth: its mu from the floats as they are, and its variance.
#pragma once

#include <cstdint>
#include <dpflash/attention/sensitivity.hpp>
#include <span>

namespace dpflash::attention::analysis {

/// A table as NoiseTable::sigma has it: `rows` is 0 for one number a head.
struct TableView {
  std::span<const float> sigma;
  std::int64_t rows;
  [[nodiscard]] double at(std::int32_t head, std::int64_t row) const {
    const auto h = static_cast<std::size_t>(head);
    return rows == 0 ? sigma[h] : sigma[h * static_cast<std::size_t>(rows) + static_cast<std::size_t>(row)];
  }
};

/// The largest, over all sequences and records, root of the sum of a_ih^2 / sigma_ih^2, rounded up; +inf when it
/// overflows. O(rows + places) for each distinct sequence, times the heads
/// where rows have numbers of their own.
double verified_mu(const Sensitivity& analysis, const TableView& table);

/// Sum of sigma^2 over heads and the rows, of all sequences, that see a key.
double total_variance(const SensitivityQuestion& question, const TableView& table);

}  // namespace dpflash::attention::analysis
