#include "supervisor/helper/profiles.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/safe_path.h"
#include "policy/seccomp_profile.h"

namespace flodea::helper {
namespace {

constexpr std::size_t kProfileLimit = 1 << 20;

Result<UniqueFd> seal(const std::string& name, std::string_view bytes) {
  auto memory = TRY(adopt_fd(
      ::memfd_create(("filter-" + name).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
  TRY(write_all(memory.get(), bytes));
  if (::fcntl(memory.get(), F_ADD_SEALS,
              F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return fail_errno("seal the filter");
  return memory;
}

}  // namespace

Result<CompiledProfile> compile_profile(int directory, const std::string& name) {
  auto source = [directory](const std::string& profile) {
    return read_file(directory, profile + ".json", kProfileLimit);
  };
  auto text = TRY_CONTEXT(source(name), "profile " + name);
  auto profile = TRY(parse_seccomp_profile(name, text, source));
  auto program = TRY(compile(profile));
  std::string_view bytes(reinterpret_cast<const char*>(program.data()),
                         program.size() * sizeof(sock_filter));
  return CompiledProfile{TRY(seal(name, bytes)), static_cast<std::uint32_t>(program.size())};
}

}  // namespace flodea::helper
