#include "kernels/noise/add_normal.cuh"

namespace dpflash::gpu {

template void add_normal_of<draw::ChaCha<12>, OneScale>(const Draws&, Element, void*, std::uint64_t, const OneScale&,
                                                        bool, StreamHandle);
template void add_normal_of<draw::ChaCha<12>, ElementScales>(const Draws&, Element, void*, std::uint64_t,
                                                             const ElementScales&, bool, StreamHandle);
template void add_normal_of<draw::ChaCha<12>, SegmentScales>(const Draws&, Element, void*, std::uint64_t,
                                                             const SegmentScales&, bool, StreamHandle);
template void fill_normal_of<draw::ChaCha<12>>(const Draws&, float*, std::uint64_t, StreamHandle);

}  // namespace dpflash::gpu
