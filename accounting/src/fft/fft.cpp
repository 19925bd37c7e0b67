#include "fft/fft.hpp"

#include <fftw3.h>

#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <stdexcept>

#include "special/rounding.hpp"

namespace dpflash::accounting {
namespace {

std::mutex& planner() {
  static std::mutex mutex;  // FFTW's planner is the one part of it that is not thread-safe
  return mutex;
}

constexpr std::align_val_t kAlignment{64};
constexpr std::size_t kSmallestBlock = 1 << 12;
constexpr std::size_t kMostKept = std::size_t{32} << 20;

// Sizes of blocks: powers of two and the middles between them, so that little is wasted.
std::size_t block_size(std::size_t bytes) {
  std::size_t size = kSmallestBlock;
  while (size < bytes) size *= 2;
  return size > kSmallestBlock && bytes <= size / 4 * 3 ? size / 4 * 3 : size;
}

// The freed blocks of a thread, by size.
class Kept {
 public:
  Kept() = default;
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() {
    for (const auto& [size, block] : blocks_) ::operator delete(block, kAlignment);
  }

  void* take(std::size_t size) {
    const auto found = blocks_.find(size);
    if (found == blocks_.end()) return nullptr;
    void* block = found->second;
    blocks_.erase(found);
    bytes_ -= size;
    return block;
  }
  [[nodiscard]] bool keep(void* block, std::size_t size) {
    if (bytes_ + size > kMostKept) return false;
    blocks_.emplace(size, block);
    bytes_ += size;
    return true;
  }

 private:
  std::multimap<std::size_t, void*> blocks_;
  std::size_t bytes_ = 0;
};

Kept& kept() {
  static thread_local Kept blocks;
  return blocks;
}

fftw_complex* raw(ComplexVector& v) { return reinterpret_cast<fftw_complex*>(v.data()); }

}  // namespace

void* take_block(std::size_t bytes) {
  const std::size_t size = block_size(bytes);
  if (void* block = kept().take(size)) return block;
  return ::operator new(size, kAlignment);
}

void return_block(void* block, std::size_t bytes) noexcept {
  bool stays = false;
  try {
    stays = kept().keep(block, block_size(bytes));
  } catch (const std::bad_alloc&) {  // no memory to remember it by
  }
  if (!stays) ::operator delete(block, kAlignment);
}

struct RealFft::Plans {
  fftw_plan forward;
  fftw_plan inverse;

  explicit Plans(std::size_t size) {
    RealVector real(size);
    ComplexVector complex(size / 2 + 1);
    const int n = static_cast<int>(size);
    forward = fftw_plan_dft_r2c_1d(n, real.data(), raw(complex), FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
    inverse = fftw_plan_dft_c2r_1d(n, raw(complex), real.data(), FFTW_ESTIMATE);
    if (forward == nullptr || inverse == nullptr) throw std::runtime_error("FFTW has no plan for this length");
  }
  Plans(const Plans&) = delete;
  Plans& operator=(const Plans&) = delete;
  ~Plans() {
    fftw_destroy_plan(forward);
    fftw_destroy_plan(inverse);
  }
};

RealFft::RealFft(std::size_t size) : size_(size) {
  if (size > static_cast<std::size_t>(std::numeric_limits<int>::max())) throw std::length_error("transform too long");
  static std::map<std::size_t, std::shared_ptr<const Plans>> cache;
  const std::lock_guard lock(planner());
  std::shared_ptr<const Plans>& entry = cache[size];
  if (entry == nullptr) entry = std::make_shared<const Plans>(size);
  plans_ = entry;
}

std::size_t RealFft::fast_size(std::size_t n) {
  std::size_t best = std::numeric_limits<std::size_t>::max();
  for (const std::size_t odd : std::array<std::size_t, 5>{1, 3, 5, 9, 15}) {
    std::size_t candidate = 16 * odd;
    while (candidate < n) candidate *= 2;
    best = std::min(best, candidate);
  }
  return best;
}

void RealFft::forward(RealVector& in, ComplexVector& out) const {
  fftw_execute_dft_r2c(plans_->forward, in.data(), raw(out));
}

void RealFft::inverse(ComplexVector& in, RealVector& out) const {
  fftw_execute_dft_c2r(plans_->inverse, raw(in), out.data());
}

double RealFft::error_per_mass() const { return 8 * kUnit * std::log2(static_cast<double>(size_)); }

}  // namespace dpflash::accounting
