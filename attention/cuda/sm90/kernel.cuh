// Attention on Hopper: one warpgroup brings tiles and factors, two compute.
#pragma once

#include <utility>

#include "cuda/sm90/consume.cuh"

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

/// A warpgroup's accumulators of the answer: columns below 128, and those above.
template <class T>
struct Answer {
  static constexpr int split = T::width < 128 ? T::width : 128;
  static constexpr int rest = T::width - split;
  float low[split / 2];
  float high[rest > 0 ? rest / 2 : 1];

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int i = 0; i < split / 2; ++i) low[i] = 0;
#pragma unroll
    for (int i = 0; i < rest / 2; ++i) high[i] = 0;
  }
  template <bool f16>
  __device__ __forceinline__ void add(const std::uint32_t* p, const Operand& v, std::uint32_t offset) {
    ValueProduct<split, f16>::add(low, p, v.at(offset));
    if constexpr (rest > 0) ValueProduct<rest, f16>::add(high, p, v.at(offset + 2 * T::keys * 128));
  }
  __device__ __forceinline__ void pin_all() {
    pin(low);
    if constexpr (rest > 0) pin(high);
  }
  __device__ __forceinline__ float at(int i) const { return i < split / 2 ? low[i] : high[i - split / 2]; }
};

/// What the end of a tile knows of a thread's two rows.
struct Ending {
  int row[2];
  float inverse[2];
  float sigma[2];
};

/// Columns 32 c to 32 c + 31 of the answer.
template <class T, bool f16, int c, class Source>
__device__ __forceinline__ void finish_block(const LaunchNumbers& n, const Run<Source>& run, const Work& w,
                                             const Ending& end, const Answer<T>& o, int row_block, std::uint32_t step) {
  constexpr int eighths = T::width / 8 - 4 * c < 4 ? T::width / 8 - 4 * c : 4;
  const std::uint32_t lane = threadIdx.x % 32;
  float x[16] = {};
#pragma unroll
  for (int i = 0; i < 4 * eighths; ++i) x[i] = __fmul_rn(o.at(16 * c + i), end.inverse[i / 2 % 2]);
  if (n.clean.data != nullptr) store_block<f16>(n.clean, n, w, end.row, c, x);
  float z[16];
  block_draws(
      run,
      draw::attention_group(plane_of(n, w), static_cast<unsigned>(w.first / 16 + row_block), static_cast<unsigned>(c)),
      lane, step, z);
#pragma unroll
  for (int i = 0; i < 16; ++i) x[i] = __fmaf_rn(end.sigma[i / 2 % 2], z[i], x[i]);
  store_block<f16>(n.out, n, w, end.row, c, x);
}

/// Output, clean output and log of the sum of a finished tile.
template <class T, bool f16, class Source>
__device__ __forceinline__ void finish(const LaunchNumbers& n, const Run<Source>& run, const Work& w, float (&sums)[2],
                                       const Answer<T>& o, int warpgroup) {
  const std::uint32_t lane = threadIdx.x % 32;
  const int row_block = 4 * warpgroup + static_cast<int>(threadIdx.x / 32 % 4);
  float fault;
  const std::uint32_t step = step_of(run, fault);
  Ending end;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    end.row[r] = w.first + 16 * row_block + static_cast<int>(lane) / 4 + 8 * r;
    float sum = sums[r];
    sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, 1));
    sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, 2));
    end.inverse[r] = sum > 0 ? __frcp_rn(sum) : 0.0f;
    const bool inside = end.row[r] < w.rows;
    float sigma = n.sigma.value[w.head];
    if (n.sigma_rows != nullptr && inside)
      sigma = n.sigma_rows[static_cast<std::int64_t>(w.head) * n.rows + end.row[r]];
    end.sigma[r] = __fadd_rn(sigma, fault);
    if (n.lse != nullptr && inside && lane % 4 == 0) {
      const std::int64_t at = n.cumulative_q != nullptr
                                  ? w.head * n.total_q + w.q_offset
                                  : (static_cast<std::int64_t>(w.batch) * n.heads + w.head) * n.rows;
      n.lse[at + end.row[r]] = logf(sum);
    }
  }
  [&]<int... c>(std::integer_sequence<int, c...>) {
    (finish_block<T, f16, c>(n, run, w, end, o, row_block, step), ...);
  }
  (std::make_integer_sequence<int, T::column_blocks>{});
}

/// A warpgroup's share of all tiles.
template <class T, bool f16, bool softcap, class Source>
__device__ __forceinline__ void consume(const LaunchNumbers& n, const Run<Source>& run, char* shared, Barriers<T>& b,
                                        int warpgroup) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32 % 4);
  WorkReader<T> reader{&b, {}};
  Ring<1> q_ring;
  Ring<T::stages> k_ring;
  Ring<T::stages> v_ring;
  Ring<2> factor_ring;
  const Operand q_operand{shared_address(shared) + static_cast<std::uint32_t>(warpgroup) * 8192, 16};
  const std::uint32_t k_at = shared_address(shared + T::k_at);
  const std::uint32_t v_at = shared_address(shared + T::v_at);
  const auto leave = [&](Barrier& barrier) {
    __syncwarp();
    if (lane == 0) barrier.arrive();
  };
  // The two warpgroups issue their products in turns, so that one's exponentials meet the other's products.
  if (warpgroup == 1) arrive_named(1, 256);
  for (int t = reader.next(); t >= 0; t = reader.next()) {
    const Work w = work_of<T>(n, t);
    float sums[2] = {0, 0};
    float factors[2];
    // Tiles of keys [clear_from, clear_to) are seen whole by every row of this warpgroup: they need no mask.
    const int clear_from = (first_visible(n, w, w.first + 64 * warpgroup + 63) + T::keys - 1) / T::keys;
    const int clear_to = last_visible(n, w, w.first + 64 * warpgroup) / T::keys;
    b.q_full.wait(q_ring.phase);
    q_ring.next();
    query_factors<T, f16>(n, w, shared, warpgroup, factors);
    Answer<T> o;
    o.clear();
    float s[T::keys / 2];
    std::uint32_t p[T::keys / 4];
    const auto issue_scores = [&] {
      b.k_ready[k_ring.place].wait(k_ring.phase);
      const Operand k{k_at + static_cast<std::uint32_t>(k_ring.place) * T::kv_bytes, 16};
      product_begin();
#pragma unroll
      for (int i = 0; i < T::width / 16; ++i)
        ScoreProduct<T::keys, f16>::add(s, q_operand.at((i / 4) * (T::rows * 128) + i % 4 * 32),
                                        k.at((i / 4) * (T::keys * 128) + i % 4 * 32), i != 0);
      product_commit();
    };
    const auto issue_values = [&] {
      b.v_ready[v_ring.place].wait(v_ring.phase);
      const Operand v{v_at + static_cast<std::uint32_t>(v_ring.place) * T::kv_bytes, T::keys * 128};
      product_begin();
#pragma unroll
      for (int i = 0; i < T::keys / 16; ++i) o.template add<f16>(&p[4 * i], v, i * 2048);
      product_commit();
    };
    const uint2* f = nullptr;
    uint2 first[kFactorsAhead];
    // The first factors are fetched while the scores are on their way.
    const auto fetch = [&] {
      f = reinterpret_cast<const uint2*>(shared + T::factors_at + factor_ring.place * T::factor_bytes) + lane % 4;
#pragma unroll
      for (int j = 0; j < kFactorsAhead; ++j) first[j] = f[4 * j];
    };
    const auto exponents = [&](int tile) {
      if (!softcap && tile >= clear_from && tile < clear_to) {
        exponentials<T, false, softcap>(0, s, first, f, {}, factors, sums);
      } else {
        // Found again here, at the edges, rather than kept in registers all along.
        const Work again = work_of<T>(n, opaque(t));
        Limits limits;
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const int row = again.first + 64 * warpgroup + 16 * warp + lane / 4 + 8 * r;
          const int low = first_visible(n, again, row);
          limits.low[r] = low - tile * T::keys - 2 * (lane % 4);
          limits.count[r] = static_cast<unsigned>(max(0, last_visible(n, again, row) - low));
        }
        exponentials<T, true, softcap>(n.softcap, s, first, f, limits, factors, sums);
      }
      leave(b.factors_empty[factor_ring.place]);
      factor_ring.next();
    };
    const auto pack = [&] {
#pragma unroll
      for (int i = 0; i < T::keys / 4; ++i) p[i] = pack_toward_zero<f16>(s[2 * i], s[2 * i + 1]);
    };
    if (w.begin < w.end) {
      issue_scores();
      fetch();
      product_wait<0>();
      pin(s);
      leave(b.k_empty[k_ring.place]);
      k_ring.next();
      if (w.begin + 1 == w.end) leave(b.q_empty);
      exponents(w.begin);
      pack();
#pragma unroll 1
      for (int tile = w.begin + 1; tile < w.end; ++tile) {
        wait_named(1 + warpgroup, 256);
        issue_scores();
        issue_values();
        arrive_named(2 - warpgroup, 256);
        fetch();
        product_wait<1>();
        pin(s);
        leave(b.k_empty[k_ring.place]);
        k_ring.next();
        if (tile + 1 == w.end) leave(b.q_empty);
        exponents(tile);
        product_wait<0>();
        o.pin_all();
        leave(b.v_empty[v_ring.place]);
        v_ring.next();
        pack();
      }
      issue_values();
      product_wait<0>();
      o.pin_all();
      leave(b.v_empty[v_ring.place]);
      v_ring.next();
    } else {
      leave(b.q_empty);
    }
    finish<T, f16>(n, run, work_of<T>(n, opaque(t)), sums, o, warpgroup);
  }
}

template <class T, bool f16, bool softcap, class Source>
__global__ void __launch_bounds__(T::threads, 1)
    attention_kernel(const __grid_constant__ CUtensorMap q_map, const __grid_constant__ CUtensorMap k_map,
                     const __grid_constant__ CUtensorMap v_map, const __grid_constant__ LaunchNumbers n,
                     const __grid_constant__ Run<Source> run) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) char shared[];
  Barriers<T>& b = *reinterpret_cast<Barriers<T>*>(shared + T::barriers_at);
  static_assert(sizeof(Barriers<T>) <= 320);
  const int warp = static_cast<int>(threadIdx.x / 32);
  if (threadIdx.x == 0) {
    constexpr int consumers = 4 * T::groups;
    b.q_full.init(1);
    b.q_empty.init(consumers);
    for (int i = 0; i < T::stages; ++i) {
      b.k_full[i].init(1);
      b.k_ready[i].init(1);
      b.k_empty[i].init(consumers);
      b.v_full[i].init(1);
      b.v_ready[i].init(1);
      b.v_empty[i].init(consumers);
    }
    for (int i = 0; i < 2; ++i) {
      b.factors_empty[i].init(consumers);
      b.work_full[i].init(1);
      b.work_empty[i].init(consumers + 1);
    }
    fence_barrier_init();
  }
  // What the first tiles need, by all warps; the rest behind the products.
  factor_chunks<T, f16, false>(n, n.counters + 1, 0, n.first_chunks);
  __syncthreads();
  if (warp < 4) {
    fewer_registers<56>();
    if (warp == 0) {
      if (threadIdx.x == 0) produce<T>(n, &q_map, &k_map, &v_map, shared, b);
    } else if (warp == 1) {
      prepare<T>(n, shared, b);
    } else {
      factor_chunks<T, f16, true>(n, n.counters + 2, n.first_chunks, n.all_chunks);
    }
  } else {
    more_registers<224>();
    consume<T, f16, softcap>(n, run, shared, b, warp / 4 - 1);
  }
#else
  __trap();  // Built for other devices: forward() does not come here.
#endif
}

}  // namespace dpflash::attention::cuda
