// Attention on Hopper: one warpgroup brings tiles and factors, two compute.
#pragma once

#include "cuda/sm90/feed.cuh"
#include "cuda/sm90/finish.cuh"

namespace dpflash::attention::cuda {

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
