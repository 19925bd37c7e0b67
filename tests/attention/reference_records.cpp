// What one record moves in the reference: no more than the sensitivity says, broken records included.
#include <dpflash/accounting/error.hpp>

#include "dpflash/attention/sensitivity.hpp"
#include "reference_cases.hpp"

using namespace dpflash;
using namespace cases;
using attention::Sensitivity;
using attention::SensitivityQuestion;
using attention::Unit;

namespace {

ReferenceOptions options_of(const SequenceLengths& lengths, bool causal, const Window& window) {
  ReferenceOptions o;
  o.shape.lengths = {lengths};
  o.shape.heads = 4;
  o.shape.kv_heads = 2;
  o.shape.head_dim = 6;
  o.shape.causal = causal;
  o.shape.window = window;
  o.shape.scale = 0.5;
  o.clips = {{1.5}, {1.0}, {1.0, 2.0}};
  return o;
}

double distance(const Problem<double>& a, const Problem<double>& b, std::int64_t row, std::int64_t head) {
  double squares = 0;
  for (std::int64_t d = 0; d < a.clean.columns; ++d) {
    const double off = a.clean.row(row, head)[d] - b.clean.row(row, head)[d];
    squares += off * off;
  }
  return std::sqrt(squares);
}

/// 2 C_v w(n), or the bound of a pair that becomes zeros: attention-sensitivity.md, sections on token and zero-out.
double bound_of(const ReferenceOptions& o, Unit unit, std::int64_t row, std::int32_t kv_head) {
  SensitivityQuestion q;
  q.shape = o.shape;
  // One row that sees as many keys: nothing else of the mask counts.
  std::int64_t seen = 0;
  for (std::int64_t j = 0; j < o.shape.lengths[0].keys; ++j) seen += sees(o.shape, o.shape.lengths[0], row, j);
  q.shape.lengths = {{1, seen}};
  q.shape.causal = false;
  q.shape.window = {};
  q.clips = o.clips;
  q.unit = unit;
  return Sensitivity(q).row_factor(kv_head, 0) * cases::clip_of(o.clips.v, kv_head);
}

/// Rows beyond their bound when the pair (k, v) of `record` becomes `other`'s; rows that do not see it must not move.
int beyond(Problem<double>& one, Problem<double>& other, std::int64_t record, Unit unit) {
  one.run();
  other.run();
  const Shape& s = one.options.shape;
  int count = 0;
  for (std::int64_t i = 0; i < s.lengths[0].queries; ++i)
    for (std::int32_t h = 0; h < s.heads; ++h) {
      const double moved = distance(one, other, i, h);
      const bool seen = sees(s, s.lengths[0], i, record);
      count += seen ? !(moved <= bound_of(one.options, unit, i, h / 2) * (1 + 1e-12)) : moved != 0;
    }
  return count;
}

struct Mask {
  SequenceLengths lengths;
  bool causal;
  Window window;
};
const Mask kMasks[] = {{{9, 9}, false, {}}, {{9, 9}, true, {}}, {{12, 7}, true, {3, -1}}, {{5, 9}, false, {2, 1}}};

}  // namespace

TEST_CASE("a replaced pair moves rows within 2 C_v w(n), whatever it was and becomes") {
  const double broken[] = {
      std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 1e200, 0x1p63, 0.0, 1e-300};
  std::uint64_t seed = 1;
  for (const Mask& mask : kMasks)
    for (const double norms : {0.3, 3.0, 1e6})
      for (std::int64_t record = 0; record < mask.lengths.keys; ++record) {
        const ReferenceOptions o = options_of(mask.lengths, mask.causal, mask.window);
        Problem<double> one(o, norms, ++seed);
        Problem<double> random = one;
        const Problem<double> source(o, norms, seed + 1000);
        for (std::int64_t g = 0; g < 2; ++g) {
          std::copy_n(source.k.row(record, g), 6, random.k.row(record, g));
          std::copy_n(source.v.row(record, g), 6, random.v.row(record, g));
        }
        CHECK(beyond(one, random, record, Unit::token) == 0);
        for (const double bad : broken) {
          Problem<double> spoilt = one;
          spoilt.k.row(record, 0)[2] = bad;
          spoilt.v.row(record, 1)[0] = bad;
          CHECK(beyond(one, spoilt, record, Unit::token) == 0);
          // A pair that is broken in both parts is a pair of zeros.
          if (std::isfinite(bad) && bad < 1e10) continue;
          spoilt = one;
          for (std::int64_t g = 0; g < 2; ++g) spoilt.k.row(record, g)[1] = spoilt.v.row(record, g)[3] = bad;
          CHECK(beyond(one, spoilt, record, Unit::zero_out) == 0);
        }
      }
}

TEST_CASE("a broken query moves its own row alone, within 2 C_v") {
  for (const Mask& mask : kMasks) {
    const ReferenceOptions o = options_of(mask.lengths, mask.causal, mask.window);
    Problem<double> one(o, 3, 5);
    Problem<double> other = one;
    other.q.row(4, 3)[0] = std::numeric_limits<double>::quiet_NaN();
    one.run();
    other.run();
    for (std::int64_t i = 0; i < mask.lengths.queries; ++i)
      for (std::int64_t h = 0; h < 4; ++h) {
        const double moved = distance(one, other, i, h);
        CHECK((i == 4 && h == 3 ? moved <= 2 * cases::clip_of(o.clips.v, 1) : moved == 0));
      }
  }
}
