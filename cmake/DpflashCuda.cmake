# CUDA language set-up: on when nvcc is found, unless DPFLASH_CUDA says otherwise.
include(CheckLanguage)
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  # The PTX of 8.0 is there for devices newer than these.
  set(CMAKE_CUDA_ARCHITECTURES 80 90a-real CACHE STRING "CUDA architectures to build for")
endif()
if(DPFLASH_CUDA STREQUAL "AUTO")
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(DPFLASH_CUDA_ENABLED ON)
  else()
    set(DPFLASH_CUDA_ENABLED OFF)
    message(STATUS "dpflash: no CUDA compiler found; building the host parts only")
  endif()
else()
  set(DPFLASH_CUDA_ENABLED ${DPFLASH_CUDA})
endif()
if(DPFLASH_CUDA_ENABLED)
  # CMake 3.25 does not know that nvcc 13 takes this.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
endif()

# Device code is held to IEEE operations: no contraction, correctly rounded division and roots.
function(dpflash_compile_cuda target)
  set_target_properties(${target} PROPERTIES CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF
    CUDA_RUNTIME_LIBRARY Static)
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-fmad=false --expt-relaxed-constexpr -Xcompiler=-Wall>)
endfunction()
