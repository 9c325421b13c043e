#include "supervisor/root/programs.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "supervisor/root/jobs.h"

namespace flodea::root {
namespace {

Result<UniqueFd> open_program(int dir, const char* name) {
  auto fd = adopt_fd(::openat(dir, name, O_RDONLY | O_CLOEXEC), std::string("open ") + name);
  if (!fd)
    return tl::unexpected(std::move(fd).error().with_remedy(
        "flodead's programs stand in one directory: build or install them all"));
  return fd;
}

}  // namespace

Result<Programs> open_programs(const Config& config) {
  char self[PATH_MAX];
  ssize_t n = ::readlink("/proc/self/exe", self, sizeof self);
  if (n <= 0 || n == sizeof self) return fail_errno("readlink /proc/self/exe");
  Programs programs;
  programs.path.assign(self, static_cast<std::size_t>(n));
  programs.path.resize(programs.path.rfind('/'));
  programs.dir = TRY(adopt_fd(::open(programs.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                              "open " + programs.path));
  int dir = programs.dir.get();
  programs.helper = TRY(open_program(dir, "flodea-helper"));
  programs.worker = TRY(open_program(dir, "flodea-worker"));
  programs.vault = TRY(open_program(dir, "flodea-vault"));
  for (const JobProgram& job : kJobPrograms) {
    if (auto fd = open_program(dir, job.executable)) programs.jobs[job.name] = std::move(*fd);
  }
  programs.control =
      TRY(open_program(dir, config.control.empty() ? "flodea-control" : config.control.c_str()));
  return programs;
}

}  // namespace flodea::root
