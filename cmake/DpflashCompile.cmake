# Flags that every target of this project is compiled with. Bounds need IEEE semantics: no -ffast-math, no contraction.
option(DPFLASH_WARNINGS_AS_ERRORS "Treat warnings as errors" ${PROJECT_IS_TOP_LEVEL})
set(DPFLASH_SANITIZE "" CACHE STRING "Sanitizers to build with, e.g. address,undefined or thread")

function(dpflash_compile target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
  set(flags -Wall -Wextra -Wconversion -Wno-psabi -fno-math-errno -fno-trapping-math -ffp-contract=off)
  # GCC 12 reports overlaps in std::string's operator+ that cannot happen (GCC bug 105651).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    list(APPEND flags -Wno-restrict)
  endif()
  if(DPFLASH_WARNINGS_AS_ERRORS)
    list(APPEND flags -Werror)
  endif()
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${flags}>")
  if(DPFLASH_SANITIZE)
    target_compile_options(${target} PRIVATE
      "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${DPFLASH_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>")
    target_link_options(${target} PUBLIC -fsanitize=${DPFLASH_SANITIZE})
    target_compile_definitions(${target} PRIVATE DPFLASH_SANITIZED)
  endif()
endfunction()
