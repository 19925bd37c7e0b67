#include "device/draw_access.hpp"

#include <vector>

#include "draw/draws.hpp"
#include "kernels/noise.hpp"
#include "structure/checks.hpp"

namespace dpflash::noise {

namespace {

constexpr std::uint32_t kMostSteps = std::uint32_t{1} << 24;
constexpr std::uint32_t kMostLaunches = std::uint32_t{1} << 16;

draw::Bits bits_of(Generator generator) {
  switch (generator) {
    case Generator::philox:
      return draw::Bits::philox;
    case Generator::chacha12:
      return draw::Bits::chacha12;
    case Generator::chacha20:
      break;
  }
  return draw::Bits::chacha20;
}

void check_range(const char* field, std::uint32_t value, std::uint32_t most) {
  if (value < 1 || value > most)
    throw accounting::UnusableInput(field, std::to_string(value), "an integer in [1, " + std::to_string(most) + "]");
}

}  // namespace

GraphSteps::GraphSteps(std::uint32_t stream, std::uint32_t first_step, std::uint32_t count, std::uint32_t launches,
                       gpu::StreamHandle queue)
    : stream_(stream), first_step_(first_step), count_(count), launches_(launches) {
  check_range("count", count, kMostSteps);
  check_range("launches", launches, kMostLaunches);
  if (first_step > ~std::uint32_t{0} - count)
    throw accounting::UnusableInput("first_step", std::to_string(first_step), "first_step + count at most 2^32 - 1");
  const std::vector<gpu::StepRange> counters(launches, {first_step, first_step + count});
  counters_ = gpu::Memory(counters.size() * sizeof(gpu::StepRange));
  gpu::copy_to_device(counters_.data(), counters.data(), counters_.bytes(), queue);
  gpu::synchronise(queue);
}

TakenDraws DrawAccess::claimed(const DrawFrom& from, std::uint64_t first) {
  const NoiseSource& source = *from.source_;
  GraphSteps* const steps = from.steps_;
  TakenDraws taken{
      {bits_of(source.generator()), key_words(source), from.position_.stream, from.position_.step, first, nullptr},
      nullptr};
  if (steps != nullptr) {
    taken.counter = static_cast<gpu::StepRange*>(steps->counters_.data()) + steps->taken_++;
    taken.draws.device_step = taken.counter;
  }
  return taken;
}

std::uint32_t DrawAccess::steps_to_claim(const DrawFrom& from, gpu::StreamHandle stream) {
  const GraphSteps* const steps = from.steps_;
  if (steps == nullptr) {
    if (gpu::is_capturing(stream))
      throw accounting::UnusableInput("from", "a Position on a stream that is being captured",
                                      "GraphSteps, with which every replay draws at a step of its own");
    return 1;
  }
  if (steps->taken_ == steps->launches_)
    throw accounting::UnusableInput("steps", "a launch more than the " + std::to_string(steps->launches_) + " planned",
                                    "a GraphSteps with enough launches");
  return steps->count_;
}

TakenDraws DrawAccess::take(const DrawFrom& from, std::uint64_t first, std::span<const DrawRange> ranges,
                            gpu::StreamHandle stream) {
  const std::uint32_t count = steps_to_claim(from, stream);
  for (std::uint32_t i = 0; i < count; ++i)
    for (const DrawRange& range : ranges)
      from.source_->claim({from.position_.stream, from.position_.step + i, range.first}, range.count);
  return claimed(from, first);
}

TakenDraws DrawAccess::take_attention(const DrawFrom& from, gpu::StreamHandle stream) {
  if (from.position_.first != 0)
    throw accounting::UnusableInput("position.first", std::to_string(from.position_.first),
                                    "0: an attention output has all draws of its stream and step");
  from.source_->claim_attention(from.position_.stream, from.position_.step, steps_to_claim(from, stream));
  return claimed(from, 0);
}

TakenDraws DrawAccess::take(const DrawFrom& from, std::uint64_t skip, std::uint64_t count, gpu::StreamHandle stream) {
  const std::uint64_t begin = structure::later(from.position_, skip).first;
  const DrawRange range{begin, count};
  return take(from, begin, {&range, 1}, stream);
}

void DrawAccess::launched(const TakenDraws& taken, gpu::StreamHandle stream) {
  if (taken.counter != nullptr) gpu::advance_step(taken.counter, stream);
}

}  // namespace dpflash::noise
