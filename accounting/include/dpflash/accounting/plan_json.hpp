// Plans as JSON documents: strict reading, exact writing.
#pragma once

#include <cstddef>
#include <dpflash/accounting/plan.hpp>
#include <string>
#include <string_view>

namespace dpflash::accounting {

/// Longest document read, in bytes.
inline constexpr std::size_t kMaxPlanBytes = std::size_t{16} << 20;

/// The adjacency called `name`. Throws UnusableInput naming `field` and the names there are.
Adjacency parse_adjacency(std::string_view name, const std::string& field = "adjacency");

/// Reads a plan: {"adjacency": ..., "events": [...]}. Numbers are taken as the nearest double; counts may be written
/// 1000, 1000.0 or 1e3. Throws UnusableInput, with the path of the field, for text that is not JSON, unknown, repeated
/// or missing fields, wrong types and values out of range; NotComputable for a mechanism or sampling of the format that
/// this version does not have.
Plan parse_plan(std::string_view json);

/// A plan with one field to be solved for; that field holds 1 in `plan`.
struct PlanTemplate {
  Plan plan;
  std::size_t event = 0;
  Unknown unknown = Unknown::noise_multiplier;
};

/// Reads a plan in which exactly one `noise_multiplier`, `count` or `rate` is null. Throws as parse_plan, and
/// UnusableInput when no field, or a second one, is null.
PlanTemplate parse_plan_with_hole(std::string_view json);

/// Writes a plan on one line; parse_plan(plan_to_json(plan)) equals a valid plan bit for bit. Numbers are the shortest
/// that read back as the same double.
std::string plan_to_json(const Plan& plan);

}  // namespace dpflash::accounting
