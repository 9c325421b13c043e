// Errors are values. `Result<T>` carries either a T or an `Error` with a code, the message that the
// user reads, and where it arose. Codes are gRPC's, by number, so that a service maps them without
// a table. Context is added on the way up with `with_context`.
#pragma once

#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

namespace flodea {

// Numbers equal grpc::StatusCode (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
enum class Code : int {
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
};

std::string_view code_name(Code code);  // "INVALID_ARGUMENT"

struct Error {
  Code code = Code::kUnknown;
  std::string message;  // one sentence, names the agent, step or file
  std::string field;    // path of the field at fault ("spec.resources.memory"), or empty
  std::string remedy;   // what the user can do about it, or empty
  int sys_errno = 0;    // errno of the failed call, or 0
  std::source_location where = std::source_location::current();
  // What a program, not a person, reads of it: pairs for google.rpc.ErrorInfo ("current_version",
  // "7").
  std::vector<std::pair<std::string, std::string>> metadata = {};

  Error&& with_context(std::string_view context) &&;  // message becomes "context: message"
  Error&& with_field(std::string_view path) &&;
  Error&& with_remedy(std::string_view text) &&;
  Error&& with_metadata(std::string_view key, std::string_view value) &&;
  std::string describe() const;  // "message (field F); remedy" for people
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

// fail(Code::kNotFound, "…") is what a function returns instead of a value.
tl::unexpected<Error> fail(Code code, std::string message,
                           std::source_location where = std::source_location::current());
// fail_errno("open /x"): message "open /x: No such file or directory", the code chosen from errno.
tl::unexpected<Error> fail_errno(std::string_view what, int err,
                                 std::source_location where = std::source_location::current());
tl::unexpected<Error> fail_errno(std::string_view what,
                                 std::source_location where = std::source_location::current());

namespace detail {
template <class T>
T take(tl::expected<T, Error>&& r) {
  if constexpr (!std::is_void_v<T>) return std::move(*r);
}
}  // namespace detail

}  // namespace flodea

// TRY(expr): the value of a Result, or return its error from this function. TRY_CONTEXT adds
// context to that error.
#define TRY(expr)                                                            \
  __extension__({                                                            \
    auto flodea_try_ = (expr);                                               \
    if (!flodea_try_) return tl::unexpected(std::move(flodea_try_).error()); \
    ::flodea::detail::take(std::move(flodea_try_));                          \
  })
#define TRY_CONTEXT(expr, context)                                                                 \
  __extension__({                                                                                  \
    auto flodea_try_ = (expr);                                                                     \
    if (!flodea_try_) return tl::unexpected(std::move(flodea_try_).error().with_context(context)); \
    ::flodea::detail::take(std::move(flodea_try_));                                                \
  })
