#include "worker/transcoder.h"

#include <google/protobuf/descriptor.h>

#include <catch2/catch_test_macros.hpp>

#include "flodea/kernel/v1/clock.pb.h"
#include "flodea/storage/v1/store.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace flodea::worker {
namespace {

constexpr const char* kCommit = "flodea.storage.v1.Store/Commit";

Result<EncodedRequest> encode(const char* name, std::string_view params,
                              std::string_view key = {}) {
  Transcoder transcoder;
  const Method* method = transcoder.find(name);
  REQUIRE(method != nullptr);
  return transcoder.encode(*method, params, key);
}

}  // namespace

TEST_CASE("a linked method is found by its name, once") {
  Transcoder transcoder;
  const Method* now = transcoder.find("flodea.kernel.v1.Clock/Now");
  REQUIRE(now != nullptr);
  CHECK(now->path == "/flodea.kernel.v1.Clock/Now");
  CHECK(now->idempotent);
  CHECK_FALSE(now->streams);
  CHECK(now->dedup_key == nullptr);
  CHECK(transcoder.find("flodea.kernel.v1.Clock/Now") == now);
  CHECK(transcoder.find("flodea.agent.v1.Self/WatchStop")->streams);
  CHECK_FALSE(transcoder.find("flodea.storage.v1.Store/Put")->idempotent);
  CHECK(transcoder.find(kCommit)->dedup_key != nullptr);
}

TEST_CASE("what is no method of Flodea's is not found, however it is written") {
  Transcoder transcoder;
  for (const char* name :
       {"", "/", "flodea.kernel.v1.Clock", "flodea.kernel.v1.Clock.Now",
        "flodea.kernel.v1/Clock.Now", "flodea.kernel.v1.Clock/", "flodea.kernel.v1.Clock/Nope",
        "/flodea.kernel.v1.Clock/Now", "flodea.kernel.v1.Clock/Now/", "google.rpc.Status/code",
        "flodea.kernel.v1.NowRequest/x"}) {
    CAPTURE(name);
    CHECK(transcoder.find(name) == nullptr);
  }
}

TEST_CASE("params become the request, no params the empty one") {
  auto encoded = encode("flodea.kernel.v1.Clock/SleepUntil", R"({"wallNanos":"7"})");
  REQUIRE(encoded);
  kernel::v1::SleepUntilRequest request;
  REQUIRE(request.ParseFromString(encoded->bytes));
  CHECK(request.wall_nanos() == 7);
  CHECK(encoded->repeatable);
  CHECK(encode("flodea.kernel.v1.Clock/Now", "")->bytes.empty());
}

TEST_CASE("params that do not fit are refused, and the answer is plain ASCII") {
  for (const char* params : {R"({"wallNanos":"soon"})", R"({"no_such":1})", "[1]",
                             R"({"wallNanos":"1",)", R"({"\u00e9":1})", "{\"\xff\xfe\":1}"}) {
    CAPTURE(params);
    auto encoded = encode("flodea.kernel.v1.Clock/SleepUntil", params);
    REQUIRE_FALSE(encoded);
    CHECK(encoded.error().code == Code::kInvalidArgument);
    CHECK(encoded.error().message.starts_with("params: "));
    for (char c : encoded.error().message) CHECK(static_cast<unsigned char>(c) < 0x7f);
  }
}

TEST_CASE("deep nesting is refused, not followed") {
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += R"({"conditions":[)";
  CHECK_FALSE(encode(kCommit, deep));
}

TEST_CASE("a key makes a write repeatable where the method has a place for it") {
  auto keyed = encode(kCommit, R"({"puts":[{"key":"YQ==","value":"Yg=="}]})", "k1");
  REQUIRE(keyed);
  CHECK(keyed->repeatable);
  storage::v1::CommitRequest request;
  REQUIRE(request.ParseFromString(keyed->bytes));
  CHECK(request.dedup_key() == "k1");
  CHECK(request.puts(0).value() == "b");
  CHECK(encode(kCommit, R"({"dedupKey":"own"})")->repeatable);
  CHECK_FALSE(encode(kCommit, "{}")->repeatable);
}

TEST_CASE("a key is refused where it would promise what the method cannot keep") {
  CHECK(encode("flodea.storage.v1.Store/Put", "{}", "k1").error().code == Code::kInvalidArgument);
  auto harmless = encode("flodea.kernel.v1.Clock/Now", "{}", "k1");
  REQUIRE(harmless);
  CHECK(harmless->repeatable);
}

TEST_CASE("a reply becomes JSON; bytes that are no reply are the server's fault") {
  Transcoder transcoder;
  const Method* get = transcoder.find("flodea.storage.v1.Store/Get");
  storage::v1::GetResponse response;
  response.mutable_entry()->set_key("a");
  response.mutable_entry()->set_version(5);
  CHECK(*transcoder.decode(*get, response.SerializeAsString()) ==
        R"({"entry":{"key":"YQ==","version":"5"}})");
  CHECK(*transcoder.decode(*get, "") == "{}");
  CHECK(transcoder.decode(*get, "\xff\xff").error().code == Code::kInternal);
}

TEST_CASE("details that are known are given as JSON, others are left out") {
  google::rpc::Status status;
  google::rpc::ErrorInfo info;
  info.set_reason("FULL");
  status.add_details()->PackFrom(info);
  auto* foreign = status.add_details();
  foreign->set_type_url("type.googleapis.com/some.Thing");
  foreign->set_value("x");
  std::string json = Transcoder::details_json(status.SerializeAsString());
  CHECK(json == R"([{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"FULL"}])");
  CHECK(Transcoder::details_json("").empty());
  CHECK(Transcoder::details_json("\xff\xff").empty());
  CHECK(Transcoder::details_json(google::rpc::Status().SerializeAsString()).empty());
}

}  // namespace flodea::worker
