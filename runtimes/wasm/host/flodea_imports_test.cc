#include "runtimes/wasm/host/flodea_imports.h"

#include <signal.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace flodea;
using namespace flodea::wasm;

namespace {

// A module's memory of one page, its imports, and the worker's end of the socket.
class Bench {
 public:
  Bench() {
    auto pair = make_socketpair(SOCK_STREAM);
    REQUIRE(pair);
    worker_ = std::move(pair->first);
    imports = std::make_unique<FlodeaImports>(CallClient(std::move(pair->second)));
  }

  GuestMemory memory() { return {bytes.data(), bytes.size()}; }
  std::uint32_t put(const std::string& text) {
    std::memcpy(bytes.data() + kRequestAt, text.data(), text.size());
    return static_cast<std::uint32_t>(text.size());
  }
  std::int32_t call(const std::string& request, std::uint32_t capacity = 4096) {
    return imports->call(memory(), kRequestAt, put(request), kReplyAt, capacity);
  }
  std::int32_t open(const std::string& request) {
    return imports->open(memory(), kRequestAt, put(request));
  }
  std::int32_t next(std::int32_t handle, std::uint32_t capacity = 4096, std::int32_t timeout = 0) {
    return imports->next(memory(), handle, kReplyAt, capacity, timeout);
  }
  std::string reply(std::int32_t length) {
    return length < 0 ? "" : std::string(reinterpret_cast<char*>(&bytes[kReplyAt]), length);
  }

  // What the worker says may stand in the socket before it was asked.
  void worker_says(const std::string& lines) {
    REQUIRE(::send(worker_.get(), lines.data(), lines.size(), 0) == ssize_t(lines.size()));
  }
  std::string worker_heard() {
    char buffer[8192];
    ssize_t n = ::recv(worker_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    return n > 0 ? std::string(buffer, n) : "";
  }
  void hang_up() { worker_.reset(); }

  static constexpr std::uint32_t kRequestAt = 64;
  static constexpr std::uint32_t kReplyAt = 32768;
  std::vector<std::uint8_t> bytes = std::vector<std::uint8_t>(65536, 0xee);
  std::unique_ptr<FlodeaImports> imports;

 private:
  UniqueFd worker_;
};

constexpr auto kNow = R"({"method":"flodea.kernel.v1.Clock/Now"})";
constexpr auto kWatch = R"({"method":"flodea.agent.v1.Self/WatchStop","params":{}})";
constexpr int kInvalidNumber = static_cast<int>(GuestError::kInvalid);
constexpr int kFaultNumber = static_cast<int>(GuestError::kFault);

}  // namespace

TEST_CASE("a call gets the envelope's members from the host, and its answer without them") {
  Bench bench;
  bench.worker_says("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"wallNanos\":\"7\"}}\n");
  std::int32_t length = bench.call("{ \"method\":\"a.b/C\",\n\"params\":{\"x\":[1,\"\\n\"]} }");
  CHECK(bench.reply(length) == R"({"result":{"wallNanos":"7"}})");
  CHECK(bench.worker_heard() ==
        "{\"jsonrpc\":\"2.0\",\"id\":1, \"method\":\"a.b/C\", \"params\":{\"x\":[1,\"\\n\"]} }\n");
}

TEST_CASE("an error is an answer too") {
  Bench bench;
  bench.worker_says(
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32005,\"message\":\"no\"}}\n");
  CHECK(bench.reply(bench.call(kNow)) == R"({"error":{"code":-32005,"message":"no"}})");
}

TEST_CASE("an answer that does not fit is fetched, once, and nothing of it is copied before") {
  Bench bench;
  bench.worker_says("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n");
  CHECK(bench.call(kNow, 5) == 13);
  CHECK(bench.bytes[Bench::kReplyAt] == 0xee);
  CHECK(bench.imports->reply(bench.memory(), Bench::kReplyAt, 12) == 13);
  CHECK(bench.bytes[Bench::kReplyAt] == 0xee);
  CHECK(bench.reply(bench.imports->reply(bench.memory(), Bench::kReplyAt, 13)) ==
        R"({"result":{}})");
  CHECK(bench.imports->reply(bench.memory(), Bench::kReplyAt, 13) == 0);
}

TEST_CASE("a place that is not within the memory is refused before anything is sent") {
  Bench bench;
  GuestMemory memory = bench.memory();
  std::uint32_t length = bench.put(kNow);
  std::uint32_t end = static_cast<std::uint32_t>(memory.size);
  CHECK(bench.imports->call(memory, end - 1, length, 0, 10) == kFaultNumber);
  CHECK(bench.imports->call(memory, 0xffffffff, 2, 0, 10) == kFaultNumber);
  CHECK(bench.imports->call(memory, Bench::kRequestAt, length, end - 9, 10) == kFaultNumber);
  CHECK(bench.imports->call(memory, Bench::kRequestAt, length, 8, 0xffffffff) == kFaultNumber);
  CHECK(bench.imports->call({}, 0, 1, 0, 0) == kFaultNumber);
  CHECK(bench.imports->open(memory, end, 1) == kFaultNumber);
  CHECK(bench.imports->reply(memory, end, 1) == kFaultNumber);
  CHECK(bench.imports->next(memory, 1, end, 1, 0) == kFaultNumber);
  CHECK(bench.worker_heard().empty());
}

TEST_CASE("a request longer than 1 MiB is refused, wherever it stands") {
  Bench bench;
  CHECK(bench.imports->call(bench.memory(), 0, (1 << 20) + 1, 0, 0) == -1);
  CHECK(bench.imports->open(bench.memory(), 0, 0xffffffff) == -1);
}

TEST_CASE("what is no request is refused and never reaches the worker") {
  Bench bench;
  for (std::string request : {
           "",
           "{",
           "[]",
           "7",
           "null",
           "\"method\"",
           "{}",
           R"({"params":{}})",
           R"({"method":7})",
           R"({"method":"a","id":1})",
           R"({"method":"a","jsonrpc":"2.0"})",
           R"({"method":"a","method":"b"})",
           R"({"method":"a"} x)",
           R"({"method":"a"}{})",
           R"({"params":{"method":"a"}})",
           "{\"method\":\"a\nb\"}",
           "{\"method\":\"\xff\"}",
       }) {
    CAPTURE(request);
    CHECK(bench.call(request) == kInvalidNumber);
    CHECK(bench.open(request) == kInvalidNumber);
  }
  std::string hidden("{\"method\":\"a\"}\0,\"id\":9}", 23);
  CHECK(bench.call(hidden) == kInvalidNumber);
  std::string deep =
      R"({"method":"a","params":)" + std::string(70, '[') + std::string(70, ']') + "}";
  CHECK(bench.call(deep) == kInvalidNumber);
  CHECK(bench.worker_heard().empty());
}

TEST_CASE("an error without an id is the answer to the call under way") {
  Bench bench;
  bench.worker_says(
      "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,\"message\":\"m\"}}\n");
  CHECK(bench.reply(bench.call(kNow)) == R"({"error":{"code":-32700,"message":"m"}})");
}

TEST_CASE(
    "a stream's messages come in order, between other answers, and are paid for as they are "
    "taken") {
  Bench bench;
  std::int32_t handle = bench.open(R"({"method":"a.b/S"})");
  REQUIRE(handle > 0);
  CHECK(bench.worker_heard().find(R"("method":"credit","params":{"id":1,"n":16})") !=
        std::string::npos);
  CHECK(bench.next(handle) == static_cast<int>(GuestError::kTimedOut));
  bench.worker_says(
      "{\"jsonrpc\":\"2.0\",\"method\":\"stream\",\"params\":{\"id\":1,\"seq\":1,\"message\":{"
      "\"n\":1}}}\n"
      "{\"jsonrpc\":\"2.0\",\"method\":\"stream\",\"params\":{\"id\":1,\"seq\":2,\"message\":{"
      "\"n\":2}}}\n"
      "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n"
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n");
  CHECK(bench.reply(bench.call(kNow)) == R"({"result":{}})");
  bench.worker_heard();
  CHECK(bench.next(handle, 3) == 7);  // too small: it stays
  CHECK(bench.reply(bench.next(handle)) == R"({"n":1})");
  CHECK(bench.worker_heard() ==
        "{\"jsonrpc\":\"2.0\",\"method\":\"credit\",\"params\":{\"id\":1,\"n\":1}}\n");
  CHECK(bench.reply(bench.next(handle)) == R"({"n":2})");
  CHECK(bench.next(handle) == 0);
  CHECK(bench.imports->close(handle) == 0);
  CHECK(bench.imports->close(handle) == static_cast<int>(GuestError::kBadHandle));
  CHECK(bench.next(handle) == static_cast<int>(GuestError::kBadHandle));
}

TEST_CASE("a line that is no message of the protocol ends the channel") {
  Bench bench;
  std::int32_t handle = bench.open(R"({"method":"a.b/S"})");
  REQUIRE(handle > 0);
  std::string_view line = GENERATE(R"({"method":{},"params":{"id":1,"message":{}}})",
                                   R"({"method":"stream","params":[1]})",
                                   R"({"method":"stream","params":{"id":1}})", R"([])", R"({)");
  bench.worker_says(std::string(line) + "\n");
  CHECK(bench.next(handle) == static_cast<int>(GuestError::kClosed));
}

TEST_CASE("a stream that fails says so, and why can be fetched") {
  Bench bench;
  std::int32_t handle = bench.open(R"({"method":"a.b/S"})");
  bench.worker_says(
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32014,\"message\":\"m\"}}\n");
  CHECK(bench.next(handle) == static_cast<int>(GuestError::kStreamFailed));
  CHECK(bench.reply(bench.imports->reply(bench.memory(), Bench::kReplyAt, 4096)) ==
        R"({"error":{"code":-32014,"message":"m"}})");
}

TEST_CASE("closing a stream early cancels it, and at most 16 are open") {
  Bench bench;
  std::vector<std::int32_t> handles;
  for (int i = 0; i < 16; ++i) handles.push_back(bench.open(R"({"method":"a.b/S"})"));
  CHECK(handles.back() > 0);
  CHECK(bench.open(R"({"method":"a.b/S"})") == static_cast<int>(GuestError::kTooMany));
  bench.worker_heard();
  CHECK(bench.imports->close(handles.front()) == 0);
  CHECK(bench.worker_heard() ==
        "{\"jsonrpc\":\"2.0\",\"method\":\"cancel\",\"params\":{\"id\":1}}\n");
  CHECK(bench.open(R"({"method":"a.b/S"})") > 0);
}

TEST_CASE("SIGTERM ends nothing while a stop is watched, and again does afterwards") {
  Bench bench;
  struct sigaction now{};
  std::int32_t handle = bench.open(kWatch);
  ::sigaction(SIGTERM, nullptr, &now);
  CHECK(now.sa_handler != SIG_DFL);
  bench.imports->close(handle);
  ::sigaction(SIGTERM, nullptr, &now);
  CHECK(now.sa_handler == SIG_DFL);
}

TEST_CASE("a worker that hangs up or speaks no protocol ends every call") {
  Bench bench;
  bench.put(kNow);
  SECTION("it has closed") { bench.hang_up(); }
  SECTION("it says what is no message") { bench.worker_says("{\"hello\":1}\n"); }
  SECTION("it says no JSON") { bench.worker_says("x\n"); }
  CHECK(bench.call(kNow) == static_cast<int>(GuestError::kClosed));
}

TEST_CASE("an answer longer than 1 MiB is not given to the module") {
  Bench bench;
  std::string line =
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"x\":\"" + std::string(1 << 20, 'x') + "\"}}\n";
  std::thread worker([&] { bench.worker_says(line); });
  CHECK(bench.call(kNow) == -1);
  worker.join();
  CHECK(bench.imports->reply(bench.memory(), Bench::kReplyAt, 100) == 0);
}

TEST_CASE("outside of Flodea every function says so") {
  FlodeaImports imports(std::nullopt);
  std::uint8_t byte = 0;
  GuestMemory memory{&byte, 1};
  int none = static_cast<int>(GuestError::kNotConnected);
  CHECK(imports.call(memory, 0, 1, 0, 1) == none);
  CHECK(imports.open(memory, 0, 1) == none);
  CHECK(imports.next(memory, 1, 0, 1, 0) == none);
  CHECK(imports.close(1) == none);
}
