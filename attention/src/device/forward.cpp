#include "dpflash/attention/forward.hpp"

#include <cuda_runtime_api.h>

#include "cuda/forward.hpp"
#include "device/draw_access.hpp"
#include "device/lengths.hpp"
#include "device/noise_access.hpp"
#include "dpflash/gpu/error.hpp"
#include "draw/attention_normal.hpp"
#include "reference/problem.hpp"

namespace dpflash::attention {

namespace {

using accounting::UnusableInput;

/// exp stays exact enough, and probabilities normal numbers of the element, below these scores.
constexpr double kLargestScoreBf16 = 70;
constexpr double kLargestScoreF16 = 9.7;
/// Sums of exponentials, times C_v, stay below binary32's largest number, e^88.7.
constexpr double kLargestSum = 88;
constexpr std::size_t kAlignment = 16;

struct Prepared {
  cuda::Forward problem;
  Places places;
  Path path = Path::automatic;
  /// Bytes at the start of the workspace for the lengths of packed sequences.
  std::size_t length_bytes = 0;
};

template <class Number>
void check_most(const char* field, Number value, Number most) {
  if (value > most) throw UnusableInput(field, std::to_string(value), "at most " + std::to_string(most));
}

template <class T>
void check_alignment(const char* field, const T* data, std::size_t alignment) {
  if (reinterpret_cast<std::uintptr_t>(data) % alignment != 0)
    throw UnusableInput(field, "an address that is no multiple of " + std::to_string(alignment),
                        "memory aligned to its elements (workspace: 16 bytes)");
}

void check_limits(const ForwardOptions& options, const Places& places) {
  const Shape& shape = options.shape;
  check_most("H", shape.heads, cuda::kMaxHeads);
  check_most("H_kv", shape.kv_heads, cuda::kMaxKvHeads);
  if (shape.head_dim % 8 != 0 || shape.head_dim > static_cast<std::int32_t>(draw::kAttentionMaxColumns))
    throw UnusableInput("D", std::to_string(shape.head_dim), "a multiple of 8 in [8, 256]");
  check_most<std::int64_t>("sequences times H", places.batch() * shape.heads, draw::kAttentionMaxPlanes);
  if (options.packed) {
    check_most<std::int64_t>("total queries", places.total_q(), 0x7fffffff);
    check_most<std::int64_t>("total keys", places.total_k(), 0x7fffffff);
  }
  check_magnitudes(shape, options.clips);
  const double most = options.element == Element::bf16 ? kLargestScoreBf16 : kLargestScoreF16;
  for (std::int32_t g = 0; g < shape.kv_heads; ++g)
    if (const double score = largest_score(shape, options.clips, g); !(score <= most))
      throw UnusableInput("scale C_q C_k", text(score),
                          std::string("a largest score of at most ") + text(most) + " with " +
                              (options.element == Element::bf16 ? "bf16" : "fp16") + ": smaller clips or a softcap");
  check_sums(shape, options.clips, places, kLargestSum);
}

void check_tensors(const ForwardTensors& t, const Shape& shape, const Places& places) {
  const Extents queries = query_extents(shape, places);
  const Extents keys = key_extents(shape, places);
  check_tensor("q", t.q.data != nullptr, t.q, queries);
  check_tensor("k", t.k.data != nullptr, t.k, keys);
  check_tensor("v", t.v.data != nullptr, t.v, keys);
  check_output("out", t.out.data != nullptr, strides_of(t.out), queries);
  check_alignment("q.data", t.q.data, 2);
  check_alignment("k.data", t.k.data, 2);
  check_alignment("v.data", t.v.data, 2);
  check_alignment("out.data", t.out.data, 2);
  check_alignment("clean.data", t.clean.data, 2);
  check_alignment("lse", t.lse, alignof(float));
  check_alignment("clipped", t.clipped, alignof(unsigned long long));
  if (t.clean.data != nullptr) check_output("clean", true, strides_of(t.clean), queries);
  const void* const others[] = {t.q.data, t.k.data, t.v.data, t.clean.data};
  for (const void* const other : others)
    if (t.out.data != nullptr && t.out.data == other)
      throw UnusableInput("out.data", "the address of another tensor", "memory of its own");
}

template <class T>
cuda::View view_of(const Tensor<T>& t) {
  // A launch reads through the views of its inputs only.
  return {const_cast<void*>(static_cast<const void*>(t.data)), t.batch_stride, t.row_stride, t.head_stride};
}

/// A window beyond all rows and keys is none; what is left fits the kernels' integers.
std::int32_t window_of(std::int64_t side, const Places& places) {
  return side < 0 || side >= places.rows + places.keys ? -1 : static_cast<std::int32_t>(side);
}

void fill_numbers(cuda::Forward& f, const ForwardOptions& options, const Places& places) {
  const Shape& shape = options.shape;
  f.element = options.element == Element::bf16 ? cuda::Element::bf16 : cuda::Element::f16;
  f.batch = static_cast<std::int32_t>(places.batch());
  f.heads = shape.heads;
  f.kv_heads = shape.kv_heads;
  f.head_dim = shape.head_dim;
  f.rows = static_cast<std::int32_t>(places.rows);
  f.keys = static_cast<std::int32_t>(places.keys);
  f.total_q = places.total_q();
  f.total_k = places.total_k();
  f.causal = shape.causal;
  f.window_left = window_of(shape.window.left, places);
  f.window_right = window_of(shape.window.right, places);
  // Magnitudes are rounded down: no score or value may pass what the sensitivity was computed for.
  const double scale = scale_of(shape);
  f.scale = std::copysign(float_down(std::abs(scale)), scale < 0 ? -1.0f : 1.0f);
  f.softcap = shape.softcap ? float_down(*shape.softcap) : 0;
  for (std::int32_t g = 0; g < shape.kv_heads; ++g) {
    f.clip_q.value[g] = float_down(clip_of(options.clips.q, g));
    f.clip_k.value[g] = float_down(clip_of(options.clips.k, g));
    f.clip_v.value[g] = float_down(clip_of(options.clips.v, g));
  }
}

Path path_of(Path asked, const cuda::Forward& problem) {
  int device = 0;
  int major = 0;
  int minor = 0;
  gpu::check(cudaGetDevice(&device), "cudaGetDevice");
  gpu::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  gpu::check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cudaDeviceGetAttribute");
  const std::string capability = std::to_string(major) + "." + std::to_string(minor);
  // The kernel for 9.0 uses instructions that no other capability has, later ones included.
  const bool hopper = major == 9 && minor == 0;
  if (major < 8) throw gpu::DeviceError("attention needs compute capability 8.0; the device has " + capability);
  if (asked == Path::sm80) return Path::sm80;
  const bool taken = hopper && cuda::takes_sm90(problem);
  if (asked == Path::automatic) return taken ? Path::sm90 : Path::sm80;
  if (!hopper) throw gpu::DeviceError("path sm90 needs compute capability 9.0; the device has " + capability);
  if (!taken)
    throw UnusableInput("path", "sm90",
                        "automatic or sm80 for these tensors: sm90 needs rows at multiples of 16 bytes");
  return Path::sm90;
}

Prepared prepare(const ForwardTensors& tensors, const ForwardOptions& options) {
  Prepared p;
  p.places = places_of(options.shape, options.clips, options.packed);
  check_limits(options, p.places);
  check_tensors(tensors, options.shape, p.places);
  cuda::Forward& f = p.problem;
  fill_numbers(f, options, p.places);
  f.q = view_of(tensors.q);
  f.k = view_of(tensors.k);
  f.v = view_of(tensors.v);
  f.out = view_of(tensors.out);
  f.clean = view_of(tensors.clean);
  f.lse = tensors.lse;
  f.clipped = tensors.clipped;
  if (options.packed) {
    const std::size_t bytes = 3 * p.places.first_q.size() * sizeof(std::int32_t);
    p.length_bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    // Until there is a workspace: whether sequences are packed is all that a choice of kernel asks.
    static const std::int32_t somewhere = 0;
    f.cumulative_q = f.cumulative_k = &somewhere;
  }
  p.path = path_of(options.path, f);
  return p;
}

std::size_t bytes_of(const Prepared& p) {
  return p.length_bytes +
         (p.path == Path::sm90 ? cuda::workspace_bytes_sm90(p.problem) : cuda::workspace_bytes_sm80(p.problem));
}

void fill_noise(cuda::Forward& f, const DeviceNoise& noise) {
  if (noise.heads() != f.heads)
    throw UnusableInput("noise.heads", std::to_string(noise.heads()),
                        "the " + std::to_string(f.heads) + " query heads");
  if (noise.rows() != 0 && noise.rows() != f.rows)
    throw UnusableInput("noise.rows", std::to_string(noise.rows()),
                        "the " + std::to_string(f.rows) + " queries of the longest sequence");
  f.sigma_rows = NoiseAccess::table(noise);
  const std::span<const float> per_head = NoiseAccess::per_head(noise);
  std::copy(per_head.begin(), per_head.end(), f.sigma.value);
}

/// Where the lengths of packed sequences stand, and what is written there: queries, keys, tiles of queries.
void place_lengths(Prepared& p, void* workspace, gpu::StreamHandle stream) {
  if (!p.places.packed) return;
  const std::size_t count = p.places.first_q.size();
  auto* const device = static_cast<std::int32_t*>(workspace);
  p.problem.cumulative_q = device;
  p.problem.cumulative_k = device + count;
  p.problem.cumulative_tiles = device + 2 * count;
  std::vector<std::int32_t> numbers;
  numbers.reserve(3 * count);
  for (const std::int64_t first : p.places.first_q) numbers.push_back(static_cast<std::int32_t>(first));
  for (const std::int64_t first : p.places.first_k) numbers.push_back(static_cast<std::int32_t>(first));
  std::int32_t tiles = 0;
  for (std::size_t b = 0; b < count; ++b) {
    numbers.push_back(tiles);
    if (b + 1 == count) break;
    const std::int64_t rows = p.places.first_q[b + 1] - p.places.first_q[b];
    tiles += static_cast<std::int32_t>((rows + cuda::kQueryTile - 1) / cuda::kQueryTile);
  }
  p.problem.packed_tiles = tiles;
  cuda::write_numbers(numbers, device, stream);
}

}  // namespace

std::size_t workspace_bytes(const ForwardTensors& tensors, const ForwardOptions& options) {
  return bytes_of(prepare(tensors, options));
}

Path chosen_path(const ForwardTensors& tensors, const ForwardOptions& options) {
  return prepare(tensors, options).path;
}

void forward(const ForwardTensors& tensors, const ForwardOptions& options, const DeviceNoise& noise,
             const noise::DrawFrom& from, gpu::DeviceSpan<std::byte> workspace, gpu::StreamHandle stream) {
  Prepared p = prepare(tensors, options);
  NoiseAccess::check(noise, options);
  fill_noise(p.problem, noise);
  const std::size_t bytes = bytes_of(p);
  if (workspace.size < bytes || (bytes != 0 && workspace.data == nullptr))
    throw UnusableInput("workspace.size", std::to_string(workspace.size),
                        "at least " + std::to_string(bytes) + " bytes of device memory");
  check_alignment("workspace", workspace.data, kAlignment);
  const noise::TakenDraws taken = noise::DrawAccess::take_attention(from, stream);
  p.problem.draws = taken.draws;
  if (!query_extents(options.shape, p.places).empty()) {
    place_lengths(p, workspace.data, stream);
    void* const rest = workspace.data == nullptr ? nullptr : workspace.data + p.length_bytes;
    if (p.path == Path::sm90)
      cuda::forward_sm90(p.problem, rest, stream);
    else
      cuda::forward_sm80(p.problem, rest, stream);
  }
  noise::DrawAccess::launched(taken, stream);
}

}  // namespace dpflash::attention
