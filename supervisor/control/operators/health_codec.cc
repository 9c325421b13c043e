#include "supervisor/control/operators/health_codec.h"

#include <fmt/format.h>

#include "supervisor/control/operators/spec_fields.h"

namespace flodea::control {
namespace {

namespace pb = operators::v1;
using namespace std::chrono_literals;

constexpr int kMaxWords = 64;
constexpr std::size_t kMaxBytes = 4096;
const std::vector<std::string> kSignals{"exec", "self", "probe"};  // the default first

// As Kubernetes has them.
const ExecProbe kOften{.command = {}, .every = 10s, .timeout = 1s, .failures = 3};
const ExecProbe kAtStart{.command = {}, .every = 1s, .timeout = 1s, .failures = 30};

Result<std::vector<std::string>> decode_command(const std::string& field,
                                                const pb::ExecProbe& wire) {
  if (wire.command_size() == 0 || wire.command(0).empty())
    return refuse(field, "the probe has no command", "write command: [program, argument…]");
  if (wire.command_size() > kMaxWords)
    return refuse(field, fmt::format("{} words are too many", wire.command_size()),
                  fmt::format("keep to {}", kMaxWords));
  std::size_t bytes = 0;
  for (const std::string& word : wire.command()) {
    bytes += word.size() + 1;
    if (word.find('\0') != std::string::npos)
      return refuse(field, "a word of the command holds a NUL", "remove it");
  }
  if (bytes > kMaxBytes)
    return refuse(field, "the command is longer than 4Ki", "put it in a file of the bundle");
  return std::vector<std::string>(wire.command().begin(), wire.command().end());
}

Result<ExecProbe> decode_probe(const std::string& field, const pb::ExecProbe& wire,
                               ExecProbe defaults) {
  ExecProbe probe = std::move(defaults);
  probe.command = TRY(decode_command(field + ".command", wire));
  probe.every = TRY(duration_field(field + ".every", wire.every(), probe.every, {100ms, 24h}));
  probe.timeout =
      TRY(duration_field(field + ".timeout", wire.timeout(), probe.timeout, {10ms, 1h}));
  probe.failures =
      TRY(count_field(field + ".failures", wire.failures(), probe.failures, {1, 1000}));
  return probe;
}

Result<Readiness> decode_readiness(const pb::Readiness& wire) {
  Readiness readiness;
  std::size_t signal = TRY(word_field("spec.readiness.signal", wire.signal(), kSignals));
  readiness.self = signal == 1;
  readiness.timeout =
      TRY(duration_field("spec.readiness.timeout", wire.timeout(), readiness.timeout, {1ms, 1h}));
  bool wants_probe = signal == 2;
  if (wire.has_exec() && !wants_probe)
    return refuse("spec.readiness.exec", "nothing would run this probe",
                  "write signal: probe beside it, or remove it");
  if (wants_probe) readiness.probe = TRY(decode_probe("spec.readiness.exec", wire.exec(), kOften));
  return readiness;
}

Result<Liveness> decode_liveness(const pb::Liveness& wire) {
  Liveness liveness;
  if (wire.has_exec() == !wire.beat().empty())
    return refuse("spec.liveness", "liveness is either a probe or a beat",
                  "write liveness: {exec: {command: …}}, or {beat: 30s}");
  if (wire.has_exec())
    liveness.probe = TRY(decode_probe("spec.liveness.exec", wire.exec(), kOften));
  else
    liveness.beat = TRY(duration_field("spec.liveness.beat", wire.beat(), {}, {1s, 24h}));
  return liveness;
}

void encode_probe(const ExecProbe& probe, pb::ExecProbe& wire) {
  wire.mutable_command()->Add(probe.command.begin(), probe.command.end());
  wire.set_every(exact_duration(probe.every));
  wire.set_timeout(exact_duration(probe.timeout));
  wire.set_failures(probe.failures);
}

}  // namespace

Status decode_health(const pb::AgentSpec& wire, AgentSpec& spec) {
  spec.readiness = TRY(decode_readiness(wire.readiness()));
  if (wire.has_liveness()) spec.liveness = TRY(decode_liveness(wire.liveness()));
  if (wire.has_startup())
    spec.startup = TRY(decode_probe("spec.startup.exec", wire.startup().exec(), kAtStart));
  return {};
}

void encode_health(const AgentSpec& spec, pb::AgentSpec& wire) {
  const Readiness& readiness = spec.readiness;
  wire.mutable_readiness()->set_signal(kSignals[readiness.probe ? 2 : readiness.self ? 1 : 0]);
  wire.mutable_readiness()->set_timeout(exact_duration(readiness.timeout));
  if (readiness.probe) encode_probe(*readiness.probe, *wire.mutable_readiness()->mutable_exec());
  if (spec.liveness.probe)
    encode_probe(*spec.liveness.probe, *wire.mutable_liveness()->mutable_exec());
  if (spec.liveness.beat != Nanos{})
    wire.mutable_liveness()->set_beat(exact_duration(spec.liveness.beat));
  if (spec.startup) encode_probe(*spec.startup, *wire.mutable_startup()->mutable_exec());
}

}  // namespace flodea::control
