#include "policy/seccomp_profile.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <set>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace flodea {
namespace {

using Json = nlohmann::json;
constexpr int kMaxIncludeDepth = 4;
constexpr std::size_t kMaxRules = 1000;

tl::unexpected<Error> bad(const std::string& profile, std::string_view what) {
  return fail(Code::kInvalidArgument, fmt::format("seccomp profile {}: {}", profile, what));
}

struct ErrnoName {
  std::string_view name;
  int value;
};
constexpr std::array<ErrnoName, 6> kErrnos{{{"EPERM", EPERM},
                                            {"ENOSYS", ENOSYS},
                                            {"EACCES", EACCES},
                                            {"EINVAL", EINVAL},
                                            {"EAFNOSUPPORT", EAFNOSUPPORT},
                                            {"ENOTSUP", ENOTSUP}}};

Status parse_action(const std::string& profile, const std::string& text, SeccompRule& rule) {
  if (text == "allow") return rule.action = SeccompRule::Action::kAllow, Status{};
  if (text == "notify") return rule.action = SeccompRule::Action::kNotify, Status{};
  rule.action = SeccompRule::Action::kErrno;
  for (const ErrnoName& e : kErrnos) {
    if (text == "errno:" + std::string(e.name)) return rule.error = e.value, Status{};
  }
  return bad(profile, "unknown action \"" + text + "\"");
}

Result<std::uint64_t> parse_number(const std::string& profile, const Json& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (!value.is_string())
    return bad(profile, "an argument value must be a number or a string of one");
  const auto& text = value.get_ref<const std::string&>();
  char* end = nullptr;
  errno = 0;
  std::uint64_t number = std::strtoull(text.c_str(), &end, 0);
  if (errno != 0 || text.empty() || *end != '\0')
    return bad(profile, "\"" + text + "\" is not a number");
  return number;
}

Result<SeccompArg> parse_arg(const std::string& profile, const Json& json) {
  static const std::map<std::string, SeccompArg::Op> kOps{{"eq", SeccompArg::Op::kEq},
                                                          {"ne", SeccompArg::Op::kNe},
                                                          {"lt", SeccompArg::Op::kLt},
                                                          {"le", SeccompArg::Op::kLe},
                                                          {"gt", SeccompArg::Op::kGt},
                                                          {"ge", SeccompArg::Op::kGe},
                                                          {"masked_eq", SeccompArg::Op::kMaskedEq}};
  if (!json.is_object() || !json.contains("index") || !json.contains("op") ||
      !json.contains("value"))
    return bad(profile, "args need index, op and value");
  SeccompArg arg;
  arg.index = static_cast<unsigned>(TRY(parse_number(profile, json["index"])));
  auto op = json["op"].is_string() ? kOps.find(json["op"].get<std::string>()) : kOps.end();
  if (arg.index > 5 || op == kOps.end()) return bad(profile, "argument index or op out of range");
  arg.op = op->second;
  arg.value = TRY(parse_number(profile, json["value"]));
  if (arg.op == SeccompArg::Op::kMaskedEq) {
    if (!json.contains("mask")) return bad(profile, "masked_eq needs a mask");
    arg.mask = TRY(parse_number(profile, json["mask"]));
  }
  return arg;
}

Status check_keys(const std::string& profile, const Json& json,
                  const std::set<std::string>& allowed) {
  if (!json.is_object()) return bad(profile, "an object is needed");
  for (const auto& [key, value] : json.items()) {
    if (!allowed.contains(key)) return bad(profile, "unknown key \"" + key + "\"");
  }
  return {};
}

Result<SeccompRule> parse_rule(const std::string& profile, const Json& json) {
  TRY(check_keys(profile, json, {"syscalls", "action", "reason", "args"}));
  SeccompRule rule;
  rule.reason = json.value("reason", "");
  if (rule.reason.size() < 8)
    return bad(profile, "a rule has no reason: " + json_text(json).substr(0, 120));
  TRY(parse_action(profile, json.value("action", ""), rule));
  if (!json.contains("syscalls") || !json["syscalls"].is_array() || json["syscalls"].empty())
    return bad(profile, "a rule names no system call");
  for (const Json& name : json["syscalls"]) {
    if (!name.is_string()) return bad(profile, "system calls are named by strings");
    rule.syscalls.push_back(name.get<std::string>());
  }
  for (const Json& arg : json.value("args", Json::array()))
    rule.args.push_back(TRY(parse_arg(profile, arg)));
  return rule;
}

Status parse_into(SeccompProfile& out, const std::string& name, std::string_view text,
                  const ProfileSource& source, int depth) {
  if (depth > kMaxIncludeDepth) return bad(name, "includes are nested too deep");
  Json json = try_parse_json(text);
  if (json.is_discarded()) return bad(name, "not JSON");
  TRY(check_keys(name, json, {"include", "rules", "comment"}));
  for (const Json& include : json.value("include", Json::array())) {
    if (!include.is_string()) return bad(name, "include lists names");
    auto included = TRY(source(include.get<std::string>()));
    TRY(parse_into(out, include.get<std::string>(), included, source, depth + 1));
  }
  for (const Json& rule : json.value("rules", Json::array())) {
    out.rules.push_back(TRY(parse_rule(name, rule)));
    if (out.rules.size() > kMaxRules) return bad(name, "too many rules");
  }
  return {};
}

}  // namespace

Result<SeccompProfile> parse_seccomp_profile(const std::string& name, std::string_view json,
                                             const ProfileSource& source) {
  SeccompProfile profile{.name = name, .rules = {}};
  TRY(parse_into(profile, name, json, source, 0));
  if (profile.rules.empty()) return bad(name, "no rules");
  return profile;
}

}  // namespace flodea
