#include "structure/ranking.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <span>

#include "structure/checks.hpp"

namespace dpflash::noise::structure {

namespace {

constexpr double kSameTotal = 1e-6;

double total(std::span<const double> values) { return std::accumulate(values.begin(), values.end(), 0.0); }

double total_of_roots(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += std::sqrt(value);
  return sum;
}

void check_energies(std::span<const double> values, const char* field) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(values[i] >= 0 && values[i] <= 1e100))
      throw accounting::UnusableInput(field + ("[" + std::to_string(i) + "]"), text(values[i]),
                                      "a number in [0, 1e100]");
}

void check_blocks(const PublicKnowledge& k) {
  std::size_t end = 0;
  for (std::size_t b = 0; b < k.blocks.size(); ++b) {
    if (k.blocks[b] < 1 || k.blocks[b] > k.record.size() - end)
      throw accounting::UnusableInput("blocks[" + std::to_string(b) + "]", std::to_string(k.blocks[b]),
                                      "sizes of at least 1 that add up to the dimension");
    end += k.blocks[b];
  }
  if (!k.blocks.empty()) check_size(end, k.record.size(), "blocks");
}

void check_spectra(const PublicKnowledge& k) {
  if (k.row_spectrum.empty() != k.column_spectrum.empty())
    throw accounting::UnusableInput("column_spectrum", "one spectrum alone", "both spectra or none");
  if (k.row_spectrum.empty()) return;
  check_size(k.row_spectrum.size() * k.column_spectrum.size(), k.record.size(), "row_spectrum x column_spectrum");
  const double product = total(k.row_spectrum) * total(k.column_spectrum);
  if (!(std::abs(product - total(k.record)) <= kSameTotal * total(k.record)))
    throw accounting::UnusableInput("row_spectrum", text(product), "spectra whose totals multiply to record's total");
}

void check_dropping(const PublicKnowledge& k) {
  const bool drops = !k.mask.empty() || !k.directions.empty();
  if (drops && k.sum.empty())
    throw accounting::UnusableInput("sum", "an empty list", "second moments of the sum, as something is dropped");
  if (!k.sum.empty()) check_size(k.sum.size(), k.record.size(), "sum");
  if (!k.mask.empty()) {
    check_size(k.mask.size(), k.record.size(), "mask");
    for (std::size_t i = 0; i < k.mask.size(); ++i)
      if (k.mask[i] > 1)
        throw accounting::UnusableInput("mask[" + std::to_string(i) + "]", std::to_string(k.mask[i]), "0 or 1");
    if (std::count(k.mask.begin(), k.mask.end(), 1) == 0)
      throw accounting::UnusableInput("mask", "no kept coordinate", "at least one");
  }
  if (k.directions.size() > k.record.size())
    throw accounting::UnusableInput("directions.size", std::to_string(k.directions.size()), "at most the dimension");
  if (!(total(k.directions) <= (1 + kSameTotal) * total(k.sum)))
    throw accounting::UnusableInput("directions", text(total(k.directions)), "energies within sum's total");
}

}  // namespace

void check_knowledge(const PublicKnowledge& k) {
  check_dimension(k.record.size(), "record.size");
  check_energies(k.record, "record");
  check_energies(k.sum, "sum");
  check_energies(k.directions, "directions");
  check_energies(k.row_spectrum, "row_spectrum");
  check_energies(k.column_spectrum, "column_spectrum");
  if (!(total(k.record) > 0))
    throw accounting::UnusableInput("record", "no energy at all", "second moments of which one is above 0");
  check_blocks(k);
  check_spectra(k);
  check_dropping(k);
}

Ranked isotropic(const Terms& t) {
  const double clip = t.headroom * std::sqrt(total(t.knowledge.record));
  const double scale = t.noise_multiplier * clip;
  return {.structure = "isotropic",
          .noise_energy = static_cast<double>(t.knowledge.record.size()) * scale * scale,
          .clips = {clip},
          .note = "the baseline"};
}

Ranked weighted(const Terms& t) {
  // Weights w_i^2 = sqrt(s_i): sum s_i / w_i^2 = sum w_i^2 = sum sqrt(s_i).
  const double roots = total_of_roots(t.knowledge.record);
  const double scale = t.noise_multiplier * t.headroom;
  Ranked row{.structure = "weighted",
             .noise_energy = scale * scale * roots * roots,
             .clips = {t.headroom * std::sqrt(roots)},
             .note = "weights: fourth roots of record's second moments"};
  if (std::count(t.knowledge.record.begin(), t.knowledge.record.end(), 0.0) > 0)
    row.note += "; where they are 0, the limit of small weights";
  return row;
}

Ranked block_diagonal(const Terms& t) {
  Ranked row{.structure = "block-diagonal", .clips = {}, .note = "each block clips on its own"};
  double sum = 0;
  std::size_t begin = 0;
  for (const std::size_t size : t.knowledge.blocks) {
    const double clip = t.headroom * std::sqrt(total(std::span(t.knowledge.record).subspan(begin, size)));
    row.clips.push_back(clip);
    sum += clip * std::sqrt(static_cast<double>(size));
    begin += size;
  }
  row.noise_energy = t.noise_multiplier * t.noise_multiplier * sum * sum;
  if (std::count(row.clips.begin(), row.clips.end(), 0.0) > 0) row.note += "; blocks of energy 0 need a mask instead";
  return row;
}

Ranked sparse(const Terms& t) {
  Ranked row{.structure = "sparse", .clips = {}, .note = "bias: what the mask drops of the sum"};
  double energy = 0;
  double kept = 0;
  for (std::size_t i = 0; i < t.knowledge.mask.size(); ++i) {
    if (t.knowledge.mask[i] == 1) {
      energy += t.knowledge.record[i];
      kept += 1;
    } else {
      row.bias += t.knowledge.sum[i];
    }
  }
  row.clips = {t.headroom * std::sqrt(energy)};
  row.noise_energy = kept * std::pow(t.noise_multiplier * row.clips.front(), 2);
  return row;
}

Ranked low_rank(const Terms& t) {
  // The clip is of the whole record, as LowRank's is: every further direction costs the same.
  std::vector<double> energies = t.knowledge.directions;
  std::sort(energies.begin(), energies.end(), std::greater<>());
  const double clip = t.headroom * std::sqrt(total(t.knowledge.record));
  const double each = std::pow(t.noise_multiplier * clip, 2);
  const double all = total(t.knowledge.sum);
  double captured = energies.front();
  std::size_t rank = 1;
  while (rank < energies.size() && energies[rank] > each) captured += energies[rank++];
  return {.structure = "low-rank",
          .noise_energy = static_cast<double>(rank) * each,
          .bias = std::max(0.0, all - captured),
          .rank = rank,
          .clips = {clip},
          .note = "bias: the sum's energy outside the leading directions"};
}

Ranked matrix_variate(const Terms& t) {
  // Covariance Sigma^(1/2) x Psi^(1/2): E |whitened record|^2 = tr Sigma^(1/2) tr Psi^(1/2) = E |noise|^2.
  const double roots = total_of_roots(t.knowledge.row_spectrum) * total_of_roots(t.knowledge.column_spectrum);
  const double scale = t.noise_multiplier * t.headroom;
  return {.structure = "matrix-variate",
          .noise_energy = scale * scale * roots * roots,
          .clips = {t.headroom * std::sqrt(roots)},
          .note = "covariances: square roots of the record's"};
}

}  // namespace dpflash::noise::structure
