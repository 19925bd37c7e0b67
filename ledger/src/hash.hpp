// SHA-256.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace dpflash::ledger {

using Hash = std::array<unsigned char, 32>;

/// The hash of an entry: of the hash before it and the entry's own text.
Hash chained(const Hash& previous, std::string_view text);

std::string to_hex(const Hash& hash);

/// 32 hexadecimal digits from the operating system. Throws LedgerError when it has none to give.
std::string random_name();

}  // namespace dpflash::ledger
