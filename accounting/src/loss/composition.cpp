#include "loss/composition.hpp"

#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>

namespace dpflash::accounting {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;  // Clang 14 does not find it by itself

bool same(const Step& a, const Step& b) {
  if (a.index() != b.index()) return false;
  return std::visit(Overloaded{[&](const SampledGaussianStep& s) {
                                 const auto& t = std::get<SampledGaussianStep>(b);
                                 return s.sigma == t.sigma && s.rate == t.rate;
                               },
                               [&](const ReplaceSampledGaussianStep& s) {
                                 const auto& t = std::get<ReplaceSampledGaussianStep>(b);
                                 return s.sigma == t.sigma && s.rate == t.rate;
                               },
                               [&](const LaplaceStep& s) {
                                 const auto& t = std::get<LaplaceStep>(b);
                                 return s.scale == t.scale && s.rate == t.rate;
                               },
                               [&](const ApproximateStep& s) {
                                 const auto& t = std::get<ApproximateStep>(b);
                                 return s.epsilon == t.epsilon && s.delta == t.delta && s.rate == t.rate;
                               },
                               [](const GaussianStep&) { return false; }},
                    a);
}

[[noreturn]] void refuse(std::size_t index, std::string_view mechanism, Adjacency adjacency) {
  throw NotComputable("events[" + std::to_string(index) + "]: " + std::string(mechanism) + " under " +
                      std::string(name_of(adjacency)) + " has no sound answer here");
}

class Builder {
 public:
  explicit Builder(const Plan& plan) : plan_(plan) {}

  Composition build() {
    for (index_ = 0; index_ < plan_.events.size(); ++index_) add(plan_.events[index_]);
    if (mu_squared_ > 0) out_.phases.insert(out_.phases.begin(), Phase{GaussianStep{std::sqrt(mu_squared_)}, 1});
    return std::move(out_);
  }

 private:
  void add(const Event& event) {
    const auto* poisson = std::get_if<PoissonSampling>(&event.sampling);
    const double rate = poisson != nullptr ? poisson->rate : 1.0;
    const bool replace = plan_.adjacency == Adjacency::replace_one;
    std::visit(Overloaded{[&](const Gaussian& g) { add_gaussian(g, rate, replace, event.count); },
                          [&](const Laplace& l) {
                            if (replace) refuse(index_, "laplace", plan_.adjacency);
                            append(LaplaceStep{l.noise_multiplier, rate}, event.count, rate == 1);
                          },
                          [&](const EpsilonDelta& e) {
                            if (rate < 1 && (replace || plan_.adjacency == Adjacency::replace_special))
                              refuse(index_, "epsilon_delta with poisson sampling", plan_.adjacency);
                            append(ApproximateStep{e.epsilon, e.delta, rate}, event.count, rate == 1);
                          }},
               event.mechanism);
  }

  void add_gaussian(const Gaussian& g, double rate, bool replace, std::int64_t count) {
    const double sigma = g.noise_multiplier;
    if (rate == 1) {
      const double mu = (replace ? 2 : 1) / sigma;
      mu_squared_ += static_cast<double>(count) * mu * mu;
    } else if (replace) {
      append(ReplaceSampledGaussianStep{sigma, rate}, count, true);
    } else {
      append(SampledGaussianStep{sigma, rate}, count, false);
    }
  }

  void append(const Step& step, std::int64_t count, bool symmetric) {
    out_.symmetric = out_.symmetric && symmetric;
    const auto twin =
        std::find_if(out_.phases.begin(), out_.phases.end(), [&](const Phase& p) { return same(p.step, step); });
    if (twin != out_.phases.end()) {
      twin->count += count;
    } else {
      out_.phases.push_back(Phase{step, count});
    }
  }

  const Plan& plan_;
  std::size_t index_ = 0;
  double mu_squared_ = 0;
  Composition out_;
};

}  // namespace

Composition composition_of(const Plan& plan) {
  validate(plan);
  return Builder(plan).build();
}

std::vector<Direction> directions_of(const Plan& plan, const Composition& composition) {
  if (plan.adjacency == Adjacency::add_one) return {Direction::add};
  if (plan.adjacency == Adjacency::remove_one || composition.symmetric) return {Direction::remove};
  return {Direction::remove, Direction::add};
}

}  // namespace dpflash::accounting
