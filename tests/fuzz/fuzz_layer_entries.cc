// What an unpacker that was taken over by its input writes, be it anything: it is taken or refused,
// within the bounds of a bundle, and nothing is made beside the directory that it goes into.
#include <fcntl.h>
#include <stdlib.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "supervisor/control/layers/entries_client.h"

namespace {

namespace fs = std::filesystem;
using namespace flodea;
using namespace flodea::control;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Place {
  fs::path path;
  std::unique_ptr<BundleStore> store;
  Place() {
    char name[] = "/dev/shm/flodea-fuzz-XXXXXX";
    require(::mkdtemp(name) != nullptr);
    path = name;
    fs::create_directory(path / "bundles");
    UniqueFd directory(::open((path / "bundles").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    store = std::move(*BundleStore::open(std::move(directory)));
  }
  ~Place() { fs::remove_all(path); }
  static std::ptrdiff_t entries(const fs::path& of) {
    return std::distance(fs::directory_iterator(of), {});
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Place place;
  {
    auto upload = place.store->receive({.bytes = 1 << 20, .entries = 64});
    require(upload.has_value());
    (void)read_entries({reinterpret_cast<const char*>(data), size}, *upload);
    require(Place::entries(place.path) == 1);
    require(Place::entries(place.path / "bundles") == 1);
  }
  require(Place::entries(place.path / "bundles") == 0);
  return 0;
}
