// The one user of FFTW: real transforms of double precision, plans shared between threads.
#pragma once

#include <complex>
#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace dpflash::accounting {

/// Allocator with the alignment that the transforms' vector code wants.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{64};
  AlignedAllocator() = default;
  template <class U>
  explicit AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kAlignment)); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, kAlignment); }
  bool operator==(const AlignedAllocator&) const { return true; }
};
using RealVector = std::vector<double, AlignedAllocator<double>>;
using ComplexVector = std::vector<std::complex<double>, AlignedAllocator<std::complex<double>>>;

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
