#include <dpflash/accounting/error.hpp>
#include <dpflash/ledger/error.hpp>
#include <dpflash/noise/source.hpp>
#ifdef DPFLASH_HAS_CUDA
#include <dpflash/gpu/error.hpp>
#endif
#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>

#include "errors.hpp"
#include "guard.hpp"

namespace dpflash::c {
namespace {

/// No destructor and no allocation: usable at any time of a thread's life, also when memory has run out.
thread_local std::array<char, 1024> last_error{};

int failed(int status, const char* reason) noexcept {
  set_last_error(reason);
  return status;
}

}  // namespace

void set_last_error(std::string_view reason) noexcept {
  std::size_t size = std::min(reason.size(), last_error.size() - 1);
  // A text that is cut ends before a character of UTF-8, not inside it.
  if (size < reason.size()) {
    while (size > 0 && (static_cast<unsigned char>(reason[size]) & 0xC0u) == 0x80u) --size;
  }
  std::transform(reason.begin(), reason.begin() + static_cast<std::ptrdiff_t>(size), last_error.begin(),
                 [](char c) { return c == '\n' || c == '\r' || c == '\0' ? ' ' : c; });
  last_error[size] = '\0';
}

int status_of_current_exception() noexcept {
  try {
    throw;
  } catch (const accounting::UnusableInput& error) {
    return failed(DPF_ERROR_UNUSABLE_INPUT, error.what());
  } catch (const accounting::NotComputable& error) {
    return failed(DPF_ERROR_NOT_COMPUTABLE, error.what());
  } catch (const Unsupported& error) {
    return failed(DPF_ERROR_UNSUPPORTED, error.what());
  } catch (const BufferTooSmall& error) {
    return failed(DPF_ERROR_BUFFER_TOO_SMALL, error.what());
  } catch (const noise::ReusedNoise& error) {
    return failed(DPF_ERROR_REUSED_NOISE, error.what());
#ifdef DPFLASH_HAS_CUDA
  } catch (const gpu::DeviceError& error) {
    return failed(DPF_ERROR_DEVICE, error.what());
#endif
  } catch (const ledger::OverBudget& error) {
    return failed(DPF_ERROR_OVER_BUDGET, error.what());
  } catch (const ledger::LedgerError& error) {
    return failed(DPF_ERROR_LEDGER, error.what());
  } catch (const Cancelled& error) {
    return failed(DPF_ERROR_CANCELLED, error.what());
  } catch (const std::bad_alloc&) {
    return failed(DPF_ERROR_OUT_OF_MEMORY, "out of memory");
  } catch (const std::system_error& error) {
    return failed(DPF_ERROR_SYSTEM, error.what());
  } catch (const std::exception& error) {
    return failed(DPF_ERROR_INTERNAL, error.what());
  } catch (...) {
    return failed(DPF_ERROR_INTERNAL, "an exception of unknown type");
  }
}

}  // namespace dpflash::c

const char* dpf_status_text(int status) {
  switch (status) {
    case DPF_OK:
      return "ok";
    case DPF_ERROR_UNUSABLE_INPUT:
      return "unusable input";
    case DPF_ERROR_NOT_COMPUTABLE:
      return "not computable";
    case DPF_ERROR_UNSUPPORTED:
      return "not supported by this build";
    case DPF_ERROR_REUSED_NOISE:
      return "noise used before";
    case DPF_ERROR_DEVICE:
      return "CUDA error";
    case DPF_ERROR_OUT_OF_MEMORY:
      return "out of memory";
    case DPF_ERROR_SYSTEM:
      return "operating system error";
    case DPF_ERROR_BUFFER_TOO_SMALL:
      return "buffer too small";
    case DPF_ERROR_INTERNAL:
      return "internal error";
    case DPF_ERROR_OVER_BUDGET:
      return "over budget";
    case DPF_ERROR_LEDGER:
      return "ledger cannot be used";
    case DPF_ERROR_CANCELLED:
      return "cancelled";
    default:
      return "unknown status";
  }
}

const char* dpf_last_error(void) { return dpflash::c::last_error.data(); }

const char* dpf_version(void) { return DPFLASH_VERSION; }

uint32_t dpf_abi_version(void) { return DPF_ABI_VERSION; }

int dpf_has_cuda(void) {
#ifdef DPFLASH_HAS_CUDA
  return 1;
#else
  return 0;
#endif
}
