#include "bench/volume/workloads.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "base/pid_fd.h"
#include "base/safe_path.h"
#include "base/unique_fd.h"

namespace flodea::bench {
namespace {

constexpr std::size_t kChunk = 1 << 20;
constexpr std::size_t kBlock = 4096;
constexpr std::size_t kSmallFile = 1024;

std::string noise(std::size_t bytes) {
  std::mt19937_64 random(bytes);
  std::string out(bytes, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

class Stopwatch {
 public:
  Nanos elapsed() const { return clock_.monotonic() - start_; }

 private:
  SystemClock clock_;
  Nanos start_ = clock_.monotonic();
};

Result<UniqueFd> open_at(const std::string& path, int flags) {
  return adopt_fd(::open(path.c_str(), flags | O_CLOEXEC, 0644), "open " + path);
}

// Reads come from the disk, not from memory: of one file, without touching anybody else's cache.
Status drop_cache_of(const std::string& path) {
  auto fd = TRY(open_at(path, O_RDONLY));
  if (::fsync(fd.get()) != 0) return fail_errno("fsync");
  if (int error = ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED); error != 0)
    return fail_errno("posix_fadvise", error);
  return {};
}

// Of everything on the machine: nothing narrower forgets inodes.
Status drop_all_caches() {
  ::sync();
  auto fd = TRY(open_at("/proc/sys/vm/drop_caches", O_WRONLY));
  return write_all(fd.get(), "3");
}

Status sync_all(const std::string& dir) {
  auto fd = TRY(open_at(dir, O_RDONLY | O_DIRECTORY));
  if (::syncfs(fd.get()) != 0) return fail_errno("syncfs");
  return {};
}

Result<Nanos> sequential_write(const std::string& dir, const Scale& scale) {
  std::string chunk = noise(kChunk);
  Stopwatch watch;
  auto fd = TRY(open_at(dir + "/large", O_WRONLY | O_CREAT | O_TRUNC));
  for (std::uint64_t done = 0; done < scale.file_bytes; done += kChunk)
    TRY(write_all(fd.get(), chunk));
  if (::fsync(fd.get()) != 0) return fail_errno("fsync");
  return watch.elapsed();
}

Result<Nanos> sequential_read(const std::string& dir, const Scale&) {
  TRY(drop_cache_of(dir + "/large"));
  std::string chunk(kChunk, '\0');
  Stopwatch watch;
  auto fd = TRY(open_at(dir + "/large", O_RDONLY));
  ssize_t n;
  while ((n = ::read(fd.get(), chunk.data(), chunk.size())) > 0) {
  }
  if (n < 0) return fail_errno("read");
  return watch.elapsed();
}

Result<Nanos> random_write(const std::string& dir, const Scale& scale) {
  std::string block = noise(kBlock);
  std::mt19937_64 random(1);
  auto fd = TRY(open_at(dir + "/large", O_WRONLY));
  Stopwatch watch;
  for (unsigned i = 0; i < scale.random_operations; ++i) {
    off_t at = static_cast<off_t>(random() % (scale.file_bytes / kBlock) * kBlock);
    if (::pwrite(fd.get(), block.data(), kBlock, at) != static_cast<ssize_t>(kBlock))
      return fail_errno("pwrite");
  }
  if (::fdatasync(fd.get()) != 0) return fail_errno("fdatasync");
  return watch.elapsed();
}

Result<Nanos> random_read(const std::string& dir, const Scale& scale) {
  TRY(drop_cache_of(dir + "/large"));
  std::string block(kBlock, '\0');
  std::mt19937_64 random(2);
  auto fd = TRY(open_at(dir + "/large", O_RDONLY));
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM);
  Stopwatch watch;
  for (unsigned i = 0; i < scale.random_operations; ++i) {
    off_t at = static_cast<off_t>(random() % (scale.file_bytes / kBlock) * kBlock);
    if (::pread(fd.get(), block.data(), kBlock, at) != static_cast<ssize_t>(kBlock))
      return fail_errno("pread");
  }
  return watch.elapsed();
}

Result<Nanos> synced_writes(const std::string& dir, const Scale& scale) {
  std::string block = noise(kBlock);
  auto fd = TRY(open_at(dir + "/journal", O_WRONLY | O_CREAT | O_TRUNC));
  Stopwatch watch;
  for (unsigned i = 0; i < scale.syncs; ++i) {
    TRY(write_all(fd.get(), block));
    if (::fdatasync(fd.get()) != 0) return fail_errno("fdatasync");
  }
  return watch.elapsed();
}

std::string small_path(const std::string& dir, unsigned i) {
  return dir + "/small/" + std::to_string(i / 500) + "/" + std::to_string(i);
}

Result<Nanos> create_files(const std::string& dir, const Scale& scale) {
  std::string content = noise(kSmallFile);
  Stopwatch watch;
  for (unsigned i = 0; i < scale.small_files; ++i) {
    if (i % 500 == 0)
      std::filesystem::create_directories(std::filesystem::path(small_path(dir, i)).parent_path());
    auto fd = TRY(open_at(small_path(dir, i), O_WRONLY | O_CREAT | O_EXCL));
    TRY(write_all(fd.get(), content));
  }
  TRY(sync_all(dir));
  return watch.elapsed();
}

Result<Nanos> stat_files(const std::string& dir, const Scale& scale) {
  TRY(drop_all_caches());
  Stopwatch watch;
  struct stat st{};
  for (unsigned i = 0; i < scale.small_files; ++i)
    if (::stat(small_path(dir, i).c_str(), &st) != 0) return fail_errno("stat");
  return watch.elapsed();
}

Result<Nanos> unlink_files(const std::string& dir, const Scale& scale) {
  Stopwatch watch;
  for (unsigned i = 0; i < scale.small_files; ++i)
    if (::unlink(small_path(dir, i).c_str()) != 0) return fail_errno("unlink");
  std::filesystem::remove_all(dir + "/small");
  TRY(sync_all(dir));
  return watch.elapsed();
}

Status run_tar(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  pid_t pid = -1;
  if (int error = ::posix_spawn(&pid, "/usr/bin/tar", nullptr, nullptr, argv.data(), environ);
      error != 0)
    return fail_errno("start tar", error);
  auto tar = TRY(PidFd::open(pid));
  auto status = TRY(tar.wait());
  if (!status.success()) return fail(Code::kInternal, "tar failed");
  return {};
}

Result<Nanos> unpack(const std::string& dir, const Scale& scale) {
  std::string into = dir + "/tree";
  std::filesystem::create_directory(into);
  Stopwatch watch;
  TRY(run_tar({"tar", "-xf", scale.tar, "-C", into}));
  TRY(sync_all(dir));
  Nanos elapsed = watch.elapsed();
  std::filesystem::remove_all(into);
  TRY(sync_all(dir));
  return elapsed;
}

}  // namespace

const std::vector<Workload>& workloads() {
  static const std::vector<Workload> all = {
      {"sequential write", sequential_write, true},
      {"sequential read", sequential_read},
      {"random 4K write", random_write},
      {"random 4K read", random_read},
      {"4K write + sync", synced_writes},
      {"create small files", create_files, true},
      {"stat small files", stat_files},
      {"unlink small files", unlink_files},
      {"untar", unpack},
  };
  return all;
}

Result<std::string> make_archive(const std::string& dir, unsigned files) {
  std::mt19937_64 random(3);
  std::string tree = dir + "/source";
  std::string pool = noise(1 << 20);
  for (unsigned i = 0; i < files; ++i) {
    std::string folder = tree + "/" + std::to_string(i / 100) + "/" + std::to_string(i / 10 % 10);
    std::filesystem::create_directories(folder);
    std::size_t size = i % 50 == 0 ? 256 * 1024 : 512 + random() % 16384;
    auto fd = TRY(open_at(folder + "/" + std::to_string(i), O_WRONLY | O_CREAT));
    TRY(write_all(fd.get(), std::string_view(pool).substr(0, size)));
  }
  std::string path = dir + "/source.tar";
  TRY(run_tar({"tar", "-cf", path, "-C", tree, "."}));
  std::filesystem::remove_all(tree);
  return path;
}

}  // namespace flodea::bench
