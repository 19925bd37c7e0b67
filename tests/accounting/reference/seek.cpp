#include "engine/seek.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace dpflash::accounting;

namespace {

Search increasing(int& calls, double root) {
  Search search;
  search.excess = [&calls, root](double y) {
    ++calls;
    return 0.7 * (y - root) + 0.02 * (y - root) * (y - root) * (y - root);
  };
  search.snap = [](double y) { return y; };
  search.start = root - 0.1;
  search.slope = 1;
  search.low = -20;
  search.high = 20;
  search.tolerance = 1e-7;
  return search;
}

double snap_to_integer(double y) {
  const double x = std::exp(y);
  return std::log(std::max(1.0, std::ceil(x - std::max(1e-9, 1e-14 * x))));
}

}  // namespace

TEST_CASE("a smooth crossing takes a handful of evaluations and ends on the safe side") {
  int calls = 0;
  const Search search = increasing(calls, 3.3);
  const auto found = seek(search);
  REQUIRE(found.has_value());
  CHECK(*found <= 3.3);
  CHECK(*found >= 3.3 - 2e-7);
  CHECK(calls <= 8);
}

TEST_CASE("a far start still arrives") {
  int calls = 0;
  Search search = increasing(calls, 3.3);
  search.start = -19;
  const auto found = seek(search);
  REQUIRE(found.has_value());
  CHECK(std::abs(*found - 3.3) < 2e-7);
  CHECK(calls <= 30);
}

TEST_CASE("infinite values are walked over") {
  int calls = 0;
  Search search = increasing(calls, 3.3);
  const auto smooth = search.excess;
  search.excess = [&](double y) { return y > 4 ? INFINITY : y < 1 ? -INFINITY : smooth(y); };
  for (const double start : {-15.0, 18.0}) {
    search.start = start;
    const auto found = seek(search);
    REQUIRE(found.has_value());
    CHECK(std::abs(*found - 3.3) < 2e-7);
  }
}

TEST_CASE("the largest safe integer is found") {
  for (const double root : {1.0, 2.0, 3.999, 17.5, 12345.0, 1e6 + 0.3}) {
    int calls = 0;
    Search search = increasing(calls, std::log(root));
    search.excess = [&](double y) {
      return std::round(std::exp(y)) <= root ? std::min(0.0, y - std::log(root)) : y - std::log(root);
    };
    search.snap = snap_to_integer;
    search.low = 0;
    search.high = std::log(1e12);
    search.start = std::log(1000.0);
    const auto found = seek(search);
    REQUIRE(found.has_value());
    CHECK(std::round(std::exp(*found)) == std::floor(root));
  }
}

TEST_CASE("ends of the range") {
  int calls = 0;
  Search search = increasing(calls, 30);
  CHECK(seek(search) == 20.0);
  search = increasing(calls, -30);
  search.start = 0;
  CHECK(!seek(search).has_value());
}
