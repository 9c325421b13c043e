// Random lives of the whole reconciler: the real engine on a real state.db, over a host that is
// played (testing/fake_host.h). Operators change their minds, agents end and hang, orders and
// answers are late, lost or come twice, control and flodead are killed at any moment, also between
// what is stored and what is ordered, the host starts again, power takes back what was not synced,
// the disk fills up, the clock jumps. After every step: never two instances of an agent nor two
// holders of a volume, no instance of a removed agent, no more memory and no more starts than
// there may be, generations rise, and what was acknowledged holds. And once nothing goes wrong any
// more, all comes to be as it is wanted, with nothing left over.
//
// It has found, before each was mended: a removal that fails and is not
// tried again (destroy_later), room kept by one that could not be stored (`admitted`), an earlier
// revision's memory taken for the current one's (resources_of_instance), a wake for the store that
// is lost (turn), a start that is acknowledged and lost (stands), a kept volume that is forgotten
// (may_be_there), 32 kills in a row (kill_what_is_left).
//
// FLODEA_STORIES: how many (default 2000). FLODEA_STORY: the first, a number; what fails names its
// own.
#include <spdlog/spdlog.h>

#include <cstdlib>

#include <catch2/catch_test_macros.hpp>

#include "supervisor/control/lifecycle/testing/engine_life.h"

using namespace flodea;
using namespace flodea::control::testing;

namespace {

constexpr std::size_t kSteps = 90;
constexpr std::size_t kLines = 200;  // of a story that are shown

std::uint32_t setting(const char* name, std::uint32_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10));
}

// A directory of its own for each life, in memory where the host has that.
class Scratch {
 public:
  Scratch() { std::filesystem::create_directory(path_); }
  ~Scratch() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  static std::filesystem::path home() {
    std::filesystem::path memory = "/dev/shm";
    return std::filesystem::is_directory(memory) ? memory : std::filesystem::temp_directory_path();
  }
  std::filesystem::path path_ = home() / ("flodea-story-" + AgentId::random().text());
};

struct Told {
  std::string wrong;
  std::vector<std::string> trace;
};

Told tell(const Story& story) {
  Scratch scratch;
  EngineLife life(scratch.path());
  std::string wrong = life.tell(story);
  return {.wrong = std::move(wrong), .trace = life.trace()};
}

std::string in_words(std::uint32_t seed, const Story& story, const Told& told) {
  std::string out = "FLODEA_STORY=" + std::to_string(seed) + ": " + told.wrong + "\n" +
                    std::to_string(story.size()) + " steps are enough:\n";
  for (std::size_t i = 0; i < std::min(told.trace.size(), kLines); ++i) out += told.trace[i] + "\n";
  return out;
}

}  // namespace

TEST_CASE("whatever happens to it, the engine keeps its word and comes to what is wanted") {
  spdlog::set_level(spdlog::level::off);
  std::uint32_t first = setting("FLODEA_STORY", 1), stories = setting("FLODEA_STORIES", 2000);
  for (std::uint32_t seed = first; seed < first + stories; ++seed) {
    Story story = make_story(seed, kSteps);
    if (tell(story).wrong.empty()) {
      SUCCEED();
      continue;
    }
    story = shorten(std::move(story), [](const Story& part) { return !tell(part).wrong.empty(); });
    FAIL(in_words(seed, story, tell(story)));
  }
}
