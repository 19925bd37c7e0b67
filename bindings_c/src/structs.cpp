#include "structs.hpp"

#include <dpflash/dpflash.h>

#include <dpflash/accounting/error.hpp>

#include "errors.hpp"

namespace dpflash::c {

using accounting::UnusableInput;

void require(const void* pointer, const char* field) {
  if (pointer == nullptr) throw UnusableInput(field, "NULL", "a pointer");
}

void check_header(const char* name, std::uint32_t struct_size, std::uint32_t abi_version, std::size_t first_size,
                  std::size_t size) {
  if (abi_version > DPF_ABI_VERSION) {
    throw Unsupported(std::string(name) + ".abi_version: " + std::to_string(abi_version) +
                      " is of a later library; this one has ABI version " + std::to_string(DPF_ABI_VERSION));
  }
  if (abi_version == 0)
    throw UnusableInput(std::string(name) + ".abi_version", "0", "DPF_ABI_VERSION (use the _INIT macro)");
  if (struct_size < first_size || struct_size > size) {
    throw UnusableInput(std::string(name) + ".struct_size", std::to_string(struct_size),
                        "sizeof of the struct (use the _INIT macro)");
  }
}

accounting::Adjacency adjacency_of(std::int32_t adjacency, const char* field) {
  switch (adjacency) {
    case DPF_ADD_OR_REMOVE_ONE:
      return accounting::Adjacency::add_or_remove_one;
    case DPF_REPLACE_ONE:
      return accounting::Adjacency::replace_one;
    case DPF_REPLACE_SPECIAL:
      return accounting::Adjacency::replace_special;
    case DPF_ADD_ONE:
      return accounting::Adjacency::add_one;
    case DPF_REMOVE_ONE:
      return accounting::Adjacency::remove_one;
    default:
      throw UnusableInput(field, std::to_string(adjacency), "0 to 4, a constant of dpflash.h");
  }
}

std::string_view read_text(const char* text, std::size_t length, const char* field) {
  if (length == 0) return {};
  require(text, field);
  const std::string_view out{text, length};
  // The JSON reader takes a 0 for the end of the text, and would not see what follows.
  if (out.find('\0') != std::string_view::npos) throw UnusableInput(field, "a text with a 0 byte", "UTF-8 text");
  return out;
}

void TextTarget::check() const {
  if (buffer == nullptr && size == nullptr) throw UnusableInput("buffer", "NULL, as is size,", "one of them");
  if (buffer == nullptr && capacity > 0)
    throw UnusableInput("capacity", std::to_string(capacity), "0 with a NULL buffer");
}

void TextTarget::write(const std::string& text) const {
  const std::size_t needed = text.size() + 1;
  if (size != nullptr) *size = needed;
  if (buffer == nullptr) return;
  if (capacity < needed) {
    throw BufferTooSmall("capacity: " + std::to_string(capacity) + " bytes; the answer needs " +
                         std::to_string(needed));
  }
  std::memcpy(buffer, text.c_str(), needed);
}

}  // namespace dpflash::c
