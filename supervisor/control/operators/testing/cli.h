// The real `flodea` against the server of fakes.h: what it prints, where, and its exit status.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/safe_path.h"
#include "supervisor/control/operators/testing/fakes.h"

namespace flodea::control::testing {

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

inline std::string slurp(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return read_all(fd.get(), 64 << 20).value_or("");
}

struct Cli {
  TestServer server;
  std::filesystem::path work = server.directory / "work";
  uid_t uid = 0;
  std::string input = "/dev/null";  // a file: what `flodea` reads on stdin

  Cli() { std::filesystem::create_directory(work); }
  // A test that failed half-way leaves no command behind.
  ~Cli() {
    if (running_ < 0) return;
    ::kill(running_, SIGKILL);
    ::waitpid(running_, nullptr, 0);
  }

  Outcome run(std::vector<std::string> args, bool with_socket = true) {
    return end(begin(std::move(args), with_socket));
  }
  // Returns at once; one at a time.
  pid_t begin(std::vector<std::string> args, bool with_socket = true) {
    if (with_socket) args.insert(args.begin(), {"--socket", server.socket});
    args.insert(args.begin(), "flodea");
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    std::filesystem::path out = work.parent_path() / "out", err = work.parent_path() / "err";
    UniqueFd in_fd(::open(input.c_str(), O_RDONLY | O_CLOEXEC));
    UniqueFd out_fd(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    UniqueFd err_fd(::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    pid_t child = ::fork();
    if (child == 0) {
      ::dup2(in_fd.get(), 0);
      ::dup2(out_fd.get(), 1);
      ::dup2(err_fd.get(), 2);
      if (uid != 0 && ::setresuid(uid, uid, uid) != 0) ::_exit(99);
      ::execv(FLODEA_CLI, argv.data());
      ::_exit(98);
    }
    running_ = child;
    return child;
  }
  Outcome end(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    running_ = -1;
    return {.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            .out = slurp(work.parent_path() / "out"),
            .err = slurp(work.parent_path() / "err")};
  }

  void file(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories((work / name).parent_path());
    std::ofstream(work / name) << text;
  }
  std::string path(const std::string& name) const { return (work / name).string(); }
  void ledger(std::string_view more = "") const {
    file("ledger/main.py", "print(1)\n");
    file("ledger.yaml",
         std::string("apiVersion: flodea/v1\nkind: Agent\nmetadata: {name: ledger}\nspec:\n"
                     "  runtime: {type: python, entrypoint: main.py}\n  bundle: ./ledger\n") +
             std::string(more));
  }

 private:
  pid_t running_ = -1;
};

inline bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace flodea::control::testing
