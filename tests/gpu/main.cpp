#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "dpflash/gpu/stream.hpp"

int main(int argc, char** argv) {
  if (dpflash::gpu::device_count() == 0) {
    std::puts("SKIPPED: no CUDA device");
    return 77;
  }
  doctest::Context context(argc, argv);
  return context.run();
}
