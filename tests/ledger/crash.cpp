// Processes that are killed while they spend: what was acknowledged is there, and the budget holds.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <random>
#include <set>

#include "cases.hpp"

using namespace cases;

namespace {

constexpr int kWorkers = 8;

/// One acknowledged spend, as a worker writes it to its pipe at once: short enough to be written whole.
struct Acknowledged {
  std::int64_t sequence;
  std::array<char, 64> hash;
};

/// Spends, reserves, commits and gives back until it is killed or the budget is used up.
[[noreturn]] void work(const std::string& path, int pipe, unsigned seed) {
  std::mt19937 random(seed);
  const auto say = [&](const Receipt& receipt) {
    Acknowledged a{receipt.sequence, {}};
    std::memcpy(a.hash.data(), receipt.hash.data(), 64);
    if (write(pipe, &a, sizeof a) != sizeof a) _exit(3);
  };
  try {
    Ledger ledger(path);
    for (;;) {
      const Plan plan =
          gaussian(200.0 + static_cast<double>(random() % 3), 1 + static_cast<std::int64_t>(random() % 2));
      if (random() % 4 != 0) {
        say(ledger.spend(plan, {.run = std::to_string(seed)}));
        continue;
      }
      const Receipt reserved = ledger.reserve(plan);
      say(reserved);
      say(random() % 2 == 0 ? ledger.commit(reserved.sequence) : ledger.abort(reserved.sequence));
    }
  } catch (const OverBudget&) {
    _exit(0);
  } catch (const std::exception& error) {
    static_cast<void>(!write(2, error.what(), std::strlen(error.what())));
    _exit(4);
  }
}

struct Worker {
  pid_t process = -1;
  int pipe = -1;
};

Worker start(const std::string& path, unsigned seed) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t process = fork();
  REQUIRE(process >= 0);
  if (process == 0) {
    close(ends[0]);
    work(path, ends[1], seed);
  }
  close(ends[1]);
  return {process, ends[0]};
}

void collect(const Worker& worker, std::vector<Receipt>& acknowledged) {
  Acknowledged a{};
  while (read(worker.pipe, &a, sizeof a) == sizeof a)
    acknowledged.push_back({a.sequence, std::string(a.hash.data(), a.hash.size())});
  close(worker.pipe);
}

int kills() {
  const char* const asked = std::getenv("DPFLASH_TEST_KILLS");
  return asked == nullptr ? 1000 : std::atoi(asked);
}

}  // namespace

TEST_CASE("a fork does not use its parent's ledger") {
  const Folder folder;
  Ledger ledger = Ledger::create(folder.file(), budget(2));
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int refused = 0;
    try {
      ledger.spend(gaussian(50));
    } catch (const LedgerError&) {
      refused = 1;
    }
    { const Ledger goes = std::move(ledger); }
    _exit(refused == 1 ? 0 : 1);
  }
  int state = 0;
  waitpid(child, &state, 0);
  CHECK((WIFEXITED(state) && WEXITSTATUS(state) == 0));
  ledger.spend(gaussian(50));
  CHECK(ledger.verify().sound());
  CHECK(ledger.state().entries == 2);
}

TEST_CASE("kill -9 during spends from eight processes loses nothing that was acknowledged") {
  const Folder folder;
  Ledger::create(folder.file(), budget(2));
  std::mt19937 random(5);
  std::array<Worker, kWorkers> workers;
  unsigned seed = 0;
  for (Worker& worker : workers) worker = start(folder.file(), ++seed);
  std::vector<Receipt> acknowledged;
  int killed = 0;
  int used_up = 0;
  for (int i = 0; i < kills(); ++i) {
    usleep(static_cast<useconds_t>(random() % 8000));
    Worker& worker = workers[random() % kWorkers];
    kill(worker.process, SIGKILL);
    int state = 0;
    waitpid(worker.process, &state, 0);
    killed += WIFSIGNALED(state);
    if (WIFEXITED(state)) {
      CHECK(WEXITSTATUS(state) == 0);
      ++used_up;
    }
    collect(worker, acknowledged);
    worker = start(folder.file(), ++seed);
  }
  for (const Worker& worker : workers) {
    kill(worker.process, SIGKILL);
    waitpid(worker.process, nullptr, 0);
    collect(worker, acknowledged);
  }
  std::set<std::int64_t> numbers;
  for (const Receipt& receipt : acknowledged) numbers.insert(receipt.sequence);
  CHECK(numbers.size() == acknowledged.size());
  Ledger ledger(folder.file());
  const ledger::Verification found = ledger.verify(acknowledged);
  for (const std::string& fault : found.faults) MESSAGE(fault);
  CHECK(found.sound());
  const ledger::State state = ledger.state();
  CHECK(state.claimed.upper <= 2);
  CHECK(state.entries >= static_cast<std::int64_t>(acknowledged.size()));
  MESSAGE(killed << " killed, " << used_up << " found the budget used up, " << acknowledged.size() << " acknowledged, "
                 << state.entries << " entries, epsilon " << state.spent.upper << ", claimed " << state.claimed.upper
                 << ", " << state.open.size() << " reservations left open");
}
