// What the user sees: tables for people, JSON and YAML for programs. Text from agents cannot drive
// the terminal.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/timestamp.pb.h>
#include <nlohmann/json_fwd.hpp>

#include "base/clock.h"
#include "flodea/operators/v1/operators.pb.h"

namespace flodea::cli {

enum class Format { kTable, kJson, kYaml };

// Columns as wide as their widest cell, two spaces apart; the last is not padded.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string to_json(const google::protobuf::Message& message, bool one_line);
std::string to_yaml(const google::protobuf::Message& message);
// As a file that `apply` takes, which has one name unlike the proto's.
std::string manifest_yaml(const operators::v1::AgentManifest& manifest);
// A whole message: JSON or YAML with a last newline.
std::string render(const google::protobuf::Message& message, Format format);
std::string render(const nlohmann::ordered_json& value, Format format);
// One of many (a log line, an event): JSON on one line, or a YAML document.
std::string render_item(const google::protobuf::Message& message, Format format);
std::string render_item(const nlohmann::ordered_json& value, Format format);

std::string state_word(operators::v1::State state);                    // "running"
std::string age(const google::protobuf::Timestamp& since, Nanos now);  // "5s", "3m", "2h", "4d"
std::string time_text(const google::protobuf::Timestamp& time);        // RFC 3339, milliseconds
// Control characters as \xNN, but for tabs: an agent's text must not move the cursor or rename the
// window.
std::string printable(std::string_view text);

// Both of them; the message alone where it begins with the reason.
std::string why_text(const std::string& reason, const std::string& message);

std::string agents_table(const operators::v1::ListResponse& list, Nanos now);
std::string agent_text(const operators::v1::Agent& agent, Nanos now);
std::string node_text(const operators::v1::Node& node, Nanos now);
std::string revisions_table(const operators::v1::ListRevisionsResponse& list, Nanos now);
// One row of agents_table after its columns, for a change that comes later.
std::string agent_row(const operators::v1::Agent& agent, Nanos now);
std::string event_text(const operators::v1::Event& event);

}  // namespace flodea::cli
