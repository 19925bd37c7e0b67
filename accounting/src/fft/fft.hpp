// The one user of FFTW: real transforms of double precision, plans shared between threads.
#pragma once

#include <complex>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace dpflash::accounting {

/// Blocks of one thread that were freed and wait to be used again: fresh pages cost more than a transform does.
/// Alignment 64, what the transforms' vector code wants. Keeps at most 32 MB a thread.
void* take_block(std::size_t bytes);
void return_block(void* block, std::size_t bytes) noexcept;

/// Allocates such blocks, and leaves new elements uninitialised unless a value is given.
template <class T>
struct BlockAllocator {
  using value_type = T;
  BlockAllocator() = default;
  template <class U>
  explicit BlockAllocator(const BlockAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(take_block(n * sizeof(T))); }
  void deallocate(T* p, std::size_t n) { return_block(p, n * sizeof(T)); }
  template <class U>
  void construct(U* p) noexcept {
    ::new (static_cast<void*>(p)) U;
  }
  template <class U, class... Args>
  void construct(U* p, Args&&... args) {
    ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
  }
  bool operator==(const BlockAllocator&) const { return true; }
};
using RealVector = std::vector<double, BlockAllocator<double>>;
using ComplexVector = std::vector<std::complex<double>, BlockAllocator<std::complex<double>>>;

/// Discrete Fourier transform of real vectors of one length. Copies share a plan; transforms are thread-safe.
/// Every output X_f of `forward` has |error| <= error_per_mass() * sum |x| (docs/math/round-off.md states the
/// assumption).
class RealFft {
 public:
  /// `size` must be a value of fast_size. Plans once per length and process, behind a mutex.
  explicit RealFft(std::size_t size);

  /// Smallest length >= n of the form 2^a {1, 3, 5, 9, 15} that is a multiple of 16.
  static std::size_t fast_size(std::size_t n);

  [[nodiscard]] std::size_t size() const { return size_; }
  /// size/2 + 1 coefficients.
  void forward(RealVector& in, ComplexVector& out) const;
  /// Not normalised: the result is `size` times the inverse. Destroys `in`.
  void inverse(ComplexVector& in, RealVector& out) const;

  /// 8 u log2(size): the per-output round-off allowance relative to the input's 1-norm.
  [[nodiscard]] double error_per_mass() const;

 private:
  struct Plans;
  std::size_t size_;
  std::shared_ptr<const Plans> plans_;
};

}  // namespace dpflash::accounting
