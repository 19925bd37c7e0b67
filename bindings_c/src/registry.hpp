// Handles as numbers that are never given twice: one that was freed, or never made, is told from one that is alive.
#pragma once

#include <cstdint>
#include <dpflash/accounting/error.hpp>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace dpflash::c {

/// What a handle stands for; the handle's own type has no definition.
template <class Handle>
struct ObjectOf;
template <class Handle>
using Object = typename ObjectOf<Handle>::Type;

/// What the handles of one kind stand for. A call holds what it works on: a free in another thread ends it afterwards.
template <class Handle>
class Registry {
 public:
  static Handle* add(std::unique_ptr<Object<Handle>> object) {
    Registry& registry = one();
    const std::lock_guard lock(registry.mutex_);
    // Not an address: nobody may look behind it.
    auto* const handle = reinterpret_cast<Handle*>(kStep * ++registry.made_);
    registry.alive_.emplace(handle, std::move(object));
    return handle;
  }

  /// Throws UnusableInput naming `name` for NULL and for handles that are not alive.
  static std::shared_ptr<Object<Handle>> find(const Handle* handle, const char* name) {
    if (handle == nullptr) throw accounting::UnusableInput(name, "NULL", "a handle");
    Registry& registry = one();
    const std::lock_guard lock(registry.mutex_);
    const auto at = registry.alive_.find(handle);
    if (at == registry.alive_.end())
      throw accounting::UnusableInput(name, "a handle that was freed, or never made,", "a handle that is alive");
    return at->second;
  }

  static void remove(const Handle* handle) noexcept {
    std::shared_ptr<Object<Handle>> last;  // outlives the lock: what goes may take its time
    Registry& registry = one();
    const std::lock_guard lock(registry.mutex_);
    const auto at = registry.alive_.find(handle);
    if (at == registry.alive_.end()) return;
    last = std::move(at->second);
    registry.alive_.erase(at);
  }

 private:
  static constexpr std::uintptr_t kStep = 16;
  /// Never destroyed: what is alive at the end of the program goes with it, in no order that could matter.
  static Registry& one() {
    static Registry& registry = *new Registry;
    return registry;
  }
  std::mutex mutex_;
  std::uintptr_t made_ = 0;
  std::unordered_map<const Handle*, std::shared_ptr<Object<Handle>>> alive_;
};

/// The object of a handle.
template <class Handle>
std::shared_ptr<Object<Handle>> held(const Handle* handle, const char* name) {
  return Registry<Handle>::find(handle, name);
}

}  // namespace dpflash::c
