#include "supervisor/control/monitoring/log_keys.h"

#include <sodium.h>

#include <cstring>

namespace flodea::control {
namespace {
constexpr std::size_t kKeyBytes = sizeof(LogKey);
constexpr std::size_t kKeysPerPage = 96;  // 3 KiB: with sodium's canary still one page
}  // namespace

void LogKeyArena::SodiumFree::operator()(unsigned char* page) const { ::sodium_free(page); }

Result<std::shared_ptr<LogKeyArena>> LogKeyArena::create() {
  if (::sodium_init() < 0) return fail(Code::kInternal, "libsodium cannot be initialised");
  return std::shared_ptr<LogKeyArena>(std::unique_ptr<LogKeyArena>(new LogKeyArena()));
}

Status LogKeyArena::grow() {
  auto* page = static_cast<unsigned char*>(::sodium_allocarray(kKeysPerPage, kKeyBytes));
  if (page == nullptr) {
    return fail(Code::kResourceExhausted, "no locked memory for log keys (RLIMIT_MEMLOCK)");
  }
  pages_.emplace_back(page);
  for (std::size_t i = 0; i < kKeysPerPage; ++i) free_.push_back(page + i * kKeyBytes);
  return {};
}

Result<LogKeyArena::Ref> LogKeyArena::store(const LogKey& key) {
  std::lock_guard lock(mutex_);
  if (free_.empty()) TRY(grow());
  unsigned char* slot = free_.back();
  free_.pop_back();
  std::memcpy(slot, key.data(), kKeyBytes);
  return Ref(slot, [arena = shared_from_this()](const unsigned char* used) {
    arena->give_back(const_cast<unsigned char*>(used));
  });
}

void LogKeyArena::give_back(unsigned char* slot) {
  ::sodium_memzero(slot, kKeyBytes);
  std::lock_guard lock(mutex_);
  free_.push_back(slot);
}

bool same_key(const LogKeyArena::Ref& stored, const LogKey& key) {
  return ::sodium_memcmp(stored.get(), key.data(), kKeyBytes) == 0;
}

}  // namespace flodea::control
