#include "base/arguments.h"

#include <charconv>

#include <CLI/CLI.hpp>

namespace flodea {
namespace {

constexpr int kUsage = 2;

// CLI11 would take -1 for an unsigned number, and one that is too large for the largest.
template <class Number>
CLI::Option* add_number(CLI::App& app, const std::string& name, Number& to,
                        const std::string& help) {
  auto read = [name, &to](const std::string& given) {
    Number number{};
    auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), number);
    if (error != std::errc{} || end != given.data() + given.size())
      throw CLI::ValidationError(name, "\"" + given + "\" is no whole number within its range");
    to = number;
  };
  return app.add_option_function<std::string>(name, read, help)
      ->type_name(std::is_signed_v<Number> ? "INT" : "UINT");
}

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
  auto* option = add_number(*app_, name, to, help);
  if (listed == Listed::kNo) option->group("");
}

void Arguments::number(const std::string& name, std::int64_t& to, const std::string& help) {
  add_number(*app_, name, to, help);
}

void Arguments::number(const std::string& name, std::uint64_t& to, const std::string& help) {
  add_number(*app_, name, to, help);
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
