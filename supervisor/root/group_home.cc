#include "supervisor/root/group_home.h"

#include <unistd.h>

namespace flodea::root {
namespace {

bool is_there(const CgroupHierarchies& hierarchies, const std::string& name) {
  for (std::size_t i = 0; i < kCgroupControllers; ++i) {
    if (hierarchies.mount[i].empty()) continue;
    std::string path = hierarchies.mount[i] + hierarchies.own[i] + "/flodea-" + name;
    if (::access(path.c_str(), F_OK) == 0) return true;
  }
  return false;
}

bool take_line(std::string_view& text, std::string& line) {
  std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return false;
  line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

bool is_home(const std::string& path) {
  return path.empty() || (path.front() == '/' && path.find("..") == std::string::npos);
}

}  // namespace

std::string encode_home(const CgroupHierarchies& hierarchies, const std::string& boot_id) {
  std::string text = boot_id + "\n";
  for (const std::string& own : hierarchies.own) text += own + "\n";
  return text;
}

bool decode_home(std::string_view text, const std::string& boot_id,
                 CgroupHierarchies& hierarchies) {
  std::string boot;
  std::array<std::string, kCgroupControllers> own;
  if (!take_line(text, boot) || boot != boot_id) return false;
  for (std::string& path : own) {
    if (!take_line(text, path) || !is_home(path)) return false;
  }
  if (!text.empty()) return false;
  hierarchies.own = own;
  return true;
}

Result<CgroupHierarchies> settle_group_home(CgroupHierarchies here, const std::string& name,
                                            const Journal& journal, const std::string& boot_id) {
  CgroupHierarchies earlier = here;
  const std::string text = TRY(journal.home());
  if (decode_home(text, boot_id, earlier) && is_there(earlier, name)) here = std::move(earlier);
  TRY(journal.record_home(encode_home(here, boot_id)));
  return here;
}

}  // namespace flodea::root
