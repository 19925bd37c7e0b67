// Work of a stream as a CUDA graph.
#pragma once

#include <cuda_runtime_api.h>

#include <dpflash/gpu/error.hpp>
#include <dpflash/gpu/stream.hpp>

namespace cases {

/// What `work` queues on the stream, as a graph.
class Graph {
 public:
  template <class Work>
  Graph(const dpflash::gpu::Stream& stream, Work&& work) {
    dpflash::gpu::check(cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal), "begin");
    work();
    cudaGraph_t graph = nullptr;
    dpflash::gpu::check(cudaStreamEndCapture(stream.handle(), &graph), "end");
    dpflash::gpu::check(cudaGraphInstantiate(&graph_, graph, 0), "instantiate");
    dpflash::gpu::check(cudaGraphDestroy(graph), "destroy");
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() { static_cast<void>(cudaGraphExecDestroy(graph_)); }
  void replay(const dpflash::gpu::Stream& stream) const {
    dpflash::gpu::check(cudaGraphLaunch(graph_, stream.handle()), "launch");
  }

 private:
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace cases
