#include "cli/manifest/manifest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <unistd.h>

#include <vector>

#include "base/number.h"
#include "base/safe_path.h"
#include "base/text.h"
#include "cli/manifest/yaml_tree.h"

namespace flodea::cli {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Kind = YamlNode::Kind;

// As YAML has it: the proto's names, but for one that Kubernetes taught everybody.
std::string yaml_name(const FieldDescriptor& field) {
  return field.name() == "api_version" ? "apiVersion" : field.name();
}

const char* kind_word(const YamlNode& node) {
  switch (node.kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kScalar:
      return "a single value";
    case Kind::kMap:
      return "a map";
    case Kind::kList:
      return "a list";
  }
  return "nothing";
}

class Walker {
 public:
  Walker(std::string_view file, std::map<std::string, int>& lines) : file_(file), lines_(lines) {}

  Status fill(const YamlNode& node, const std::string& path, Message& message) {
    if (node.kind == Kind::kNull) return {};  // "labels:" with nothing in it
    if (node.kind != Kind::kMap) return wrong_kind(node, path, "a map of fields");
    for (const YamlNode::Member& member : node.members) {
      const FieldDescriptor* field = find_field(*message.GetDescriptor(), member.key);
      if (field == nullptr) return unknown_field(member, path, *message.GetDescriptor());
      std::string child = path.empty() ? member.key : path + "." + member.key;
      lines_[child] = member.key_line;
      TRY(set(*field, member.value, child, message));
    }
    return {};
  }

 private:
  static const FieldDescriptor* find_field(const Descriptor& type, const std::string& name) {
    for (int i = 0; i < type.field_count(); ++i) {
      if (yaml_name(*type.field(i)) == name) return type.field(i);
    }
    return nullptr;
  }

  Status set(const FieldDescriptor& field, const YamlNode& node, const std::string& path,
             Message& message) {
    if (node.kind == Kind::kNull) return {};
    const auto* reflection = message.GetReflection();
    if (field.is_map()) return set_map(field, node, path, message);
    if (field.is_repeated()) return set_list(field, node, path, message);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
      return fill(node, path, *reflection->MutableMessage(&message, &field));
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
      reflection->SetUInt32(&message, &field, TRY(number(field, node, path)));
      return {};
    }
    reflection->SetString(&message, &field, TRY(text(node, path, "text")));
    return {};
  }

  Status set_map(const FieldDescriptor& field, const YamlNode& node, const std::string& path,
                 Message& message) {
    if (node.kind != Kind::kMap) return wrong_kind(node, path, "a map of names to text");
    for (const YamlNode::Member& member : node.members) {
      std::string child = path + "." + member.key;
      lines_[child] = member.key_line;
      std::string value = TRY(text(member.value, child, "text (\"\" for none)"));
      Message* entry = message.GetReflection()->AddMessage(&message, &field);
      entry->GetReflection()->SetString(entry, field.message_type()->map_key(), member.key);
      entry->GetReflection()->SetString(entry, field.message_type()->map_value(), value);
    }
    return {};
  }

  Status set_list(const FieldDescriptor& field, const YamlNode& node, const std::string& path,
                  Message& message) {
    if (node.kind != Kind::kList) return wrong_kind(node, path, "a list");
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      std::string child = fmt::format("{}[{}]", path, i);
      lines_[child] = node.items[i].line;
      message.GetReflection()->AddString(&message, &field,
                                         TRY(text(node.items[i], child, "text (\"\" for none)")));
    }
    return {};
  }

  // `cpu: 0.5` and `LOG: true` are text too.
  Result<std::string> text(const YamlNode& node, const std::string& path, std::string_view wanted) {
    if (node.kind != Kind::kScalar) return wrong_kind(node, path, wanted);
    return node.text;
  }

  Result<std::uint32_t> number(const FieldDescriptor& field, const YamlNode& node,
                               const std::string& path) {
    constexpr std::string_view kWanted = "a whole number of at most 4294967295";
    if (node.kind != Kind::kScalar || node.quoted) return wrong_kind(node, path, kWanted);
    auto value = parse_number<std::uint32_t>(node.text);
    if (!value) return wrong_kind(node, path, kWanted);
    // On the wire 0 is "not given": it would silently become the default.
    if (*value == 0 && !field.has_presence())
      return error_at(file_, node.line, path + " cannot be 0", "leave it out for its default",
                      path);
    return *value;
  }

  tl::unexpected<Error> wrong_kind(const YamlNode& node, const std::string& path,
                                   std::string_view wanted) const {
    std::string got = node.kind == Kind::kScalar ? fmt::format("\"{}\"", node.text.substr(0, 40))
                                                 : kind_word(node);
    return error_at(file_, node.line,
                    fmt::format("{} is {}", path.empty() ? "the manifest" : path, got),
                    fmt::format("it must be {}", wanted), path);
  }

  tl::unexpected<Error> unknown_field(const YamlNode::Member& member, const std::string& path,
                                      const Descriptor& type) const {
    std::vector<std::string> known;
    for (int i = 0; i < type.field_count(); ++i) known.push_back(yaml_name(*type.field(i)));
    auto near = nearest(member.key, known, 1);
    std::string remedy = near.empty() ? fmt::format("there are: {}", fmt::join(known, ", "))
                                      : fmt::format("did you mean \"{}\"?", near.front());
    std::string where = path.empty() ? "" : " in " + path;
    return error_at(file_, member.key_line,
                    fmt::format("unknown field \"{}\"{}", member.key.substr(0, 64), where), remedy,
                    path.empty() ? member.key : path + "." + member.key);
  }

  std::string_view file_;
  std::map<std::string, int>& lines_;
};

// "spec.runtime.args[2]" → "spec.runtime.args" → "spec.runtime" → …
std::string_view without_last(std::string_view field) {
  std::size_t cut = field.find_last_of(".[");
  return cut == std::string_view::npos ? std::string_view() : field.substr(0, cut);
}

Result<UniqueFd> open_manifest(const std::string& path) {
  if (path == "-") return adopt_fd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0), "stdin");
  return adopt_fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open " + path);
}

}  // namespace

int Manifest::line_of(std::string_view field) const {
  for (; !field.empty(); field = without_last(field)) {
    auto it = lines.find(std::string(field));
    if (it != lines.end()) return it->second;
  }
  return 0;
}

Error Manifest::locate(Error error) const {
  int line = line_of(error.field);
  if (!error.field.empty() && !file.empty())
    error.message = line > 0 ? fmt::format("{}:{}: {}", file, line, error.message)
                             : file + ": " + error.message;
  return error;
}

Result<Manifest> parse_manifest(std::string_view text, std::string_view file) {
  YamlNode root = TRY(parse_yaml(text, file));
  Manifest manifest{.file = std::string(file)};
  if (root.kind == Kind::kNull)
    return error_at(file, 1, "the manifest is empty", "start with apiVersion: flodea/v1");
  TRY(Walker(file, manifest.lines).fill(root, "", manifest.message));
  return manifest;
}

Result<Manifest> load_manifest(const std::string& path) {
  const std::string file = path == "-" ? "stdin" : path;
  auto fd = TRY(open_manifest(path));
  auto text = read_all(fd.get(), kMaxYamlBytes);
  if (!text && text.error().code == Code::kOutOfRange) {
    return error_at(file, 1, "the manifest has more than 64Ki",
                    "put data in the bundle, not in the manifest");
  }
  if (!text) return tl::unexpected(std::move(text).error().with_context(file));
  return parse_manifest(*text, file);
}

}  // namespace flodea::cli
