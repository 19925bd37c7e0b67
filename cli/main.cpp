// The dpflash command: arguments in, one answer out.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <dpflash/accounting/error.hpp>
#include <dpflash/ledger/error.hpp>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "commands.hpp"

namespace {

constexpr int kNotComputable = 1;
constexpr int kUnusable = 2;
constexpr int kOverBudget = 3;

/// Prints one line on standard error, whatever the text holds.
int fail(int status, std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  std::fprintf(stderr, "dpflash: %s\n", text.c_str());
  return status;
}

/// Everything or an error: a full disk or a closed pipe must not pass for an answer.
int print(const dpflash::cli::Output& output) {
  const std::string& text = output.text;
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  const bool flushed = std::fflush(stdout) == 0;
  if (written && flushed) return output.status;
  return fail(kNotComputable, std::string("standard output: cannot be written: ") + std::strerror(errno));
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return print(dpflash::cli::run(dpflash::cli::parse_arguments(argc, argv)));
  } catch (const dpflash::accounting::UnusableInput& error) {
    return fail(kUnusable, error.what());
  } catch (const dpflash::ledger::OverBudget& error) {
    return fail(kOverBudget, error.what());
  } catch (const std::bad_alloc&) {
    return fail(kNotComputable, "not enough memory for this plan");
  } catch (const std::exception& error) {
    return fail(kNotComputable, error.what());
  }
}
