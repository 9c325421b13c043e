// What a worker writes into its log pipe, be it anything: reading ends, stays within the bytes and
// a chunk's bounds, and what is stored does not depend on where one look into the pipe ends and the
// next begins.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "supervisor/control/monitoring/log_pipe.h"

namespace {

using flodea::control::FrameBatch;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_bounds(const FrameBatch& batch, std::string_view buffer) {
  require(batch.consumed <= buffer.size());
  require(batch.records.size() == batch.frames.size());
  require(batch.new_frames <= batch.records.size());
  require(!batch.broken || !batch.complaint.empty());
  std::string plain;
  for (const auto& record : batch.records) {
    require(record.text.size() <= flodea::LogFrame::kMaxText);
    flodea::control::append_record(record, plain);
  }
  require(plain.size() < flodea::control::kMaxChunkBytes - 1024);
}

struct Stored {
  std::string text;
  std::uint64_t last_seq = 0;
  bool broken = false;
};

// Reads all of it as the store does, at most `step` bytes more at each look.
Stored read_all(std::string_view bytes, std::size_t step) {
  Stored stored;
  bool resumed = true;
  for (std::size_t begin = 0, seen = 0; begin < bytes.size() && !stored.broken;) {
    seen = std::min(bytes.size(), std::max(seen, begin) + step);
    auto look = bytes.substr(begin, std::min(seen - begin, flodea::control::LogTee::kMaxPeek));
    FrameBatch batch = flodea::control::read_frames(look, stored.last_seq, resumed);
    check_bounds(batch, look);
    require(batch.last_seq >= stored.last_seq);
    for (const auto& record : batch.records) {
      if (record.stream != flodea::LogStream::kSystem)
        stored.text += std::string(record.text) + "\n";
    }
    stored.last_seq = batch.last_seq;
    stored.broken = batch.broken;
    begin += batch.consumed;
    bool nothing_more = batch.consumed == 0 &&
                        (seen == bytes.size() || look.size() == flodea::control::LogTee::kMaxPeek);
    if (nothing_more) break;
  }
  return stored;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  Stored whole = read_all(bytes, flodea::control::LogTee::kMaxPeek);
  Stored pieces = read_all(bytes, std::size_t{data[0]} + 1);
  require(whole.text == pieces.text);
  require(whole.last_seq == pieces.last_seq);
  require(whole.broken == pieces.broken);
  return 0;
}
