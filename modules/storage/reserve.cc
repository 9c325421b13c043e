#include "modules/storage/reserve.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace flodea::storage {
namespace {

constexpr char kName[] = "reserve";

}  // namespace

void keep_reserve(int directory) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd file(::openat(directory, kName, kFlags, 0600));
  if (!file.valid()) return;
  if (::fallocate(file.get(), 0, 0, kReserveBytes) != 0) ::unlinkat(directory, kName, 0);
}

bool give_up_reserve(int directory) { return ::unlinkat(directory, kName, 0) == 0; }

}  // namespace flodea::storage
