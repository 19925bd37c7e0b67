// Numbers in messages: the shortest text that reads back as the same double.
#pragma once

#include <charconv>
#include <string>

namespace dpflash::noise {

inline std::string written(double x) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, x).ptr};
}

}  // namespace dpflash::noise
