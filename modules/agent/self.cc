#include "modules/agent/self.h"

#include <fmt/format.h>

#include <utility>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace flodea::agent {
namespace {

const char* level_name(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "info";
}

}  // namespace

Result<std::string> format_record(const Record& record) {
  nlohmann::ordered_json json;
  json["level"] = level_name(record.level);
  json["message"] = record.message;
  if (!record.fields.empty()) json["fields"] = record.fields;
  std::string line = json_text(json);
  if (line.size() <= kMaxRecordBytes) return line;
  return fail(Code::kInvalidArgument, fmt::format("a log record has {} bytes; {} are allowed",
                                                  line.size(), kMaxRecordBytes));
}

Result<std::vector<std::string>> format_records(const std::vector<Record>& records) {
  if (records.size() > kMaxRecords) {
    return tl::unexpected(Error{.code = Code::kInvalidArgument,
                                .message = fmt::format("{} records in one call; {} are allowed",
                                                       records.size(), kMaxRecords),
                                .field = "records"});
  }
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < records.size(); ++i) {
    auto line = format_record(records[i]);
    if (!line) {
      return tl::unexpected(std::move(line).error().with_field(fmt::format("records[{}]", i)));
    }
    lines.push_back(std::move(*line));
  }
  return lines;
}

void StopBoard::request(const StopRequest& request) {
  std::map<Id, Watcher> watchers;
  {
    std::lock_guard lock(mutex_);
    request_ = request;
    watchers.swap(watchers_);
  }
  for (auto& [id, watcher] : watchers) watcher(request);
}

StopBoard::Id StopBoard::watch(Watcher watcher) {
  StopRequest pending;
  {
    std::lock_guard lock(mutex_);
    if (!request_) {
      watchers_.emplace(++last_id_, std::move(watcher));
      return last_id_;
    }
    pending = *request_;
  }
  watcher(pending);
  return 0;
}

bool StopBoard::unwatch(Id id) {
  std::lock_guard lock(mutex_);
  return watchers_.erase(id) != 0;
}

}  // namespace flodea::agent
