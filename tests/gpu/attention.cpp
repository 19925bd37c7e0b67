// Values of the attention kernels without noise, against the reference in binary64, over shapes, masks and norms.
#include "attention_cases.hpp"
#include "reference/draws.hpp"
#include "shape/shape.hpp"

using namespace dpflash;
using namespace cases;

namespace {

/// The nearest element towards zero.
float truncated(Element element, float x) {
  const std::uint16_t bits = to_bits(element, x);
  const float nearest = from_bits(element, bits);
  return std::abs(nearest) > std::abs(x) ? from_bits(element, static_cast<std::uint16_t>(bits - 1)) : nearest;
}

/// The operation in plain 16-bit steps: clipped rows rounded to the element, scores and sums in binary32, exponentials
/// rounded to the element (fp16: truncated) before they weigh values, the answer rounded. Clean answers in the order of
/// the queries.
class Plain16 {
 public:
  Plain16(const Problem<double>& p, Element element) : p_(p), s_(p.options.shape), element_(element) {
    answer_ =
        Rows<double>(static_cast<std::int64_t>(p.clean.values.size()) / s_.heads / s_.head_dim, s_.heads, s_.head_dim);
    std::int64_t first_q = 0;
    std::int64_t first_k = 0;
    for (const SequenceLengths& l : s_.lengths) {
      for (std::int64_t g = 0; g < s_.kv_heads; ++g) kv_head(l, first_q, first_k, g);
      first_q += l.queries;
      first_k += l.keys;
    }
  }
  [[nodiscard]] const Rows<double>& answer() const { return answer_; }

 private:
  void kv_head(const SequenceLengths& l, std::int64_t first_q, std::int64_t first_k, std::int64_t g) {
    const auto keys = static_cast<std::size_t>(l.keys);
    const auto columns = static_cast<std::size_t>(s_.head_dim);
    std::vector<float> k(keys * columns);
    std::vector<float> v(keys * columns);
    for (std::size_t j = 0; j < keys; ++j) {
      const auto row = first_k + static_cast<std::int64_t>(j);
      const auto ku = clipped_row(p_.k.row(row, g), s_.head_dim, cases::clip_of(p_.options.clips.k, g));
      const auto vu = clipped_row(p_.v.row(row, g), s_.head_dim, cases::clip_of(p_.options.clips.v, g));
      for (std::size_t d = 0; d < columns; ++d) {
        k[d * keys + j] = rounded(element_, static_cast<float>(ku[d]));
        v[j * columns + d] = rounded(element_, static_cast<float>(vu[d]));
      }
    }
    const std::int64_t group = s_.heads / s_.kv_heads;
    attention::for_each_task(group * l.queries, [&](std::int64_t task) {
      const std::int64_t i = task / group;
      const std::int64_t h = g * group + task % group;
      row(l, i, p_.q.row(first_q + i, h), cases::clip_of(p_.options.clips.q, g), k, v, answer_.row(first_q + i, h));
    });
  }

  void row(const SequenceLengths& l, std::int64_t i, const double* q, double clip, const std::vector<float>& k,
           const std::vector<float>& v, double* out) const {
    const attention::Visible seen = attention::visible(s_, l, i);
    if (seen.count() == 0) return;
    const auto keys = static_cast<std::size_t>(l.keys);
    const auto columns = static_cast<std::size_t>(s_.head_dim);
    const auto begin = static_cast<std::size_t>(seen.begin);
    const auto count = static_cast<std::size_t>(seen.count());
    const auto u = clipped_row(q, s_.head_dim, clip);
    std::vector<float> weights(count);
    for (std::size_t d = 0; d < columns; ++d) {
      const float factor = rounded(element_, static_cast<float>(u[d]));
      for (std::size_t j = 0; j < count; ++j) weights[j] += factor * k[d * keys + begin + j];
    }
    const auto scale = static_cast<float>(attention::scale_of(s_));
    const auto softcap = static_cast<float>(s_.softcap.value_or(0));
    float sum = 0;
    std::vector<float> total(columns);
    for (std::size_t j = 0; j < count; ++j) {
      const float score = scale * weights[j];
      const float weight = std::exp(softcap > 0 ? softcap * std::tanh(score / softcap) : score);
      sum += weight;
      const float cut = element_ == Element::bf16 ? rounded(element_, weight) : truncated(element_, weight);
      for (std::size_t d = 0; d < columns; ++d) total[d] += cut * v[(begin + j) * columns + d];
    }
    for (std::size_t d = 0; d < columns; ++d) out[d] = static_cast<double>(rounded(element_, total[d] / sum));
  }

  const Problem<double>& p_;
  const Shape& s_;
  Element element_;
  Rows<double> answer_;
};

/// One line of the grid; every line is taken with every head_dim and element.
struct Line {
  std::vector<SequenceLengths> lengths;
  std::int32_t heads;
  std::int32_t kv_heads;
  bool causal;
  Window window;
  double softcap = 0;  ///< 0: none
  bool packed = false;
  Layout layout = Layout::rows_first;
};

const Line kLines[] = {
    {{{1, 1}, {1, 1}}, 8, 2, false, {}},
    {{{3, 3}}, 6, 1, true, {}},
    {{{97, 97}, {97, 97}}, 8, 2, true, {}, 0, false, Layout::heads_first},
    {{{113, 203}}, 8, 2, false, {}, 0, false, Layout::gaps},
    {{{203, 113}}, 6, 1, true, {}},
    {{{239, 239}}, 2, 2, false, {37, 11}},
    {{{799, 799}}, 1, 1, true, {}, 0, false, Layout::heads_first},
    {{{1023, 1025}}, 1, 1, false, {}},
    {{{1025, 1023}}, 1, 1, true, {}},
    {{{1, 1025}, {1, 1025}, {1, 1025}}, 8, 2, true, {}},
    {{{1025, 1}}, 2, 1, false, {}},
    {{{239, 799}}, 2, 1, false, {64, 64}, 0, false, Layout::unaligned},
    {{{799, 239}}, 2, 2, true, {16, -1}},
    {{{1, 97}, {3, 3}, {97, 97}, {0, 5}, {113, 239}, {239, 113}, {5, 0}}, 8, 2, true, {}, 0, true},
    {{{203, 97}, {3, 1025}, {799, 1}}, 6, 1, false, {}, 0, true, Layout::gaps},
    {{{203, 203}}, 8, 2, true, {}, 0.8},
    {{{97, 203}, {1, 1}, {113, 97}}, 2, 1, false, {50, 10}, 2.5, true},
    {{{97, 1023}}, 8, 2, true, {}},
    {{{113, 97}}, 6, 1, false, {-1, 0}, 0, false, Layout::unaligned},
    {{{1025, 1025}}, 1, 1, true, {255, -1}},
    {{{256, 256}}, 8, 2, true, {}},
    {{{512, 512}}, 2, 1, false, {}},
    {{{64, 0}}, 2, 2, false, {}},
    {{{128, 128}}, 4, 4, false, {0, 0}},
};
constexpr std::int32_t kHeadDims[] = {32, 40, 64, 80, 96, 128, 192, 256};
constexpr double kNorms[] = {0.1, 1, 100};

/// Rows that are zero, and now and then rows that are not finite: one each of q, k and v.
void spoil(Problem<double>& p, std::size_t number) {
  const double bad[] = {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                        -std::numeric_limits<double>::infinity()};
  std::mt19937_64 random(number);
  for (Rows<double>* rows : {&p.q, &p.k, &p.v}) {
    const std::size_t count = rows->values.size() / static_cast<std::size_t>(rows->columns);
    if (count < 4) continue;
    const std::size_t zero = random() % count;
    const auto columns = static_cast<std::size_t>(rows->columns);
    std::fill_n(rows->values.begin() + static_cast<std::ptrdiff_t>(zero * columns), columns, 0.0);
    if (number % 3 == 0) rows->values[random() % rows->values.size()] = bad[number / 3 % 3];
  }
}

/// Operations of both references.
double cost(const Shape& s) {
  double pairs = 0;
  for (const SequenceLengths& l : s.lengths)
    for (std::int64_t i = 0; i < l.queries; ++i) pairs += static_cast<double>(attention::visible(s, l, i).count());
  return 8 * pairs * s.heads * s.head_dim;
}

struct Errors {
  double device;
  double plain;
};

/// Largest errors against binary64. Every element must be a number.
Errors errors(const std::vector<std::uint16_t>& bits, Element element, const Rows<double>& plain,
              const Rows<double>& exact) {
  Errors e{0, 0};
  REQUIRE(bits.size() == exact.values.size());
  std::size_t not_finite = 0;
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const double x = static_cast<double>(from_bits(element, bits[i]));
    not_finite += !std::isfinite(x);
    e.device = std::max(e.device, std::abs(x - exact.values[i]));
    e.plain = std::max(e.plain, std::abs(plain.values[i] - exact.values[i]));
  }
  CHECK(not_finite == 0);
  return e;
}

void check_lse(const std::vector<float>& got, const std::vector<double>& exact, double largest_score) {
  double off = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto x = static_cast<double>(got[i]);
    if (std::isinf(exact[i]))
      REQUIRE(x == exact[i]);
    else
      off = std::max(off, std::isnan(x) ? 1e9 : std::abs(x - exact[i]));
  }
  CHECK(off < 2e-5 * (1 + largest_score));
}

ReferenceOptions options_of(const Line& line, std::int32_t head_dim, std::size_t number) {
  ReferenceOptions o;
  o.shape.lengths = line.lengths;
  o.shape.heads = line.heads;
  o.shape.kv_heads = line.kv_heads;
  o.shape.head_dim = head_dim;
  o.shape.causal = line.causal;
  o.shape.window = line.window;
  if (line.softcap > 0) o.shape.softcap = line.softcap;
  o.packed = line.packed;
  o.clips = {{6.0}, {5.0}, {1.0}};
  if (number % 2 == 0) o.clips.v = std::vector<double>(static_cast<std::size_t>(line.kv_heads), 0.75);
  return o;
}

class Grid {
 public:
  void check(const ReferenceOptions& o, Layout layout, Element element, std::size_t number) {
    Problem<double> p(o, kNorms[number % 3], number);
    if (number % 5 < 3) spoil(p, number);
    round_inputs(p, element);
    p.run();
    const Plain16 plain(p, element);
    total_cost_ += cost(o.shape);
    DeviceProblem device(p, element, layout, stream_);
    for (const Path path : kPaths) {
      if (const std::string why = device.refusal(path); !why.empty()) {
        report_refusal(path, why);
        continue;
      }
      on_path(p, device, plain.answer(), element, path);
      ++done_[path == Path::sm80 ? 0 : 1];
    }
  }
  [[nodiscard]] double total_cost() const { return total_cost_; }
  [[nodiscard]] int done(std::size_t path) const { return done_[path]; }
  [[nodiscard]] double worst() const { return worst_; }

 private:
  void on_path(const Problem<double>& p, DeviceProblem& device, const Rows<double>& plain, Element element, Path path) {
    const Shape& s = p.options.shape;
    INFO("path ", name_of(path), ", ", element == Element::bf16 ? "bf16" : "fp16", ", D ", s.head_dim);
    INFO("H ", s.heads, ":", s.kv_heads, ", first lengths ", s.lengths[0].queries, ", ", s.lengths[0].keys, ", causal ",
         s.causal, ", window ", s.window.left, ", ", s.window.right, ", packed ", p.options.packed);
    auto draws = source(Generator::philox);
    device.run(path, no_noise(s.heads), {draws, noise::Position{}}, stream_);
    const std::vector<std::uint16_t> out = device.out(stream_);
    const std::vector<std::uint16_t> clean = device.clean(stream_);
    const Errors e = errors(out, element, plain, p.clean);
    // Twice what plain 16-bit steps lose, and a little where those happen to lose nothing.
    const double tiny = element == Element::bf16 ? 2e-4 : 2e-5;
    CHECK(e.device <= 2 * e.plain + tiny);
    if (e.plain > 0) worst_ = std::max(worst_, e.device / (e.plain + tiny));
    std::size_t different = 0;
    for (std::size_t i = 0; i < out.size(); ++i)
      different += from_bits(element, out[i]) != from_bits(element, clean[i]);
    CHECK(different == 0);
    const double most = attention::largest_score(s, p.options.clips, 0);
    check_lse(device.lse(stream_), p.lse, most);
    // Norms at the clip itself may be judged differently in binary32.
    const std::vector<unsigned long long> counts = device.clipped(stream_);
    for (std::size_t i = 0; i < counts.size(); ++i)
      CHECK(std::abs(static_cast<double>(counts[i]) - static_cast<double>(p.clipped[i])) <=
            1 + 1e-3 * static_cast<double>(p.clipped[i]));
  }

  gpu::Stream stream_;
  double total_cost_ = 0;
  double worst_ = 0;
  int done_[2] = {0, 0};
};

}  // namespace

TEST_CASE("values are those of binary64 within twice what plain 16-bit steps lose") {
  Grid grid;
  std::size_t number = 0;
  int lines = 0;
  for (const std::int32_t head_dim : kHeadDims)
    for (const Element element : {Element::bf16, Element::f16})
      for (const Line& line : kLines) {
        ++number;
        const ReferenceOptions o = options_of(line, head_dim, number);
        if (shrink() > 1 && (number % 31 != 0 || cost(o.shape) > 1e8)) continue;
        grid.check(o, line.layout, element, number);
        ++lines;
      }
  MESSAGE(lines << " problems, sm80 " << grid.done(0) << ", sm90 " << grid.done(1) << "; worst error over plain "
                << grid.worst() << "; reference operations " << grid.total_cost());
  CHECK(grid.total_cost() < 2e11);
  if (shrink() == 1) CHECK(lines >= 300);
  CHECK(grid.done(0) + grid.done(1) > 0);
}
