// The C interface's attention call as the library's own types.
#pragma once

#include <dpflash/dpflash.h>

#include <dpflash/attention/shape.hpp>
#include <dpflash/attention/tensor.hpp>

namespace dpflash::c {

struct AttentionCall {
  attention::Shape shape;
  attention::Clips clips;
};

/// Throws UnusableInput, Unsupported. Ranges are checked by what the call is passed to.
AttentionCall read_attention(const dpf_attention* given);
dpf_attention_tensors read_tensors(const dpf_attention_tensors* given);
dpf_draws read_draws(const dpf_draws* given);

/// `type` is const void, float and the like.
template <class T, class Data>
attention::Tensor<T> tensor_of(Data* data, const std::int64_t (&strides)[3]) {
  return {static_cast<T*>(data), strides[0], strides[1], strides[2]};
}

}  // namespace dpflash::c
