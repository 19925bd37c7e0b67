// Normal draws for eight lanes at a time, in loops that the compiler turns into vector instructions.

constexpr int kLanes = 8;

/// x[word][lane]: blocks of the generator whose counters differ in the lane alone.
template <int words>
using LaneWords = std::uint32_t[words][kLanes];

inline void blocks_of(draw::Philox, const draw::Philox::Key& key, const draw::Counter& counter, LaneWords<4>& x) {
  for (int w = 0; w < 4; ++w)
    for (std::uint32_t l = 0; l < kLanes; ++l) x[w][l] = counter.word[w] + (w == 0 ? l : 0);
  for (int i = 0; i < draw::Philox::rounds; ++i) {
    for (int l = 0; l < kLanes; ++l) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * x[0][l];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * x[2][l];
      x[0][l] = static_cast<std::uint32_t>(p1 >> 32) ^ x[1][l] ^ key.round[2 * i];
      x[2][l] = static_cast<std::uint32_t>(p0 >> 32) ^ x[3][l] ^ key.round[2 * i + 1];
      x[1][l] = static_cast<std::uint32_t>(p1);
      x[3][l] = static_cast<std::uint32_t>(p0);
    }
  }
}

template <int rounds>
void blocks_of(draw::ChaCha<rounds>, const draw::KeyWords& key, const draw::Counter& counter, LaneWords<16>& out) {
  using Vector = std::uint32_t __attribute__((vector_size(4 * kLanes)));
  constexpr std::uint32_t constants[4] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
  constexpr Vector lanes = {0, 1, 2, 3, 4, 5, 6, 7};
  Vector first[16];
  for (int w = 0; w < 16; ++w)
    first[w] = Vector{} + (w < 4 ? constants[w] : w < 12 ? key.word[w - 4] : counter.word[w - 12]);
  first[12] += lanes;
  Vector x[16];
  draw::chacha_block<rounds>(first, x);
  std::memcpy(out, x, sizeof out);
}

/// Squared radii, right where they are not rare. The leading zeros come from a float's exponent, which vector
/// instructions have.
inline void radii_of(const std::uint32_t (&x)[kLanes], float (&r)[kLanes]) {
  for (int l = 0; l < kLanes; ++l) {
    const float size = static_cast<float>(static_cast<std::int32_t>(x[l] >> 8));
    const int n = 150 - static_cast<int>(draw::as_bits(size) >> 23);
    r[l] = draw::minus_two_log(draw::middle_of_cell(x[l]), n, 0);
  }
}

inline void pairs_of(const float (&r)[kLanes], const std::uint32_t (&angle)[kLanes], float (&z0)[kLanes],
                     float (&z1)[kLanes]) {
  for (int l = 0; l < kLanes; ++l) {
    float a;
    float b;
    draw::normal_pair(r[l], angle[l], a, b);
    z0[l] = a;
    z1[l] = b;
  }
}

/// z[k][lane] of one quad.
inline void quads_of(const std::uint32_t (*x)[kLanes], float (&z)[4][kLanes]) {
  float r[kLanes];
  std::uint32_t angle[kLanes];
  radii_of(x[0], r);
  for (int l = 0; l < kLanes; ++l) angle[l] = draw::upper_angle(x[2][l]);
  pairs_of(r, angle, z[0], z[1]);
  radii_of(x[1], r);
  for (int l = 0; l < kLanes; ++l) angle[l] = draw::lower_angle(x[0][l], x[1][l], x[2][l]);
  pairs_of(r, angle, z[2], z[3]);
}

/// All draws of a group, in order.
template <class Source>
void group_of_normals(const typename Source::Key& key, const Run& run, std::uint64_t group, float* out) {
  using Layout = draw::NormalLayout<Source>;
  for (std::uint32_t lane = 0; lane < 32; lane += kLanes) {
    std::uint32_t x[Source::words * Layout::blocks][kLanes];
    for (std::uint32_t b = 0; b < Layout::blocks; ++b) {
      LaneWords<Source::words> words;
      blocks_of(Source{}, key,
                draw::counter_of(Layout::block_of(group, lane, b), draw::Use::normal, 0, run.step, run.stream), words);
      std::memcpy(&x[b * Source::words], words, sizeof words);
    }
    std::uint32_t rarest = ~0u;
    for (int q = 0; q < Layout::quads; ++q) {
      float z[4][kLanes];
      quads_of(&x[3 * q], z);
      for (int i = 0; i < 2; ++i)
        for (int l = 0; l < kLanes; ++l) rarest = x[3 * q + i][l] < rarest ? x[3 * q + i][l] : rarest;
      float* const to = out + 128 * q + 4 * lane;
      for (int l = 0; l < kLanes; ++l)
        for (int k = 0; k < 4; ++k) to[4 * l + k] = z[k][l];
    }
    if (rarest >= draw::kNormalRareBelow) continue;
    for (std::uint32_t l = lane; l < lane + kLanes; ++l) {
      float z[4 * Layout::quads];
      draw::lane_normals<Source>(key, group, l, run.step, run.stream, z);
      for (std::uint32_t q = 0; q < Layout::quads; ++q)
        std::memcpy(out + 128 * q + 4 * l, z + 4 * q, 4 * sizeof(float));
    }
  }
}

template <class Source>
void fill_normals(const Run& run, float* out, std::uint64_t count) {
  constexpr std::uint64_t group = draw::NormalLayout<Source>::group;
  const auto key = Source::expand(run.key);
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t index = run.first + done;
    const std::uint64_t skip = index % group;
    const std::uint64_t take = group - skip < count - done ? group - skip : count - done;
    if (take == group) {
      group_of_normals<Source>(key, run, index / group, out + done);
    } else {
      float all[group];
      group_of_normals<Source>(key, run, index / group, all);
      std::memcpy(out + done, all + skip, take * sizeof(float));
    }
    done += take;
  }
}
