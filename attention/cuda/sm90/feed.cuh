// What the warps beside the products do: tiles of work, copies, factors where they are needed.
#pragma once

#include "cuda/sm90/factors.cuh"
#include "cuda/sm90/ptx.cuh"
#include "cuda/sm90/tile.cuh"

namespace dpflash::attention::cuda {

/// Warps that prepare tiles of keys and values.
inline constexpr int kPreparers = 3;

template <class T>
struct Barriers {
  Barrier q_full[T::groups];
  Barrier k_full[T::stages];   ///< the copy has arrived
  Barrier k_ready[T::stages];  ///< rows that count as zero are zero, and factors are there
  Barrier k_empty[T::stages];
  Barrier v_full[T::stages];
  Barrier v_ready[T::stages];  ///< rows that count as zero are zero
  Barrier v_empty[T::stages];
  Barrier c_ready[2];  ///< factors of values are there: before the values, where they are known
  Barrier c_empty[2];
  Barrier work_full[2];
  Barrier work_empty[2];
  int work[2];
};

/// Position in a ring of `count` places.
template <int count>
struct Ring {
  int place = 0;
  unsigned phase = 0;
  __device__ __forceinline__ void next() {
    if (++place == count) {
      place = 0;
      phase ^= 1;
    }
  }
};

/// Numbers of tiles, from the warp that fetches them to all others.
template <class T>
struct WorkReader {
  Barriers<T>* barriers;
  Ring<2> ring;
  /// The next tile's number; -1 when there is none. Called by whole warps.
  __device__ __forceinline__ int next() {
    barriers->work_full[ring.place].wait(ring.phase);
    // Told to the compiler as one number for a warp.
    const int t = __shfl_sync(0xffffffffu, barriers->work[ring.place], 0);
    barriers->work_empty[ring.place].arrive_as_warp();
    ring.next();
    return t;
  }
};

/// The tile that comes at place `taken` of all that there are: its number. Packed sequences have their tiles in turn,
/// as many as their own rows need; a search finds the sequence.
__device__ __forceinline__ int tile_at(const LaunchNumbers& n, unsigned taken) {
  const int place = static_cast<int>(taken);
  if (n.cumulative_q == nullptr) return place;
  int sequence = 0;
  for (int end = n.batch; end - sequence > 1;) {
    const int middle = (sequence + end) / 2;
    (n.cumulative_tiles[middle] * n.heads <= place ? sequence : end) = middle;
  }
  const int before = n.cumulative_tiles[sequence];
  const int count = n.cumulative_tiles[sequence + 1] - before;
  const int rest = place - before * n.heads;
  const int head = rest / count;
  const int m = count - 1 - (rest - head * count);
  return (sequence * n.heads + head) * n.q_tiles + n.q_tiles - 1 - m;
}

/// One thread: tiles, each told one ahead of its copies, and the copies of K and V.
template <class T>
__device__ __forceinline__ void produce(const LaunchNumbers& n, const CUtensorMap* k_map, const CUtensorMap* v_map,
                                        char* shared, Barriers<T>& b) {
  Ring<2> work_ring;
  Ring<T::stages> ring;
  const auto announce = [&](int t) {
    b.work_empty[work_ring.place].wait(work_ring.phase ^ 1);
    b.work[work_ring.place] = t;
    b.work_full[work_ring.place].arrive();
    work_ring.next();
  };
  // No block takes more than one number past the last tile.
  const auto take = [&](unsigned place) { return place < static_cast<unsigned>(n.tiles) ? tile_at(n, place) : -1; };
  int t = take(blockIdx.x);
  announce(t);
  while (t >= 0) {
    const int following = take(gridDim.x + atomicAdd(n.counters, 1u));
    announce(following);
    const Work w = work_of<T>(n, t);
    const int kv_head = w.head / n.group;
    const int batch = n.cumulative_q != nullptr ? 0 : w.batch;
    int tile = w.start;
    for (int i = w.begin; i < w.end; ++i) {
      const auto load = [&](Barrier& full, Barrier& empty, int at, const CUtensorMap* map) {
        empty.wait(ring.phase ^ 1);
        full.arrive_and_expect(T::kv_bytes);
#pragma unroll
        for (int p = 0; p < T::panels; ++p)
          copy_box(shared + at + ring.place * T::kv_bytes + p * (T::keys * 128), map, &full, 64 * p,
                   w.k_offset + tile * T::keys, kv_head, batch, Keep::last);
      };
      load(b.k_full[ring.place], b.k_empty[ring.place], T::k_at, k_map);
      load(b.v_full[ring.place], b.v_empty[ring.place], T::v_at, v_map);
      ring.next();
      tile = following_tile(w, tile);
    }
    t = following;
  }
}

/// Keys or values of a tile, as a warp prepares them: in batches of 32 rows, of which it has every third.
struct Half {
  char* data;
  float* factors;
  std::int64_t kept;  ///< where the first row's factor is kept
  int count;          ///< rows that the sequence has from the tile's first on
  int first;          ///< the warp's first batch
  float clip;
};

/// A lane's factor of a batch, to shared memory. Returned as it is to be used.
template <class T, bool values>
__device__ __forceinline__ float place_factor(const Half& half, int batch, float factor) {
  const int row = 32 * batch + row_of_lane(static_cast<int>(threadIdx.x % 32));
  // Past the end: a key that is masked, a value that counts as zero.
  if (row >= half.count) factor = values ? 0.0f : 1.0f;
  if (row < T::keys) half.factors[factor_place(row)] = factor;
  return factor;
}

/// Rows of a batch whose factor is 0 are made zero.
template <class T>
__device__ __forceinline__ void zero_rows(const Half& half, int batch, float factor) {
  const int row = 32 * batch + row_of_lane(static_cast<int>(threadIdx.x % 32));
  unsigned rest = __ballot_sync(0xffffffffu, factor == 0.0f && row < T::keys);
  if (rest == 0) return;
  __syncwarp();  // all lanes have read them
  for (; rest != 0; rest &= rest - 1)
    zero_row<T>(half.data, 32 * batch + row_of_lane(__ffs(static_cast<int>(rest)) - 1));
  fence_async_proxy();
}

template <class T>
inline constexpr int kShare = (T::batches + kPreparers - 1) / kPreparers;

/// The lane's factors of its batches, as another block has left them.
template <class T, bool f16, bool values>
__device__ __forceinline__ void known_factors(const LaunchNumbers& n, const Half& half, float (&factors)[kShare<T>]) {
#pragma unroll
  for (int j = 0; j < kShare<T>; ++j) {
    const int batch = half.first + kPreparers * j;
    const int row = 32 * batch + row_of_lane(static_cast<int>(threadIdx.x % 32));
    factors[j] = 0;
    if (batch < T::batches && row < T::keys && row < half.count)
      factors[j] = Kept<f16, values>::load(n, half.kept + row);
  }
}

template <class T, bool values>
__device__ __forceinline__ void place_known(const Half& half, float (&factors)[kShare<T>]) {
#pragma unroll
  for (int j = 0; j < kShare<T>; ++j)
    if (const int batch = half.first + kPreparers * j; batch < T::batches)
      factors[j] = place_factor<T, values>(half, batch, factors[j]);
}

template <class T>
__device__ __forceinline__ void zero_known(const Half& half, const float (&factors)[kShare<T>]) {
#pragma unroll
  for (int j = 0; j < kShare<T>; ++j)
    if (const int batch = half.first + kPreparers * j; batch < T::batches) zero_rows<T>(half, batch, factors[j]);
}

/// Factors of the warp's batches computed, kept for others, and placed; rows that count as zero are made zero.
template <class T, bool f16, bool values>
__device__ __forceinline__ void compute_factors(const LaunchNumbers& n, const Half& half) {
#pragma unroll 1
  for (int batch = half.first; batch < T::batches; batch += kPreparers) {
    const float factor =
        Kept<f16, values>::down(clip_factor(batch_square<T, f16>(half.data, batch), half.clip, T::width));
    const int row = 32 * batch + row_of_lane(static_cast<int>(threadIdx.x % 32));
    if (row < T::keys && row < half.count) Kept<f16, values>::store(n, half.kept + row, factor);
    zero_rows<T>(half, batch, place_factor<T, values>(half, batch, factor));
  }
}

/// One of the preparing warps: factors of a tile's keys and values to shared memory, and rows that count as zero made
/// zero there. Factors are computed from the tile by the first block that comes to it, or read when another has left
/// them; nobody waits for anybody.
template <class T, bool f16>
__device__ __forceinline__ void prepare(const LaunchNumbers& n, char* shared, Barriers<T>& b, int warp) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  WorkReader<T> reader{&b, {}};
  Ring<T::stages> ring;
  Ring<2> c_ring;
  for (int t = reader.next(); t >= 0; t = reader.next()) {
    const Work w = work_of<T>(n, t);
    const int kv_head = w.head / n.group;
    const int plane = w.batch * n.kv_heads + kv_head;
    // Where its factors and its flags begin.
    std::int64_t before = static_cast<std::int64_t>(plane) * n.keys;
    std::uint32_t* flags = n.ready + static_cast<std::int64_t>(plane) * n.k_tiles;
    if (n.cumulative_k != nullptr) {
      before = kv_head * n.total_k + w.k_offset;
      flags = n.ready + static_cast<std::int64_t>(kv_head) * n.k_tiles + w.k_offset / T::keys + w.batch;
    }
    int tile = w.start;
    for (int i = w.begin; i < w.end; ++i) {
      const bool known = (__shfl_sync(0xffffffffu, load_acquire(flags + tile), 0) >> warp & 1) != 0;
      __syncwarp();  // what the first lane has seen, all may read
      const std::int64_t kept = before + tile * T::keys;
      const int count = w.keys - tile * T::keys;
      const Half keys = {shared + T::k_at + ring.place * T::kv_bytes,
                         reinterpret_cast<float*>(shared + T::k_factors_at + ring.place * T::factor_bytes),
                         kept,
                         count,
                         warp,
                         n.clip_k.value[kv_head]};
      const Half values = {shared + T::v_at + ring.place * T::kv_bytes,
                           reinterpret_cast<float*>(shared + T::v_factors_at + c_ring.place * T::factor_bytes),
                           kept,
                           count,
                           (warp + kPreparers - 1) % kPreparers,
                           n.clip_v.value[kv_head]};
      float k_known[kShare<T>] = {};
      float v_known[kShare<T>] = {};
      if (known) {
        known_factors<T, f16, false>(n, keys, k_known);
        known_factors<T, f16, true>(n, values, v_known);
      }
      b.k_full[ring.place].wait(ring.phase);
      if (known) {
        place_known<T, false>(keys, k_known);
        zero_known<T>(keys, k_known);
        b.k_ready[ring.place].arrive_as_warp();
        b.c_empty[c_ring.place].wait(c_ring.phase ^ 1);
        place_known<T, true>(values, v_known);
        b.c_ready[c_ring.place].arrive_as_warp();
        b.v_full[ring.place].wait(ring.phase);
        zero_known<T>(values, v_known);
        b.v_ready[ring.place].arrive_as_warp();
      } else {
        compute_factors<T, f16, false>(n, keys);
        b.k_ready[ring.place].arrive_as_warp();
        b.v_full[ring.place].wait(ring.phase);
        b.c_empty[c_ring.place].wait(c_ring.phase ^ 1);
        compute_factors<T, f16, true>(n, values);
        b.c_ready[c_ring.place].arrive_as_warp();
        b.v_ready[ring.place].arrive_as_warp();
        if (lane == 0) or_release(flags + tile, 1u << warp);
      }
      ring.next();
      c_ring.next();
      tile = following_tile(w, tile);
    }
  }
}

}  // namespace dpflash::attention::cuda
