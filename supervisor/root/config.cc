#include "supervisor/root/config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <yaml-cpp/yaml.h>

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "base/arguments.h"
#include "base/number.h"
#include "base/quantity.h"
#include "base/safe_path.h"

namespace flodea::root {
namespace {

constexpr std::size_t kFileLimit = 64 * 1024;

Status set_text(std::string& to, const std::string& text) {
  to = text;
  return {};
}

constexpr std::array<std::string_view, 5> kLogLevels{"trace", "debug", "info", "warn", "error"};

Status set_log_level(std::string& to, const std::string& text) {
  std::string known;
  for (std::string_view level : kLogLevels) {
    if (level == text) return set_text(to, text);
    known += (known.empty() ? "" : ", ") + std::string(level);
  }
  return fail(Code::kInvalidArgument, "\"" + text + "\" is none of " + known);
}
Status set_count(std::uint32_t& to, const std::string& text) {
  auto count = parse_number<std::uint32_t>(text);
  if (!count || *count == 0)
    return fail(Code::kInvalidArgument, "\"" + text + "\" is no whole number from 1 to 4294967295");
  to = *count;
  return {};
}
Status set_bytes(std::uint64_t& to, const std::string& text) {
  to = TRY(parse_bytes(text));
  return {};
}
Status set_seconds(std::uint32_t& to, const std::string& text) {
  to = static_cast<std::uint32_t>(
      std::chrono::ceil<std::chrono::seconds>(TRY(parse_duration(text))).count());
  return {};
}

struct Key {
  const char* name;
  const char* help;
  std::function<Status(Config&, const std::string&)> set;
};
const Key kKeys[] = {
    {"state-dir", "Where volumes, keys, logs and state.db are",
     [](Config& c, const std::string& t) { return set_text(c.state_dir, t); }},
    {"run-dir", "Where control.sock is",
     [](Config& c, const std::string& t) { return set_text(c.run_dir, t); }},
    {"metrics", "ADDR:PORT of the Prometheus endpoint",
     [](Config& c, const std::string& t) { return set_text(c.metrics, t); }},
    {"log-level", "trace, debug, info, warn, error",
     [](Config& c, const std::string& t) { return set_log_level(c.log_level, t); }},
    {"max-agents", "Agents that may run at once",
     [](Config& c, const std::string& t) { return set_count(c.max_agents, t); }},
    {"max-memory", "Sum of running agents' memory limits (default: 90 % of the host's)",
     [](Config& c, const std::string& t) { return set_bytes(c.max_memory, t); }},
    {"max-disk", "Sum of all volumes (default: the file system, less 5 %)",
     [](Config& c, const std::string& t) { return set_bytes(c.max_disk, t); }},
    {"pressure", "File with the host's memory pressure, as the kernel's PSI writes it",
     [](Config& c, const std::string& t) { return set_text(c.pressure, t); }},
    {"shutdown-timeout", "How long SIGTERM waits for agents to stop",
     [](Config& c, const std::string& t) { return set_seconds(c.shutdown_timeout, t); }},
};

const Key* find_key(const std::string& name) {
  for (const Key& key : kKeys) {
    if (name == key.name) return &key;
  }
  return nullptr;
}

tl::unexpected<Error> at_line(const YAML::Mark& mark, const std::string& message) {
  return fail(Code::kInvalidArgument, "line " + std::to_string(mark.line + 1) + ": " + message);
}

Status apply_pair(const YAML::Node& name, const YAML::Node& value, std::set<std::string>& seen,
                  Config& config) {
  if (!name.IsScalar() || !value.IsScalar())
    return at_line(name.Mark(), "a setting is one \"key: value\"");
  const Key* key = find_key(name.Scalar());
  if (key == nullptr) return at_line(name.Mark(), "unknown setting \"" + name.Scalar() + "\"");
  if (!seen.insert(name.Scalar()).second)
    return at_line(name.Mark(), "\"" + name.Scalar() + "\" is set twice");
  auto set = key->set(config, value.Scalar());
  if (!set) return at_line(value.Mark(), name.Scalar() + ": " + set.error().message);
  return {};
}

// A file that others can write would let them choose where root's directories are.
Status apply_config_file(const std::string& path, Config& config) {
  auto fd = TRY(adopt_fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC), "open " + path));
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return fail_errno("stat " + path);
  if (info.st_uid != 0 || (info.st_mode & 022) != 0) {
    auto error =
        fail(Code::kFailedPrecondition, path + " can be written by others than root").value();
    return tl::unexpected(
        std::move(error).with_remedy("chown root: " + path + " && chmod go-w " + path));
  }
  auto text = TRY_CONTEXT(read_all(fd.get(), kFileLimit), path);
  TRY_CONTEXT(apply_config_text(text, config), path);
  return {};
}

}  // namespace

Status apply_config_text(const std::string& text, Config& config) {
  try {  // yaml-cpp throws: nothing of it passes this function
    YAML::Node root = YAML::Load(text);
    if (root.IsNull()) return {};
    if (!root.IsMap()) return at_line(root.Mark(), "expected \"key: value\" lines");
    std::set<std::string> seen;
    for (const auto& pair : root) TRY(apply_pair(pair.first, pair.second, seen, config));
    return {};
  } catch (const YAML::Exception& error) {
    return at_line(error.mark, error.msg);
  }
}

Result<ParsedArguments> parse_arguments(int argc, const char* const* argv) {
  ParsedArguments parsed;
  Arguments arguments(
      "flodead",
      "Supervisor of Flodea agents. Runs in the foreground, as root; SIGTERM stops agents "
      "gracefully, a second one at once.");
  std::string file;
  arguments.text("--config", file, "YAML file with the same settings as keys; root's");
  arguments.text("--control", parsed.config.control,
                 "Another program in flodea-control's place (for tests)");
  arguments.number("--resume", parsed.config.resume, "", Arguments::Listed::kNo);
  arguments.number("--check-state", parsed.config.check_state, "", Arguments::Listed::kNo);
  std::map<std::string, std::optional<std::string>> given;
  for (const Key& key : kKeys)
    arguments.text(std::string("--") + key.name, given[key.name], key.help);
  parsed.exit_code = arguments.parse(argc, argv);
  if (parsed.exit_code) return parsed;
  if (!file.empty()) TRY(apply_config_file(file, parsed.config));
  for (const Key& key : kKeys) {
    const auto& text = given[key.name];
    if (text) TRY_CONTEXT(key.set(parsed.config, *text), std::string("--") + key.name);
  }
  return parsed;
}

}  // namespace flodea::root
