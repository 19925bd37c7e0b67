#include "hash.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <cstdint>
#include <dpflash/ledger/error.hpp>
#include <memory>
#include <new>

namespace dpflash::ledger {
namespace {

std::string hexadecimal(const unsigned char* bytes, std::size_t count) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 15];
  }
  return out;
}

struct Free {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

}  // namespace

Hash chained(const Hash& previous, std::string_view text) {
  const std::unique_ptr<EVP_MD_CTX, Free> context(EVP_MD_CTX_new());
  if (!context) throw std::bad_alloc();
  Hash out{};
  unsigned size = 0;
  if (EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), previous.data(), previous.size()) != 1 ||
      EVP_DigestUpdate(context.get(), text.data(), text.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), out.data(), &size) != 1 || size != out.size())
    throw LedgerError("ledger: SHA-256 is not available from libcrypto");
  return out;
}

std::string to_hex(const Hash& hash) { return hexadecimal(hash.data(), hash.size()); }

std::string random_name() {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    throw LedgerError("ledger: no random numbers from libcrypto");
  return hexadecimal(bytes.data(), bytes.size());
}

}  // namespace dpflash::ledger
