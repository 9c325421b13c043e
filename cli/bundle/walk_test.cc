#include "cli/bundle/walk.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "tests/support/temporary_dir.h"

namespace flodea::cli {
namespace {

namespace fs = std::filesystem;

struct Tree : TemporaryDir {
  void file(const std::string& name, std::string_view text = "x") const {
    fs::create_directories((*this / name).parent_path());
    std::ofstream(*this / name) << text;
  }
};

struct Recorder final : BundleSink {
  std::string log;
  Status entry(const BundleItem& item) override {
    log += "<" + item.path + (item.target.empty() ? "" : "->" + item.target) + ">";
    return {};
  }
  Status data(std::string_view piece) override {
    log += piece;
    return {};
  }
};

TEST_CASE("a directory is sent parents first, sorted, without .git and __pycache__") {
  Tree dir;
  dir.file("main.py", "code");
  dir.file("lib/b", "B");
  dir.file("lib/a", "");
  dir.file(".git/config");
  dir.file("lib/__pycache__/x.pyc");
  fs::create_symlink("../main.py", dir / "lib/link");
  auto tree = scan_bundle(dir.path());
  REQUIRE(tree);
  CHECK(tree->bytes == 5);
  Recorder recorder;
  REQUIRE(send_bundle(*tree, recorder));
  CHECK(recorder.log == "<lib><lib/a><lib/b>B<lib/link->../main.py><main.py>code");
}

void expect_refusal(const Tree& dir, std::string_view in_text, BundleLimits limits = {}) {
  auto tree = scan_bundle(dir.path(), limits);
  REQUIRE_FALSE(tree);
  INFO(tree.error().describe());
  CHECK(tree.error().field == "spec.bundle");
  CHECK_FALSE(tree.error().remedy.empty());
  CHECK(tree.error().describe().find(in_text) != std::string::npos);
  CHECK(tree.error().describe().find(dir.path()) != std::string::npos);
}

TEST_CASE("what the supervisor would refuse is refused before a byte is read") {
  Tree dir;
  SECTION("device node") {
    REQUIRE(::mknod((dir / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)) == 0);
    expect_refusal(dir, "character device");
  }
  SECTION("pipe") {
    REQUIRE(::mkfifo((dir / "pipe").c_str(), 0666) == 0);
    expect_refusal(dir, "named pipe");
  }
  SECTION("setuid") {
    dir.file("su");
    REQUIRE(::chmod((dir / "su").c_str(), 04755) == 0);
    expect_refusal(dir, "setuid");
  }
  SECTION("absolute link") {
    fs::create_symlink("/etc/passwd", dir / "abs");
    expect_refusal(dir, "absolute");
  }
  SECTION("link that leaves") {
    fs::create_directory(dir / "d");
    fs::create_symlink("../../x", dir / "d/up");
    expect_refusal(dir, "leaves the bundle");
  }
  SECTION("10 GB file") {
    dir.file("big");
    REQUIRE(::truncate((dir / "big").c_str(), 10'000'000'000) == 0);
    expect_refusal(dir, "big (9.3Gi)");
  }
  SECTION("too many files") {
    for (int i = 0; i < 12; ++i) dir.file("f" + std::to_string(i));
    expect_refusal(dir, "more than 10 entries", BundleLimits{.entries = 10});
  }
  SECTION("too deep") {
    dir.file("a/b/c/d");
    expect_refusal(dir, "deep", BundleLimits{.depth = 3});
  }
  SECTION("a name that is no text") {
    dir.file("bad\xff");
    expect_refusal(dir, "UTF-8");
  }
  SECTION("nothing at all") { expect_refusal(dir, "empty"); }
}

TEST_CASE("a bundle that is not there is named") {
  auto tree = scan_bundle("/nonexistent/x");
  REQUIRE_FALSE(tree);
  CHECK(tree.error().describe().find("/nonexistent/x") != std::string::npos);
}

TEST_CASE("a file that grows or changes its kind after the scan is not sent") {
  Tree dir;
  dir.file("a", "12");
  auto tree = scan_bundle(dir.path());
  REQUIRE(tree);
  SECTION("grows") { dir.file("a", "123"); }
  SECTION("becomes a pipe") {
    fs::remove(dir / "a");
    REQUIRE(::mkfifo((dir / "a").c_str(), 0666) == 0);
  }
  SECTION("becomes a link") {
    fs::remove(dir / "a");
    fs::create_symlink("/etc/passwd", dir / "a");
  }
  Recorder recorder;
  CHECK_FALSE(send_bundle(*tree, recorder));
}

}  // namespace
}  // namespace flodea::cli
