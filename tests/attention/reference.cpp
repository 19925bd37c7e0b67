// The reference against the operation written a second time, over shapes, masks, norms and layouts.
#include <dpflash/accounting/error.hpp>

#include "reference_cases.hpp"

using namespace dpflash;
using namespace cases;

namespace {

struct Mask {
  bool causal;
  Window window;
};
const Mask kMasks[] = {{false, {}}, {true, {}}, {false, {3, 2}}, {true, {5, -1}}, {false, {-1, 0}}, {false, {0, 0}}};

ReferenceOptions options_of(std::vector<SequenceLengths> lengths, std::int32_t heads, std::int32_t kv_heads,
                            std::int32_t head_dim, const Mask& mask) {
  ReferenceOptions o;
  o.shape.lengths = std::move(lengths);
  o.shape.heads = heads;
  o.shape.kv_heads = kv_heads;
  o.shape.head_dim = head_dim;
  o.shape.causal = mask.causal;
  o.shape.window = mask.window;
  o.clips = {{2.0}, {3.0}, {1.5}};
  return o;
}

/// Message and field of what a call throws.
template <class Call>
std::string refused(Call&& call) {
  try {
    call();
  } catch (const accounting::UnusableInput& e) {
    return e.field();
  }
  return "";
}

}  // namespace

TEST_CASE_TEMPLATE("answers and log-sum-exp are the plain computation's", T, double, float) {
  const double tolerance = std::is_same_v<T, double> ? 1e-13 : 1e-5;
  const SequenceLengths lengths[] = {{1, 1}, {7, 7}, {33, 33}, {5, 29}, {29, 5}, {1, 40}, {40, 1}, {16, 17}};
  std::uint64_t seed = 1;
  for (const SequenceLengths& l : lengths)
    for (const Mask& mask : kMasks)
      for (const double norms : {0.1, 1.0, 100.0})
        for (const std::int32_t head_dim : {1, 8, 35}) {
          CAPTURE(l.queries);
          CAPTURE(l.keys);
          CAPTURE(mask.causal);
          CAPTURE(norms);
          const bool grouped = seed % 2 == 0;
          ReferenceOptions o = options_of({l, l}, grouped ? 4 : 2, grouped ? 2 : 2, head_dim, mask);
          if (seed % 3 == 0) o.shape.softcap = 1.5;
          if (seed % 5 == 0) o.shape.scale = -0.7;
          if (seed % 7 == 0) o.clips = {{2.0, 0.5}, {1.0, 3.0}, {1.5, 0.1}};
          Problem<T> p(o, norms, seed++);
          p.run();
          CHECK(largest_difference(p) < tolerance);
        }
}

TEST_CASE("large scores: no maximum is needed in the range that is allowed") {
  ReferenceOptions o = options_of({{20, 50}}, 2, 1, 16, kMasks[0]);
  o.shape.scale = 70.0 / 6;
  Problem<double> wide(o, 10, 3);
  wide.run();
  CHECK(largest_difference(wide) < 1e-12);
  Problem<float> narrow(o, 10, 3);
  narrow.run();
  CHECK(largest_difference(narrow) < 3e-4);
}

TEST_CASE("packed sequences are each what they are alone") {
  const std::vector<SequenceLengths> lengths = {{5, 9}, {0, 4}, {17, 3}, {1, 1}, {6, 0}, {33, 34}};
  for (const Mask& mask : kMasks) {
    ReferenceOptions o = options_of(lengths, 4, 2, 8, mask);
    o.packed = true;
    Problem<double> packed(o, 1.5, 9);
    packed.run();
    CHECK(largest_difference(packed) < 1e-13);
    std::int64_t first_q = 0;
    std::int64_t first_k = 0;
    for (const SequenceLengths& l : lengths) {
      ReferenceOptions one = o;
      one.packed = false;
      one.shape.lengths = {l};
      Problem<double> alone(one, 1, 1);
      for (std::int64_t n = 0; n < l.queries; ++n) std::copy_n(packed.q.row(first_q + n, 0), 4 * 8, alone.q.row(n, 0));
      for (std::int64_t n = 0; n < l.keys; ++n) {
        std::copy_n(packed.k.row(first_k + n, 0), 2 * 8, alone.k.row(n, 0));
        std::copy_n(packed.v.row(first_k + n, 0), 2 * 8, alone.v.row(n, 0));
      }
      alone.run();
      const double* const part = packed.clean.row(first_q, 0);
      CHECK(std::equal(alone.clean.values.begin(), alone.clean.values.end(), part));
      first_q += l.queries;
      first_k += l.keys;
    }
  }
}

TEST_CASE("strides: heads before rows, and keys that are shared by all sequences") {
  const ReferenceOptions o = options_of({{6, 10}, {6, 10}}, 2, 2, 4, kMasks[1]);
  Problem<double> p(o, 1.5, 4);
  // The second sequence's keys are the first one's.
  std::copy_n(p.k.values.begin(), 80, p.k.values.begin() + 80);
  std::copy_n(p.v.values.begin(), 80, p.v.values.begin() + 80);
  p.run();
  // [heads, batch, rows, columns] with three columns between rows.
  const auto turned = [](const Rows<double>& rows, std::int64_t batch, std::int64_t length) {
    std::vector<double> out(static_cast<std::size_t>(2 * batch * length * 7));
    for (std::int64_t b = 0; b < batch; ++b)
      for (std::int64_t i = 0; i < length; ++i)
        for (std::int64_t h = 0; h < 2; ++h)
          std::copy_n(rows.row(b * length + i, h), 4, out.begin() + ((h * batch + b) * length + i) * 7);
    return out;
  };
  const std::vector<double> q = turned(p.q, 2, 6);
  const std::vector<double> k = turned(p.k, 1, 10);
  const std::vector<double> v = turned(p.v, 1, 10);
  std::vector<double> clean(q.size(), -1);
  ReferenceTensors<double> t;
  t.q = {q.data(), 6 * 7, 7, 2 * 6 * 7};
  t.k = {k.data(), 0, 7, 10 * 7};
  t.v = {v.data(), 0, 7, 10 * 7};
  t.clean = {clean.data(), 6 * 7, 7, 2 * 6 * 7};
  attention::reference(t, o);
  std::vector<double> expected = turned(p.clean, 2, 6);
  for (std::size_t i = 0; i < clean.size(); ++i) CHECK(clean[i] == (i % 7 < 4 ? expected[i] : -1));
}

TEST_CASE("a row that is not finite, or too long, counts as zero") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const ReferenceOptions o = options_of({{12, 12}}, 2, 1, 8, kMasks[0]);
  for (const double broken : {nan, infinity, -infinity, 0x1p63, 1e300}) {
    Problem<double> p(o, 0.5, 5);
    p.q.row(3, 1)[2] = broken;
    p.k.row(4, 0)[0] = broken;
    p.v.row(7, 0)[7] = broken;
    p.run();
    CHECK(largest_difference(p) < 1e-13);
    CHECK(p.clipped[0] == 1);
    CHECK(p.clipped[1] == 1);
    CHECK(p.clipped[2] == 1);
    // A query of zeros weighs all keys alike.
    std::vector<double> mean(8);
    for (std::int64_t j = 0; j < 12; ++j)
      for (std::size_t d = 0; d < 8 && j != 7; ++d) mean[d] += p.v.row(j, 0)[d] / 12;
    for (std::size_t d = 0; d < 8; ++d) CHECK(std::abs(p.clean.row(3, 1)[d] - mean[d]) < 1e-14);
  }
}

TEST_CASE("clipped rows are counted, queries once a query head") {
  ReferenceOptions o = options_of({{9, 11}}, 4, 2, 8, kMasks[0]);
  Problem<double> short_rows(o, 0.01, 6);
  short_rows.run();
  CHECK(short_rows.clipped == std::vector<std::uint64_t>(6, 0));
  Problem<double> long_rows(o, 100, 6);
  long_rows.q.row(2, 3)[0] = std::numeric_limits<double>::infinity();
  std::fill_n(long_rows.k.row(5, 1), 8, 0.0);
  long_rows.run();
  CHECK(long_rows.clipped == std::vector<std::uint64_t>{18, 11, 11, 18, 10, 11});
}

TEST_CASE("a clipped row is inside the ball, in binary32 too") {
  // Keys of one row: the answer is the clipped value itself.
  ReferenceOptions o = options_of({{1, 1}}, 1, 1, 256, kMasks[0]);
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    o.clips.v = {1 + static_cast<double>(seed) * 1e-3};
    Problem<float> p(o, seed % 2 == 0 ? 1.0 : 50.0, seed);
    p.run();
    double squares = 0;
    for (const float x : p.clean.values) squares += static_cast<double>(x) * static_cast<double>(x);
    REQUIRE(std::sqrt(squares) <= o.clips.v[0]);
    if (seed % 2 == 1) REQUIRE(std::sqrt(squares) >= o.clips.v[0] * (1 - 300 * 0x1p-24));
  }
}

TEST_CASE("what is unusable is named") {
  const ReferenceOptions good = options_of({{4, 4}, {4, 4}}, 2, 1, 8, kMasks[0]);
  const auto field = [&](auto&& change) {
    ReferenceOptions o = good;
    Problem<float> p(good, 1, 1);
    ReferenceTensors<float> t = p.tensors();
    change(o, t);
    return refused([&] { attention::reference(t, o); });
  };
  CHECK(field([](auto&, auto&) {}) == "");
  CHECK(field([](auto& o, auto&) { o.shape.lengths[1].keys = 5; }) == "lengths[1]");
  CHECK(field([](auto& o, auto&) { o.clips.k = {}; }) == "C_k");
  CHECK(field([](auto& o, auto&) { o.clips.q[0] = std::numeric_limits<double>::quiet_NaN(); }) == "C_q");
  CHECK(field([](auto& o, auto&) { o.clips.v[0] = 1e-13; }) == "C_v");
  CHECK(field([](auto& o, auto&) { o.shape.scale = 1e-13; }) == "scale");
  CHECK(field([](auto& o, auto&) { o.shape.softcap = 1e13; }) == "softcap");
  CHECK(field([](auto& o, auto&) { o.shape.scale = 20; }) == "scale C_q C_k");
  CHECK(field([](auto& o, auto&) {
          o.shape.heads = 3;
          o.shape.kv_heads = 2;
        }) == "H_kv");
  CHECK(field([](auto&, auto& t) { t.k.data = nullptr; }) == "k.data");
  CHECK(field([](auto&, auto& t) { t.q.row_stride = -1; }) == "q.row_stride");
  CHECK(field([](auto&, auto& t) { t.clean.head_stride = 7; }) == "clean.head_stride");
  CHECK(field([](auto&, auto& t) { t.clean.batch_stride = 63; }) == "clean.batch_stride");
}
