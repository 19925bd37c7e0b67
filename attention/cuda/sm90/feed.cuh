// What the warps beside the products do: tiles of work, copies, factors where they are needed.
#pragma once

#include "cuda/sm90/ptx.cuh"
#include "cuda/sm90/tile.cuh"

namespace dpflash::attention::cuda {

template <class T>
struct Barriers {
  Barrier q_full;
  Barrier q_empty;
  Barrier k_full[T::stages];   ///< the copy has arrived
  Barrier k_ready[T::stages];  ///< and rows that count as zero are zero, and factors are there
  Barrier k_empty[T::stages];
  Barrier v_full[T::stages];
  Barrier v_ready[T::stages];
  Barrier v_empty[T::stages];
  Barrier factors_empty[2];
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
    const int t = barriers->work[ring.place];
    __syncwarp();
    if (threadIdx.x % 32 == 0) barriers->work_empty[ring.place].arrive();
    ring.next();
    return t;
  }
};

/// One thread: tiles, and the copies of Q, K and V.
template <class T>
__device__ __forceinline__ void produce(const LaunchNumbers& n, const CUtensorMap* q_map, const CUtensorMap* k_map,
                                        const CUtensorMap* v_map, char* shared, Barriers<T>& b) {
  Ring<2> work_ring;
  Ring<1> q_ring;
  Ring<T::stages> k_ring;
  Ring<T::stages> v_ring;
  const auto announce = [&](int t) {
    b.work_empty[work_ring.place].wait(work_ring.phase ^ 1);
    b.work[work_ring.place] = t;
    b.work_full[work_ring.place].arrive();
    work_ring.next();
  };
  int t = static_cast<int>(blockIdx.x);
  while (t < n.tiles) {
    const Work w = work_of<T>(n, t);
    if (w.first >= w.rows) {
      t = static_cast<int>(gridDim.x + atomicAdd(n.counters, 1u));
      continue;
    }
    announce(t);
    const int kv_head = w.head / n.group;
    const int batch = n.cumulative_q != nullptr ? 0 : w.batch;
    const auto load = [&](Barrier& full, Barrier& empty, unsigned phase, char* to, const CUtensorMap* map, int tile) {
      empty.wait(phase ^ 1);
      full.arrive_and_expect(T::kv_bytes);
#pragma unroll
      for (int p = 0; p < T::panels; ++p)
        copy_box(to + p * (T::keys * 128), map, &full, 64 * p, w.k_offset + tile * T::keys, kv_head, batch, Keep::last);
    };
    const auto load_k = [&](int tile) {
      load(b.k_full[k_ring.place], b.k_empty[k_ring.place], k_ring.phase, shared + T::k_at + k_ring.place * T::kv_bytes,
           k_map, tile);
      k_ring.next();
    };
    const auto load_v = [&](int tile) {
      load(b.v_full[v_ring.place], b.v_empty[v_ring.place], v_ring.phase, shared + T::v_at + v_ring.place * T::kv_bytes,
           v_map, tile);
      v_ring.next();
    };
    b.q_empty.wait(q_ring.phase ^ 1);
    b.q_full.arrive_and_expect(T::q_bytes);
#pragma unroll
    for (int p = 0; p < T::panels; ++p)
      copy_box(shared + p * (T::rows * 128), q_map, &b.q_full, 64 * p, w.q_offset + w.first, w.head, batch,
               Keep::first);
    q_ring.next();
    const int following = static_cast<int>(gridDim.x + atomicAdd(n.counters, 1u));
    if (following < n.tiles) {
      const Work next = work_of<T>(n, following);
      for (int p = 0; p < T::panels; ++p)
        prefetch_box(q_map, 64 * p, next.q_offset + next.first, next.head, n.cumulative_q != nullptr ? 0 : next.batch);
    }
    if (w.begin < w.end) {
      load_k(w.begin);
      for (int tile = w.begin + 1; tile < w.end; ++tile) {
        load_k(tile);
        load_v(tile - 1);
      }
      load_v(w.end - 1);
    }
    t = following;
  }
  announce(-1);
}

/// One warp: factors of a tile's keys to shared memory, and rows that count as zero made zero there.
template <class T>
__device__ __forceinline__ void prepare(const LaunchNumbers& n, char* shared, Barriers<T>& b) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  WorkReader<T> reader{&b, {}};
  Ring<T::stages> k_ring;
  Ring<T::stages> v_ring;
  Ring<2> factor_ring;
  const auto zero_row = [&](char* tile, int row) {
    for (int i = lane; i < T::panels * 8; i += 32)
      *reinterpret_cast<uint4*>(tile + (i / 8) * (T::keys * 128) + row * 128 + i % 8 * 16) = make_uint4(0, 0, 0, 0);
  };
  constexpr int each = (T::keys + 31) / 32;
  constexpr std::uint32_t kMissing = 0x3c00;  // 1 and 0
  for (int t = reader.next(); t >= 0; t = reader.next()) {
    const Work w = work_of<T>(n, t);
    const int kv_head = w.head / n.group;
    if (w.begin >= w.end) continue;
    const std::uint32_t* const ready = n.ready + w.batch * n.kv_heads + kv_head;
    while (load_acquire(ready) < static_cast<std::uint32_t>(n.chunks)) __nanosleep(40);
    __syncwarp();
    const std::uint32_t* const factors =
        static_cast<const std::uint32_t*>(n.factors) +
        (n.cumulative_k != nullptr ? kv_head * n.total_k + w.k_offset
                                   : (static_cast<std::int64_t>(w.batch) * n.kv_heads + kv_head) * n.keys);
    const auto zero_rows = [&](char* to, const unsigned(&flags)[each]) {
#pragma unroll
      for (int i = 0; i < each; ++i)
        for (unsigned rest = flags[i]; rest != 0; rest &= rest - 1)
          zero_row(to, 32 * i + __ffs(static_cast<int>(rest)) - 1);
      fence_async_proxy();
      __syncwarp();
    };
    unsigned zero_v[2][each];
    const auto prepare_v = [&](const unsigned(&flags)[each]) {
      b.v_full[v_ring.place].wait(v_ring.phase);
      zero_rows(shared + T::v_at + v_ring.place * T::kv_bytes, flags);
      if (lane == 0) b.v_ready[v_ring.place].arrive();
      v_ring.next();
    };
    for (int tile = w.begin; tile < w.end; ++tile) {
      std::uint32_t f[each];
#pragma unroll
      for (int i = 0; i < each; ++i) {
        const int row = 32 * i + lane;
        const int key = tile * T::keys + row;
        // Beyond the end: a key that is masked, a value that counts as zero.
        f[i] = row < T::keys && key < w.keys ? factors[key] : kMissing;
      }
      b.factors_empty[factor_ring.place].wait(factor_ring.phase ^ 1);
      auto* const to = reinterpret_cast<std::uint32_t*>(shared + T::factors_at + factor_ring.place * T::factor_bytes);
      unsigned zero_k[each];
#pragma unroll
      for (int i = 0; i < each; ++i) {
        const int row = 32 * i + lane;
        if (row < T::keys) to[row] = f[i];
        zero_k[i] = __ballot_sync(0xffffffffu, (f[i] & 0xffffu) == 0);
        zero_v[0][i] = zero_v[1][i];
        zero_v[1][i] = __ballot_sync(0xffffffffu, f[i] >> 16 == 0 && row < T::keys);
      }
      factor_ring.next();
      b.k_full[k_ring.place].wait(k_ring.phase);
      zero_rows(shared + T::k_at + k_ring.place * T::kv_bytes, zero_k);
      if (lane == 0) b.k_ready[k_ring.place].arrive();
      k_ring.next();
      // In the order of the copies: a tile's values come after the next tile's keys.
      if (tile > w.begin) prepare_v(zero_v[0]);
    }
    prepare_v(zero_v[1]);
  }
}

}  // namespace dpflash::attention::cuda
