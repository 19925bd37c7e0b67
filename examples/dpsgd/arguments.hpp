// The command line.
#pragma once

#include <cstdint>
#include <dpflash/noise/source.hpp>
#include <optional>
#include <string>

#include "trainer.hpp"

namespace dpsgd {

struct Arguments {
  std::string data;
  Setup setup;
  double epsilon = 3;
  double delta = 1e-4;
  std::optional<double> noise_multiplier;
  int seeds = 5;
  dpflash::noise::Generator generator = dpflash::noise::Generator::chacha20;
  bool privacy = true;
  bool fresh_keys = false;
};

/// Reads the command line; empty after printing help or the reason why not, with `exit_status` set.
std::optional<Arguments> read_arguments(int argc, char** argv, int& exit_status);

}  // namespace dpsgd
