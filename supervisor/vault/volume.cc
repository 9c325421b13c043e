#include "supervisor/vault/volume.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "supervisor/vault/volume_fuse.h"

namespace flodea::vault {
namespace {

constexpr int kNotifyResend = 7;  // FUSE_NOTIFY_RESEND; not in the headers of Debian 12

Status make_non_blocking(int fd) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("fcntl of /dev/fuse");
  return {};
}

bool whole_blocks(std::size_t size, std::uint64_t offset) {
  return ((size | offset) % kBlockBytes) == 0;
}

}  // namespace

void Volume::EndSession::operator()(fuse_session* session) const {
  ::fuse_session_destroy(session);
}

Volume::Volume(const AgentId& agent, Image image, Ciphers ciphers)
    : agent_(agent), image_(std::move(image)), ciphers_(std::move(ciphers)) {}

Volume::~Volume() = default;

Result<std::unique_ptr<Volume>> Volume::create(const AgentId& agent, UniqueFd device, Image image,
                                               const VolumeKey& key, Connection connection) {
  TRY(make_non_blocking(device.get()));
  Ciphers ciphers{TRY(BlockCipher::create(key)), TRY(BlockCipher::create(key))};
  std::unique_ptr<Volume> volume(new Volume(agent, std::move(image), std::move(ciphers)));
  TRY(volume->open_session(std::move(device)));
  if (connection == Connection::kTakenOver) volume->replay_init();
  return volume;
}

Status Volume::open_session(UniqueFd device) {
  char name[] = "flodea-vault";
  char* arguments[] = {name, nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, arguments);
  session_.reset(::fuse_session_new(&args, &volume_operations(), sizeof(fuse_lowlevel_ops), this));
  if (!session_)
    return fail(Code::kResourceExhausted, "libfuse has no session left for agent " + agent_.text());
  if (int error = ::fuse_session_custom_io(session_.get(), &volume_io(), device.get()); error != 0)
    return fail_errno("fuse_session_custom_io", -error);
  device.release();  // the session closes it
  return {};
}

int Volume::device() const { return ::fuse_session_fd(session_.get()); }

// The predecessor has answered the kernel's INIT; this session learns the same by answering one of
// its own.
void Volume::replay_init() {
  struct {
    fuse_in_header header;
    fuse_init_in init;
  } message{};
  message.header.len = sizeof message;
  message.header.opcode = FUSE_INIT;
  message.header.unique = kReplayedInit;
  message.init.major = FUSE_KERNEL_VERSION;
  message.init.minor = FUSE_KERNEL_MINOR_VERSION;
  message.init.max_readahead = 128 * 1024;
  message.init.flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_ASYNC_DIO;
  fuse_buf buffer{};
  buffer.mem = &message;
  buffer.size = sizeof message;
  ::fuse_session_process_buf(session_.get(), &buffer);
}

Status Volume::ask_again() {
  fuse_out_header notice{.len = sizeof notice, .error = kNotifyResend, .unique = 0};
  if (::write(device(), &notice, sizeof notice) == static_cast<ssize_t>(sizeof notice)) return {};
  if (errno == EINVAL)
    return tl::unexpected(Error{
        .code = Code::kUnimplemented,
        .message = "this kernel cannot resend requests to a vault that took over (Linux 6.9 can)",
        .sys_errno = EINVAL}
                              .with_remedy("stop the agent and start it again"));
  return fail_errno("FUSE_NOTIFY_RESEND");
}

Volume::Turn Volume::receive(IoBuffer& buffer, std::size_t* bytes) {
  auto space = buffer.request();
  ssize_t n = ::read(device(), space.data(), space.size());
  if (n > 0) {
    *bytes = static_cast<std::size_t>(n);
    return Turn::kServed;
  }
  // ENOENT: the request was interrupted before it was read.
  return n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOENT) ? Turn::kNothing
                                                                         : Turn::kClosed;
}

void Volume::answer(IoBuffer& buffer, std::size_t bytes, unsigned seat) {
  AnswerScope scope(buffer, seat);
  fuse_buf request{};
  request.mem = buffer.request().data();
  request.size = bytes;
  ::fuse_session_process_buf(session_.get(), &request);
}

int Volume::read(IoBuffer& buffer, unsigned seat, std::size_t size, std::uint64_t offset) {
  if (!whole_blocks(size, offset)) return read_partial(buffer, seat, size, offset);
  auto data = buffer.payload().first(size);
  if (int error = image_.read(data.data(), size, offset); error != 0) return error;
  return ciphers_[seat].decrypt(data, offset / kBlockBytes) ? 0 : EIO;
}

int Volume::write(IoBuffer& buffer, unsigned seat, std::size_t size, std::uint64_t offset) {
  if (!whole_blocks(size, offset)) return write_partial(buffer, seat, size, offset);
  std::shared_lock lock(partial_);
  auto data = buffer.payload().first(size);
  if (!ciphers_[seat].encrypt(data, offset / kBlockBytes)) return EIO;
  return image_.write(data.data(), size, offset);
}

int Volume::load_block(IoBuffer& buffer, unsigned seat, std::uint64_t block) {
  auto scratch = buffer.scratch();
  if (int error = image_.read(scratch.data(), kBlockBytes, block * kBlockBytes); error != 0)
    return error;
  return ciphers_[seat].decrypt(scratch, block) ? 0 : EIO;
}

int Volume::store_block(IoBuffer& buffer, unsigned seat, std::uint64_t block) {
  auto scratch = buffer.scratch();
  if (!ciphers_[seat].encrypt(scratch, block)) return EIO;
  return image_.write(scratch.data(), kBlockBytes, block * kBlockBytes);
}

// Pieces of blocks come from mke2fs and e2fsck alone, which write a superblock of 1 KiB; a loop
// device with 4 KiB sectors sends none.
int Volume::read_partial(IoBuffer& buffer, unsigned seat, std::size_t size, std::uint64_t offset) {
  std::shared_lock lock(partial_);
  auto payload = buffer.payload();
  for (std::size_t done = 0; done < size;) {
    std::size_t within = (offset + done) % kBlockBytes;
    std::size_t piece = std::min(size - done, kBlockBytes - within);
    if (int error = load_block(buffer, seat, (offset + done) / kBlockBytes); error != 0)
      return error;
    std::memcpy(payload.data() + done, buffer.scratch().data() + within, piece);
    done += piece;
  }
  return 0;
}

int Volume::write_partial(IoBuffer& buffer, unsigned seat, std::size_t size, std::uint64_t offset) {
  std::unique_lock lock(partial_);
  auto payload = buffer.payload();
  for (std::size_t done = 0; done < size;) {
    std::uint64_t block = (offset + done) / kBlockBytes;
    std::size_t within = (offset + done) % kBlockBytes;
    std::size_t piece = std::min(size - done, kBlockBytes - within);
    if (int error = load_block(buffer, seat, block); error != 0) return error;
    std::memcpy(buffer.scratch().data() + within, payload.data() + done, piece);
    if (int error = store_block(buffer, seat, block); error != 0) return error;
    done += piece;
  }
  return 0;
}

// What the loop device makes of discard and write-zeroes. The space is never given back: it was
// promised to this agent.
int Volume::allocate(int mode, std::uint64_t offset, std::uint64_t size) {
  if (offset > plain_bytes() || size > plain_bytes() - offset) return EFBIG;
  int kind = mode & ~(FALLOC_FL_KEEP_SIZE);
  if (kind == 0) return 0;
  if ((kind != FALLOC_FL_PUNCH_HOLE && kind != FALLOC_FL_ZERO_RANGE) || !whole_blocks(size, offset))
    return EOPNOTSUPP;
  return image_.zero(offset, size);
}

struct stat Volume::attributes(std::uint64_t node) const {
  struct stat st{};
  st.st_ino = node;
  st.st_nlink = 1;
  st.st_mode = node == kRootNode ? S_IFDIR | 0700 : S_IFREG | 0600;
  if (node == kRootNode) return st;
  st.st_size = static_cast<off_t>(plain_bytes());
  st.st_blocks = static_cast<blkcnt_t>(plain_bytes() / 512);
  st.st_blksize = kBlockBytes;
  return st;
}

}  // namespace flodea::vault
