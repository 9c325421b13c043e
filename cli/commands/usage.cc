#include "cli/commands/usage.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace flodea::cli {
namespace {

// As far as the verbs are known: "flodea rollout status".
struct Place {
  const CLI::App* app;
  std::string words;
};

Place place_of(const CLI::App& app) {
  Place place{.app = &app, .words = app.get_name()};
  while (!place.app->get_subcommands().empty()) {
    place.app = place.app->get_subcommands().front();
    place.words += " " + place.app->get_name();
  }
  return place;
}

std::vector<std::string> verbs_of(const CLI::App& app) {
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    verbs.push_back(verb->get_name());
  return verbs;
}

Error usage(std::string message, const std::string& remedy) {
  return fail(Code::kInvalidArgument, std::move(message)).value().with_remedy(remedy);
}

// Where a verb is needed and none was understood.
Error verb_error(const CLI::App& at, const std::vector<std::string>& rest, const std::string& see) {
  auto verb =
      std::ranges::find_if(rest, [](const std::string& word) { return !word.starts_with('-'); });
  if (verb == rest.end()) return usage("a verb is needed", see);
  auto near = nearest(*verb, verbs_of(at), 1);
  return usage(fmt::format("unknown verb \"{}\"", *verb),
               near.empty() ? see : fmt::format("did you mean \"{}\"? {}", near.front(), see));
}

}  // namespace

Error usage_error(const CLI::App& app, const CLI::ParseError& wrong) {
  Place place = place_of(app);
  std::string see = fmt::format("see: {} --help", place.words);
  if (place.app->get_require_subcommand_min() > 0 && wrong.get_name() == "RequiredError")
    return verb_error(*place.app, app.remaining(true), see);
  return usage(wrong.what(), see);
}

}  // namespace flodea::cli
