// The bounds against attention itself, in plain double: constructed inputs and gradient ascent attain them, and no
// random input exceeds them. Counts: up to 300 ascents a case, of up to 300 steps, until one comes within 10^-4; 10^6
// random pairs over all cases.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "dpflash/attention/sensitivity.hpp"
#include "shape/shape.hpp"

using namespace dpflash::attention;

namespace {

using Vector = std::vector<double>;
constexpr std::size_t kDim = 2;

struct Case {
  std::string name;
  Unit unit = Unit::token;
  SequenceLengths lengths{4, 4};
  bool causal = false;
  Window window = {};
  double bound = 1;
  std::int64_t block = 1;
  double attained = 0.999;  ///< share of the bound that must be found
};

SensitivityQuestion question(const Case& c) {
  SensitivityQuestion q;
  q.shape.lengths = {c.lengths};
  q.shape.causal = c.causal;
  q.shape.window = c.window;
  q.shape.scale = c.bound;
  q.shape.head_dim = kDim;
  q.clips = {{1.0}, {1.0}, {1.0}};
  q.unit = c.unit;
  q.block = c.block;
  return q;
}

/// Two neighbouring inputs: q, k, v, and what the record has in the other world, all in unit balls.
struct Pair {
  Vector q, k, v, other_q, other_k, other_v;

  std::vector<Vector*> parts() { return {&q, &k, &v, &other_q, &other_k, &other_v}; }
};

/// The operation, written once more and as plainly as it gets. `in` says which keys take part.
Vector attention(const SensitivityQuestion& question, const Vector& q, const Vector& k, const Vector& v,
                 const std::vector<bool>& in) {
  const SequenceLengths& lengths = question.shape.lengths[0];
  Vector out(static_cast<std::size_t>(lengths.queries) * kDim);
  for (std::int64_t i = 0; i < lengths.queries; ++i) {
    const Visible visible_keys = visible(question.shape, lengths, i);
    double sum = 0;
    double row[kDim] = {};
    for (std::int64_t j = visible_keys.begin; j < visible_keys.end; ++j) {
      if (!in[static_cast<std::size_t>(j)]) continue;
      const double* const qi = &q[static_cast<std::size_t>(i) * kDim];
      const double* const kj = &k[static_cast<std::size_t>(j) * kDim];
      const double p = std::exp(*question.shape.scale * (qi[0] * kj[0] + qi[1] * kj[1]));
      sum += p;
      for (std::size_t d = 0; d < kDim; ++d) row[d] += p * v[static_cast<std::size_t>(j) * kDim + d];
    }
    for (std::size_t d = 0; d < kDim && sum > 0; ++d) out[static_cast<std::size_t>(i) * kDim + d] = row[d] / sum;
  }
  return out;
}

/// Distance of the two outputs over all rows.
double distance(const Case& c, const SensitivityQuestion& question, std::int64_t position, const Pair& pair) {
  const auto keys = static_cast<std::size_t>(c.lengths.keys);
  std::vector<bool> in(keys, true);
  const Vector first = attention(question, pair.q, pair.k, pair.v, in);
  Vector q = pair.q;
  Vector k = pair.k;
  Vector v = pair.v;
  const auto copy = [&](Vector& to, const Vector& from, std::int64_t row, bool zero) {
    for (std::size_t d = 0; d < kDim; ++d) {
      const std::size_t at = static_cast<std::size_t>(row) * kDim + d;
      to[at] = zero ? 0 : from[at];
    }
  };
  for (std::int64_t j = position; j < position + c.block; ++j) {
    copy(k, pair.other_k, j, c.unit == Unit::zero_out);
    copy(v, pair.other_v, j, c.unit == Unit::zero_out);
    if (c.unit == Unit::token_add_remove) in[static_cast<std::size_t>(j)] = false;
  }
  if (c.unit == Unit::self_token) copy(q, pair.other_q, position - c.lengths.keys + c.lengths.queries, false);
  if (c.unit == Unit::sequence) {
    q = pair.other_q;
    k = pair.other_k;
    v = pair.other_v;
  }
  const Vector second = attention(question, q, k, v, in);
  double square = 0;
  for (std::size_t i = 0; i < first.size(); ++i) square += std::pow(first[i] - second[i], 2);
  return std::sqrt(square);
}

void project(Vector& rows) {
  for (std::size_t i = 0; i < rows.size(); i += kDim) {
    const double norm = std::hypot(rows[i], rows[i + 1]);
    for (std::size_t d = 0; d < kDim && norm > 1; ++d) rows[i + d] /= norm;
  }
}

Pair random_pair(const Case& c, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Pair out;
  const auto queries = static_cast<std::size_t>(c.lengths.queries) * kDim;
  const auto keys = static_cast<std::size_t>(c.lengths.keys) * kDim;
  // Long rows end on the sphere, where the worst inputs are; short ones stay inside. Some are all on one line.
  const double length = std::exp(1.5 * normal(random));
  const double flat = random() % 2 == 0 ? 0 : 1;
  for (Vector* part : out.parts()) {
    part->resize(part == &out.q || part == &out.other_q ? queries : keys);
    for (std::size_t i = 0; i < part->size(); ++i) (*part)[i] = length * normal(random) * (i % kDim == 0 ? 1 : flat);
    project(*part);
  }
  return out;
}

/// Projected gradient ascent with central differences; the best distance seen.
double ascend(const Case& c, const SensitivityQuestion& question, std::int64_t position, Pair pair) {
  double best = distance(c, question, position, pair);
  double step = 0.5;
  for (int iteration = 0; iteration < 300 && step > 1e-4; ++iteration) {
    Pair next = pair;
    double square = 0;
    std::vector<Vector> gradients;
    for (std::size_t part = 0; part < 6; ++part) {
      Vector& values = *pair.parts()[part];
      Vector gradient(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double kept = values[i];
        values[i] = kept + 1e-5;
        gradient[i] = distance(c, question, position, pair);
        values[i] = kept - 1e-5;
        gradient[i] -= distance(c, question, position, pair);
        values[i] = kept;
        square += gradient[i] * gradient[i];
      }
      gradients.push_back(std::move(gradient));
    }
    if (square == 0) return best;
    for (std::size_t part = 0; part < 6; ++part) {
      Vector& values = *next.parts()[part];
      for (std::size_t i = 0; i < values.size(); ++i) values[i] += step * 6 * gradients[part][i] / std::sqrt(square);
      project(values);
    }
    const double reached = distance(c, question, position, next);
    if (reached > best) {
      pair = std::move(next);
      best = reached;
    } else {
      step /= 2;
    }
  }
  return best;
}

/// Queries along u, the record's keys along u, all others against it; values all -e but the record's.
Pair worst_pair(const Case& c, std::int64_t position) {
  Pair out;
  const auto fill = [](Vector& part, std::int64_t rows, double value) {
    part.assign(static_cast<std::size_t>(rows) * kDim, 0);
    for (std::size_t i = 0; i < part.size(); i += kDim) part[i] = value;
  };
  fill(out.q, c.lengths.queries, 1);
  fill(out.k, c.lengths.keys, -1);
  fill(out.v, c.lengths.keys, -1);
  for (std::int64_t j = position; j < position + c.block; ++j) {
    out.k[static_cast<std::size_t>(j) * kDim] = 1;
    out.v[static_cast<std::size_t>(j) * kDim] = 1;
  }
  out.other_q = out.q;
  out.other_k = out.k;
  fill(out.other_v, c.lengths.keys, -1);
  if (c.unit == Unit::sequence) fill(out.v, c.lengths.keys, 1);
  return out;
}

// Below 0.999: several rows want different inputs, and the bound takes the worst of each (zero-out under masks,
// self-token under a full mask).
const Case kCases[] = {
    {.name = "token, full"},
    {.name = "token, causal", .causal = true},
    {.name = "token, causal, B = 2", .causal = true, .bound = 2},
    {.name = "token, window", .window = {1, 1}},
    {.name = "token, causal with context", .lengths = {3, 5}, .causal = true},
    {.name = "token, causal window with context", .lengths = {3, 6}, .causal = true, .window = {2, -1}},
    {.name = "token, more queries than keys", .lengths = {5, 3}, .causal = true},
    {.name = "block of 2, full", .block = 2},
    {.name = "block of 2, causal window", .lengths = {5, 5}, .causal = true, .window = {2, -1}, .block = 2},
    {.name = "block of 3, window, context", .lengths = {3, 6}, .window = {2, 1}, .block = 3},
    {.name = "add or remove, full", .unit = Unit::token_add_remove},
    {.name = "add or remove, causal", .unit = Unit::token_add_remove, .causal = true},
    {.name = "zero-out, full", .unit = Unit::zero_out, .lengths = {3, 4}},
    {.name = "zero-out, full, B = 3", .unit = Unit::zero_out, .lengths = {2, 3}, .bound = 3},
    {.name = "zero-out, causal", .unit = Unit::zero_out, .causal = true, .attained = 0.9},
    {.name = "zero-out, causal, B = 3", .unit = Unit::zero_out, .causal = true, .bound = 3, .attained = 0.9},
    {.name = "self-token, causal", .unit = Unit::self_token, .causal = true},
    {.name = "self-token, causal window", .unit = Unit::self_token, .causal = true, .window = {1, -1}},
    {.name = "self-token, one row, 4 keys", .unit = Unit::self_token, .lengths = {1, 4}, .causal = true},
    {.name = "self-token, one row, 5 keys", .unit = Unit::self_token, .lengths = {1, 5}, .causal = true},
    {.name = "self-token, full", .unit = Unit::self_token, .lengths = {3, 3}, .attained = 0.95},
    {.name = "sequence, causal", .unit = Unit::sequence, .causal = true},
};

/// The analyser's worst record, or the last position, whose own query is the one row there is.
std::int64_t position_of(const Case& c, const Sensitivity& bound) {
  return std::max<std::int64_t>(c.lengths.queries == 1 ? c.lengths.keys - 1 : bound.worst().position, 0);
}

}  // namespace

TEST_CASE("constructed inputs attain the bound") {
  for (const Case& c : kCases) {
    const bool other_shape = c.unit == Unit::zero_out || (c.unit == Unit::self_token && c.lengths.queries < 4) ||
                             (c.unit == Unit::self_token && !c.causal);
    if (other_shape) continue;
    CAPTURE(c.name);
    const SensitivityQuestion q = question(c);
    const Sensitivity bound(q);
    const std::int64_t position = position_of(c, bound);
    const double found = distance(c, q, position, worst_pair(c, position));
    CHECK(found >= bound.total() * (1 - 1e-13));
    CHECK(found <= bound.total() * (1 + 1e-15));
  }
}

TEST_CASE("gradient ascent finds the bound and nothing above it") {
  std::mt19937_64 random(3);
  for (const Case& c : kCases) {
    CAPTURE(c.name);
    const SensitivityQuestion q = question(c);
    const Sensitivity bound(q);
    double best = 0;
    for (int start = 0; start < 300 && best < 0.9999 * bound.total(); ++start)
      best = std::max(best, ascend(c, q, position_of(c, bound), random_pair(c, random)));
    MESSAGE(c.name << ": found " << best / bound.total() << " of the bound");
    CHECK(best >= c.attained * bound.total());
    CHECK(best <= bound.total() * (1 + 1e-14));
  }
}

TEST_CASE("no random pair of neighbours is further apart than the bound") {
  std::mt19937_64 random(5);
  constexpr int kTrials = 1'000'000;
  const int each = kTrials / static_cast<int>(std::size(kCases)) + 1;
  for (const Case& c : kCases) {
    CAPTURE(c.name);
    const SensitivityQuestion q = question(c);
    const double bound = Sensitivity(q).total() * (1 + 1e-14);
    const std::int64_t places = c.lengths.keys - c.block + 1;
    double most = 0;
    for (int trial = 0; trial < each; ++trial) {
      const std::int64_t position = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(places));
      if (c.unit == Unit::self_token && position < c.lengths.keys - c.lengths.queries) continue;
      most = std::max(most, distance(c, q, position, random_pair(c, random)));
    }
    CHECK(most <= bound);
  }
}
