// Median wall-clock time of rdp_epsilon on one plan. Usage: rdp_epsilon DELTA < lines "sigma rate steps"; prints JSON.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <dpflash/accounting/renyi.hpp>
#include <iostream>
#include <vector>

int main(int argc, char** argv) {
  using namespace dpflash::accounting;
  if (argc != 2) return 2;
  const Delta delta(std::atof(argv[1]));
  Plan plan;
  double sigma = 0, rate = 0;
  for (std::int64_t steps = 0; std::cin >> sigma >> rate >> steps;) {
    plan.events.push_back({Gaussian{sigma}, PoissonSampling{rate}, steps});
  }
  std::vector<double> times;
  RenyiAnswer answer;
  for (int i = 0; i < 101; ++i) {
    const auto start = std::chrono::steady_clock::now();
    answer = rdp_epsilon(plan, delta);
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + 50, times.end());
  std::printf("{\"epsilon\": %.17g, \"order\": %.17g, \"seconds\": %.9g}\n", answer.bracket.upper, answer.order,
              times[50]);
}
