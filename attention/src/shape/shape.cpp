#include "shape/shape.hpp"

#include <algorithm>
#include <cmath>
#include <dpflash/accounting/error.hpp>
#include <sstream>
#include <string>

namespace dpflash::attention {
namespace {

constexpr std::int64_t kMaxLength = std::int64_t{1} << 28;

template <class Number>
[[noreturn]] void refuse(const std::string& field, Number value, const std::string& allowed) {
  std::ostringstream text;
  text.precision(17);
  text << value;
  throw accounting::UnusableInput(field, text.str(), allowed);
}

void check_length(const std::string& field, std::int64_t value) {
  if (value < 0 || value > kMaxLength) refuse(field, value, "an integer in [0, 2^28]");
}

void check_clips(const char* field, const std::vector<double>& clips, const Shape& shape) {
  if (clips.size() != 1 && clips.size() != static_cast<std::size_t>(shape.kv_heads))
    refuse(field, clips.size(), "one number, or one for each of the " + std::to_string(shape.kv_heads) + " kv heads");
  for (const double c : clips)
    if (!(c > 0) || !std::isfinite(c)) refuse(field, c, "a finite number above 0");
}

}  // namespace

void check(const Shape& shape) {
  for (std::size_t s = 0; s < shape.lengths.size(); ++s) {
    const std::string field = "lengths[" + std::to_string(s) + "]";
    check_length(field + "[0]", shape.lengths[s].queries);
    check_length(field + "[1]", shape.lengths[s].keys);
  }
  if (shape.lengths.empty()) refuse("lengths", "an empty list", "at least one sequence");
  if (shape.heads < 1 || shape.heads > 65536) refuse("H", shape.heads, "an integer in [1, 65536]");
  if (shape.kv_heads < 1 || shape.heads % shape.kv_heads != 0)
    refuse("H_kv", shape.kv_heads, "a divisor of H = " + std::to_string(shape.heads));
  if (shape.head_dim < 1 || shape.head_dim > 65536) refuse("D", shape.head_dim, "an integer in [1, 65536]");
  if (shape.window.left < -1) refuse("window[0]", shape.window.left, "an integer of at least -1 (-1: no limit)");
  if (shape.window.right < -1) refuse("window[1]", shape.window.right, "an integer of at least -1 (-1: no limit)");
  if (shape.scale && (!std::isfinite(*shape.scale) || *shape.scale == 0))
    refuse("scale", *shape.scale, "a finite number other than 0");
  if (shape.softcap && (!(*shape.softcap > 0) || !std::isfinite(*shape.softcap)))
    refuse("softcap", *shape.softcap, "a finite number above 0");
}

void check(const Clips& clips, const Shape& shape) {
  check_clips("C_q", clips.q, shape);
  check_clips("C_k", clips.k, shape);
  check_clips("C_v", clips.v, shape);
}

Visible visible(const Shape& shape, const SequenceLengths& lengths, std::int64_t row) noexcept {
  const std::int64_t diagonal = row + lengths.keys - lengths.queries;
  // Windows may be as large as an integer gets: they are compared before they are added.
  const auto limited = [&](std::int64_t side) { return side >= 0 && side <= 2 * kMaxLength; };
  Visible v{0, lengths.keys};
  if (limited(shape.window.left)) v.begin = std::max(v.begin, diagonal - shape.window.left);
  if (limited(shape.window.right)) v.end = std::min(v.end, diagonal + shape.window.right + 1);
  if (shape.causal) v.end = std::min(v.end, diagonal + 1);
  return v;
}

double scale_of(const Shape& shape) noexcept {
  return shape.scale ? *shape.scale : 1 / std::sqrt(static_cast<double>(shape.head_dim));
}

double clip_of(const std::vector<double>& clips, std::int32_t kv_head) noexcept {
  return clips[clips.size() == 1 ? 0 : static_cast<std::size_t>(kv_head)];
}

double largest_score(const Shape& shape, const Clips& clips, std::int32_t kv_head) noexcept {
  const double b = std::abs(scale_of(shape)) * clip_of(clips.q, kv_head) * clip_of(clips.k, kv_head);
  return shape.softcap ? *shape.softcap * std::tanh(b / *shape.softcap) : b;
}

}  // namespace dpflash::attention
