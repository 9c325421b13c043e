// The command line of a program that has options only; CLI11 does it, and its headers, which take
// longer to compile than any of these programs, are read here alone. (The operators' command line
// has verbs, and uses CLI11 itself.)
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace CLI {
class App;
}

namespace flodea {

// What options write to must live until parse has returned; what is not given stays as it was.
class Arguments {
 public:
  enum class Listed { kYes, kNo };  // in --help
  enum class Needed { kYes, kNo };

  Arguments(const std::string& program,
            const std::string& about);  // --help and --version are there
  ~Arguments();

  // The help names the default, unless it is empty.
  void text(const std::string& name, std::string& to, const std::string& help,
            Needed needed = Needed::kNo);
  void text(const std::string& name, std::optional<std::string>& to, const std::string& help);
  void number(const std::string& name, int& to, const std::string& help,
              Listed listed = Listed::kYes);
  void number(const std::string& name, std::int64_t& to, const std::string& help);
  void number(const std::string& name, std::uint64_t& to, const std::string& help);
  void flag(const std::string& name, bool& to, const std::string& help);

  // Nothing: go on. Otherwise what to exit with, after the help (0) or what is wrong (2) was
  // printed.
  std::optional<int> parse(int argc, const char* const* argv);

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace flodea
