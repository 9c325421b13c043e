// One volume being served: an encrypted image shown as the file "image" of a FUSE connection of its
// own (libfuse, low level). Nothing is kept per open file and node ids are fixed, so that a vault
// that is killed is continued by the next one on the same /dev/fuse: the kernel asks again for what
// was in flight (FUSE_NOTIFY_RESEND, Linux ≥ 6.9).
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstddef>
#include <memory>
#include <shared_mutex>

#include "base/ids.h"
#include "base/unique_fd.h"
#include "supervisor/vault/cipher.h"
#include "supervisor/vault/image.h"
#include "supervisor/vault/io_buffer.h"

struct fuse_session;

namespace flodea::vault {

class Volume {
 public:
  // How many threads may be inside one volume at once; each has its own seat, and a seat its own
  // keyed cipher.
  static constexpr unsigned kSeats = 2;
  enum class Connection { kFresh, kTakenOver };
  enum class Turn { kServed, kNothing, kClosed };

  // Takes `device` (/dev/fuse, mounted), which becomes non-blocking. kUnimplemented: taken over on
  // a kernel that cannot resend.
  static Result<std::unique_ptr<Volume>> create(const AgentId& agent, UniqueFd device, Image image,
                                                const VolumeKey& key, Connection connection);
  ~Volume();
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;

  const AgentId& agent() const { return agent_; }
  std::uint64_t plain_bytes() const { return image_.plain_bytes(); }
  int device() const;

  // For a volume that was taken over, once it is being served: asks the kernel for the requests
  // that nobody answered.
  Status ask_again();

  // One request, in two steps, so that the server can let a second thread in between them.
  // `receive` never blocks; kServed: a request lies in `buffer`, `*bytes` long. kClosed: the file
  // system is unmounted for good.
  Turn receive(IoBuffer& buffer, std::size_t* bytes);
  void answer(IoBuffer& buffer, std::size_t bytes, unsigned seat);

  // The operations, as volume_fuse.cc calls them. All give 0 or an errno.
  int read(IoBuffer& buffer, unsigned seat, std::size_t size,
           std::uint64_t offset);  // to the payload
  int write(IoBuffer& buffer, unsigned seat, std::size_t size,
            std::uint64_t offset);  // from the payload, which is destroyed
  int sync() { return image_.sync(); }
  int allocate(int mode, std::uint64_t offset, std::uint64_t size);
  struct stat attributes(std::uint64_t node) const;

 private:
  using Ciphers = std::array<BlockCipher, kSeats>;
  Volume(const AgentId& agent, Image image, Ciphers ciphers);
  Status open_session(UniqueFd device);
  void replay_init();
  int read_partial(IoBuffer& buffer, unsigned seat, std::size_t size, std::uint64_t offset);
  int write_partial(IoBuffer& buffer, unsigned seat, std::size_t size, std::uint64_t offset);
  int load_block(IoBuffer& buffer, unsigned seat, std::uint64_t block);
  int store_block(IoBuffer& buffer, unsigned seat, std::uint64_t block);

  struct EndSession {
    void operator()(fuse_session* session) const;
  };
  AgentId agent_;
  Image image_;
  Ciphers ciphers_;
  std::shared_mutex partial_;  // held alone by a write of less than a block, which reads it first
  std::unique_ptr<fuse_session, EndSession> session_;  // owns the device
};

}  // namespace flodea::vault
