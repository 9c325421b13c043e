#include "supervisor/vault/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sodium.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "base/quantity.h"
#include "base/safe_path.h"
#include "supervisor/vault/cipher.h"

namespace flodea::vault {
namespace {

constexpr std::string_view kMagic = "FLODEAV1";
constexpr std::string_view kSuffix = ".img";
constexpr std::string_view kTemporary = ".img.tmp";
constexpr std::size_t kIdBytes = 32;
constexpr std::size_t kMacBytes = crypto_auth_hmacsha256_BYTES;
constexpr std::size_t kMacAt = ImageHeader::kBytes - kMacBytes;
// Offsets of the fields.
constexpr std::size_t kVersionAt = 8, kAlgorithmAt = 12, kPlainBytesAt = 16, kDataOffsetAt = 24,
                      kAgentAt = 32;

std::string image_name(const AgentId& agent) { return agent.text() + std::string(kSuffix); }

void put(std::string& out, std::size_t at, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out[at + i] = static_cast<char>(value >> (8 * i));
}

std::uint64_t get(std::string_view data, std::size_t at, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i)
    value |= std::uint64_t{static_cast<unsigned char>(data[at + i])} << (8 * i);
  return value;
}

struct Digest {
  unsigned char bytes[kMacBytes];
  ~Digest() { ::sodium_memzero(bytes, sizeof bytes); }
};

Digest hmac(const unsigned char* key, std::size_t key_size, std::string_view data) {
  Digest out{};
  crypto_auth_hmacsha256_state state;
  ::crypto_auth_hmacsha256_init(&state, key, key_size);
  ::crypto_auth_hmacsha256_update(&state, reinterpret_cast<const unsigned char*>(data.data()),
                                  data.size());
  ::crypto_auth_hmacsha256_final(&state, out.bytes);
  ::sodium_memzero(&state, sizeof state);
  return out;
}

// HKDF-SHA256 (RFC 5869) of the volume key, one block of output: the header's MAC never uses a key
// that encrypts.
Digest header_mac(const VolumeKey& key, std::string_view authenticated) {
  constexpr std::string_view kSalt = "flodea volume image v1";
  Digest extracted = hmac(reinterpret_cast<const unsigned char*>(kSalt.data()), kSalt.size(),
                          {reinterpret_cast<const char*>(key.raw()), VolumeKey::kSize});
  Digest mac_key = hmac(extracted.bytes, kMacBytes, std::string_view("header mac\x01", 11));
  return hmac(mac_key.bytes, kMacBytes, authenticated);
}

tl::unexpected<Error> damaged(const AgentId& agent, const std::string& what) {
  return tl::unexpected(
      Error{.code = Code::kDataLoss, .message = "volumes/" + image_name(agent) + " " + what}
          .with_remedy("restore this image from a backup, or remove the agent and apply it anew"));
}

tl::unexpected<Error> no_room(int dir, std::uint64_t needed) {
  struct statvfs fs{};
  std::uint64_t free = ::fstatvfs(dir, &fs) == 0 ? std::uint64_t{fs.f_bavail} * fs.f_frsize : 0;
  return tl::unexpected(Error{.code = Code::kResourceExhausted,
                              .message = "no room for a volume: " + format_bytes(needed) +
                                         " needed, " + format_bytes(free) +
                                         " free where volumes are kept",
                              .sys_errno = ENOSPC}
                            .with_remedy("ask for less spec.resources.disk, remove agents, or give "
                                         "the state directory more space"));
}

// Direct I/O keeps the ciphertext out of the host's page cache, which holds the plain pages
// already. Some file systems have none.
Result<UniqueFd> open_image(int dir, const AgentId& agent) {
  auto fd = open_beneath(dir, image_name(agent), O_RDWR | O_DIRECT);
  if (!fd && fd.error().sys_errno == EINVAL) return open_beneath(dir, image_name(agent), O_RDWR);
  return fd;
}

Status check_length(int fd, const AgentId& agent, std::uint64_t plain_bytes) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) return fail_errno("stat " + image_name(agent));
  if (static_cast<std::uint64_t>(st.st_size) < ImageHeader::kBytes + plain_bytes)
    return damaged(agent, "is truncated: " + std::to_string(st.st_size) + " of " +
                              std::to_string(ImageHeader::kBytes + plain_bytes) + " bytes");
  return {};
}

Status sync_directory(int dir) {
  auto self = TRY(open_beneath(dir, ".", O_RDONLY | O_DIRECTORY));
  if (::fsync(self.get()) != 0) return fail_errno("fsync volumes");
  return {};
}

Status fill(int dir, int fd, const ImageHeader& header, const VolumeKey& key) {
  std::uint64_t bytes = ImageHeader::kBytes + header.plain_bytes;
  if (::fallocate(fd, 0, 0, static_cast<off_t>(bytes)) != 0) {
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) return no_room(dir, bytes);
    return fail_errno("reserve " + format_bytes(bytes) + " for a volume");
  }
  TRY(write_all(fd, header.encode(key)));
  if (::fsync(fd) != 0) return fail_errno("fsync of a new volume");
  return {};
}

}  // namespace

std::string ImageHeader::encode(const VolumeKey& key) const {
  std::string out(kBytes, '\0');
  out.replace(0, kMagic.size(), kMagic);
  put(out, kVersionAt, kVersion, 4);
  put(out, kAlgorithmAt, kAes256Xts4K, 4);
  put(out, kPlainBytesAt, plain_bytes, 8);
  put(out, kDataOffsetAt, kBytes, 8);
  out.replace(kAgentAt, kIdBytes, agent.text());
  Digest mac = header_mac(key, std::string_view(out).substr(0, kMacAt));
  out.replace(kMacAt, kMacBytes, reinterpret_cast<const char*>(mac.bytes), kMacBytes);
  return out;
}

Result<ImageHeader> ImageHeader::decode(std::string_view data, const AgentId& expected,
                                        const VolumeKey& key) {
  if (data.size() < kBytes) return damaged(expected, "is truncated: it has no whole header");
  if (!data.starts_with(kMagic)) return damaged(expected, "is not a volume of Flodea");
  if (get(data, kVersionAt, 4) != kVersion || get(data, kAlgorithmAt, 4) != kAes256Xts4K ||
      get(data, kDataOffsetAt, 8) != kBytes)
    return damaged(expected, "has a format that this version does not know");
  if (data.substr(kAgentAt, kIdBytes) != expected.text())
    return damaged(expected,
                   "is the image of agent " + std::string(data.substr(kAgentAt, kIdBytes)));
  Digest mac = header_mac(key, data.substr(0, kMacAt));
  if (::sodium_memcmp(mac.bytes, data.data() + kMacAt, kMacBytes) != 0)
    return tl::unexpected(Error{.code = Code::kDataLoss,
                                .message = "wrong node key: the key of agent " + expected.text() +
                                           " does not fit volumes/" + image_name(expected)}
                              .with_remedy("put back the node key and wrapped keys that belong to "
                                           "this image (keys/node.key and keys/" +
                                           expected.text() + ".key)"));
  return ImageHeader{.agent = expected, .plain_bytes = get(data, kPlainBytesAt, 8)};
}

Result<Image::Made> Image::make(int volumes_dir, const AgentId& agent, std::uint64_t plain_bytes,
                                const VolumeKey& key) {
  if (plain_bytes == 0 || plain_bytes % kBlockBytes != 0 || plain_bytes > std::uint64_t{1} << 46)
    return fail(Code::kInvalidArgument,
                "a volume of " + std::to_string(plain_bytes) +
                    " bytes: not a whole number of 4 KiB blocks up to 64 TiB");
  if (TRY(exists(volumes_dir, agent)))
    return Made{TRY(open(volumes_dir, agent, key)).plain_bytes(), false};
  std::string temporary = agent.text() + std::string(kTemporary);
  auto fd = TRY(open_beneath(volumes_dir, temporary, O_RDWR | O_CREAT | O_TRUNC, 0600));
  Status filled = fill(volumes_dir, fd.get(), {.agent = agent, .plain_bytes = plain_bytes}, key);
  if (filled &&
      ::renameat(volumes_dir, temporary.c_str(), volumes_dir, image_name(agent).c_str()) != 0)
    filled = fail_errno("rename " + temporary);
  if (!filled) {
    ::unlinkat(volumes_dir, temporary.c_str(), 0);
    return tl::unexpected(std::move(filled).error());
  }
  TRY(sync_directory(volumes_dir));
  return Made{plain_bytes, true};
}

Result<Image> Image::open(int volumes_dir, const AgentId& agent, const VolumeKey& key) {
  auto fd = open_image(volumes_dir, agent);
  if (!fd && fd.error().code == Code::kNotFound)
    return fail(Code::kNotFound, "agent " + agent.text() + " has no volume");
  if (!fd) return tl::unexpected(std::move(fd).error());
  alignas(ImageHeader::kBytes) char header[ImageHeader::kBytes];
  ssize_t n = ::pread(fd->get(), header, sizeof header, 0);
  if (n < 0) return fail_errno("read " + image_name(agent));
  auto decoded = TRY(ImageHeader::decode({header, static_cast<std::size_t>(n)}, agent, key));
  TRY(check_length(fd->get(), agent, decoded.plain_bytes));
  return Image(std::move(*fd), decoded.plain_bytes);
}

Status Image::remove(int volumes_dir, const AgentId& agent) {
  if (::unlinkat(volumes_dir, image_name(agent).c_str(), 0) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("unlink " + image_name(agent));
  }
  return sync_directory(volumes_dir);
}

Result<bool> Image::exists(int volumes_dir, const AgentId& agent) {
  struct stat st{};
  if (::fstatat(volumes_dir, image_name(agent).c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno == ENOENT) return false;
  return fail_errno("stat " + image_name(agent));
}

Status Image::sweep(int volumes_dir) {
  auto fd = TRY(open_beneath(volumes_dir, ".", O_RDONLY | O_DIRECTORY));
  std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), ::closedir);
  if (!stream) return fail_errno("list volumes");
  fd.release();
  std::vector<std::string> left;
  while (const dirent* entry = ::readdir(stream.get()))
    if (std::string_view(entry->d_name).ends_with(kTemporary)) left.emplace_back(entry->d_name);
  for (const std::string& name : left)
    if (::unlinkat(volumes_dir, name.c_str(), 0) != 0) return fail_errno("unlink " + name);
  return {};
}

int Image::read(void* data, std::size_t size, std::uint64_t offset) const {
  auto* to = static_cast<char*>(data);
  while (size > 0) {
    ssize_t n = ::pread(fd_.get(), to, size, static_cast<off_t>(ImageHeader::kBytes + offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0)
      return n < 0
                 ? errno
                 : EIO;  // the length was checked at open: an end of file here is a truncated image
    to += n;
    offset += static_cast<std::uint64_t>(n);
    size -= static_cast<std::size_t>(n);
  }
  return 0;
}

int Image::write(const void* data, std::size_t size, std::uint64_t offset) const {
  const auto* from = static_cast<const char*>(data);
  while (size > 0) {
    ssize_t n = ::pwrite(fd_.get(), from, size, static_cast<off_t>(ImageHeader::kBytes + offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n < 0 ? errno : EIO;
    from += n;
    offset += static_cast<std::uint64_t>(n);
    size -= static_cast<std::size_t>(n);
  }
  return 0;
}

static iocb operation(int fd, unsigned short code, const void* data, std::size_t size,
                      std::uint64_t offset) {
  iocb out{};
  out.aio_lio_opcode = code;
  out.aio_fildes = static_cast<__u32>(fd);
  out.aio_buf = reinterpret_cast<std::uint64_t>(data);
  out.aio_nbytes = size;
  out.aio_offset = static_cast<__s64>(offset);
  return out;
}

iocb Image::read_operation(void* data, std::size_t size, std::uint64_t offset) const {
  return operation(fd_.get(), IOCB_CMD_PREAD, data, size, ImageHeader::kBytes + offset);
}

iocb Image::write_operation(const void* data, std::size_t size, std::uint64_t offset) const {
  return operation(fd_.get(), IOCB_CMD_PWRITE, data, size, ImageHeader::kBytes + offset);
}

iocb Image::sync_operation() const { return operation(fd_.get(), IOCB_CMD_FDSYNC, nullptr, 0, 0); }

int Image::zero(std::uint64_t offset, std::uint64_t size) const {
  int done =
      ::fallocate(fd_.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(ImageHeader::kBytes + offset), static_cast<off_t>(size));
  return done == 0 ? 0 : errno;
}

}  // namespace flodea::vault
