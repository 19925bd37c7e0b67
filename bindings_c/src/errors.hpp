// Errors that only the C interface has; guard() knows their codes.
#pragma once

#include <stdexcept>

namespace dpflash::c {

/// What this build, or this version of the ABI, does not have.
class Unsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller's buffer does not hold the answer.
class BufferTooSmall : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller's progress function asked for it.
class Cancelled : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace dpflash::c
