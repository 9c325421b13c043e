#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace flodea {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kCancelled:
      return "CANCELLED";
    case Code::kUnknown:
      return "UNKNOWN";
    case Code::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case Code::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case Code::kNotFound:
      return "NOT_FOUND";
    case Code::kAlreadyExists:
      return "ALREADY_EXISTS";
    case Code::kPermissionDenied:
      return "PERMISSION_DENIED";
    case Code::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case Code::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case Code::kAborted:
      return "ABORTED";
    case Code::kOutOfRange:
      return "OUT_OF_RANGE";
    case Code::kUnimplemented:
      return "UNIMPLEMENTED";
    case Code::kInternal:
      return "INTERNAL";
    case Code::kUnavailable:
      return "UNAVAILABLE";
    case Code::kDataLoss:
      return "DATA_LOSS";
  }
  return "UNKNOWN";
}

Error&& Error::with_context(std::string_view context) && {
  message = std::string(context) + ": " + message;
  return std::move(*this);
}

Error&& Error::with_field(std::string_view path) && {
  if (field.empty()) field = path;
  return std::move(*this);
}

Error&& Error::with_remedy(std::string_view text) && {
  if (remedy.empty()) remedy = text;
  return std::move(*this);
}

Error&& Error::with_metadata(std::string_view key, std::string_view value) && {
  metadata.emplace_back(key, value);
  return std::move(*this);
}

std::string Error::describe() const {
  std::string text = message;
  if (!field.empty()) text += " (field " + field + ")";
  if (!remedy.empty()) text += "; " + remedy;
  return text;
}

tl::unexpected<Error> fail(Code code, std::string message, std::source_location where) {
  return tl::unexpected(Error{.code = code, .message = std::move(message), .where = where});
}

static Code code_of_errno(int err) {
  switch (err) {
    case ENOENT:
    case ESRCH:
      return Code::kNotFound;
    case EEXIST:
      return Code::kAlreadyExists;
    case EPERM:
    case EACCES:
      return Code::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return Code::kResourceExhausted;
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
      return Code::kInvalidArgument;
    case ETIMEDOUT:
      return Code::kDeadlineExceeded;
    case EPIPE:
    case ECONNRESET:
    case ECONNREFUSED:
    case EAGAIN:
      return Code::kUnavailable;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::kUnimplemented;
    default:
      return Code::kInternal;
  }
}

tl::unexpected<Error> fail_errno(std::string_view what, int err, std::source_location where) {
  return tl::unexpected(Error{.code = code_of_errno(err),
                              .message = std::string(what) + ": " + std::strerror(err),
                              .sys_errno = err,
                              .where = where});
}

tl::unexpected<Error> fail_errno(std::string_view what, std::source_location where) {
  return fail_errno(what, errno, where);
}

}  // namespace flodea
