// Errors of the accounting module: what was unusable, or why no answer exists.
#pragma once

#include <stdexcept>
#include <string>

namespace dpflash::accounting {

/// An input that no plan may contain. The message is one line naming the field, its value and what is allowed, e.g.
/// `events[2].sampling.rate: 1.5 is not allowed; a number in (0, 1]`.
class UnusableInput : public std::invalid_argument {
 public:
  UnusableInput(std::string field, const std::string& value, const std::string& allowed)
      : std::invalid_argument(field + ": " + value + " is not allowed; " + allowed), field_(std::move(field)) {}

  /// The field's path as the caller spelt it.
  [[nodiscard]] const std::string& field() const noexcept { return field_; }

 private:
  std::string field_;
};

/// A well-formed question that has no sound answer here (for instance an adjacency that a mechanism is not defined
/// for).
class NotComputable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace dpflash::accounting
