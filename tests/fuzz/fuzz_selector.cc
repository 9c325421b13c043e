// A selector, whatever was typed: it is read or refused within its bounds, and what is read judges
// any labels alike, twice.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/selector.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto selector = flodea::Selector::parse({reinterpret_cast<const char*>(data), size});
  if (!selector) return selector.error().field == "selector" ? 0 : (std::abort(), 0);
  const flodea::Selector::Labels labels{{"team", "treasury"}, {"a", "b"}, {"x/y", ""}};
  if (selector->selects_all() && !selector->matches(labels)) std::abort();
  if (selector->matches(labels) != flodea::Selector(*selector).matches(labels)) std::abort();
  return 0;
}
