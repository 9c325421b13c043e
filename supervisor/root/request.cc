#include "supervisor/root/request.h"

#include <algorithm>

#include "base/bundle_rules.h"
#include "supervisor/root/sandbox_child.h"

namespace flodea::root {
namespace {

using v1::Request;

tl::unexpected<Error> invalid(std::string field, const std::string& message) {
  auto error = fail(Code::kInvalidArgument, message).value();
  return tl::unexpected(std::move(error).with_field(field));
}

Status check_agent(const std::string& id) {
  auto parsed = AgentId::parse(id);
  if (!parsed) return invalid("agent_id", parsed.error().message);
  return {};
}

Status check_key(const std::string& id, std::uint64_t generation) {
  TRY(check_agent(id));
  if (generation == 0) return invalid("generation", "a generation starts at 1");
  return {};
}

template <class T>
Status check_range(const char* field, T value, T low, T high) {
  if (value < low || value > high)
    return invalid(field, std::string(field) + " must be " + std::to_string(low) + " to " +
                              std::to_string(high) + ", not " + std::to_string(value));
  return {};
}

Status check_limits(const v1::Limits& limits) {
  TRY(check_range<std::uint64_t>("limits.memory_bytes", limits.memory_bytes(), kMinMemoryBytes,
                                 1ull << 50));
  TRY(check_range<std::uint32_t>("limits.cpu_millis", limits.cpu_millis(), 1, 1'024'000));
  TRY(check_range<std::uint32_t>("limits.pids", limits.pids(), 1, kMaxPids));
  TRY(check_range<std::uint32_t>("limits.open_files", limits.open_files(), 16, kMaxOpenFiles));
  return check_range<std::uint64_t>("limits.tmp_bytes", limits.tmp_bytes(), 4096, 1ull << 50);
}

Status check_hash(const char* field, const std::string& hex) {
  auto parsed = BundleDigest::from_hex(hex);
  if (!parsed) return invalid(field, parsed.error().message);
  return {};
}

bool is_row_name(const std::string& name) {
  return !name.empty() && name.size() <= 32 &&
         std::ranges::all_of(name, [](char c) { return c >= 'a' && c <= 'z'; });
}

Status check_start(const v1::StartRequest& start) {
  TRY(check_key(start.agent_id(), start.generation()));
  if (auto name = check_agent_name(start.hostname()); !name)
    return invalid("hostname", name.error().message);
  TRY(check_hash("bundle", start.bundle()));
  if (!is_row_name(start.runtime()))
    return invalid("runtime", "a runtime is 1 to 32 lower-case letters");
  if (start.layers_size() > static_cast<int>(kMaxLayers))
    return invalid("layers", "at most " + std::to_string(kMaxLayers) + " layers");
  for (const std::string& layer : start.layers()) TRY(check_hash("layers", layer));
  return check_limits(start.limits());
}

Status check_job(const v1::RunJobRequest& job) {
  if (job.program().empty() || job.program().size() > 32)
    return invalid("program", "a program's name has 1 to 32 letters");
  TRY(check_hash("bundle", job.bundle()));
  if (!job.input().empty() && !check_bundle_path(job.input(), {}))
    return invalid("input", "not a path of a bundle");
  std::size_t bytes = 0;
  for (const std::string& word : job.arguments()) bytes += word.size();
  bool has_nul = std::ranges::any_of(
      job.arguments(), [](const auto& word) { return word.find('\0') != std::string::npos; });
  if (job.arguments_size() > kMaxJobArguments || bytes > kMaxJobArgumentBytes || has_nul)
    return invalid("arguments", "at most " + std::to_string(kMaxJobArguments) + " words, " +
                                    std::to_string(kMaxJobArgumentBytes) + " bytes in all");
  TRY(check_range<std::uint64_t>("memory_bytes", job.memory_bytes(), 16ull << 20, 1ull << 40));
  TRY(check_range<std::uint32_t>("seconds", job.seconds(), 1, 3600));
  return check_range<std::uint64_t>("output_bytes", job.output_bytes(), 1, 1ull << 32);
}

Status check_verb(const Request& request) {
  switch (request.verb_case()) {
    case Request::kHello:
      return check_range<std::uint32_t>("protocol", request.hello().protocol(), kProtocol,
                                        kProtocol);
    case Request::kCreateVolume:
      TRY(check_agent(request.create_volume().agent_id()));
      return check_range<std::uint64_t>("size_bytes", request.create_volume().size_bytes(),
                                        kMinVolumeBytes, kMaxVolumeBytes);
    case Request::kStart:
      return check_start(request.start());
    case Request::kKill:
      if (request.kill().reason().size() > 256)
        return invalid("reason", "a reason has at most 256 bytes");
      return check_key(request.kill().agent_id(), request.kill().generation());
    case Request::kRelease:
      return check_key(request.release().agent_id(), request.release().generation());
    case Request::kDestroyVolume:
      return check_agent(request.destroy_volume().agent_id());
    case Request::kSetDeadline:
      TRY(check_range<std::uint64_t>("boottime_ns", request.set_deadline().boottime_ns(), 0,
                                     1ull << 62));
      return check_key(request.set_deadline().agent_id(), request.set_deadline().generation());
    case Request::kAdopt:
      return check_key(request.adopt().agent_id(), request.adopt().generation());
    case Request::kFreeze:
      return check_key(request.freeze().agent_id(), request.freeze().generation());
    case Request::kList:
      if (!request.list().page_token().empty()) TRY(check_agent(request.list().page_token()));
      return check_range<std::uint32_t>("page_size", request.list().page_size(), 0, kMaxPage);
    case Request::kRunJob:
      return check_job(request.run_job());
    case Request::kReload:
      return {};
    case Request::VERB_NOT_SET:
      return fail(Code::kUnimplemented, "no verb that this flodead knows");
  }
  return fail(Code::kUnimplemented, "no verb that this flodead knows");
}

}  // namespace

Result<v1::Request> decode_request(std::string_view bytes) {
  v1::Request request;
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(Code::kInvalidArgument, "not a request of flodea.root.v1");
  if (request.id() == 0) return fail(Code::kInvalidArgument, "a request needs an id");
  auto checked = check_verb(request);
  if (!checked) return tl::unexpected(std::move(checked).error());
  return request;
}

}  // namespace flodea::root
