// Attention on Hopper: one warpgroup brings tiles and factors, two compute.
#pragma once

#include "cuda/sm90/feed.cuh"
#include "cuda/sm90/finish.cuh"

namespace dpflash::attention::cuda {

/// A warpgroup's share of all tiles.
template <class T, bool f16, bool softcap, class Source>
__device__ __forceinline__ void consume(const LaunchNumbers& n, const Run<Source>& run, const CUtensorMap* q_map,
                                        char* shared, Barriers<T>& b, int warpgroup, int warp) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const bool first_thread = threadIdx.x % 128 == 0;
  WorkReader<T> reader{&b, {}};
  unsigned q_phase = 0;
  Ring<T::stages> ring;
  Ring<2> c_ring;
  int v_place = 0;
  unsigned v_phase = 0;
  bool k_there = false;  // the next tile's keys were seen to be ready
  char* const q = shared + warpgroup * (T::q_bytes / T::groups);
  const Operand q_operand{shared_address(q), 16};
  const Operand k_operand{shared_address(shared + T::k_at), 16};
  const Operand v_operand{shared_address(shared + T::v_at), T::keys * 128};
  std::uint32_t k_stage = 0;  // bytes from the first stage on
  std::uint32_t v_stage = 0;
  int t = reader.next();
  if (t >= 0 && first_thread) load_queries<T>(n, work_of<T>(n, t), q_map, q, b.q_full[warpgroup], warpgroup);
  while (t >= 0) {
    const Work w = work_of<T>(n, t);
    int following = -1;
    float sums[2] = {0, 0};
    float factors[2];
    // Tiles of keys [clear_from, clear_to) are seen whole by every row of this warpgroup: they need no mask.
    const int clear_from = (first_visible(n, w, w.first + 64 * warpgroup + 63) + T::keys - 1) / T::keys;
    const int clear_to = last_visible(n, w, w.first + 64 * warpgroup) / T::keys;
    b.q_full[warpgroup].wait(q_phase);
    q_phase ^= 1;
    query_factors<T, f16>(n, w, q, warpgroup, factors);
    Answer<T> o;
    o.clear();
    float s[T::keys / 2];
    std::uint32_t p[T::keys / 4];
    const auto issue_scores = [&] {
      const Operand k = k_operand + k_stage;
      product_begin();
#pragma unroll
      for (int i = 0; i < T::width / 16; ++i)
        ScoreProduct<T::keys, f16>::add(s, q_operand.at((i / 4) * (64 * 128) + i % 4 * 32),
                                        k.at((i / 4) * (T::keys * 128) + i % 4 * 32), i != 0);
      product_commit();
    };
    const auto issue_values = [&] {
      const Operand v = v_operand + v_stage;
      product_begin();
#pragma unroll
      for (int i = 0; i < T::keys / 16; ++i) o.template add<f16>(&p[4 * i], v, i * 2048);
      product_commit();
    };
    const auto values_done = [&] {
      product_wait<0>();
      o.pin_all();
      b.v_empty[v_place].arrive_as_warp();
    };
    // The rows of q are free: the next tile's come in their place.
    const auto next_queries = [&] {
      following = reader.next();
      wait_named(1 + warpgroup, 128);
      if (following >= 0 && first_thread)
        load_queries<T>(n, work_of<T>(n, following), q_map, q, b.q_full[warpgroup], warpgroup);
    };
    // The first factors are fetched while the scores are on their way. Those of values are there before the values, but
    // for tiles that this block is the first to come to.
    Factors of_keys;
    Factors of_values;
    const auto fetch = [&] {
      of_keys.fetch(reinterpret_cast<const float4*>(shared + T::k_factors_at + ring.place * T::factor_bytes) +
                    lane % 4);
      b.c_ready[c_ring.place].wait(c_ring.phase);
      of_values.fetch(reinterpret_cast<const float4*>(shared + T::v_factors_at + c_ring.place * T::factor_bytes) +
                      lane % 4);
    };
    const auto factors_done = [&] {
      b.k_empty[ring.place].arrive_as_warp();
      b.c_empty[c_ring.place].arrive_as_warp();
      c_ring.next();
    };
    const auto masked_exponentials = [&](int tile) {
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
      exponentials<T, true, softcap>(n.softcap, s, of_keys, of_values, limits, factors, sums);
    };
    const auto await_keys = [&] {
      if (!k_there) b.k_ready[ring.place].wait(ring.phase);
    };
    const auto pack = [&] {
      v_place = ring.place;
      v_phase = ring.phase;
      v_stage = k_stage;
      ring.next();
      k_stage = uniform(static_cast<std::uint32_t>(ring.place) * T::kv_bytes);
      k_there = b.k_ready[ring.place].ended(ring.phase);
#pragma unroll
      for (int i = 0; i < T::keys / 4; ++i) p[i] = pack_probabilities<f16>(s[2 * i], s[2 * i + 1]);
    };
    if (w.begin < w.end) {
      int tile = w.start;
      const int last = (w.start == w.begin ? w.end : w.start) - 1;
      await_keys();
      issue_scores();
      fetch();
      product_wait<0>();
      pin(s);
      // Masked or not, by the code for masks: one tile in many, and less code to fetch.
      masked_exponentials(tile);
      factors_done();
      pack();
#pragma unroll 1
      while (tile != last) {
        tile = following_tile(w, tile);
        await_keys();
        b.v_ready[v_place].wait(v_phase);
        issue_scores();
        issue_values();
        fetch();
        product_wait<1>();
        pin(s);
        if (!softcap && tile >= clear_from && tile < clear_to)
          exponentials<T, false, softcap>(0, s, of_keys, of_values, {}, factors, sums);
        else
          masked_exponentials(tile);
        factors_done();
        values_done();
        pack();
      }
      b.v_ready[v_place].wait(v_phase);
      issue_values();
      next_queries();
      values_done();
    } else {
      next_queries();
    }
    finish<T, f16>(n, run, work_of<T>(n, opaque(t)), sums, o, warpgroup);
    t = following;
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
  static_assert(sizeof(Barriers<T>) <= T::barrier_bytes);
  // Told to the compiler as one number for a warp.
  const int warp = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x / 32), 0);
  if (threadIdx.x == 0) {
    constexpr int consumers = 4 * T::groups * kArrivals;
    constexpr int preparers = kPreparers * kArrivals;
    for (int i = 0; i < T::groups; ++i) {
      b.q_full[i].init(1);
    }
    for (int i = 0; i < T::stages; ++i) {
      b.k_full[i].init(1);
      b.k_ready[i].init(preparers);
      b.k_empty[i].init(consumers);
      b.v_full[i].init(1);
      b.v_ready[i].init(preparers);
      b.v_empty[i].init(consumers);
    }
    for (int i = 0; i < 2; ++i) {
      b.c_ready[i].init(preparers);
      b.c_empty[i].init(consumers);
      b.work_full[i].init(1);
      b.work_empty[i].init(consumers + preparers);
    }
    fence_barrier_init();
  }
  __syncthreads();
  if (warp < 4) {
    fewer_registers<T::feed_registers>();
    if (warp == 0) {
      if (threadIdx.x == 0) produce<T>(n, &k_map, &v_map, shared, b);
    } else {
      prepare<T, f16>(n, shared, b, warp - 1);
    }
  } else {
    more_registers<T::compute_registers>();
    consume<T, f16, softcap>(n, run, &q_map, shared, b, warp / 4 - 1, warp % 4);
  }
#else
  __trap();  // Built for other devices: forward() does not come here.
#endif
}

}  // namespace dpflash::attention::cuda
