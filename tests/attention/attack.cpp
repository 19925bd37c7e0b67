// An attacker who knows everything but which of two neighbouring contexts was used, and applies the best test there is.
// The epsilon that this proves must not pass the certified one, and must come close to it.
#include "../noise/statistics.hpp"
#include "dpflash/attention/allocation.hpp"
#include "reference_cases.hpp"

using namespace dpflash;
using namespace cases;
using attention::Allocation;
using attention::NoiseTable;
using attention::Sensitivity;
using attention::SensitivityQuestion;
using noise::Generator;
using noise::NoiseSource;

namespace {

constexpr std::int64_t kLength = 6;
constexpr std::int64_t kSequences = 2000;  ///< a call's trials: each has noise of its own
constexpr std::int64_t kCalls = 50;
/// Large, so that the best event is not rare and its probabilities are well known.
constexpr double kDelta = 0.05;
/// Each bound below is wrong with at most twice this probability.
constexpr double kWrong = 5e-5;

SensitivityQuestion question_of(bool causal) {
  SensitivityQuestion q;
  q.shape.lengths = {{kLength, kLength}};
  q.shape.heads = 2;
  q.shape.kv_heads = 1;
  q.shape.head_dim = 8;
  q.shape.causal = causal;
  q.shape.scale = 0.5;
  q.clips = {{1.5}, {2.0}, {3.0}};
  return q;
}

/// The inputs that move every row by what the bound says: queries along one axis, the record's key with them and all
/// others against them; the record's value flips, the others stay on one side.
Problem<double> worst_case(const SensitivityQuestion& q, bool neighbour) {
  ReferenceOptions o;
  o.shape = q.shape;
  o.shape.lengths.assign(kSequences, {kLength, kLength});
  o.clips = q.clips;
  Problem<double> p(o, 1, 1);
  for (Rows<double>* rows : {&p.q, &p.k, &p.v}) std::fill(rows->values.begin(), rows->values.end(), 0.0);
  // Longer than the clips: what clipping leaves is what counts.
  for (std::int64_t i = 0; i < kSequences * kLength; ++i) {
    const bool record = i % kLength == 0;
    for (std::int64_t h = 0; h < 2; ++h) p.q.row(i, h)[0] = 10;
    p.k.row(i, 0)[0] = record ? 10 : -10;
    p.v.row(i, 0)[1] = record && !neighbour ? 10 : -10;
  }
  return p;
}

/// Logarithms of the likelihood ratio of each sequence's answer, the first input over the second.
class Attacker {
 public:
  Attacker(const SensitivityQuestion& q, std::span<const float> sigma)
      : sigma_(sigma.begin(), sigma.end()), first_(worst_case(q, false)), second_(worst_case(q, true)) {
    first_.run();
    second_.run();
  }
  /// Trials whose ratio is above `threshold` when the first (or the second) input was used.
  double above(bool first, double threshold, NoiseSource& source) {
    Problem<double>& used = first ? first_ : second_;
    const Rows<double> one = first_.clean;
    const Rows<double> two = second_.clean;
    double hits = 0;
    for (std::int64_t call = 0; call < kCalls; ++call) {
      const noise::Position at{first ? 1u : 2u, static_cast<std::uint32_t>(call), 0};
      attention::private_reference(used.tensors(), used.options, sigma_, source, at);
      for (std::int64_t s = 0; s < kSequences; ++s) hits += ratio(used.out, one, two, s) > threshold;
    }
    return hits;
  }

 private:
  double ratio(const Rows<double>& out, const Rows<double>& one, const Rows<double>& two, std::int64_t s) const {
    double sum = 0;
    for (std::int64_t i = 0; i < kLength; ++i)
      for (std::int64_t h = 0; h < out.heads; ++h) {
        const std::int64_t row = s * kLength + i;
        const bool table = sigma_.size() != static_cast<std::size_t>(out.heads);
        const auto deviation = static_cast<double>(sigma_[static_cast<std::size_t>(table ? h * kLength + i : h)]);
        for (std::int64_t d = 0; d < out.columns; ++d) {
          const double a = one.row(row, h)[d];
          const double b = two.row(row, h)[d];
          sum += (a - b) * (out.row(row, h)[d] - (a + b) / 2) / (deviation * deviation);
        }
      }
    return sum;
  }
  std::vector<float> sigma_;
  Problem<double> first_;
  Problem<double> second_;
};

/// What the attack proves, with the event that is best against a Gaussian: ratios above e^epsilon.
double proven(const SensitivityQuestion& question, std::span<const float> sigma, double epsilon) {
  Attacker attacker(question, sigma);
  auto source = NoiseSource::reproducible(Generator::philox, 17);
  const double hits = attacker.above(true, epsilon, source);
  const double false_hits = attacker.above(false, epsilon, source);
  return test::epsilon_lower_bound(hits, false_hits, static_cast<double>(kCalls * kSequences), kDelta, kWrong);
}

}  // namespace

TEST_CASE("the best test on worst neighbours proves nearly the certified epsilon, and no more") {
  const auto calibration =
      noise::Calibration::gaussian_stated(accounting::NoiseMultiplier(1), accounting::Delta(kDelta));
  const double certified = calibration.epsilon().upper;
  const auto check = [&](bool causal, Allocation allocation) {
    const SensitivityQuestion question = question_of(causal);
    const NoiseTable table(Sensitivity(question), calibration, allocation);
    const double epsilon = proven(question, table.sigma(), certified);
    const std::string mask = causal ? ", causal" : ", full";
    MESSAGE(attention::name_of(allocation)
            << mask << ": proven " << epsilon << " of certified " << certified << ", confidence " << 1 - 2 * kWrong);
    CHECK(epsilon <= certified);
    CHECK(epsilon >= 0.88 * certified);
  };
  check(false, Allocation::uniform);
  check(true, Allocation::uniform);
  check(true, Allocation::optimal);
}

TEST_CASE("the attack finds noise that is a fifth too small") {
  const auto calibration =
      noise::Calibration::gaussian_stated(accounting::NoiseMultiplier(1), accounting::Delta(kDelta));
  const SensitivityQuestion question = question_of(true);
  const NoiseTable table(Sensitivity(question), calibration, Allocation::uniform);
  std::vector<float> small(table.sigma().begin(), table.sigma().end());
  for (float& sigma : small) sigma *= 0.8f;
  CHECK(proven(question, small, calibration.epsilon().upper) > calibration.epsilon().upper);
}
