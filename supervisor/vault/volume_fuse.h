// The FUSE face of a Volume: the callbacks that libfuse calls while `Volume::answer` runs, and how
// requests and replies travel.
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include <cstdint>
#include <limits>

#include "supervisor/vault/aio_queue.h"
#include "supervisor/vault/io_slot.h"

namespace flodea::vault {

class Volume;

inline constexpr std::uint64_t kRootNode = FUSE_ROOT_ID;
inline constexpr std::uint64_t kImageNode = 2;
inline constexpr const char* kImageName = "image";

// The kernel numbers its requests from 2 upwards; a reply to this number is ours to ourselves and
// goes nowhere.
inline constexpr std::uint64_t kReplayedInit = std::numeric_limits<std::uint64_t>::max();

// Who answers on this thread: libfuse passes no argument of ours through to its callbacks but the
// session's.
class AnswerScope {
 public:
  AnswerScope(IoSlot& slot, AioQueue& disk);
  ~AnswerScope();
  AnswerScope(const AnswerScope&) = delete;
  AnswerScope& operator=(const AnswerScope&) = delete;
};

const fuse_lowlevel_ops& volume_operations();
const fuse_custom_io& volume_io();
void send_libfuse_log_to_spdlog();

}  // namespace flodea::vault
