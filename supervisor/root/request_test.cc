#include "supervisor/root/request.h"

#include <catch2/catch_test_macros.hpp>

using namespace flodea;
using namespace flodea::root;

namespace {

v1::Request good_start() {
  v1::Request request;
  request.set_id(1);
  auto* start = request.mutable_start();
  start->set_agent_id(std::string(32, 'a'));
  start->set_generation(1);
  start->set_hostname("ledger");
  start->set_bundle(std::string(64, 'b'));
  start->set_runtime("python");
  start->mutable_limits()->set_memory_bytes(64 << 20);
  start->mutable_limits()->set_cpu_millis(500);
  start->mutable_limits()->set_pids(64);
  start->mutable_limits()->set_open_files(256);
  start->mutable_limits()->set_tmp_bytes(1 << 20);
  return request;
}

Code code_of(const v1::Request& request) {
  auto decoded = decode_request(request.SerializeAsString());
  return decoded ? Code{} : decoded.error().code;
}

template <class Change>
std::string field_of(Change change) {
  auto request = good_start();
  change(*request.mutable_start());
  auto decoded = decode_request(request.SerializeAsString());
  REQUIRE_FALSE(decoded);
  CHECK(decoded.error().code == Code::kInvalidArgument);
  return decoded.error().field;
}

}  // namespace

TEST_CASE("a whole Start passes") { CHECK(decode_request(good_start().SerializeAsString())); }

TEST_CASE("each field of a Start is checked, and named when it is wrong") {
  CHECK(field_of([](v1::StartRequest& s) { s.set_agent_id("../../etc"); }) == "agent_id");
  CHECK(field_of([](v1::StartRequest& s) { s.set_agent_id(std::string(32, 'A')); }) == "agent_id");
  CHECK(field_of([](v1::StartRequest& s) { s.set_generation(0); }) == "generation");
  CHECK(field_of([](v1::StartRequest& s) { s.set_hostname("a/b"); }) == "hostname");
  CHECK(field_of([](v1::StartRequest& s) { s.set_bundle("../volumes"); }) == "bundle");
  CHECK(field_of([](v1::StartRequest& s) { s.set_runtime("../worker"); }) == "runtime");
  CHECK(field_of([](v1::StartRequest& s) { s.add_layers("app"); }) == "layers");
  CHECK(field_of([](v1::StartRequest& s) {
          for (int i = 0; i < 5; ++i) s.add_layers(std::string(64, 'c'));
        }) == "layers");
  CHECK(field_of([](v1::StartRequest& s) { s.mutable_limits()->set_memory_bytes(0); }) ==
        "limits.memory_bytes");
  CHECK(field_of([](v1::StartRequest& s) { s.mutable_limits()->set_cpu_millis(0); }) ==
        "limits.cpu_millis");
  CHECK(field_of([](v1::StartRequest& s) { s.mutable_limits()->set_pids(100000); }) ==
        "limits.pids");
  CHECK(field_of([](v1::StartRequest& s) { s.mutable_limits()->set_open_files(1u << 30); }) ==
        "limits.open_files");
  CHECK(field_of([](v1::StartRequest& s) { s.mutable_limits()->set_tmp_bytes(0); }) ==
        "limits.tmp_bytes");
}

TEST_CASE("what is no request is refused") {
  CHECK_FALSE(decode_request(""));
  CHECK_FALSE(decode_request("garbage\xff\xff"));
  v1::Request request;
  CHECK(code_of(request) == Code::kInvalidArgument);  // no id
  request.set_id(7);
  CHECK(code_of(request) == Code::kUnimplemented);  // no verb
  request.mutable_hello()->set_protocol(99);
  CHECK(code_of(request) == Code::kInvalidArgument);
  request.mutable_list()->set_page_size(201);
  CHECK(code_of(request) == Code::kInvalidArgument);
  request.mutable_create_volume()->set_agent_id(std::string(32, 'a'));
  request.mutable_create_volume()->set_size_bytes(1);
  CHECK(code_of(request) == Code::kInvalidArgument);
}
