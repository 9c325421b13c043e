#include "modules/storage/reserve.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace flodea::storage {
namespace {

constexpr char kFileName[] = "reserve";

}  // namespace

void keep_reserve(int directory) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd file(::openat(directory, kFileName, kFlags, 0600));
  if (!file.valid()) return;
  if (::fallocate(file.get(), 0, 0, kReserveBytes) != 0) ::unlinkat(directory, kFileName, 0);
}

bool give_up_reserve(int directory) { return ::unlinkat(directory, kFileName, 0) == 0; }

}  // namespace flodea::storage
