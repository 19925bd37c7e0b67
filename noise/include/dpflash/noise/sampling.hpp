// Poisson sampling of batches: every record takes part independently, as the accountant assumes.
#pragma once

#include <cstdint>
#include <dpflash/accounting/quantities.hpp>
#include <vector>

#include "dpflash/noise/source.hpp"

namespace dpflash::noise {

/// The records of [position.first, position.first + count) that take part in step `position.step`, rising; record r is
/// in when its 64-bit word is below floor(rate 2^64): an exact comparison, so that given uniform words the probability
/// is the declared rate rounded down, by at most 2^-64, and 1 for a rate of 1. Never above the rate: privacy grows
/// worse with the rate alone.
///
/// A record's word depends on (key, stream, step, record) alone, so every shard of the data finds its own part of one
/// and the same batch, and the parts of disjoint shards are independent. The words are no other draw's, but the
/// positions are claimed as those of draws are: give sampling a stream of its own. The batch is secret: keep the key,
/// and divide by rate times the number of records as declared, never by the batch's size.
///
/// Multithreaded; the same for any number of threads. Throws ReusedNoise when a position was claimed before,
/// UnusableInput when first + count exceeds 2^56.
std::vector<std::uint64_t> poisson_batch(NoiseSource& source, const Position& position, std::uint64_t count,
                                         accounting::SamplingRate rate);

}  // namespace dpflash::noise
