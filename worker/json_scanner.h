// Walks JSON text (RFC 8259) without building anything: values are skipped and returned as slices
// of the text. Bounded: no allocation, nesting at most kMaxDepth. UTF-8 inside strings is left to
// whoever decodes the slice.
#pragma once

#include <cstddef>
#include <string_view>

namespace flodea::worker {

class JsonScanner {
 public:
  static constexpr int kMaxDepth = 64;

  explicit JsonScanner(std::string_view text) : text_(text) {}

  // Each returns false (and stops for good) at text that is not what it wants.
  bool enter_object();  // '{'
  // The next member's name, without escapes. False at '}' (then `ended`) or at an error (then
  // `failed`).
  bool next_member(std::string_view& name);
  bool skip_value(std::string_view& slice);
  bool at_end();  // only white space is left

  bool ended() const { return ended_; }
  bool failed() const { return failed_; }

 private:
  bool fail();
  void skip_space();
  bool consume(char c);
  bool skip_string();
  bool skip_escape();
  bool skip_digits();
  bool skip_number();
  bool skip_literal(std::string_view word);
  bool skip_scalar(char first);
  bool skip_nested();
  bool skip_member_name(std::string_view& token);

  std::string_view text_;
  std::size_t at_ = 0;
  bool first_ = true;
  bool ended_ = false;
  bool failed_ = false;
};

// The content of a JSON string token, "" included, if it has no escape; false otherwise.
bool plain_string(std::string_view token, std::string_view& content);

}  // namespace flodea::worker
