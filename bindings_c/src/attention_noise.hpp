// Noise of an attention output, and the calls that it is good for.
#pragma once

#include "attention_call.hpp"
#include "handles.hpp"

namespace dpflash::c {

/// Throws UnusableInput when the noise was made for another shape than that of the call: its mu would say nothing about
/// it. The call may have fewer sequences of each length.
void check_made_for(const AttentionNoiseObject& noise, const AttentionCall& call);

}  // namespace dpflash::c
