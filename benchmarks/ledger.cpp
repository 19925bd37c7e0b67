// usage: ledger_benchmark [ENTRIES] [MECHANISMS] [FOLDER]: a ledger of so many entries (1e6) of so many distinct
// mechanisms (20), filled past the ledger's own checks; then what its operations take on it, each durable.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <dpflash/accounting/plan_json.hpp>
#include <filesystem>
#include <functional>

#include "file.hpp"

using namespace dpflash;
using ledger::Ledger;

namespace {

accounting::Plan mechanism(long number) {
  return {.events = {{.mechanism = accounting::Gaussian{2000.0 + static_cast<double>(number)},
                      .sampling = accounting::PoissonSampling{0.01}}}};
}

void fill(const std::string& path, long entries, long mechanisms) {
  ledger::Ledger::File file(path, ledger::Database::Mode::write);
  const ledger::Labels labels{.run = "filled"};
  for (long done = 0; done < entries;) {
    ledger::Transaction transaction(file.database(), ledger::Transaction::Kind::immediate);
    for (long i = 0; i < 100'000 && done < entries; ++i, ++done) {
      const accounting::Plan plan = mechanism(done % mechanisms);
      file.add_spent(plan, labels);
      file.append(ledger::Kind::spend, labels, accounting::plan_to_json(plan), 0);
    }
    transaction.commit();
  }
}

void time(const char* name, int repeats, const std::function<void()>& act) {
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    act();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  std::printf("| %s | %.3f | %.3f | %.3f |\n", name, 1e3 * seconds[seconds.size() / 2],
              1e3 * seconds[seconds.size() * 99 / 100], 1e3 * seconds.back());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const long entries = argc > 1 ? std::atol(argv[1]) : 1'000'000;
  const long mechanisms = argc > 2 ? std::atol(argv[2]) : 20;
  const std::string folder = argc > 3 ? argv[3] : std::filesystem::temp_directory_path().string();
  const std::string path = folder + "/dpflash-benchmark.db";
  std::filesystem::remove(path);
  Ledger ledger = Ledger::create(path, {accounting::Epsilon(8), accounting::Delta(1e-5)});
  fill(path, entries, mechanisms);
  std::printf(
      "%ld entries of %ld mechanisms, %.0f MB\n\n| operation | median, ms | 99 %%, ms | worst, ms "
      "|\n|---|---|---|---|\n",
      entries, mechanisms, static_cast<double>(std::filesystem::file_size(path)) / 1e6);
  std::int64_t reservation = 0;
  time("reserve", 200, [&] { reservation = ledger.reserve(mechanism(0)).sequence; });
  time("spend", 1000, [&] { ledger.spend(mechanism(1)); });
  time("reserve and commit", 200, [&] { ledger.commit(ledger.reserve(mechanism(2)).sequence); });
  time("open, reserve", 50, [&] { Ledger(path).reserve(mechanism(3)); });
  time("state", 20, [&] { static_cast<void>(ledger.state()); });
  time("report", 3, [&] { static_cast<void>(ledger.report(ledger::Grouping::run)); });
  time("verify", 1, [&] {
    if (!ledger.verify().sound()) std::puts("NOT SOUND");
  });
  std::filesystem::remove(path);
}
