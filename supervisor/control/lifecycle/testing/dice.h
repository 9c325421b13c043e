// Randomness of a test that can be told again: the same seed, the same answers.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace flodea::control::testing {

class Dice {
 public:
  explicit Dice(std::uint32_t seed = 1) : random_(seed) {}
  void seed(std::uint32_t seed) { random_.seed(seed); }

  std::uint32_t pick(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
  bool one_in(std::uint32_t bound) { return pick(bound) == 0; }
  template <class T>
  const T& of(const std::vector<T>& choices) {
    return choices[pick(static_cast<std::uint32_t>(choices.size()))];
  }

 private:
  std::mt19937 random_;
};

}  // namespace flodea::control::testing
