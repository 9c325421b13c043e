#include "supervisor/control/vault_client/vault_client.h"

#include <sys/socket.h>

#include <catch2/catch_test_macros.hpp>

#include "base/fd_message.h"
#include "flodea/vault/v1/vault.pb.h"

using namespace flodea;
using namespace flodea::control;
using namespace std::chrono_literals;
namespace pb = flodea::vault::v1;

namespace {

struct Bench {
  std::unique_ptr<EventLoop> loop = std::move(*EventLoop::create());
  UniqueFd vault;
  std::unique_ptr<VaultClient> client;
  std::optional<Result<LogKey>> key;
  AgentId agent = AgentId::random();

  Bench() {
    auto pair = make_socketpair(SOCK_SEQPACKET);
    vault = std::move(pair->second);
    client = std::move(*VaultClient::create(*loop, std::move(pair->first), 5ms));
  }
  void ask() {
    client->get_log_key(agent, [this](Result<LogKey> r) { key.emplace(std::move(r)); });
  }
  pb::Request hear() {  // blocks until the client has asked
    pb::Request request;
    request.ParseFromString(receive_fd_message(vault.get())->bytes);
    return request;
  }
  void answer(std::uint64_t id, const std::string& bytes, std::uint32_t code = 0) {
    pb::Reply reply;
    reply.set_id(id);
    reply.set_code(code);
    reply.mutable_get_log_key()->set_key(bytes);
    REQUIRE(send_fd_message(vault.get(), reply.SerializeAsString()));
  }
  void run() {
    for (int i = 0; i < 2000 && !key; ++i) REQUIRE(loop->run_once(20));
    REQUIRE(key);
  }
};

}  // namespace

TEST_CASE("the vault's key is handed on") {
  Bench b;
  b.ask();
  auto request = b.hear();
  CHECK(request.get_log_key().agent_id() == b.agent.text());
  b.answer(request.id(), std::string(32, 'k'));
  b.run();
  REQUIRE(*b.key);
  CHECK((**b.key)[31] == 'k');
}

TEST_CASE("a vault that was away is asked again, and may answer the first request late") {
  Bench b;
  b.ask();
  auto first = b.hear();
  for (int i = 0; i < 3; ++i) REQUIRE(b.loop->run_once(20));
  auto second = b.hear();
  CHECK(second.id() == first.id());
  b.answer(first.id(), std::string(32, 'k'));
  b.answer(first.id(), std::string(32, 'k'));
  b.run();
  CHECK(b.key->has_value());
}

TEST_CASE("no vault, a refusal and a key of another size are errors") {
  Bench b;
  b.ask();
  auto request = b.hear();
  SECTION("no answer") {
    b.run();
    CHECK(b.key->error().code == Code::kUnavailable);
  }
  SECTION("refused") {
    b.answer(request.id(), "", 15);
    b.run();
    CHECK(b.key->error().code == Code::kDataLoss);
  }
  SECTION("short") {
    b.answer(request.id(), "short");
    b.run();
    CHECK(b.key->error().code == Code::kInternal);
  }
}
