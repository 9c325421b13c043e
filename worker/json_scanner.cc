#include "worker/json_scanner.h"

#include <array>

namespace flodea::worker {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

}  // namespace

bool JsonScanner::fail() {
  failed_ = true;
  return false;
}

void JsonScanner::skip_space() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
    ++at_;
}

bool JsonScanner::consume(char c) {
  if (at_ >= text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

bool JsonScanner::enter_object() {
  skip_space();
  return consume('{') || fail();
}

bool JsonScanner::next_member(std::string_view& name) {
  if (failed_ || ended_) return false;
  skip_space();
  if (consume('}')) {
    ended_ = true;
    return false;
  }
  if (!first_ && !consume(',')) return fail();
  first_ = false;
  skip_space();
  std::string_view token;
  return skip_member_name(token) && (plain_string(token, name) || fail());
}

bool JsonScanner::skip_member_name(std::string_view& token) {
  std::size_t start = at_;
  if (!skip_string()) return false;
  token = text_.substr(start, at_ - start);
  skip_space();
  return consume(':') || fail();
}

bool JsonScanner::at_end() {
  skip_space();
  return !failed_ && at_ == text_.size();
}

bool JsonScanner::skip_escape() {
  if (at_ >= text_.size()) return fail();
  char c = text_[at_++];
  if (c != 'u') return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos || fail();
  for (int i = 0; i < 4; ++i, ++at_) {
    if (at_ >= text_.size() || !is_hex(text_[at_])) return fail();
  }
  return true;
}

bool JsonScanner::skip_string() {
  if (!consume('"')) return fail();
  while (at_ < text_.size()) {
    auto c = static_cast<unsigned char>(text_[at_++]);
    if (c == '"') return true;
    if (c < 0x20) return fail();
    if (c == '\\' && !skip_escape()) return false;
  }
  return fail();
}

bool JsonScanner::skip_digits() {
  std::size_t start = at_;
  while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
  return at_ > start || fail();
}

bool JsonScanner::skip_number() {
  consume('-');
  if (!consume('0') && !skip_digits()) return false;
  if (consume('.') && !skip_digits()) return false;
  if (consume('e') || consume('E')) {
    if (!consume('+')) consume('-');
    return skip_digits();
  }
  return true;
}

bool JsonScanner::skip_literal(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) return fail();
  at_ += word.size();
  return true;
}

bool JsonScanner::skip_scalar(char first) {
  switch (first) {
    case '"':
      return skip_string();
    case 't':
      return skip_literal("true");
    case 'f':
      return skip_literal("false");
    case 'n':
      return skip_literal("null");
    default:
      return skip_number();
  }
}

// Objects and arrays, with the open brackets on a stack of their own: hostile nesting costs no call
// stack.
bool JsonScanner::skip_nested() {
  std::array<char, kMaxDepth> closers;
  int depth = 0;
  std::string_view name;
  bool fresh = false;  // just after an opening bracket
  do {
    skip_space();
    if (at_ >= text_.size()) return fail();
    if (depth > 0 && text_[at_] == closers[depth - 1]) {
      ++at_, --depth, fresh = false;
      continue;
    }
    if (depth > 0 && !fresh && !consume(',')) return fail();
    skip_space();
    if (depth > 0 && closers[depth - 1] == '}' && !skip_member_name(name)) return false;
    skip_space();
    if (at_ >= text_.size()) return fail();
    char c = text_[at_];
    fresh = c == '{' || c == '[';
    if (!fresh) {
      if (!skip_scalar(c)) return false;
      continue;
    }
    if (depth == kMaxDepth) return fail();
    closers[depth++] = c == '{' ? '}' : ']';
    ++at_;
  } while (depth > 0);
  return true;
}

bool JsonScanner::skip_value(std::string_view& slice) {
  if (failed_) return false;
  skip_space();
  std::size_t start = at_;
  if (!skip_nested()) return false;
  slice = text_.substr(start, at_ - start);
  return true;
}

bool plain_string(std::string_view token, std::string_view& content) {
  if (token.size() < 2 || token.front() != '"' || token.back() != '"') return false;
  content = token.substr(1, token.size() - 2);
  return content.find('\\') == std::string_view::npos;
}

}  // namespace flodea::worker
