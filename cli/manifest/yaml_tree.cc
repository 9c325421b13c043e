#include "cli/manifest/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

#include "base/text.h"

namespace flodea::cli {
namespace {

int line_of(const YAML::Mark& mark) { return mark.line + 1; }

// Builds the tree. The first thing refused is kept, and all that comes after it is passed over:
// handlers cannot stop the parser.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string_view file) : file_(file) {}

  Result<YamlNode> take() {
    if (error_) return tl::unexpected(std::move(*error_));
    return std::move(root_);
  }
  bool refused() const { return error_.has_value(); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    leaf({.kind = YamlNode::Kind::kNull, .line = line_of(mark)});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(line_of(mark), "aliases (*name, <<) are not used in manifests", "write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    // yaml-cpp: "?" for plain, "!" for quoted.
    if (!check_tag(mark, tag)) return;
    YamlNode node{.kind = YamlNode::Kind::kScalar,
                  .line = line_of(mark),
                  .quoted = tag == "!",
                  .text = value};
    bool null = !node.quoted && (value == "~" || value == "null" || value.empty());
    if (null && !wants_key()) node.kind = YamlNode::Kind::kNull;
    leaf(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Level {
    YamlNode node;
    std::optional<YamlNode> key;       // of a map: seen, its value not yet
    std::map<std::string, int> lines;  // of a map's keys so far
  };

  void refuse(int line, std::string_view message, std::string_view remedy) {
    if (!error_) error_ = error_at(file_, line, message, remedy).value();
  }
  bool check_tag(const YAML::Mark& mark, const std::string& tag) {
    bool plain = tag.empty() || tag == "?" || tag == "!";
    if (!plain)
      refuse(line_of(mark), "tags (!name) are not used in manifests", "write the value without it");
    return plain && !error_;
  }
  bool wants_key() const {
    return !levels_.empty() && levels_.back().node.kind == YamlNode::Kind::kMap &&
           !levels_.back().key;
  }

  void open(const YAML::Mark& mark, const std::string& tag, YamlNode::Kind kind) {
    if (!check_tag(mark, tag)) return;
    if (levels_.size() >= kMaxYamlDepth)
      return refuse(line_of(mark), "the manifest is nested too deep",
                    "no manifest needs more than a few levels");
    if (wants_key()) return refuse(line_of(mark), "a key must be text", "write name: value");
    levels_.push_back({.node = {.kind = kind, .line = line_of(mark)}});
  }
  void close() {
    if (error_) return;
    YamlNode node = std::move(levels_.back().node);
    levels_.pop_back();
    place(std::move(node));
  }
  void leaf(YamlNode node) {
    if (!error_) place(std::move(node));
  }
  void place(YamlNode node) {
    if (levels_.empty()) {
      root_ = std::move(node);
      return;
    }
    Level& level = levels_.back();
    if (level.node.kind == YamlNode::Kind::kList) {
      level.node.items.push_back(std::move(node));
    } else if (!level.key) {
      start_member(level, std::move(node));
    } else {
      level.node.members.push_back({std::move(level.key->text), level.key->line, std::move(node)});
      level.key.reset();
    }
  }
  void start_member(Level& level, YamlNode key) {
    if (key.kind != YamlNode::Kind::kScalar)
      return refuse(key.line, "a key must be text", "write name: value");
    auto [same, fresh] = level.lines.emplace(key.text, key.line);
    if (!fresh) {
      return refuse(key.line,
                    fmt::format("\"{}\" stands here twice, first on line {}",
                                key.text.substr(0, 64), same->second),
                    "keep one of them");
    }
    level.key = std::move(key);
  }

  std::string_view file_;
  std::vector<Level> levels_;
  YamlNode root_;
  std::optional<Error> error_;
};

Status check_text(std::string_view text, std::string_view file) {
  if (text.size() > kMaxYamlBytes)
    return error_at(file, 1, "the manifest has more than 64Ki",
                    "put data in the bundle, not in the manifest");
  std::size_t bad = std::min(first_invalid_utf8(text), text.find('\0'));
  if (bad == std::string_view::npos) return {};
  auto line = 1 + std::ranges::count(text.substr(0, bad), '\n');
  return error_at(file, static_cast<int>(line), "the manifest is not UTF-8 text",
                  "save it as UTF-8");
}

Result<YamlNode> parse_documents(const std::string& text, std::string_view file,
                                 TreeBuilder& first) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  if (!parser.HandleNextDocument(first))
    return error_at(file, 1, "the manifest is empty", "start with apiVersion: flodea/v1");
  YamlNode root = TRY(first.take());
  TreeBuilder second(file);
  if (!parser.HandleNextDocument(second)) return root;
  int line = second.take().value_or(YamlNode{}).line;
  return error_at(file, std::max(line, 1), "a second document starts here",
                  "keep one agent a file; `flodea apply -f DIR` takes many files");
}

}  // namespace

tl::unexpected<Error> error_at(std::string_view file, int line, std::string_view message,
                               std::string_view remedy, std::string_view field) {
  auto error = fail(Code::kInvalidArgument, fmt::format("{}:{}: {}", file, line, message)).value();
  return tl::unexpected(std::move(error).with_remedy(remedy).with_field(field));
}

Result<YamlNode> parse_yaml(std::string_view text, std::string_view file) {
  TRY(check_text(text, file));
  TreeBuilder tree(file);
  // yaml-cpp throws; here it ends. What was refused before it lost its way is what the user should
  // mend first.
  try {
    return parse_documents(std::string(text), file, tree);
  } catch (const YAML::Exception& e) {
    if (tree.refused()) return tree.take();
    return error_at(file, e.mark.is_null() ? 1 : line_of(e.mark), "this is not YAML: " + e.msg,
                    "check indentation, quotes and brackets here");
  }
}

}  // namespace flodea::cli
