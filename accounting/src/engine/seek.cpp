#include "engine/seek.hpp"

namespace dpflash::accounting {
namespace {

struct Point {
  double y, excess;
};

class Seeker {
 public:
  explicit Seeker(const Search& search)
      : search_(search), slope_(search.slope), safe_way_(search.slope < 0 ? 1.0 : -1.0) {}

  std::optional<double> run() {
    double y = search_.snap(std::clamp(search_.start, search_.low, search_.high));
    for (int i = 0; i < search_.most; ++i) {
      if (record({y, search_.excess(y)})) return good_->y;
      if (bad_ && bad_->y == safest()) return std::nullopt;
      const std::optional<double> next = propose();
      if (!next) break;
      y = *next;
    }
    if (good_) return good_->y;
    return std::nullopt;
  }

 private:
  [[nodiscard]] double safest() const { return search_.snap(safe_way_ > 0 ? search_.high : search_.low); }
  [[nodiscard]] double riskiest() const { return search_.snap(safe_way_ > 0 ? search_.low : search_.high); }

  // True when the search is over with good_.
  bool record(const Point& point) {
    if (last_ && std::isfinite(last_->excess) && std::isfinite(point.excess) && point.y != last_->y) {
      const double slope = (point.excess - last_->excess) / (point.y - last_->y);
      if (slope * safe_way_ < 0) slope_ = slope;
    }
    last_ = point;
    const double before = width();
    (point.excess <= 0 ? good_ : bad_) = point;
    stalled_ = width() > 0.5 * before ? stalled_ + 1 : 0;
    if (!good_) return false;
    if (good_->y == riskiest()) return true;
    if (bad_ && width() <= search_.tolerance) return true;
    return point.excess <= 0 && -point.excess <= 0.7 * std::abs(slope_) * search_.tolerance;
  }

  [[nodiscard]] double width() const { return good_ && bad_ ? std::abs(good_->y - bad_->y) : INFINITY; }

  std::optional<double> propose() {
    double y;
    if (std::isfinite(last_->excess)) {
      y = last_->y - last_->excess / slope_ + safe_way_ * 0.3 * search_.tolerance;
      const double furthest = good_ && bad_ ? width() : 3.0;
      y = std::clamp(y, last_->y - furthest, last_->y + furthest);
    } else {
      y = last_->y;
    }
    if (good_ && bad_) return inside(y);
    // One side only: at least `reach_` towards the other, more every time.
    const double towards = good_ ? -safe_way_ : safe_way_;
    if (!std::isfinite(last_->excess)) reach_ = std::max(reach_, 0.7);
    if ((y - last_->y) * towards < reach_) y = last_->y + towards * reach_;
    reach_ = std::max(reach_ * 4, std::isfinite(last_->excess) ? search_.tolerance : 0.7);
    y = search_.snap(std::clamp(y, search_.low, search_.high));
    if (y == last_->y) y = good_ ? riskiest() : safest();
    return y;
  }

  std::optional<double> inside(double y) {
    const double left = std::min(good_->y, bad_->y), right = std::max(good_->y, bad_->y);
    const double margin = std::min(0.5 * search_.tolerance, 0.25 * (right - left));
    y = stalled_ >= 3 ? 0.5 * (left + right) : std::clamp(y, left + margin, right - margin);
    if (stalled_ >= 3) stalled_ = 1;
    double snapped = search_.snap(y);
    if (snapped > left && snapped < right) return snapped;
    snapped = search_.snap(0.5 * (left + right));
    if (snapped > left && snapped < right) return snapped;
    return std::nullopt;  // integers side by side
  }

  const Search& search_;
  double slope_;
  double safe_way_;  // +1 when a larger y is safer
  std::optional<Point> good_ = std::nullopt, bad_ = std::nullopt, last_ = std::nullopt;
  double reach_ = 0;
  int stalled_ = 0;
};

}  // namespace

std::optional<double> seek(const Search& search) { return Seeker(search).run(); }

}  // namespace dpflash::accounting
