// Multi-precision references of composed plans lie in the brackets of every engine that answers.
#include <doctest/doctest.h>

#include "cases.hpp"

using namespace dpflash::accounting;
using namespace dpflash::accounting::testing;

namespace {

const CaseFile& cases() {
  static const CaseFile file = load_cases("compositions.json");
  return file;
}

// The parameters are the doubles themselves: nothing is forgiven. `share` of the answers must be as narrow as asked;
// the others are named. (Wider ones: rare recognisable hits at two steps or next to a Gaussian.)
void check(Engine engine, double width, const char* name, double share) {
  Tally tally(name);
  for (const Case& c : cases().cases) {
    const auto bracket = try_ask(c, {engine, RelativeWidth(width)});
    if (!bracket) {
      ++tally.silent;
      continue;
    }
    ++tally.answered;
    CAPTURE(show(c));
    CAPTURE(show(*bracket));
    CHECK(holds(*bracket, c, 0));
    if (reaches(*bracket, c, width)) continue;
    ++tally.wide;
    std::printf("%s: wide %s %s\n", name, show(c).c_str(), show(*bracket).c_str());
  }
  CHECK(tally.wide <= (1 - share) * tally.answered);
}

}  // namespace

TEST_CASE("most compositions are covered; the others are named") {
  print_skipped("compositions", cases());
  CHECK(cases().cases.size() >= 90);
}

TEST_CASE("brackets of relative width 1e-4 hold the references") {
  check(Engine::automatic, 1e-4, "compositions at 1e-4", 0.97);
}

TEST_CASE("brackets of relative width 1e-6 hold the references") {
  check(Engine::automatic, 1e-6, "compositions at 1e-6", 0.88);
}

TEST_CASE("brackets of the lattice engine hold the references") {
  check(Engine::lattice, 1e-4, "compositions, lattice", 0.9);
}

TEST_CASE("brackets of the inversion engine hold the references") {
  check(Engine::inversion, 1e-4, "compositions, inversion", 0.9);
}

TEST_CASE("closed forms hold the references") { check(Engine::closed_form, 1e-4, "compositions, closed form", 1); }

TEST_CASE("the epsilon of a reference delta holds the level it was taken at") {
  Tally tally("compositions inverted");
  for (const Case& c : cases().cases) {
    // delta(eps) is the reference; at a delta just above it the answer is at most eps, just below it at least
    if (c.asks_epsilon || c.at <= 0 || c.lower <= 1e-200L || c.upper >= 1) continue;
    const auto above = static_cast<double>(c.upper * (1 + 1e-15L)), below = static_cast<double>(c.lower * (1 - 1e-15L));
    if (!(static_cast<long double>(above) >= c.upper && static_cast<long double>(below) <= c.lower)) continue;
    ++tally.answered;
    CAPTURE(show(c));
    CHECK(certified_epsilon(c.plan, Delta(above)).bracket.lower <= c.at);
    CHECK(certified_epsilon(c.plan, Delta(below)).bracket.upper >= c.at);
  }
}
