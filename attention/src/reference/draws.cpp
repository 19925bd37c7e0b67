#include "reference/draws.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "draw/attention_normal.hpp"
#include "draw/draws.hpp"

namespace dpflash::attention {

namespace {

template <class Source>
void draws_of(const noise::NoiseSource& source, std::uint32_t stream, std::uint32_t step, std::uint64_t plane,
              std::uint32_t row_group, std::int64_t columns, float* z) {
  const typename Source::Key key = Source::expand(noise::key_words(source));
  for (std::int64_t first = 0; first < columns; first += draw::kAttentionColumns) {
    const auto block = static_cast<std::uint32_t>(first / draw::kAttentionColumns);
    const std::uint64_t group = draw::attention_group(plane, row_group, block);
    for (std::uint32_t lane = 0; lane < 32; ++lane) {
      float of_lane[16];
      draw::attention_normals<Source>(key, group, lane, step, stream, of_lane);
      for (std::uint32_t n = 0; n < 16; ++n) {
        const std::int64_t row = lane / 4 + n % 4 / 2 * 8;
        const std::int64_t column = first + n / 4 * 8 + lane % 4 * 2 + n % 2;
        if (column < columns) z[row * columns + column] = of_lane[n];
      }
    }
  }
}

}  // namespace

void attention_draws(const noise::NoiseSource& source, std::uint32_t stream, std::uint32_t step, std::uint64_t plane,
                     std::uint32_t row_group, std::int64_t columns, float* z) {
  switch (source.generator()) {
    case noise::Generator::philox:
      return draws_of<draw::Philox>(source, stream, step, plane, row_group, columns, z);
    case noise::Generator::chacha12:
      return draws_of<draw::ChaCha<12>>(source, stream, step, plane, row_group, columns, z);
    case noise::Generator::chacha20:
      return draws_of<draw::ChaCha<20>>(source, stream, step, plane, row_group, columns, z);
  }
}

void for_each_task(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  std::atomic<std::int64_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    for (std::int64_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    }
  };
  const auto most = std::min<std::int64_t>(count, std::max(1u, std::thread::hardware_concurrency()));
  {
    std::vector<std::jthread> pool;
    // Where no thread is to be had, this one does all the work.
    try {
      for (std::int64_t t = 1; t < most; ++t) pool.emplace_back(run);
    } catch (const std::exception&) {
    }
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace dpflash::attention
