// Apart from what parses and compiles profiles, which the worker does without.
#include <seccomp.h>

#include <cstdlib>
#include <memory>

#include "policy/seccomp_profile.h"

namespace flodea {

std::string syscall_name(int number) {
  std::unique_ptr<char, decltype(&::free)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number), ::free);
  return name ? std::string(name.get()) : "syscall_" + std::to_string(number);
}

}  // namespace flodea
