// One volume being served: an encrypted image shown as the file "image" of a FUSE connection of its
// own (libfuse, low level). Nothing is kept per open file and node ids are fixed, so that a vault
// that is killed is continued by the next one on the same /dev/fuse: the kernel asks again for what
// was in flight (FUSE_NOTIFY_RESEND, Linux ≥ 6.9). Belongs to one worker thread from the moment it
// is served.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <memory>

#include "base/device_table.h"
#include "base/ids.h"
#include "base/unique_fd.h"
#include "supervisor/vault/aio_queue.h"
#include "supervisor/vault/cipher.h"
#include "supervisor/vault/image.h"
#include "supervisor/vault/io_slot.h"

struct fuse_session;

namespace flodea::vault {

class Volume {
 public:
  enum class Connection { kFresh, kTakenOver };
  enum class Received { kRequest, kNothing, kClosed };

  // Takes `device` (/dev/fuse, mounted), which becomes non-blocking.
  static Result<std::unique_ptr<Volume>> create(const AgentId& agent, UniqueFd device, Image image,
                                                const VolumeKey& key, Connection connection);
  ~Volume();
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;

  const AgentId& agent() const { return agent_; }
  std::uint64_t plain_bytes() const { return image_.plain_bytes(); }
  int device() const;

  // Names its connection to a flodead that takes over.
  Status publish(const std::shared_ptr<DeviceTable>& table);

  // For a volume that was taken over: asks the kernel for the requests that nobody answered; they
  // wait on the connection. kUnimplemented on a kernel that cannot.
  Status ask_again();

  // Never blocks. kRequest: one lies in the slot's buffer, `*bytes` long. kClosed: the file system
  // is unmounted for good.
  Received receive(IoSlot& slot, std::size_t* bytes);
  // Answers it, or adds an operation to `disk` and leaves the slot busy until `finish` is called
  // with what came of it.
  void answer(IoSlot& slot, std::size_t bytes, AioQueue& disk);
  void finish(IoSlot& slot, long result);

  // The operations, as volume_fuse.cc calls them on behalf of `answer`.
  void start_read(IoSlot& slot, fuse_req* request, AioQueue& disk);
  void start_write(IoSlot& slot, fuse_req* request, AioQueue& disk);
  void start_sync(IoSlot& slot, fuse_req* request, AioQueue& disk);
  int allocate(int mode, std::uint64_t offset, std::uint64_t size);
  struct stat attributes(std::uint64_t node) const;

 private:
  Volume(const AgentId& agent, Image image, BlockCipher cipher);
  Status open_session(UniqueFd device);
  void replay_init();
  void start(IoSlot& slot, IoSlot::Kind kind, fuse_req* request, AioQueue& disk);
  int complete_transfer(IoSlot& slot, IoSlot::Kind kind, long result);
  int read_partial(IoSlot& slot);
  int write_partial(IoSlot& slot);
  int load_block(IoSlot& slot, std::uint64_t block);
  int store_block(IoSlot& slot, std::uint64_t block);

  struct EndSession {
    void operator()(fuse_session* session) const;
  };
  AgentId agent_;
  Image image_;
  BlockCipher cipher_;
  std::unique_ptr<fuse_session, EndSession> session_;  // owns the device
  std::unique_ptr<DeviceTable::Row> row_;              // gone before the device is closed
};

}  // namespace flodea::vault
