#include "supervisor/unpacker/layer.h"

#include <fmt/format.h>

#include "base/quantity.h"
#include "base/text.h"

namespace flodea::unpacker {
namespace {

tl::unexpected<Error> clash(const std::string& path, std::string_view first,
                            std::string_view second) {
  std::string message =
      first == second
          ? fmt::format("{}: {} comes twice with different content", first, shown(path))
          : fmt::format("{} and {} both bring {}, not the same", first, second, shown(path));
  return tl::unexpected<Error>(fail(Code::kInvalidArgument, std::move(message))
                                   .value()
                                   .with_remedy("leave one of the packages out"));
}

tl::unexpected<Error> too_much(std::string message) {
  return tl::unexpected<Error>(
      fail(Code::kResourceExhausted, std::move(message))
          .value()
          .with_remedy("leave out packages that the agent does not import"));
}

}  // namespace

Status Layer::count_entry(const std::string& archive) {
  if (++entries_ <= limits_.entries) return {};
  return too_much(
      fmt::format("{}: the packages have more than {} entries", archive, limits_.entries));
}

Status Layer::make_room(const std::string& path, const std::string& archive) {
  auto good = check_bundle_path(path, limits_);
  if (!good) return tl::unexpected(std::move(good).error().with_context(archive));
  if (directories_.contains(path)) return clash(path, archive, archive);
  for (std::size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    std::string parent = path.substr(0, slash);
    auto file = files_.find(parent);
    if (file != files_.end()) return clash(parent, file->second.archive, archive);
    directories_.insert(std::move(parent));
  }
  if (files_.size() + directories_.size() < limits_.entries) return {};
  return too_much(
      fmt::format("{}: the packages have more than {} entries", archive, limits_.entries));
}

Status Layer::begin(const std::string& path, bool executable, const std::string& archive) {
  path_ = path;
  archive_ = archive;
  executable_ = executable;
  hash_ = Sha256();
  again_ = files_.contains(path);
  if (again_) return {};
  TRY(make_room(path, archive));
  return sink_.file(path, executable);
}

Status Layer::append(std::string_view piece) {
  bytes_ += piece.size();
  if (bytes_ > limits_.bytes)
    return too_much(fmt::format("{}: the packages expand to more than {}", archive_,
                                format_bytes(limits_.bytes)));
  hash_.update(piece);
  return again_ ? Status() : sink_.data(piece);
}

Result<std::string> Layer::end() {
  std::string sha256 = hash_.finish();
  if (!again_) {
    files_[path_] = File{.sha256 = sha256, .executable = executable_, .archive = archive_};
    return sha256;
  }
  const File& before = files_.at(path_);
  if (before.sha256 != sha256 || before.executable != executable_)
    return clash(path_, before.archive, archive_);
  return sha256;
}

}  // namespace flodea::unpacker
