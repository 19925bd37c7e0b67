// Launches of the structured mechanisms' kernels: on the caller's stream, no allocation, no synchronisation, safe to
// capture in a graph.
#pragma once

#include <cstdint>

#include "dpflash/gpu/stream.hpp"
#include "kernels/noise.hpp"

namespace dpflash::gpu {

/// Kept positions in device memory: 32-bit or 64-bit integers, rising.
struct Positions {
  const void* values;
  std::uint64_t count;
  bool wide;
};

/// values[j] = round(fma(scale, z_j, data[position j])), z_j the standard normal draw first + j; rounded to the element
/// unless `as_floats`: gathered and noised in one pass.
void gather_noisy(const Draws& draws, const Positions& positions, Element element, const void* data, float scale,
                  bool as_floats, void* values, StreamHandle stream);
/// data[i] = 0 for i < size, then data[position j] = round(values[j]).
void scatter(const Positions& positions, Element element, const float* values, void* data, std::uint64_t size,
             StreamHandle stream);

/// A rows x rank basis U, row-major, against matrices of `columns` columns.
struct BasisShape {
  std::uint64_t rows;
  std::uint64_t rank;
  std::uint64_t columns;
};

/// Rows are cut into this many slabs, whose products are added up in order: a function of the shape alone. One slab of
/// a matrix of several columns adds row after row, as the host does.
std::uint64_t project_slabs(const BasisShape& shape);
/// Doubles of work space that project needs.
std::uint64_t project_work(const BasisShape& shape);
/// subspace = U^T sum: exact products added in double, rounded once.
void project(const BasisShape& shape, const float* basis, const float* sum, double* work, float* subspace,
             StreamHandle stream);
/// out = U subspace: exact products added in double in the order of the rank, rounded once.
void lift(const BasisShape& shape, const float* basis, const float* subspace, float* out, StreamHandle stream);

/// A cuBLAS handle with a work space of its own, in pedantic mode.
class Blas {
 public:
  /// Throws DeviceError.
  Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;
  ~Blas();
  /// out = A Z B^T, all row-major: A rows x rows and B columns x columns, both lower triangular, Z rows x columns.
  /// `middle` is work space of Z's size; out may be z.
  void two_sided(std::uint64_t rows, std::uint64_t columns, const double* a, const double* b, const double* z,
                 double* middle, double* out, StreamHandle stream);

 private:
  void* handle_ = nullptr;
  Memory work_;
};

/// wide[i] = narrow[i].
void widen(const float* narrow, double* wide, std::uint64_t size, StreamHandle stream);
/// sum[i] = fma(scale, float(noise[i]), sum[i]).
void add_rounded(float scale, const double* noise, float* sum, std::uint64_t size, StreamHandle stream);

}  // namespace dpflash::gpu
