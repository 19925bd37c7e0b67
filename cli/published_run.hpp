// A published training run: what its source claims, and the plan to recompute it from.
#pragma once

#include <dpflash/accounting/plan.hpp>
#include <string>
#include <vector>

namespace dpflash::cli {

struct PublishedRun {
  std::string name = {};
  std::string source = {};
  double epsilon = 0;
  /// "pld", "rdp", "basic" or whatever the source calls it.
  std::string accountant = {};
  /// For "rdp": how a Renyi divergence became epsilon, "improved" or "classic"; may say more, may be empty.
  std::string conversion = {};
  /// Half a unit of the last digit printed, absolute.
  double digits_tolerance = 0;
  double delta = 0;
  accounting::Plan plan = {};
  std::string note = {};
};

/// Reads one file. Throws UnusableInput naming file and field.
PublishedRun read_run(const std::string& file);

/// The files named and the *.json of the folders named, each folder in the order of names. Throws UnusableInput for
/// what is not there, or a folder without any.
std::vector<std::string> run_files(const std::vector<std::string>& paths);

}  // namespace dpflash::cli
