#include "supervisor/vault/volume.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

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

Volume::Volume(const AgentId& agent, Image image, BlockCipher cipher)
    : agent_(agent), image_(std::move(image)), cipher_(std::move(cipher)) {}

Volume::~Volume() = default;

Result<std::unique_ptr<Volume>> Volume::create(const AgentId& agent, UniqueFd device, Image image,
                                               const VolumeKey& key, Connection connection) {
  TRY(make_non_blocking(device.get()));
  std::unique_ptr<Volume> volume(
      new Volume(agent, std::move(image), TRY(BlockCipher::create(key))));
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

Status Volume::publish(const std::shared_ptr<DeviceTable>& table) {
  row_ = std::make_unique<DeviceTable::Row>(TRY(DeviceTable::add(table, agent_, device())));
  return {};
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

Volume::Received Volume::receive(IoSlot& slot, std::size_t* bytes) {
  auto space = slot.buffer.request();
  ssize_t n = ::read(device(), space.data(), space.size());
  if (n > 0) {
    *bytes = static_cast<std::size_t>(n);
    return Received::kRequest;
  }
  // ENOENT: the request was interrupted before it was read.
  return n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOENT) ? Received::kNothing
                                                                         : Received::kClosed;
}

void Volume::answer(IoSlot& slot, std::size_t bytes, AioQueue& disk) {
  AnswerScope scope(slot, disk);
  fuse_buf request{};
  request.mem = slot.buffer.request().data();
  request.size = bytes;
  ::fuse_session_process_buf(session_.get(), &request);
}

void Volume::start(IoSlot& slot, IoSlot::Kind kind, fuse_req* request, AioQueue& disk) {
  slot.kind = kind;
  slot.volume = this;
  slot.request = request;
  slot.operation.aio_data = reinterpret_cast<std::uint64_t>(&slot);
  disk.add(slot.operation);
}

void Volume::start_read(IoSlot& slot, fuse_req* request, AioQueue& disk) {
  if (whole_blocks(slot.size, slot.offset)) {
    slot.operation = image_.read_operation(slot.buffer.payload().data(), slot.size, slot.offset);
    start(slot, IoSlot::Kind::kRead, request, disk);
  } else if (int error = read_partial(slot); error != 0) {
    ::fuse_reply_err(request, error);
  } else {
    ::fuse_reply_buf(request, reinterpret_cast<const char*>(slot.buffer.payload().data()),
                     slot.size);
  }
}

void Volume::start_write(IoSlot& slot, fuse_req* request, AioQueue& disk) {
  if (!whole_blocks(slot.size, slot.offset)) {
    int error = write_partial(slot);
    error != 0 ? ::fuse_reply_err(request, error) : ::fuse_reply_write(request, slot.size);
    return;
  }
  if (!cipher_.encrypt(slot.buffer.payload().first(slot.size), slot.offset / kBlockBytes)) {
    ::fuse_reply_err(request, EIO);
    return;
  }
  slot.operation = image_.write_operation(slot.buffer.payload().data(), slot.size, slot.offset);
  start(slot, IoSlot::Kind::kWrite, request, disk);
}

void Volume::start_sync(IoSlot& slot, fuse_req* request, AioQueue& disk) {
  slot.operation = image_.sync_operation();
  start(slot, IoSlot::Kind::kSync, request, disk);
}

void Volume::finish(IoSlot& slot, long result) {
  IoSlot::Kind kind = std::exchange(slot.kind, IoSlot::Kind::kIdle);
  fuse_req* request = std::exchange(slot.request, nullptr);
  auto data = slot.buffer.payload().first(slot.size);
  int error = kind == IoSlot::Kind::kSync ? static_cast<int>(-result)
                                          : complete_transfer(slot, kind, result);
  if (error == 0 && kind == IoSlot::Kind::kRead &&
      !cipher_.decrypt(data, slot.offset / kBlockBytes))
    error = EIO;
  if (error != 0 || kind == IoSlot::Kind::kSync)
    ::fuse_reply_err(request, error);
  else if (kind == IoSlot::Kind::kRead)
    ::fuse_reply_buf(request, reinterpret_cast<const char*>(data.data()), data.size());
  else
    ::fuse_reply_write(request, slot.size);
}

// A transfer may end short; the rest is fetched by hand.
int Volume::complete_transfer(IoSlot& slot, IoSlot::Kind kind, long result) {
  if (result < 0) return static_cast<int>(-result);
  auto done = static_cast<std::size_t>(result);
  if (done >= slot.size) return 0;
  auto rest = slot.buffer.payload().subspan(done, slot.size - done);
  return kind == IoSlot::Kind::kRead ? image_.read(rest.data(), rest.size(), slot.offset + done)
                                     : image_.write(rest.data(), rest.size(), slot.offset + done);
}

int Volume::load_block(IoSlot& slot, std::uint64_t block) {
  auto scratch = slot.buffer.scratch();
  if (int error = image_.read(scratch.data(), kBlockBytes, block * kBlockBytes); error != 0)
    return error;
  return cipher_.decrypt(scratch, block) ? 0 : EIO;
}

int Volume::store_block(IoSlot& slot, std::uint64_t block) {
  auto scratch = slot.buffer.scratch();
  if (!cipher_.encrypt(scratch, block)) return EIO;
  return image_.write(scratch.data(), kBlockBytes, block * kBlockBytes);
}

// Pieces of blocks come from mke2fs and e2fsck alone, which write a superblock of 1 KiB and have
// one request under way at a time; a loop device with 4 KiB sectors sends none. So they may block
// this thread, and need no lock against whole blocks.
int Volume::read_partial(IoSlot& slot) {
  auto payload = slot.buffer.payload();
  for (std::size_t done = 0; done < slot.size;) {
    std::size_t within = (slot.offset + done) % kBlockBytes;
    std::size_t piece = std::min(slot.size - done, kBlockBytes - within);
    if (int error = load_block(slot, (slot.offset + done) / kBlockBytes); error != 0) return error;
    std::memcpy(payload.data() + done, slot.buffer.scratch().data() + within, piece);
    done += piece;
  }
  return 0;
}

int Volume::write_partial(IoSlot& slot) {
  auto payload = slot.buffer.payload();
  for (std::size_t done = 0; done < slot.size;) {
    std::uint64_t block = (slot.offset + done) / kBlockBytes;
    std::size_t within = (slot.offset + done) % kBlockBytes;
    std::size_t piece = std::min(slot.size - done, kBlockBytes - within);
    if (int error = load_block(slot, block); error != 0) return error;
    std::memcpy(slot.buffer.scratch().data() + within, payload.data() + done, piece);
    if (int error = store_block(slot, block); error != 0) return error;
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
