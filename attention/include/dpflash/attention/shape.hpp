// What an attention call looks like: public numbers that its sensitivity and its result depend on.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace dpflash::attention {

/// Rows of queries and of keys of one sequence.
struct SequenceLengths {
  std::int64_t queries = 0;  ///< in [0, 2^28]
  std::int64_t keys = 0;     ///< in [0, 2^28]
};

/// Keys a query sees beside the one at its own place; -1: no limit on that side.
struct Window {
  std::int64_t left = -1;
  std::int64_t right = -1;
};

/// Key j is visible to query i, off = keys - queries of the sequence, when (not causal or j <= i + off) and
/// (window.left < 0 or j >= i + off - window.left) and (window.right < 0 or j <= i + off + window.right): aligned to
/// the bottom-right corner. Lengths and masks are public.
struct Shape {
  std::vector<SequenceLengths> lengths;  ///< one a sequence
  std::int32_t heads = 1;                ///< query heads
  std::int32_t kv_heads = 1;             ///< divides heads; query head h reads kv head h / (heads / kv_heads)
  std::int32_t head_dim = 64;
  bool causal = false;
  Window window;
  std::optional<double> scale;    ///< 1 / sqrt(head_dim) when left out
  std::optional<double> softcap;  ///< scores s become c tanh(s / c)
};

/// L2 norms that rows are clipped to, public: one a kv head (a single one counts for all).
struct Clips {
  std::vector<double> q;
  std::vector<double> k;
  std::vector<double> v;
};

}  // namespace dpflash::attention
