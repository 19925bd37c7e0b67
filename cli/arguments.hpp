// The command line as checked values.
#pragma once

#include <cstdint>
#include <dpflash/accounting/accountant.hpp>
#include <dpflash/accounting/plan.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ledger_options.hpp"

namespace dpflash::cli {

enum class Command { epsilon, delta, calibrate, compare, runs, sensitivity, ledger };
enum class Accountant { pld, rdp, basic };
enum class Format { text, json, csv, svg };

/// Where the plan comes from: a document (`events` is a file name or "-"), or the DP-SGD shorthand.
struct PlanOptions {
  std::optional<std::string> events = std::nullopt;
  std::optional<double> noise_multiplier = std::nullopt;
  std::optional<double> sampling_rate = std::nullopt;
  std::optional<double> steps = std::nullopt;
  std::optional<accounting::Adjacency> adjacency = std::nullopt;
};

/// What `sensitivity` is asked beside the shape's own bounds.
struct SensitivityOptions {
  std::string shape = {};  ///< a file name or "-"
  std::optional<double> mu = std::nullopt;
  std::optional<double> epsilon = std::nullopt;  ///< a target for all layers, at delta
  std::optional<double> delta = std::nullopt;
  std::int64_t layers = 1;
  bool plan = false;  ///< print the plan of the releases and nothing else
};

struct Arguments {
  Command command = Command::epsilon;
  PlanOptions plan = {};
  /// Given for epsilon, calibrate and compare.
  double delta = 0;
  /// Epsilon asked at by delta; the target of calibrate.
  double epsilon = 0;
  accounting::Unknown solve = accounting::Unknown::noise_multiplier;
  std::optional<Accountant> accountant = std::nullopt;
  accounting::Options options = {};
  Format format = Format::text;
  std::vector<std::string> paths = {};
  SensitivityOptions sensitivity = {};
  std::optional<LedgerOptions> ledger = std::nullopt;
  /// Text to print instead of running a command: help or version.
  std::optional<std::string> message = std::nullopt;
};

/// Throws UnusableInput naming the option, its value and what is allowed; NotComputable for what a later version may
/// do.
Arguments parse_arguments(int argc, const char* const* argv);

/// A finite decimal number, or UnusableInput naming `field`.
double parse_number(const std::string& field, const std::string& text, const std::string& allowed);

}  // namespace dpflash::cli
