// What one record moves on the device: nothing where it is not seen, and no more than is charged where it is.
#include <dpflash/accounting/error.hpp>

#include "../attention/rounding_attack.hpp"
#include "attention_answers.hpp"
#include "dpflash/attention/allocation.hpp"

using namespace dpflash;
using namespace cases;
using attention::KernelElement;
using attention::NoiseTable;
using attention::Sensitivity;
using attention::SensitivityQuestion;

namespace {

KernelElement kernel_element(Element element) {
  return element == Element::bf16 ? KernelElement::bf16 : KernelElement::fp16;
}

/// A key whose score with the query (1, 2^-5, 0, ...) is `score` to some 2^-17.
void set_score(Element element, double* k, float score) {
  k[0] = static_cast<double>(rounded(element, score));
  k[1] = static_cast<double>(rounded(element, static_cast<float>((static_cast<double>(score) - k[0]) * 32)));
}

/// Attacks, one a kv head of each sequence: the first key is the record. Column d of values is +-(1 + d/128)/16, so
/// that columns round differently and their mean is better known than one.
struct RoundingAttack {
  static constexpr std::int64_t kColumns = 128;
  std::vector<attack::Neighbours> cases;
  SensitivityQuestion question;
  double norm = 0;

  RoundingAttack(Element element, std::int64_t keys, std::int32_t batch, std::int32_t heads) {
    const auto type = element == Element::bf16 ? attack::Sixteen::bf16 : attack::Sixteen::f16;
    cases = attack::worst_for_row_maximum(type, keys, 1, 32, static_cast<std::size_t>(batch * heads));
    for (std::int64_t d = 0; d < kColumns; ++d) norm += column(d) * column(d);
    norm = std::sqrt(norm);
    const ReferenceOptions o =
        options_of(std::vector<SequenceLengths>(static_cast<std::size_t>(batch), {1, keys}), heads, heads, kColumns);
    question.shape = o.shape;
    question.shape.scale = 1;
    question.clips = {{1.001}, {1.003}, {norm * 1.01}};
    question.precision = attention::kernel_precision(kernel_element(element), question);
  }
  static double column(std::int64_t d) { return (1 + static_cast<double>(d) / 128) / 16; }

  /// Fills the inputs with one side of every attack.
  void fill(Problem<double>& p, Element element, bool neighbour) const {
    for (Rows<double>* rows : {&p.q, &p.k, &p.v}) std::fill(rows->values.begin(), rows->values.end(), 0.0);
    const std::int64_t keys = question.shape.lengths[0].keys;
    for (std::size_t n = 0; n < cases.size(); ++n) {
      const auto b = static_cast<std::int64_t>(n) / question.shape.heads;
      const auto h = static_cast<std::int64_t>(n) % question.shape.heads;
      p.q.row(b, h)[0] = 1;
      p.q.row(b, h)[1] = 1.0 / 32;
      for (std::int64_t j = 0; j < keys; ++j) {
        const bool record = j == 0;
        const float score = !record ? cases[n].other : neighbour ? cases[n].after : cases[n].before;
        set_score(element, p.k.row(b * keys + j, h), score);
        for (std::int64_t d = 0; d < kColumns; ++d) {
          const bool more = !record && j % 64 < d * 27 % 64;
          const double value = column(d) + (more ? 0x1p-11 : 0);
          p.v.row(b * keys + j, h)[d] = record && !neighbour ? value : -value;
        }
      }
    }
  }
  /// How far row n moved, over the values' norm.
  double moved(Element element, const std::vector<std::uint16_t>& a, const std::vector<std::uint16_t>& b,
               std::size_t n) const {
    double sum = 0;
    for (std::int64_t d = 0; d < kColumns; ++d) {
      const std::size_t at = n * kColumns + static_cast<std::size_t>(d);
      sum +=
          (static_cast<double>(from_bits(element, a[at])) - static_cast<double>(from_bits(element, b[at]))) / column(d);
    }
    return std::abs(sum) / kColumns;
  }
};

}  // namespace

TEST_CASE("rows, heads and sequences that do not see a record keep every bit, whatever the record becomes") {
  const gpu::Stream stream;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const Element element : {Element::bf16, Element::f16})
    for (const std::int32_t head_dim : {64, 128, 256})
      for (const int mask : {0, 1, 2}) {
        ReferenceOptions o = options_of({{300, 300}, {300, 300}}, 4, 2, head_dim);
        o.shape.causal = mask != 2;
        if (mask == 1) o.shape.window.left = 70;
        if (mask == 2) o.shape.window = {33, 20};
        Problem<double> p(o, 1, 4);
        round_inputs(p, element);
        for (const Path path : kPaths) {
          DeviceProblem before(p, element, Layout::rows_first, stream);
          if (const std::string why = before.refusal(path); !why.empty()) {
            report_refusal(path, why);
            continue;
          }
          CAPTURE(name_of(path));
          CAPTURE(head_dim);
          CAPTURE(mask);
          const std::vector<std::uint16_t> first = clean_of(before, path, stream);
          for (const double becomes : {0.0, 3.0, -100.0, nan, infinity}) {
            constexpr std::int64_t kRecord = 137;
            Problem<double> other = p;
            std::fill_n(other.k.row(300 + kRecord, 0), head_dim, becomes);
            std::fill_n(other.v.row(300 + kRecord, 0), head_dim, becomes);
            DeviceProblem after(other, element, Layout::rows_first, stream);
            const std::vector<std::uint16_t> second = clean_of(after, path, stream);
            CHECK(changed_unseen(o, kRecord, first, second) == 0);
            CHECK(first != second);
          }
        }
      }
}

TEST_CASE("records chosen against rounding move a row by no more than is charged") {
  const gpu::Stream stream;
  if (shrink() > 1) return;
  for (const Element element : {Element::bf16, Element::f16}) {
    const RoundingAttack attack(element, 4096, 4, 4);
    ReferenceOptions o;
    o.shape = attack.question.shape;
    o.clips = attack.question.clips;
    Problem<double> one(o, 1, 1);
    Problem<double> two(o, 1, 1);
    attack.fill(one, element, false);
    attack.fill(two, element, true);
    DeviceProblem first(one, element, Layout::rows_first, stream);
    DeviceProblem second(two, element, Layout::rows_first, stream);
    const double charged =
        (Sensitivity(attack.question).row_factor(0, 0) + 2 * attack.question.precision.eta_over_cv) * 1.01;
    // What rounding two answers to the element leaves in the mean of 128 columns, five standard deviations:
    // post-processing, and no part of the bound.
    const double unit = element == Element::bf16 ? 0x1p-8 : 0x1p-11;
    const double slack = 5 * unit * std::sqrt(2.0 / 3 / 128);
    // With a row maximum the worst of these records moves a bf16 row by more than that.
    if (element == Element::bf16) CHECK(attack.cases.front().row_maximum_moves > charged + slack);
    for (const Path path : kPaths) {
      if (const std::string why = first.refusal(path); !why.empty()) {
        report_refusal(path, why);
        continue;
      }
      const std::vector<std::uint16_t> a = clean_of(first, path, stream);
      const std::vector<std::uint16_t> b = clean_of(second, path, stream);
      double most = 0;
      for (std::size_t n = 0; n < attack.cases.size(); ++n) most = std::max(most, attack.moved(element, a, b, n));
      MESSAGE(name_of(path) << (element == Element::bf16 ? ", bf16" : ", fp16") << ": moved " << most << ", charged "
                            << charged << ", predicted with a row maximum " << attack.cases.front().row_maximum_moves);
      CHECK(most <= charged + slack);
    }
  }
}

TEST_CASE("a call is held to what its noise was made for") {
  const gpu::Stream stream;
  const ReferenceOptions o = options_of({{40, 40}, {40, 40}}, 4, 2, 64);
  Problem<double> p(o, 1, 1);
  round_inputs(p, Element::bf16);
  DeviceProblem device(p, Element::bf16, Layout::rows_first, stream);
  SensitivityQuestion question;
  question.shape = o.shape;
  question.shape.lengths = {{17, 3}, {40, 40}};
  question.clips = o.clips;
  const auto table_for = [&](const SensitivityQuestion& q, attention::Allocation allocation) {
    return DeviceNoise(NoiseTable(Sensitivity(q), gaussian(), allocation), stream.handle());
  };
  auto draws = source(Generator::chacha20);
  std::uint32_t step = 0;
  const auto refused = [&](const DeviceNoise& noise) -> std::string {
    try {
      device.run(Path::automatic, noise, {draws, noise::Position{1, step++, 0}}, stream);
    } catch (const accounting::UnusableInput& e) {
      return e.field();
    }
    return "";
  };
  // Exact arithmetic's bounds are not the kernel's.
  CHECK(refused(table_for(question, attention::Allocation::uniform)) == "noise.precision");
  question.precision = attention::kernel_precision(KernelElement::fp16, question);
  CHECK(refused(table_for(question, attention::Allocation::uniform)) == "noise.precision");
  question.precision = attention::kernel_precision(KernelElement::bf16, question);
  for (const auto allocation :
       {attention::Allocation::uniform, attention::Allocation::per_head, attention::Allocation::optimal})
    CHECK(refused(table_for(question, allocation)) == "");
  const auto with = [&](auto&& change) {
    SensitivityQuestion other = question;
    change(other);
    other.precision = attention::kernel_precision(KernelElement::bf16, other);
    return refused(table_for(other, attention::Allocation::uniform));
  };
  CHECK(with([](auto& q) { q.shape.causal = true; }) == "causal");
  CHECK(with([](auto& q) { q.shape.window.left = 3; }) == "window[0]");
  CHECK(with([](auto& q) { q.shape.scale = 0.1; }) == "scale");
  CHECK(with([](auto& q) { q.shape.softcap = 1; }) == "softcap");
  CHECK(with([](auto& q) { q.clips.k = {2.9, 3.0}; }) == "C_k");
  CHECK(with([](auto& q) { q.shape.kv_heads = 4; }) == "H_kv");
  CHECK(with([](auto& q) { q.shape.lengths = {{40, 41}}; }) == "lengths[0]");
}
