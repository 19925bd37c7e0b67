// Questions at the edge of what is allowed: tiny and huge numbers, long shapes, and text that must be refused.
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <string>

#include "dpflash/attention/allocation.hpp"
#include "dpflash/attention/sensitivity.hpp"

using namespace dpflash::attention;
using dpflash::accounting::UnusableInput;

namespace {

SensitivityQuestion question(Unit unit, std::vector<SequenceLengths> lengths) {
  SensitivityQuestion q;
  q.unit = unit;
  q.shape.lengths = std::move(lengths);
  q.shape.scale = 1;
  q.clips = {{1.0}, {1.0}, {1.0}};
  return q;
}

std::string refusal(const std::string& json) {
  try {
    (void)parse_question(json);
  } catch (const UnusableInput& error) {
    return error.what();
  }
  return "accepted";
}

template <class Work>
double seconds(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("a score bound whose first product underflows is not lost") {
  SensitivityQuestion q = question(Unit::self_token, {{1, 1 << 20}});
  q.shape.scale = 0x1p-600;
  q.clips.q = {0x1p-500};
  q.clips.k = {0x1p1000};
  CHECK(Sensitivity(q).score_bound() >= 0x1p-100);
  CHECK(Sensitivity(q).score_bound() <= 0x1p-100 * (1 + 1e-12));
  // The other way round a product of finite numbers is finite.
  q.shape.scale = 0x1p600;
  q.clips.q = {0x1p500};
  q.clips.k = {0x1p-1074};
  CHECK(Sensitivity(q).score_bound() == doctest::Approx(0x1p26));
}

TEST_CASE("mu of a tiny clip under large noise is not rounded to nothing") {
  // One row that sees one key moves by 2 C_v.
  SensitivityQuestion q = question(Unit::token, {{10000, 1}});
  q.clips.v = {0x1p-1022};
  const double truth_in_units = 2 * 100 * std::ldexp(1.0, -1022 + 1074 - 55);
  const double found = Sensitivity(q).mu(std::vector<double>{0x1p55});
  CHECK(std::ldexp(found, 1074) >= truth_in_units);
  CHECK(std::ldexp(found, 1074) <= truth_in_units + 2);
}

TEST_CASE("scores with errors: a zeroed key's own counts as well") {
  // By brute force: every weight, the zeroed one included, is off by up to e^eps.
  SensitivityQuestion q = question(Unit::zero_out, {{1, 9}});
  q.precision = {0, 0.2, 0};
  const double b = 1.2;
  double most = 0;
  for (int step = 0; step <= 1000; ++step) {
    const double others = 8 * std::exp(b * (step / 500.0 - 1));
    for (const double zero : {std::exp(-0.2), 1.0, std::exp(0.2)}) {
      const double p = std::exp(b) / (std::exp(b) + others);
      const double after = zero / (zero + others);
      most = std::max({most, 2 * p - after, after});
    }
  }
  CHECK(Sensitivity(q).total() >= most);
  CHECK(Sensitivity(q).total() <= 1.2 * most);
}

TEST_CASE("shapes with many rows or heads answer or are refused, and soon") {
  constexpr std::int64_t kLong = 1 << 28;
  // They take a tenth of a second; what they stood for took minutes.
  constexpr double kHang = 30;
  CHECK(seconds([] {
          SensitivityQuestion q = question(Unit::token, {});
          for (std::int64_t s = 0; s < 1000; ++s) q.shape.lengths.push_back({kLong - s, 2 + s});
          CHECK(kernel_precision(KernelElement::bf16, q).eta_over_cv > 0);
          CHECK_THROWS_WITH_AS(Sensitivity{q}, doctest::Contains("rows and keys"), UnusableInput);
          q.block = 2;
          q.shape.window = {0, 3};
          CHECK_THROWS_WITH_AS(Sensitivity{q}, doctest::Contains("rows and keys"), UnusableInput);
        }) < kHang);
  SensitivityQuestion copies = question(Unit::token, std::vector<SequenceLengths>(20000, {1 << 16, 2}));
  copies.block = 2;
  copies.shape.window = {0, 3};
  CHECK(seconds([&] { CHECK(Sensitivity(copies).rows_moved() > 0); }) < kHang);
  // One sigma a head: no work for each row and head.
  SensitivityQuestion heads = question(Unit::token, {{1 << 16, 1 << 16}});
  heads.shape.causal = true;
  heads.shape.heads = 65536;
  const std::vector<float> sigma(65536, 1.0F);
  CHECK(seconds([&] {
          const Sensitivity analysis(heads);
          CHECK(NoiseTable::stated(analysis, sigma).mu() == doctest::Approx(analysis.total()));
        }) < kHang);
}

TEST_CASE("the kernels' charge knows the most visible keys of any mask") {
  for (const SequenceLengths lengths : {SequenceLengths{7, 12}, {12, 7}, {1, 9}, {9, 1}, {0, 4}, {4, 0}, {6, 6}})
    for (std::int64_t left = -1; left < 9; ++left)
      for (std::int64_t right = -1; right < 9; ++right)
        for (const bool causal : {false, true}) {
          SensitivityQuestion q = question(Unit::token, {lengths});
          q.shape.window = {left, right};
          q.shape.causal = causal;
          std::int64_t most = 0;
          for (std::int64_t row = 0; row < lengths.queries; ++row) {
            std::int64_t seen = 0;
            const std::int64_t diagonal = row + lengths.keys - lengths.queries;
            for (std::int64_t key = 0; key < lengths.keys; ++key)
              seen += (!causal || key <= diagonal) && (left < 0 || key >= diagonal - left) &&
                              (right < 0 || key <= diagonal + right)
                          ? 1
                          : 0;
            most = std::max(most, seen);
          }
          // A full mask with as many keys has the same charge.
          const SensitivityQuestion full = question(Unit::token, {{1, most}});
          REQUIRE(kernel_precision(KernelElement::bf16, q).eta_over_cv ==
                  kernel_precision(KernelElement::bf16, full).eta_over_cv);
        }
}

TEST_CASE("charges of one element type do not pass for another's") {
  SensitivityQuestion question;
  question.shape.lengths = {{64, 64}};
  question.shape.head_dim = 64;
  question.clips = {{1}, {1}, {1e-6}};
  question.unit = Unit::self_token;
  CHECK_FALSE(covers_kernel(KernelElement::bf16, question));
  question.precision = kernel_precision(KernelElement::bf16, question);
  CHECK(covers_kernel(KernelElement::bf16, question));
  // So small a clip leaves binary16's normal numbers: its products may be rounded by all of themselves.
  const FinitePrecision half = kernel_precision(KernelElement::fp16, question);
  CHECK(half.own_spread == 1);
  CHECK(question.precision.own_spread < 1);
  CHECK_FALSE(covers_kernel(KernelElement::fp16, question));
  question.precision.own_spread = 0;
  CHECK_FALSE(covers_kernel(KernelElement::bf16, question));
}

TEST_CASE("text after a NUL byte is not ignored, and an empty list of sigma is no list") {
  const std::string fields = R"("unit":"token","lengths":[[2,2]],"causal":true,"H":1,"D":64,"C_q":1,"C_k":1,"C_v":1)";
  CHECK(refusal("{" + fields + "}") == "accepted");
  const std::string text = "shape: text with a NUL byte is not allowed; ";
  CHECK(refusal("{" + fields + "}" + std::string(1, '\0') + "garbage").rfind(text, 0) == 0);
  CHECK(refusal("{" + fields + "}" + std::string(1, '\0')).rfind(text, 0) == 0);
  CHECK(refusal(std::string(1, '\0')).rfind(text, 0) == 0);
  CHECK(refusal("{" + fields + R"(,"sigma":[]})").rfind("sigma: an empty array is not allowed; ", 0) == 0);
}
