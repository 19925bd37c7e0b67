// Checked reading and writing of what callers hand over: versioned structs, pointers, texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <dpflash/accounting/plan.hpp>
#include <string>
#include <string_view>
#include <type_traits>

namespace dpflash::c {

/// Throws UnusableInput naming `field` when the pointer is null.
void require(const void* pointer, const char* field);

/// Throws Unsupported for a later ABI, UnusableInput for version 0 or a size that no version has. `first_size`: bytes
/// of the struct in version 1; `size`: bytes in this version.
void check_header(const char* name, std::uint32_t struct_size, std::uint32_t abi_version, std::size_t first_size,
                  std::size_t size);

/// The caller's struct, with the defaults of `initial` in the fields that the caller's version does not have.
template <class Struct>
Struct read_struct(const Struct* given, const Struct& initial, const char* name) {
  static_assert(std::is_trivially_copyable_v<Struct>);
  if (given == nullptr) return initial;
  check_header(name, given->struct_size, given->abi_version, sizeof(Struct), sizeof(Struct));
  Struct out = initial;
  std::memcpy(&out, given, given->struct_size);
  return out;
}

/// The body of every _init function.
template <class Struct>
void init_struct(Struct* target, const Struct& initial, std::uint32_t abi_version, const char* name) {
  require(target, name);
  check_header(name, sizeof(Struct), abi_version, sizeof(Struct), sizeof(Struct));
  std::memcpy(target, &initial, sizeof(Struct));
}

/// The adjacency of a DPF_ constant. Throws UnusableInput naming `field`.
accounting::Adjacency adjacency_of(std::int32_t adjacency, const char* field);

/// A text argument. Throws UnusableInput when it is null and not empty, or has a 0 byte in it.
std::string_view read_text(const char* text, std::size_t length, const char* field);

/// Where an answer goes. Checked before the work is done.
struct TextTarget {
  char* buffer;
  std::size_t capacity;
  std::size_t* size;
  /// Throws UnusableInput when there is nowhere to write to.
  void check() const;
  /// Throws BufferTooSmall.
  void write(const std::string& text) const;
};

}  // namespace dpflash::c
