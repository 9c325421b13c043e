#include "supervisor/vault/keys.h"

#include <sodium.h>
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "tests/support/temporary_dir.h"

namespace flodea::vault {
namespace {

struct Fixture {
  Fixture() { REQUIRE(init_crypto()); }
  KeyStore store() {
    auto opened = KeyStore::open(dir.open());
    INFO((opened ? "" : opened.error().describe()));
    REQUIRE(opened);
    return std::move(*opened);
  }
  std::string key_file(const AgentId& of) const { return dir.path() + "/" + of.text() + ".key"; }
  TemporaryDir dir;
  AgentId agent = AgentId::random();
};

template <std::size_t N>
std::string text(const Secret<N>& key) {
  return std::string(reinterpret_cast<const char*>(key.raw()), N);
}

template <class T>
T must(Result<T> result) {
  INFO((result ? "" : result.error().describe()));
  REQUIRE(result);
  return std::move(*result);
}

std::string contents(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return must(read_all(fd.get(), 1 << 16));
}

}  // namespace

TEST_CASE_METHOD(Fixture, "keys are made once and are the same after a restart") {
  std::string volume, log;
  {
    auto keys = store();
    volume = text(must(keys.make_volume_key(agent)));
    log = text(must(keys.make_log_key(agent)));
    CHECK(text(must(keys.make_volume_key(agent))) == volume);
  }
  auto keys = store();
  CHECK(text(must(keys.volume_key(agent))) == volume);
  CHECK(text(must(keys.make_log_key(agent))) == log);
}

TEST_CASE_METHOD(Fixture, "log key first, volume key later") {
  auto keys = store();
  std::string log = text(must(keys.make_log_key(agent)));
  CHECK(keys.volume_key(agent).error().code == Code::kNotFound);
  must(keys.make_volume_key(agent));
  CHECK(text(must(keys.make_log_key(agent))) == log);
}

TEST_CASE_METHOD(Fixture,
                 "no key stands on the disk in clear, and node.key is its owner's to read alone") {
  auto keys = store();
  std::string volume = text(must(keys.make_volume_key(agent)));
  std::string log = text(must(keys.make_log_key(agent)));
  std::string file = contents(key_file(agent));
  CHECK(file.find(volume.substr(0, 16)) == std::string::npos);
  CHECK(file.find(log.substr(0, 16)) == std::string::npos);
  struct stat st{};
  REQUIRE(::stat((dir.path() + "/node.key").c_str(), &st) == 0);
  CHECK((st.st_mode & 0777) == 0400);
  CHECK(st.st_size == 32);
}

TEST_CASE_METHOD(Fixture, "another agent's wrapped key does not pass as one's own") {
  auto keys = store();
  must(keys.make_volume_key(agent));
  AgentId other = AgentId::random();
  std::filesystem::copy_file(key_file(agent), key_file(other));
  auto opened = keys.volume_key(other);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Code::kDataLoss);
}

TEST_CASE_METHOD(Fixture, "without its node key the store does not open, and makes no new one") {
  must(store().make_volume_key(agent));
  std::filesystem::remove(dir.path() + "/node.key");
  auto opened = KeyStore::open(dir.open());
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Code::kFailedPrecondition);
  CHECK(opened.error().message.find("keys/node.key is missing") != std::string::npos);
  CHECK(opened.error().remedy.find("keys/node.key") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(dir.path() + "/node.key"));
}

TEST_CASE_METHOD(Fixture, "a node key of a wrong size is refused even before anything is wrapped") {
  store();
  std::filesystem::resize_file(dir.path() + "/node.key", 31);
  auto opened = KeyStore::open(dir.open());
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Code::kFailedPrecondition);
  CHECK(opened.error().message.find("31 bytes, not 32") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "a wrong node key is called that by every verb, and wraps nothing new") {
  must(store().make_volume_key(agent));
  std::filesystem::remove(dir.path() + "/node.key");
  REQUIRE(replace_file(dir.open().get(), "node.key", std::string(32, 'w'), 0400));
  auto keys = store();
  for (const Error& error :
       {keys.volume_key(agent).error(), keys.make_volume_key(AgentId::random()).error(),
        keys.make_log_key(AgentId::random()).error()}) {
    CHECK(error.code == Code::kDataLoss);
    CHECK(error.message.starts_with("wrong node key"));
    CHECK(error.remedy.find("keys/node.key") != std::string::npos);
  }
}

TEST_CASE_METHOD(Fixture, "one damaged file beside a good one is that agent's trouble alone") {
  AgentId damaged = AgentId::random();
  {
    auto keys = store();
    must(keys.make_volume_key(agent));
    must(keys.make_volume_key(damaged));
  }
  std::string file = contents(key_file(damaged));
  file.back() ^= 1;
  REQUIRE(replace_file(dir.open().get(), damaged.text() + ".key", file, 0600));
  auto keys = store();
  CHECK(keys.volume_key(agent));
  CHECK(keys.volume_key(damaged).error().code == Code::kDataLoss);
  file.resize(40);
  REQUIRE(replace_file(dir.open().get(), damaged.text() + ".key", file, 0600));
  CHECK(keys.volume_key(damaged).error().code == Code::kDataLoss);
}

TEST_CASE_METHOD(Fixture, "destroying overwrites the wrapped keys before the name goes") {
  auto keys = store();
  must(keys.make_volume_key(agent));
  std::string wrapped = contents(key_file(agent)).substr(10, 24 + 64 + 16);
  UniqueFd held(::open(key_file(agent).c_str(), O_RDONLY | O_CLOEXEC));
  auto digest = must(keys.destroy(agent));
  CHECK_FALSE(std::filesystem::exists(key_file(agent)));
  std::string after = must(read_all(held.get(), 4096));
  CHECK(after == std::string(after.size(), '\0'));
  unsigned char hash[32];
  ::crypto_hash_sha256(hash, reinterpret_cast<const unsigned char*>(wrapped.data()),
                       wrapped.size());
  char hex[65];
  CHECK(digest == std::string(::sodium_bin2hex(hex, sizeof hex, hash, sizeof hash)));
  CHECK(must(keys.destroy(agent)) == std::nullopt);
}

}  // namespace flodea::vault
