#include "proto/status_codec/status_codec.h"

#include <catch2/catch_test_macros.hpp>

namespace flodea {

TEST_CASE("an error survives the way through gRPC") {
  Error error{.code = Code::kFailedPrecondition, .message = "version is 7", .field = "if_version"};
  error.remedy = "read the key again";
  error.metadata.emplace_back("current_version", "7");
  grpc::Status status = to_grpc_status(error);
  CHECK(status.error_code() == grpc::StatusCode::FAILED_PRECONDITION);
  CHECK(status.error_message() == "version is 7");
  Error back = from_grpc_status(status);
  CHECK(back.code == error.code);
  CHECK(back.message == error.message);
  CHECK(back.field == error.field);
  CHECK(back.remedy == error.remedy);
  CHECK(back.metadata == error.metadata);
}

TEST_CASE("details that are too large are left out, the message stays") {
  Error error{.code = Code::kInvalidArgument, .message = "bad", .field = std::string(5000, 'f')};
  CHECK(to_grpc_status(error).error_details().empty());
  CHECK(to_grpc_status(error).error_message() == "bad");
}

TEST_CASE("a status with garbage for details, or of no code of ours, is still an error") {
  Error back = from_grpc_status({grpc::StatusCode::UNAUTHENTICATED, "who?", "\xff\xff garbage"});
  CHECK(back.code == Code::kUnknown);
  CHECK(back.message == "who?");
}

}  // namespace flodea
