#include "supervisor/vault/service.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <optional>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "flodea/vault/v1/vault.pb.h"
#include "tests/support/temporary_dir.h"

namespace flodea::vault {
namespace {

class FixedClock final : public Clock {
 public:
  Nanos wall() const override { return Nanos(1234); }
  Nanos monotonic() const override { return Nanos(0); }
  Nanos boot() const override { return Nanos(0); }
};

struct Fixture {
  Fixture() {
    spdlog::set_level(spdlog::level::off);
    REQUIRE(init_crypto());
    auto opened = KeyStore::open(key_dir.open());
    REQUIRE(opened);
    keys.emplace(std::move(*opened));
    auto made = Server::create([](const AgentId&) {});
    INFO((made ? "" : made.error().describe()));
    REQUIRE(made);
    server = std::move(*made);
    auto table = DeviceTable::open(std::move(*DeviceTable::make()));
    REQUIRE(table);
    service.emplace(*keys, *server, volume_dir.open(), std::move(*table), clock);
  }

  v1::Reply ask(Peer peer, const v1::Request& request, std::vector<UniqueFd> fds = {}) {
    auto outcome = service->handle(peer, request.SerializeAsString(), std::move(fds));
    v1::Reply reply;
    REQUIRE(reply.ParseFromString(outcome.reply));
    CHECK(reply.id() == request.id());
    return reply;
  }
  v1::Request create(std::uint64_t size = 1 << 20) {
    v1::Request request;
    request.set_id(1);
    request.mutable_create()->set_agent_id(agent.text());
    request.mutable_create()->set_size_bytes(size);
    return request;
  }
  v1::Request serve() {
    v1::Request request;
    request.set_id(2);
    request.mutable_serve()->set_agent_id(agent.text());
    return request;
  }
  v1::Request destroy() {
    v1::Request request;
    request.set_id(3);
    request.mutable_destroy()->set_agent_id(agent.text());
    return request;
  }
  v1::Request log_key() {
    v1::Request request;
    request.set_id(4);
    request.mutable_get_log_key()->set_agent_id(agent.text());
    return request;
  }

  TemporaryDir key_dir, volume_dir;
  AgentId agent = AgentId::random();
  FixedClock clock;
  std::optional<KeyStore> keys;
  std::unique_ptr<Server> server;
  std::optional<Service> service;
};

std::uint32_t code(Code c) { return static_cast<std::uint32_t>(c); }

}  // namespace

TEST_CASE_METHOD(Fixture,
                 "control may have log keys and nothing else; flodead everything but log keys") {
  for (const v1::Request& request : {create(), serve(), destroy()})
    CHECK(ask(Peer::kControl, request).code() == code(Code::kPermissionDenied));
  CHECK(ask(Peer::kRoot, log_key()).code() == code(Code::kPermissionDenied));
  v1::Reply reply = ask(Peer::kControl, log_key());
  CHECK(reply.code() == 0);
  CHECK(reply.get_log_key().key().size() == 32);
  CHECK(ask(Peer::kControl, log_key()).get_log_key().key() == reply.get_log_key().key());
}

TEST_CASE_METHOD(Fixture, "creating is idempotent and tells the size that is there") {
  CHECK(ask(Peer::kRoot, create()).create().created());
  v1::Reply again = ask(Peer::kRoot, create(2 << 20));
  CHECK(again.code() == 0);
  CHECK_FALSE(again.create().created());
  CHECK(again.create().size_bytes() == 1 << 20);
}

TEST_CASE_METHOD(Fixture,
                 "destroying gives a receipt, and a second time says that nothing was there") {
  ask(Peer::kRoot, create());
  v1::Reply reply = ask(Peer::kRoot, destroy());
  CHECK(reply.destroy().existed());
  CHECK(reply.destroy().key_digest().size() == 64);
  CHECK(reply.destroy().destroyed_ns() == 1234);
  CHECK(std::filesystem::is_empty(volume_dir.path()));
  CHECK_FALSE(ask(Peer::kRoot, destroy()).destroy().existed());
}

TEST_CASE_METHOD(Fixture, "an image whose key is gone is never given a new key") {
  ask(Peer::kRoot, create());
  std::filesystem::remove(key_dir.path() + "/" + agent.text() + ".key");
  v1::Reply reply = ask(Peer::kRoot, create());
  CHECK(reply.code() == code(Code::kDataLoss));
  CHECK_FALSE(std::filesystem::exists(key_dir.path() + "/" + agent.text() + ".key"));
}

TEST_CASE_METHOD(Fixture, "serving wants a volume and one descriptor") {
  CHECK(ask(Peer::kRoot, serve()).code() == code(Code::kInvalidArgument));
  std::vector<UniqueFd> fds;
  fds.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
  CHECK(ask(Peer::kRoot, serve(), std::move(fds)).code() == code(Code::kNotFound));
  CHECK(server->count() == 0);
}

TEST_CASE_METHOD(Fixture, "a bad id, an unknown verb and garbage are answered, not obeyed") {
  v1::Request bad = create();
  bad.mutable_create()->set_agent_id("../../etc/passwd");
  CHECK(ask(Peer::kRoot, bad).code() == code(Code::kInvalidArgument));
  v1::Request none;
  none.set_id(9);
  CHECK(ask(Peer::kRoot, none).code() == code(Code::kUnimplemented));
  v1::Reply reply;
  REQUIRE(reply.ParseFromString(service->handle(Peer::kRoot, "\xff\xff\xff garbage", {}).reply));
  CHECK(reply.code() == code(Code::kInvalidArgument));
}

TEST_CASE_METHOD(Fixture, "a new control's socket takes the place of the last one's") {
  auto pair = make_socketpair(SOCK_SEQPACKET);
  REQUIRE(pair);
  v1::Request request;
  request.set_id(5);
  request.mutable_attach_control();
  std::vector<UniqueFd> fds;
  fds.push_back(std::move(pair->first));
  CHECK(service->handle(Peer::kRoot, request.SerializeAsString(), std::move(fds))
            .new_control.valid());
  CHECK(ask(Peer::kControl, request).code() == code(Code::kPermissionDenied));
}

}  // namespace flodea::vault
