// An option whose values are words. CLI11's own transformer would also take the numbers behind
// them, and shows those in what it refuses.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace flodea::cli {

template <class Value>
struct Choice {
  std::string word;
  Value value;
};

// `to` must live until the command line was parsed; it stays as it was where the option is not
// given.
template <class Value>
CLI::Option* add_choice(CLI::App& command, const std::string& name, Value& to,
                        std::vector<Choice<Value>> choices, const std::string& help) {
  auto check = [choices](const std::string& given) {
    if (std::ranges::find(choices, given, &Choice<Value>::word) != choices.end())
      return std::string();
    std::vector<std::string> words;
    for (const auto& choice : choices) words.push_back(choice.word);
    return fmt::format("\"{}\" is none of {}", given, fmt::join(words, ", "));
  };
  auto set = [&to, choices](const std::string& given) {
    to = std::ranges::find(choices, given, &Choice<Value>::word)->value;
  };
  return command.add_option_function<std::string>(name, set, help)->check(check);
}

}  // namespace flodea::cli
