// Sums over the rows that each record moves, for every place a record can have, in exact integers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <dpflash/attention/sensitivity.hpp>
#include <vector>

#include "analysis/row_factor.hpp"
#include "shape/shape.hpp"

namespace dpflash::attention::analysis {

/// Fixed point with 96 fractional bits. Rows enter and leave the running sums, and integers leave no error behind: what
/// is equal compares equal, and a bound stays one.
__extension__ using Exact = unsigned __int128;
inline constexpr int kFraction = 96;

/// x in [0, 8), rounded up. Sums of 2^28 such terms fit.
inline Exact exact_up(double x) { return static_cast<Exact>(std::ceil(std::ldexp(x, kFraction))); }
/// Rounded up by at most 6 units of 2^-53.
inline double to_double_up(Exact x) { return std::ldexp(static_cast<double>(x), -kFraction) * (1 + 0x1p-51); }

/// The places of a record and the rows that each moves, for one sequence and one unit.
class Places {
 public:
  Places(const SensitivityQuestion& question, const SequenceLengths& lengths)
      : shape_(&question.shape),
        lengths_(lengths),
        block_(std::min(question.block, lengths.keys)),
        own_(question.unit == Unit::self_token),
        whole_(question.unit == Unit::sequence) {}

  [[nodiscard]] std::int64_t rows() const noexcept { return lengths_.queries; }
  /// Places are 0 .. count - 1; one under Unit::sequence.
  [[nodiscard]] std::int64_t count() const noexcept {
    if (lengths_.keys == 0) return 0;
    return whole_ ? 1 : lengths_.keys - block_ + 1;
  }
  [[nodiscard]] std::int64_t visible_to(std::int64_t row) const noexcept {
    return visible(*shape_, lengths_, row).count();
  }
  /// The places [begin, end) of the records that move a row; both ends never fall from one row to the next.
  [[nodiscard]] Visible moving(std::int64_t row) const noexcept {
    const Visible v = visible(*shape_, lengths_, row);
    if (whole_) return {0, v.count() > 0 ? 1 : 0};
    return {std::max<std::int64_t>(v.begin - block_ + 1, 0), std::min(v.end, count())};
  }
  /// What changes of what the row sees when the record at `place`, one that moves it, changes.
  [[nodiscard]] Moved moved(std::int64_t row, std::int64_t place) const noexcept {
    const Visible v = visible(*shape_, lengths_, row);
    if (whole_) return {v.count(), v.count()};
    const std::int64_t changed = std::min(place + block_, v.end) - std::max(place, v.begin);
    return {v.count(), changed, own_ && place == row + lengths_.keys - lengths_.queries};
  }
  /// The most that any record changes of what the row sees, its own query left as it is.
  [[nodiscard]] Moved most_moved(std::int64_t row) const noexcept {
    const std::int64_t n = visible_to(row);
    return {n, whole_ ? n : std::min(block_, n)};
  }
  /// The row whose query belongs to the record at `place`, or -1.
  [[nodiscard]] std::int64_t own_row(std::int64_t place) const noexcept {
    return own_ ? std::max<std::int64_t>(place - lengths_.keys + lengths_.queries, -1) : -1;
  }
  [[nodiscard]] std::int64_t block() const noexcept { return block_; }
  /// Nothing limits rows on the left: a block at 0 changes the most of every row at once.
  [[nodiscard]] bool first_is_worst() const noexcept {
    return block_ > 1 && (shape_->window.left < 0 || rows() == 0 || visible(*shape_, lengths_, rows() - 1).begin <= 0);
  }

 private:
  const Shape* shape_;
  SequenceLengths lengths_;
  std::int64_t block_;
  bool own_;
  bool whole_;
};

/// Calls visit(place, sums, rows moved) for every place at which the sums differ from those of the place before, sums
/// being of `term(row, moved, out)`, which writes `width` non-negative Exact terms and gives the same for the same
/// arguments. O(rows + places), O(1) memory.
template <class Term, class Visit>
void sweep_tokens(const Places& places, std::size_t width, const Term& term, const Visit& visit) {
  std::vector<Exact> sums(width), out(width), kept(width);
  std::int64_t rows = 0;
  std::int64_t entering = 0;
  std::int64_t leaving = 0;
  const auto add = [&](std::int64_t row, const Moved& moved, bool enters) {
    term(row, moved, out.data());
    for (std::size_t k = 0; k < width; ++k) sums[k] = enters ? sums[k] + out[k] : sums[k] - out[k];
  };
  for (std::int64_t place = 0; place < places.count(); ++place) {
    bool changed = place == 0;
    const auto step = [&](std::int64_t row, bool enters) {
      // A row that sees nothing enters and leaves nowhere.
      if (const Moved moved = places.most_moved(row); moved.visible > 0) {
        add(row, moved, enters);
        rows += enters ? 1 : -1;
        changed = true;
      }
    };
    for (; entering < places.rows() && places.moving(entering).begin <= place; ++entering) step(entering, true);
    for (; leaving < places.rows() && places.moving(leaving).end <= place; ++leaving) step(leaving, false);
    if (const std::int64_t own = places.own_row(place); own >= 0) {
      kept = sums;
      add(own, places.most_moved(own), false);
      add(own, places.moved(own, place), true);
      visit(place, sums.data(), rows);
      sums.swap(kept);
    } else if (changed) {
      visit(place, sums.data(), rows);
    }
  }
}

/// The same for blocks, whose overlap with a row ramps up and down: O(rows block + places) time, O(places) memory.
template <class Term, class Visit>
void sweep_blocks(const Places& places, std::size_t width, const Term& term, const Visit& visit) {
  const std::int64_t count = places.first_is_worst() ? std::min<std::int64_t>(places.count(), 1) : places.count();
  if (count == 0) return;
  const auto at = [&](std::int64_t place) { return static_cast<std::size_t>(place) * width; };
  std::vector<Exact> differences(at(count));
  std::vector<std::int64_t> row_differences(static_cast<std::size_t>(count));
  std::vector<Exact> before(width), now(width);
  for (std::int64_t row = 0; row < places.rows(); ++row) {
    const Visible where = places.moving(row);
    const Moved most = places.most_moved(row);
    if (most.visible == 0) continue;
    std::fill(before.begin(), before.end(), Exact{0});
    const auto change = [&](std::int64_t place, bool moves) {
      if (place >= count) return;
      std::fill(now.begin(), now.end(), Exact{0});
      if (moves) term(row, places.moved(row, place), now.data());
      for (std::size_t k = 0; k < width; ++k) differences[at(place) + k] += now[k] - before[k];
      before = now;
    };
    const std::int64_t up = std::min(where.begin + most.changed, where.end);
    for (std::int64_t place = where.begin; place < std::min(up, count); ++place) change(place, true);
    for (std::int64_t place = std::max(up, where.end - most.changed); place < std::min(where.end, count); ++place)
      change(place, true);
    change(where.end, false);
    if (where.begin < count) ++row_differences[static_cast<std::size_t>(where.begin)];
    if (where.end < count) --row_differences[static_cast<std::size_t>(where.end)];
  }
  std::vector<Exact> sums(width);
  std::int64_t rows = 0;
  for (std::int64_t place = 0; place < count; ++place) {
    for (std::size_t k = 0; k < width; ++k) sums[k] += differences[at(place) + k];
    rows += row_differences[static_cast<std::size_t>(place)];
    visit(place, sums.data(), rows);
  }
}

template <class Term, class Visit>
void sweep(const Places& places, std::size_t width, const Term& term, const Visit& visit) {
  if (places.block() > 1) {
    sweep_blocks(places, width, term, visit);
  } else {
    sweep_tokens(places, width, term, visit);
  }
}

}  // namespace dpflash::attention::analysis
