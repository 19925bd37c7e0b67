#include "timing.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <dpflash/gpu/error.hpp>
#include <thread>
#include <vector>

namespace dpflash::benchmarks {

namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Two events around device work.
class Stopwatch {
 public:
  Stopwatch() {
    gpu::check(cudaEventCreate(&start_), "cudaEventCreate");
    gpu::check(cudaEventCreate(&stop_), "cudaEventCreate");
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() {
    static_cast<void>(cudaEventDestroy(start_));
    static_cast<void>(cudaEventDestroy(stop_));
  }

  double time(const Work& work) {
    gpu::check(cudaEventRecord(start_, nullptr), "cudaEventRecord");
    work();
    gpu::check(cudaEventRecord(stop_, nullptr), "cudaEventRecord");
    gpu::check(cudaEventSynchronize(stop_), "cudaEventSynchronize");
    float milliseconds = 0;
    gpu::check(cudaEventElapsedTime(&milliseconds, start_, stop_), "cudaEventElapsedTime");
    return milliseconds;
  }

 private:
  cudaEvent_t start_ = nullptr;
  cudaEvent_t stop_ = nullptr;
};

double average_of_half_a_second(Stopwatch& watch, const Work& work) {
  const double one = watch.time(work);
  const int times = std::max(5, static_cast<int>(500 / one));
  return watch.time([&] {
    for (int i = 0; i < times; ++i) work();
  }) / times;
}

}  // namespace

double once(const Work& work) { return Stopwatch().time(work); }

double alone(const Work& work, int rounds, int pause_ms) {
  Stopwatch watch;
  work();
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    gpu::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    times.push_back(watch.time(work));
  }
  return median(times);
}

Pair in_turns(const Work& baseline, const Work& candidate, int rounds, int pause_ms) {
  Stopwatch watch;
  baseline();
  candidate();
  std::vector<double> first;
  std::vector<double> second;
  for (int i = 0; i < rounds; ++i) {
    for (auto* times : {&first, &second}) {
      gpu::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
      std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
      times->push_back(watch.time(times == &first ? baseline : candidate));
    }
  }
  return {median(first), median(second)};
}

Pair sustained(const Work& baseline, const Work& candidate) {
  Stopwatch watch;
  const double first = average_of_half_a_second(watch, baseline);
  return {first, average_of_half_a_second(watch, candidate)};
}

}  // namespace dpflash::benchmarks
