#include "base/arguments.h"

#include <CLI/CLI.hpp>

#include "base/number.h"

namespace flodea {
namespace {

constexpr int kUsage = 2;

}  // namespace

Arguments::Arguments(const std::string& program, const std::string& about)
    : app_(std::make_unique<CLI::App>(about, program)) {
  app_->set_version_flag("--version", program + " " + FLODEA_VERSION);
}

Arguments::~Arguments() = default;

void Arguments::text(const std::string& name, std::string& to, const std::string& help,
                     Needed needed) {
  auto* option = app_->add_option(name, to, help)->required(needed == Needed::kYes);
  if (!to.empty()) option->capture_default_str();
}

void Arguments::text(const std::string& name, std::optional<std::string>& to,
                     const std::string& help) {
  app_->add_option_function<std::string>(
      name, [&to](const std::string& given) { to = given; }, help);
}

void Arguments::number(const std::string& name, int& to, const std::string& help, Listed listed) {
  auto* option = app_->add_option(name, to, help)->check(check_number<int>);
  if (listed == Listed::kNo) option->group("");
}

void Arguments::number(const std::string& name, std::int64_t& to, const std::string& help) {
  app_->add_option(name, to, help)->check(check_number<std::int64_t>);
}

void Arguments::number(const std::string& name, std::uint64_t& to, const std::string& help) {
  app_->add_option(name, to, help)->check(check_number<std::uint64_t>);
}

void Arguments::flag(const std::string& name, bool& to, const std::string& help) {
  app_->add_flag(name, to, help);
}

std::optional<int> Arguments::parse(int argc, const char* const* argv) {
  try {
    app_->parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return app_->exit(error) == 0 ? 0 : kUsage;
  }
}

}  // namespace flodea
