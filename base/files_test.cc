// Identifiers, errors, safe paths and SQLite's owner.
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "base/ids.h"
#include "base/result.h"
#include "base/safe_path.h"
#include "base/sqlite.h"
#include "tests/support/temporary_dir.h"

namespace flodea {
namespace {

Status failing() { return fail(Code::kNotFound, "no such thing"); }
Status calling() {
  TRY_CONTEXT(failing(), "agent ledger");
  return {};
}

}  // namespace

TEST_CASE("an error carries its context, field and remedy") {
  auto status = calling();
  REQUIRE_FALSE(status);
  auto error = std::move(status).error().with_field("spec.x").with_remedy("do y");
  CHECK(error.describe() == "agent ledger: no such thing (field spec.x); do y");
  CHECK(code_name(error.code) == "NOT_FOUND");
  CHECK(fail_errno("open /x", ENOSPC).value().code == Code::kResourceExhausted);
}

TEST_CASE("identifiers take their one form and no other") {
  CHECK(AgentId::parse(AgentId::random().text()));
  CHECK(AgentId::random() != AgentId::random());
  for (const char* bad :
       {"", "../../etc", "0123456789ABCDEF0123456789ABCDEF", "0123456789abcdef0123456789abcde"})
    CHECK_FALSE(AgentId::parse(bad));
  CHECK(BundleDigest::parse("sha256:" + std::string(64, 'a')));
  CHECK_FALSE(BundleDigest::parse(std::string(64, 'a')));
  CHECK_FALSE(BundleDigest::from_hex(std::string(63, 'a') + "/"));
  for (const char* good : {"a", "ledger-2", "0x"}) CHECK(check_agent_name(good));
  for (const char* bad : {"", "-a", "a-", "A", "a/b", "a.b", "../x", "a b"})
    CHECK_FALSE(check_agent_name(bad));
  CHECK_FALSE(check_agent_name(std::string(64, 'a')));
}

TEST_CASE("nothing outside the directory can be opened") {
  TemporaryDir dir;
  UniqueFd fd = dir.open();
  REQUIRE(replace_file(fd.get(), "inside", "data", 0600));
  CHECK(read_file(fd.get(), "inside", 100).value() == "data");
  std::filesystem::create_symlink("/etc/passwd", dir.path() + "/link");
  CHECK(
      std::ifstream(dir.path() + "/link").good());  // the way out is there for those who follow it
  for (const char* path : {"link", "../etc/passwd", "/etc/passwd", "inside/../../x"})
    CHECK_FALSE(open_beneath(fd.get(), path, O_RDONLY));
  CHECK(read_file(fd.get(), "inside", 3).error().code == Code::kOutOfRange);
  CHECK_FALSE(std::filesystem::exists(dir.path() + "/inside.tmp"));
}

TEST_CASE("a transaction that is not committed leaves nothing") {
  TemporaryDir dir;
  auto db = sqlite::Database::open(dir.path() + "/t.db", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)
                .value();
  REQUIRE(db.exec("CREATE TABLE t(k TEXT PRIMARY KEY, v BLOB)"));
  auto insert = db.prepare("INSERT INTO t VALUES(?, ?)").value();
  {
    auto transaction = sqlite::Transaction::begin(db).value();
    REQUIRE(insert.bind(1, "a").bind_blob(2, std::string_view("\0b", 2)).run());
  }
  auto count = db.prepare("SELECT count(*) FROM t").value();
  REQUIRE(count.step().value());
  CHECK(count.integer(0) == 0);
  count.reset();
  auto transaction = sqlite::Transaction::begin(db).value();
  REQUIRE(insert.bind(1, "a").bind_blob(2, std::string_view("\0b", 2)).run());
  REQUIRE(transaction.commit());
  CHECK(insert.bind(1, "a").bind_null(2).run().error().code == Code::kAlreadyExists);
  auto value = db.prepare("SELECT v FROM t").value();
  REQUIRE(value.step().value());
  CHECK(value.text(0) == std::string_view("\0b", 2));
}

TEST_CASE("a file that is no database is told as lost data") {
  TemporaryDir dir;
  std::ofstream(dir.path() + "/t.db") << std::string(8192, 'x');
  auto db = sqlite::Database::open(dir.path() + "/t.db", SQLITE_OPEN_READWRITE).value();
  CHECK(db.exec("SELECT * FROM sqlite_schema").error().code == Code::kDataLoss);
}

}  // namespace flodea
