#include "base/sealed_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <boost/interprocess/exceptions.hpp>

namespace flodea {
namespace {

namespace ipc = boost::interprocess;

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// Boost's idea of something to map: whatever yields a handle. It borrows the descriptor.
struct BorrowedFd {
  int fd;
  ipc::mapping_handle_t get_mapping_handle() const {
    return ipc::ipcdetail::mapping_handle_from_file_handle(fd);
  }
};

}  // namespace

Result<UniqueFd> make_sealed_memory(const char* name, std::size_t bytes) {
  auto fd = TRY(adopt_fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    return fail_errno(std::string("ftruncate ") + name);
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return fail_errno(std::string("seal ") + name);
  return fd;
}

Status check_sealed_memory(int fd, const char* name, std::size_t bytes) {
  int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals)
    return fail(Code::kPermissionDenied, std::string(name) + " is not a sealed memfd");
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail_errno(std::string("fstat ") + name);
  if (info.st_size != static_cast<off_t>(bytes))
    return fail(Code::kInvalidArgument, std::string(name) + " has another size");
  return {};
}

// The only place where Boost's exceptions are met.
Result<ipc::mapped_region> map_sealed_memory(int fd, const char* name, std::size_t bytes,
                                             ipc::mode_t mode) {
  TRY(check_sealed_memory(fd, name, bytes));
  try {
    return ipc::mapped_region(BorrowedFd{fd}, mode, 0, bytes);
  } catch (const ipc::interprocess_exception& e) {
    return fail_errno(std::string("map ") + name, e.get_native_error());
  }
}

}  // namespace flodea
