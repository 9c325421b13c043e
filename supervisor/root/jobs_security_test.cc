// What a job can reach of the host and of the bundle, and what is left of it. The probe in its
// place may open files and sockets as far as system calls go: each attempt is first seen to succeed
// outside the sandbox.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "supervisor/root/testing/flodead_host.h"
#include "supervisor/root/testing/inventory.h"
#include "supervisor/root/uid_ranges.h"

using namespace flodea;
using namespace flodea::root;
using namespace flodea::root::testing;

namespace {

std::string text_of(const UniqueFd& fd) {
  REQUIRE(::lseek(fd.get(), 0, SEEK_SET) == 0);
  auto text = read_all(fd.get(), 8 << 20);
  REQUIRE(text);
  return *text;
}

std::string said(const Answered& answered, const FlodeadHost& host) {
  INFO(answered.reply.step() << ": " << answered.reply.message() << "\n" << host.log());
  REQUIRE(answered.reply.code() == 0);
  REQUIRE(answered.fds.size() == 2);
  INFO(text_of(answered.fds[1]));
  CHECK_FALSE(answered.reply.run_job().signaled());
  CHECK(answered.reply.run_job().value() == 0);
  return text_of(answered.fds[0]);
}

std::string outside(const std::string& words) {
  std::string command = std::string(FLODEA_JOB_PROBE) + " " + words;
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
  REQUIRE(pipe);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), pipe.get()));
  return text;
}

// Some process has this executable.
bool is_running(const std::string& program) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(entry.path() / "exe", gone) == program) return true;
  }
  return false;
}

struct Listening {
  UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string port;
  Listening() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(socket.get(), generic, size) == 0);
    REQUIRE(::listen(socket.get(), 1) == 0);
    REQUIRE(::getsockname(socket.get(), generic, &size) == 0);
    port = std::to_string(ntohs(address.sin_port));
  }
};

}  // namespace

TEST_CASE("a job reads its input, and its output and messages come back sealed") {
  FlodeadHost host;
  auto ended = host.run_job({"echo"}, [](v1::RunJobRequest& job) { job.set_input("main.py"); });
  REQUIRE(ended.reply.code() == 0);
  CHECK(ended.reply.run_job().value() == 7);
  CHECK(ended.reply.run_job().memory_peak() > 0);
  CHECK(text_of(ended.fds.at(0)) == "print('hello')\n");
  CHECK(text_of(ended.fds.at(1)) == "a message");
  CHECK(::write(ended.fds[0].get(), "x", 1) < 0);
  CHECK(host.stop() == 0);
}

TEST_CASE("a job sees nothing but its bundle, and changes nothing") {
  FlodeadHost host;
  CHECK(said(host.run_job({"list", "/"}), host) == ". .. bundle ");
  CHECK(said(host.run_job({"read", "main.py"}), host) == "print('hello')\n");
  std::string secret = host.dir() + "/secret";
  std::ofstream(secret) << "of the host";
  CHECK(outside("read " + secret) == "of the host");
  CHECK(said(host.run_job({"read", secret}), host) == "No such file or directory");
  CHECK(said(host.run_job({"read", "../../" + secret}), host) == "No such file or directory");
  CHECK(outside("write " + host.dir() + "/made") == "done");
  CHECK(said(host.run_job({"write", "made"}), host) == "Read-only file system");
  CHECK(said(host.run_job({"write", "/made"}), host) == "Read-only file system");
  // An executable in the bundle stays a file.
  std::string own = host.dir() + "/state/bundles/" + std::string(64, 'b') + "/app/own";
  std::filesystem::copy_file(FLODEA_JOB_PROBE, own);
  REQUIRE(::chmod(own.c_str(), 0755) == 0);
  CHECK(outside("exec " + own) == "0 0");
  CHECK(said(host.run_job({"exec", "/bundle/own"}), host) == "Permission denied");
  CHECK(host.stop() == 0);
}

TEST_CASE("a job has no network and no privilege") {
  FlodeadHost host;
  Listening here;
  CHECK(outside("connect " + here.port) == "done");
  CHECK(said(host.run_job({"connect", here.port}), host) == "Network is unreachable");
  CHECK(outside("status uid") == "0 0");
  std::string ids = said(host.run_job({"status", "uid"}), host);
  unsigned uid = 0, gid = 0;
  REQUIRE(std::sscanf(ids.c_str(), "%u %u", &uid, &gid) == 2);
  CHECK(uid >= UidRanges::kFirst);
  CHECK(gid == uid);
  CHECK(said(host.run_job({"mount"}), host) == "Operation not permitted");
  CHECK(said(host.run_job({"setuid"}), host) == "Operation not permitted");
  CHECK(host.stop() == 0);
}

TEST_CASE(
    "a job that takes too much, writes too much or does not end is ended, and nothing is left") {
  FlodeadHost host;
  host.settle();
  auto before = take_inventory(host);
  auto small = [](v1::RunJobRequest& job) { job.set_memory_bytes(16 << 20); };
  CHECK(said(host.run_job({"memory", "4"}, small), host) == "done");
  auto hungry = host.run_job({"memory", "64"}, small);
  CHECK(hungry.reply.run_job().signaled());
  CHECK(hungry.reply.run_job().oom_kills() > 0);
  auto full =
      host.run_job({"fill", "8"}, [](v1::RunJobRequest& job) { job.set_output_bytes(4096); });
  CHECK(full.reply.run_job().value() == EFBIG);
  CHECK(text_of(full.fds.at(0)).size() == 4096);
  auto endless = host.run_job({"forever"}, [](v1::RunJobRequest& job) { job.set_seconds(1); });
  CHECK(endless.reply.code() == static_cast<std::uint32_t>(Code::kDeadlineExceeded));
  CHECK(said(host.run_job({"status", "none"}), host).empty());
  host.settle();
  CHECK(difference(before, take_inventory(host)) == "");
  CHECK(host.stop() == 0);
}

TEST_CASE("jobs that cannot be run are refused by name") {
  FlodeadHost host;
  auto code = [&](const std::function<void(v1::RunJobRequest&)>& change) {
    return static_cast<Code>(host.run_job({"status", "uid"}, change).reply.code());
  };
  CHECK(code([](auto& job) { job.set_program("worker"); }) == Code::kNotFound);
  CHECK(code([](auto& job) { job.set_bundle(std::string(64, 'c')); }) == Code::kNotFound);
  CHECK(code([](auto& job) { job.set_bundle("../keys"); }) == Code::kInvalidArgument);
  CHECK(code([](auto& job) { job.set_input("../../keys/node.key"); }) == Code::kInvalidArgument);
  CHECK(code([](auto& job) { job.set_input("absent"); }) == Code::kNotFound);
  CHECK(code([](auto& job) { job.set_memory_bytes(1); }) == Code::kInvalidArgument);
  CHECK(code([](auto& job) { job.set_seconds(0); }) == Code::kInvalidArgument);
  CHECK(code([](auto& job) { job.add_arguments(std::string("a\0b", 3)); }) ==
        Code::kInvalidArgument);
  CHECK(code([](auto& job) { job.set_memory_bytes(1ull << 40); }) == Code::kResourceExhausted);
  CHECK(host.stop() == 0);
}

TEST_CASE("a job beside which flodead is killed is ended by its next life") {
  FlodeadHost host;
  host.settle();
  auto before = take_inventory(host);
  v1::Request request;
  auto& job = *request.mutable_run_job();
  job.set_program("unpacker");
  job.set_bundle(std::string(64, 'b'));
  job.add_arguments("forever");
  job.set_memory_bytes(32 << 20);
  job.set_seconds(60);
  job.set_output_bytes(4096);
  host.send(request);
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!is_running(host.dir() + "/bin/flodea-unpack"))
    if (std::chrono::steady_clock::now() > deadline) FAIL(host.log());
  host.kill();
  host.launch();
  host.accept_control();
  host.settle();
  CHECK(difference(before, take_inventory(host)) == "");
  CHECK(host.stop() == 0);
}
