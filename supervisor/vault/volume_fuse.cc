#include "supervisor/vault/volume_fuse.h"

#include <linux/fuse.h>
#include <spdlog/spdlog.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "supervisor/vault/volume.h"
#include "supervisor/vault/worker.h"

namespace flodea::vault {
namespace {

constexpr double kForever = 1e9;  // nothing but us changes an attribute or a name
// A connection has this many asynchronous requests under way at once: a third of its worker's slots
// is left to others.
constexpr unsigned kMaxInFlight = Worker::kSlots * 2 / 3;

struct Answering {
  IoSlot* slot = nullptr;
  AioQueue* disk = nullptr;
};
thread_local Answering t_answering;

Volume& volume_of(fuse_req_t request) {
  return *static_cast<Volume*>(::fuse_req_userdata(request));
}

// A resumed session must agree with what its predecessor told the kernel: nothing here depends on
// who asks.
void on_init(void*, fuse_conn_info* connection) {
  connection->want = FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO;
  connection->max_write = IoBuffer::kMaxPayload;
  connection->max_background = kMaxInFlight;
  connection->congestion_threshold = kMaxInFlight;
}

void on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (parent != kRootNode || std::string_view(name) != kImageName) {
    ::fuse_reply_err(request, ENOENT);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = kImageNode;
  entry.attr_timeout = entry.entry_timeout = kForever;
  entry.attr = volume_of(request).attributes(kImageNode);
  ::fuse_reply_entry(request, &entry);
}

void on_getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  struct stat st = volume_of(request).attributes(node);
  ::fuse_reply_attr(request, &st, kForever);
}

// Times and modes are not kept; the size never changes.
void on_setattr(fuse_req_t request, fuse_ino_t node, struct stat* wanted, int to_set,
                fuse_file_info* file) {
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0 &&
      static_cast<std::uint64_t>(wanted->st_size) != volume_of(request).plain_bytes()) {
    ::fuse_reply_err(request, EPERM);
    return;
  }
  on_getattr(request, node, file);
}

void on_open(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  file->direct_io = 1;
  ::fuse_reply_open(request, file);
}

void on_read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info*) {
  Volume& volume = volume_of(request);
  IoSlot& slot = *t_answering.slot;
  slot.offset = static_cast<std::uint64_t>(offset);
  std::uint64_t left = slot.offset < volume.plain_bytes() ? volume.plain_bytes() - slot.offset : 0;
  slot.size = std::min<std::uint64_t>({size, left, IoBuffer::kMaxPayload});
  if (slot.size == 0)
    ::fuse_reply_buf(request, nullptr, 0);
  else
    volume.start_read(slot, request, *t_answering.disk);
}

void on_write(fuse_req_t request, fuse_ino_t, const char* data, std::size_t size, off_t offset,
              fuse_file_info*) {
  Volume& volume = volume_of(request);
  IoSlot& slot = *t_answering.slot;
  slot.offset = static_cast<std::uint64_t>(offset);
  slot.size = size;
  auto payload = slot.buffer.payload();
  if (slot.offset > volume.plain_bytes() || size > volume.plain_bytes() - slot.offset)
    ::fuse_reply_err(request, EFBIG);
  else if (size > payload.size() || data != reinterpret_cast<const char*>(payload.data()))
    ::fuse_reply_err(
        request,
        EIO);  // not where IoBuffer puts the payload of a WRITE: a protocol we do not speak
  else
    volume.start_write(slot, request, *t_answering.disk);
}

void on_fsync(fuse_req_t request, fuse_ino_t, int, fuse_file_info*) {
  volume_of(request).start_sync(*t_answering.slot, request, *t_answering.disk);
}

void on_fallocate(fuse_req_t request, fuse_ino_t, int mode, off_t offset, off_t size,
                  fuse_file_info*) {
  ::fuse_reply_err(request, volume_of(request).allocate(mode, static_cast<std::uint64_t>(offset),
                                                        static_cast<std::uint64_t>(size)));
}

ssize_t send_reply(int fd, iovec* parts, int count, void*) {
  const auto* header = static_cast<const fuse_out_header*>(parts[0].iov_base);
  if (header->unique != kReplayedInit) return ::writev(fd, parts, count);
  ssize_t size = 0;
  for (int i = 0; i < count; ++i) size += static_cast<ssize_t>(parts[i].iov_len);
  return size;
}

ssize_t read_request(int fd, void* buffer, std::size_t size, void*) {
  return ::read(fd, buffer, size);
}

void on_libfuse_log(fuse_log_level level, const char* format, va_list arguments) {
  char line[512];
  std::vsnprintf(line, sizeof line, format, arguments);
  std::string_view text(line);
  if (text.ends_with('\n')) text.remove_suffix(1);
  spdlog::log(level <= FUSE_LOG_ERR ? spdlog::level::err : spdlog::level::info, "libfuse: {}",
              text);
}

fuse_lowlevel_ops make_operations() {
  fuse_lowlevel_ops ops{};
  ops.init = on_init;
  ops.lookup = on_lookup;
  ops.getattr = on_getattr;
  ops.setattr = on_setattr;
  ops.open = on_open;
  ops.read = on_read;
  ops.write = on_write;
  ops.fsync = on_fsync;
  ops.fallocate = on_fallocate;
  return ops;  // no flush: ENOSYS, once, and the kernel never asks again
}

}  // namespace

AnswerScope::AnswerScope(IoSlot& slot, AioQueue& disk) { t_answering = {&slot, &disk}; }
AnswerScope::~AnswerScope() { t_answering = {}; }

const fuse_lowlevel_ops& volume_operations() {
  static const fuse_lowlevel_ops operations = make_operations();
  return operations;
}

const fuse_custom_io& volume_io() {
  static const fuse_custom_io io{.writev = send_reply,
                                 .read = read_request,
                                 .splice_receive = nullptr,
                                 .splice_send = nullptr};
  return io;
}

void send_libfuse_log_to_spdlog() { ::fuse_set_log_func(on_libfuse_log); }

}  // namespace flodea::vault
