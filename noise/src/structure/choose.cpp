#include "dpflash/noise/choose.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "structure/checks.hpp"
#include "structure/ranking.hpp"

namespace dpflash::noise {

using namespace structure;

std::vector<Ranked> choose(const PublicKnowledge& knowledge, double headroom, const Calibration& calibration) {
  check_family(calibration, Family::gaussian);
  if (!(headroom >= 1e-3 && headroom <= 1e3))
    throw accounting::UnusableInput("headroom", text(headroom), "a number in [1e-3, 1e3]");
  check_knowledge(knowledge);
  const Terms terms{knowledge, headroom, calibration.noise_multiplier()};
  std::vector<Ranked> table{isotropic(terms), weighted(terms)};
  if (!knowledge.blocks.empty()) table.push_back(block_diagonal(terms));
  if (!knowledge.mask.empty()) table.push_back(sparse(terms));
  if (!knowledge.directions.empty()) table.push_back(low_rank(terms));
  if (!knowledge.row_spectrum.empty()) table.push_back(matrix_variate(terms));
  const double baseline = table.front().noise_energy;
  for (Ranked& row : table) {
    row.total = row.noise_energy + row.bias;
    row.ratio = row.total / baseline;
  }
  std::stable_sort(table.begin(), table.end(), [](const Ranked& a, const Ranked& b) { return a.total < b.total; });
  return table;
}

std::string to_text(const std::vector<Ranked>& table) {
  std::string out = "structure       noise energy         bias        total  ratio   note\n";
  for (const Ranked& row : table) {
    std::array<char, 128> line{};
    const std::string name = row.rank > 0 ? row.structure + " " + std::to_string(row.rank) : row.structure;
    std::snprintf(line.data(), line.size(), "%-15s %12.5g %12.5g %12.5g  %-7.4g ", name.substr(0, 32).c_str(),
                  row.noise_energy, row.bias, row.total, row.ratio);
    out += line.data() + row.note + "\n";
  }
  return out;
}

}  // namespace dpflash::noise
