// Problems for race checkers. The kernels of this program are compiled so that every lane arrives at barriers for
// itself (DPFLASH_ALL_LANES_ARRIVE): what is checked is all else, the order of reads, writes, copies and products.
#include "attention_answers.hpp"

using namespace dpflash;
using namespace cases;

namespace {

void check(const ReferenceOptions& o, const gpu::Stream& stream) {
  Problem<double> p(o, 1.5, 3);
  // Rows that count as zero are written where they lie.
  p.k.row(5, 0)[1] = std::numeric_limits<double>::infinity();
  p.v.row(7, 1)[0] = std::numeric_limits<double>::quiet_NaN();
  p.q.row(9, 2)[0] = std::numeric_limits<double>::quiet_NaN();
  round_inputs(p, Element::bf16);
  p.run();
  DeviceProblem device(p, Element::bf16, Layout::rows_first, stream);
  CAPTURE(o.shape.head_dim);
  CAPTURE(o.packed);
  on_paths(device, [&](Path path) {
    const std::vector<std::uint16_t> bits = clean_of(device, path, stream);
    double off = 0;
    double largest = 0;
    for (std::size_t i = 0; i < bits.size(); ++i) {
      const double e = std::abs(static_cast<double>(from_bits(Element::bf16, bits[i])) - p.clean.values[i]);
      off = std::isnan(e) ? 1e9 : std::max(off, e);
      largest = std::max(largest, std::abs(p.clean.values[i]));
    }
    CHECK(off <= 0x1p-7 * largest);
  });
}

}  // namespace

TEST_CASE("problems for race checkers") {
  const gpu::Stream stream;
  for (const std::int32_t head_dim : {64, 128, 256}) {
    ReferenceOptions o = cases::options_of(std::vector<SequenceLengths>(5, {300, 333}), 10, 5, head_dim);
    o.shape.causal = true;
    check(o, stream);
    o = cases::options_of({{0, 3}, {400, 40}, {0, 0}, {130, 700}, {1000, 257}}, 12, 4, head_dim, true);
    o.shape.window = {150, 40};
    check(o, stream);
  }
}
