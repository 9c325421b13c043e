#include "policy/landlock.h"

#include <map>

#include <catch2/catch_test_macros.hpp>

namespace flodea::landlock {
namespace {

constexpr std::uint64_t kAbi1 = 0x1fff;  // by the kernel's documentation: bits 0 to 12
constexpr std::uint64_t kAbi2 = 0x3fff;
constexpr std::uint64_t kAbi3 = 0x7fff;
constexpr std::uint64_t kAbi5 = 0xffff;

std::map<std::string, std::uint64_t> rules_of(const Policy& policy) {
  std::map<std::string, std::uint64_t> rules;
  for (const Rule& rule : policy.rules) rules[rule.path] = rule.allowed;
  return rules;
}

}  // namespace

TEST_CASE("each ABI's rights are handled where it is offered, and none that it does not know") {
  struct Row {
    std::uint32_t offered, abi;
    std::uint64_t handled, scoped;
  };
  for (Row row : {Row{0, 0, 0, 0}, Row{1, 0, 0, 0}, Row{2, 2, kAbi2, 0}, Row{3, 3, kAbi3, 0},
                  Row{4, 4, kAbi3, 0}, Row{5, 5, kAbi5, 0}, Row{6, 6, kAbi5, 3},
                  Row{7, 7, kAbi5, 3}, Row{99, 7, kAbi5, 3}}) {
    CAPTURE(row.offered);
    Policy agent = agent_policy(row.offered);
    CHECK(agent.abi == row.abi);
    CHECK(agent.handled == row.handled);
    CHECK(agent.scoped == row.scoped);
  }
}

TEST_CASE("without Landlock, or with one that forbids every move, there are no rules") {
  for (std::uint32_t offered : {0u, 1u}) CHECK(agent_policy(offered).rules.empty());
}

TEST_CASE("a rule allows only what its ABI handles, which the kernel demands") {
  for (std::uint32_t abi = kOldestAbi; abi <= kNewestAbi; ++abi) {
    Policy policy = agent_policy(abi);
    for (const Rule& rule : policy.rules) {
      CAPTURE(abi, rule.path);
      CHECK((rule.allowed & ~policy.handled) == 0);
      CHECK(rule.allowed != 0);
    }
  }
}

TEST_CASE("an agent reads and executes everywhere and writes in its own directories alone") {
  auto rules = rules_of(agent_policy(kNewestAbi));
  CHECK(rules.size() == 5);
  CHECK(rules["/"] == (kExecute | kReadFile | kReadDir));
  CHECK(rules["/dev"] == (kWriteFile | kTruncate | kIoctlDev));
  for (const char* path : {"/data", "/tmp", "/dev/shm"}) {
    CAPTURE(path);
    constexpr std::uint64_t kFiles =
        kWriteFile | kTruncate | kMakeReg | kMakeDir | kMakeSym | kMakeFifo;
    constexpr std::uint64_t kMoves = kRemoveFile | kRemoveDir | kRefer;
    CHECK(rules[path] == (kFiles | kMoves));
  }
}

TEST_CASE("sockets and device nodes are made nowhere") {
  Policy policy = agent_policy(kNewestAbi);
  constexpr std::uint64_t kNodes = kMakeSock | kMakeChar | kMakeBlock;
  CHECK((policy.handled & kNodes) == kNodes);
  for (const Rule& rule : policy.rules) CHECK((rule.allowed & kNodes) == 0);
  static_assert((kAbi1 & kNodes) == kNodes);
}

TEST_CASE("what an ABI cannot hold an agent to is named") {
  CHECK(gaps(7).empty());
  CHECK(gaps(6).empty());
  CHECK(gaps(5).size() == 1);
  CHECK(gaps(4).size() == 2);
  CHECK(gaps(2).size() == 3);
  CHECK(gaps(2)[0].find("truncation") == 0);
  CHECK(gaps(1).size() == 1);
  CHECK(gaps(0).empty());  // the node says that there is no Landlock
}

}  // namespace flodea::landlock
