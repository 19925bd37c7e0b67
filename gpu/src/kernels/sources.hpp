// From the generator's name to its type.
#pragma once

#include "draw/chacha.hpp"
#include "draw/philox.hpp"

namespace dpflash::gpu {

/// Calls act with the generator's type.
template <class Act>
void with_source(draw::Bits bits, Act&& act) {
  switch (bits) {
    case draw::Bits::philox:
      return act(draw::Philox{});
    case draw::Bits::chacha12:
      return act(draw::ChaCha<12>{});
    case draw::Bits::chacha20:
      return act(draw::ChaCha<20>{});
  }
}

}  // namespace dpflash::gpu
