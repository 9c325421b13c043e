#include "supervisor/control/operators/spec_codec.h"

#include <functional>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

namespace flodea::control {
namespace {

namespace pb = operators::v1;
using namespace std::chrono_literals;

const std::string kDigest = "sha256:" + std::string(64, 'a');

pb::AgentManifest smallest() {
  pb::AgentManifest m;
  m.set_api_version("flodea/v1");
  m.set_kind("Agent");
  m.mutable_metadata()->set_name("ledger");
  m.mutable_spec()->mutable_runtime()->set_type("python");
  m.mutable_spec()->mutable_runtime()->set_entrypoint("main.py");
  m.mutable_spec()->set_bundle(kDigest);
  return m;
}

using Edit = std::function<void(pb::AgentManifest&)>;
using EditSpec = std::function<void(pb::AgentSpec&)>;

Edit on_spec(EditSpec edit) {
  return [edit](pb::AgentManifest& m) { edit(*m.mutable_spec()); };
}

struct Refusal {
  std::string what;
  Edit edit;
  std::string field;
  std::string in_text;  // of message and remedy
};

void expect_refusal(const Refusal& c) {
  INFO(c.what);
  pb::AgentManifest m = smallest();
  c.edit(m);
  auto decoded = decode_manifest(m);
  REQUIRE_FALSE(decoded);
  INFO(decoded.error().describe());
  CHECK(decoded.error().code == Code::kInvalidArgument);
  CHECK(decoded.error().field == c.field);
  CHECK_FALSE(decoded.error().remedy.empty());
  CHECK(decoded.error().describe().find(c.in_text) != std::string::npos);
}

TEST_CASE("a manifest of what is required alone gets every documented default") {
  auto decoded = decode_manifest(smallest());
  REQUIRE(decoded);
  AgentSpec defaults;
  defaults.runtime = {.type = "python", .entrypoint = "main.py"};
  defaults.bundle = *BundleDigest::parse(kDigest);
  CHECK(decoded->name == "ledger");
  CHECK(decoded->spec == defaults);
  pb::AgentSpec wire = encode_manifest(*decoded).spec();
  CHECK(wire.resources().memory() == "128Mi");
  CHECK(wire.resources().cpu() == "1");
  CHECK(wire.resources().pids() == 64);
  CHECK(wire.resources().disk() == "128Mi");
  CHECK(wire.resources().open_files() == 256);
  CHECK(wire.resources().calls_per_second() == 1000);
  CHECK(wire.resources().log_rate() == "1Mi");
  CHECK(wire.restart().policy() == "on-failure");
  CHECK(wire.restart().max_retries() == 5);
  CHECK(wire.restart().backoff().initial() == "200ms");
  CHECK(wire.restart().backoff().max() == "30s");
  CHECK(wire.stop_timeout() == "5s");
  CHECK(wire.logs().keep() == "16Mi");
  CHECK(wire.logs().when_full() == "block");
  CHECK(wire.readiness().signal() == "exec");
}

TEST_CASE("a JavaScript agent gets the engine that there is, named or not") {
  for (const char* engine : {"", "node"}) {
    pb::AgentManifest m = smallest();
    m.mutable_spec()->mutable_runtime()->set_type("javascript");
    m.mutable_spec()->mutable_runtime()->set_engine(engine);
    auto decoded = decode_manifest(m);
    REQUIRE(decoded);
    CHECK(decoded->spec.runtime.engine == "node");
    CHECK(encode_manifest(*decoded).spec().runtime().engine() == "node");
  }
}

TEST_CASE("probes get the documented defaults, and what is not asked for is left out") {
  pb::AgentManifest m = smallest();
  CHECK_FALSE(encode_manifest(*decode_manifest(m)).spec().has_liveness());
  CHECK_FALSE(encode_manifest(*decode_manifest(m)).spec().has_startup());
  m.mutable_spec()->mutable_startup()->mutable_exec()->add_command("a");
  m.mutable_spec()->mutable_readiness()->set_signal("probe");
  m.mutable_spec()->mutable_readiness()->mutable_exec()->add_command("b");
  m.mutable_spec()->mutable_liveness()->mutable_exec()->add_command("c");
  auto decoded = decode_manifest(m);
  REQUIRE(decoded);
  const AgentSpec& spec = decoded->spec;
  CHECK(spec.startup == ExecProbe{.command = {"a"}, .every = 1s, .timeout = 1s, .failures = 30});
  CHECK(spec.readiness.probe ==
        ExecProbe{.command = {"b"}, .every = 10s, .timeout = 1s, .failures = 3});
  CHECK(spec.liveness.probe ==
        ExecProbe{.command = {"c"}, .every = 10s, .timeout = 1s, .failures = 3});
  CHECK(decode_manifest(encode_manifest(*decoded))->spec == spec);
  m.mutable_spec()->mutable_liveness()->clear_exec();
  m.mutable_spec()->mutable_liveness()->set_beat("90s");
  decoded = decode_manifest(m);
  REQUIRE(decoded);
  CHECK(decoded->spec.liveness.beat == 90s);
  CHECK(encode_manifest(*decoded).spec().liveness().beat() == "1m30s");
}

TEST_CASE("a probe or beat out of its bounds is refused with its field") {
  auto with_probe = [](std::function<void(pb::ExecProbe&)> edit) {
    return on_spec([edit](pb::AgentSpec& spec) {
      spec.mutable_liveness()->mutable_exec()->add_command("true");
      edit(*spec.mutable_liveness()->mutable_exec());
    });
  };
  const Refusal rows[] = {
      {"no command", with_probe([](pb::ExecProbe& p) { p.clear_command(); }),
       "spec.liveness.exec.command", "program"},
      {"an empty program", with_probe([](pb::ExecProbe& p) { p.set_command(0, ""); }),
       "spec.liveness.exec.command", "program"},
      {"a NUL", with_probe([](pb::ExecProbe& p) { p.add_command(std::string("a\0b", 3)); }),
       "spec.liveness.exec.command", "NUL"},
      {"too long", with_probe([](pb::ExecProbe& p) { p.add_command(std::string(4096, 'x')); }),
       "spec.liveness.exec.command", "4Ki"},
      {"too often", with_probe([](pb::ExecProbe& p) { p.set_every("99ms"); }),
       "spec.liveness.exec.every", "100ms"},
      {"no time", with_probe([](pb::ExecProbe& p) { p.set_timeout("1ms"); }),
       "spec.liveness.exec.timeout", "10ms"},
      {"too patient", with_probe([](pb::ExecProbe& p) { p.set_failures(1001); }),
       "spec.liveness.exec.failures", "1000"},
      {"both", with_probe([](pb::ExecProbe&) {}), "spec.liveness", "beat"},
      {"neither", on_spec([](pb::AgentSpec& s) { s.mutable_liveness(); }), "spec.liveness", "beat"},
      {"beats too often", on_spec([](pb::AgentSpec& s) { s.mutable_liveness()->set_beat("0s"); }),
       "spec.liveness.beat", "1s"},
      {"a start-up of nothing", on_spec([](pb::AgentSpec& s) { s.mutable_startup(); }),
       "spec.startup.exec.command", "program"},
      {"a probe that nobody asks", on_spec([](pb::AgentSpec& s) {
         s.mutable_readiness()->mutable_exec()->add_command("true");
       }),
       "spec.readiness.exec", "signal: probe"},
      {"a question without a probe",
       on_spec([](pb::AgentSpec& s) { s.mutable_readiness()->set_signal("probe"); }),
       "spec.readiness.exec.command", "program"},
  };
  for (Refusal row : rows) {
    if (row.what == "both") {
      Edit probe = row.edit;
      row.edit = [probe](pb::AgentManifest& m) {
        probe(m);
        m.mutable_spec()->mutable_liveness()->set_beat("1s");
      };
    }
    expect_refusal(row);
  }
}

TEST_CASE("what is encoded decodes to itself") {
  AgentManifest m;
  m.name = "a-1";
  m.labels = {{"team/x", "treasury"}, {"empty", ""}};
  m.spec.runtime = {.type = "python",
                    .entrypoint = "src/app.py",
                    .args = {"--x", "", "ü"},
                    .env = {{"A_1", "v w"}, {"B", ""}},
                    .packages = "deps/requirements.lock"};
  m.spec.bundle = *BundleDigest::parse(kDigest);
  m.spec.resources = {.memory_bytes = 100'000'001,
                      .cpu_millis = GENERATE(10u, 250u, 500u, 1000u, 1234u),
                      .pids = 1,
                      .disk_bytes = 16 * kMiB,
                      .open_files = 16,
                      .calls_per_second = 1,
                      .log_bytes_per_second = 4097};
  m.spec.restart = {
      .policy = GENERATE(RestartPolicy::kAlways, RestartPolicy::kOnFailure, RestartPolicy::kNever),
      .max_retries = GENERATE(0u, Restart::kNoEnd),
      .initial = 1234567ns,
      .max = 61s,
      .reset_after = 1h + 1ns};
  m.spec.stop_timeout = GENERATE(0ns, 90s, 12345ms);
  m.spec.logs = {.keep_bytes = kMiB, .drop_when_full = true};
  m.spec.readiness = {.self = true, .timeout = 1ms};
  auto back = decode_manifest(encode_manifest(m));
  REQUIRE(back);
  CHECK(*back == m);
}

TEST_CASE("an entry point and a lock file are taken in normal form") {
  pb::AgentManifest m = smallest();
  m.mutable_spec()->mutable_runtime()->set_entrypoint("./src//./main.py");
  CHECK(decode_manifest(m)->spec.runtime.entrypoint == "src/main.py");
  CHECK(decode_manifest(m)->spec.runtime.packages.empty());
  m.mutable_spec()->mutable_runtime()->set_packages("./deps//requirements.lock");
  CHECK(decode_manifest(m)->spec.runtime.packages == "deps/requirements.lock");
}

TEST_CASE("a bad header or name is refused with its field") {
  const std::vector<Refusal> cases{
      {"no version", [](auto& m) { m.clear_api_version(); }, "apiVersion", "flodea/v1"},
      {"another version", [](auto& m) { m.set_api_version("flodea/v2"); }, "apiVersion",
       "flodea/v1"},
      {"another kind", [](auto& m) { m.set_kind("Pod"); }, "kind", "Agent"},
      {"no name", [](auto& m) { m.mutable_metadata()->clear_name(); }, "metadata.name", "no name"},
      {"name with /", [](auto& m) { m.mutable_metadata()->set_name("a/b"); }, "metadata.name",
       "a/b"},
      {"name with ..", [](auto& m) { m.mutable_metadata()->set_name(".."); }, "metadata.name",
       "DNS label"},
      {"upper-case name", [](auto& m) { m.mutable_metadata()->set_name("Ledger"); },
       "metadata.name", "a-z"},
      {"long name", [](auto& m) { m.mutable_metadata()->set_name(std::string(64, 'a')); },
       "metadata.name", "63"},
      {"label key", [](auto& m) { (*m.mutable_metadata()->mutable_labels())["a b"] = "x"; },
       "metadata.labels", "a b"},
      {"label value", [](auto& m) { (*m.mutable_metadata()->mutable_labels())["a"] = "x/y"; },
       "metadata.labels.a", "x/y"},
      {"33 labels",
       [](auto& m) {
         for (int i = 0; i < 33; ++i)
           (*m.mutable_metadata()->mutable_labels())["k" + std::to_string(i)] = "v";
       },
       "metadata.labels", "32"},
  };
  for (const Refusal& c : cases) expect_refusal(c);
}

TEST_CASE("a bad runtime is refused with its field") {
  auto runtime = [](std::function<void(pb::Runtime&)> edit) {
    return on_spec([edit](pb::AgentSpec& s) { edit(*s.mutable_runtime()); });
  };
  const std::vector<Refusal> cases{
      {"no type", runtime([](auto& r) { r.clear_type(); }), "spec.runtime.type", "python"},
      {"an engine where there is no choice", runtime([](auto& r) { r.set_engine("cpython"); }),
       "spec.runtime.engine", "leave spec.runtime.engine out"},
      {"an engine that is not there",
       runtime([](auto& r) { r.set_type("javascript"), r.set_engine("bun"); }),
       "spec.runtime.engine", "use: node"},
      {"misspelt type", runtime([](auto& r) { r.set_type("pyhton"); }), "spec.runtime.type",
       "did you mean \"python\""},
      {"no entry point", runtime([](auto& r) { r.clear_entrypoint(); }), "spec.runtime.entrypoint",
       "main.py"},
      {"absolute entry point", runtime([](auto& r) { r.set_entrypoint("/etc/passwd"); }),
       "spec.runtime.entrypoint", "relative"},
      {"entry point with ..", runtime([](auto& r) { r.set_entrypoint("a/../../b"); }),
       "spec.runtime.entrypoint", "relative"},
      {"entry point .", runtime([](auto& r) { r.set_entrypoint("./"); }), "spec.runtime.entrypoint",
       "relative"},
      {"lock file with ..", runtime([](auto& r) { r.set_packages("../requirements.lock"); }),
       "spec.runtime.packages", "relative"},
      {"lock file of control characters", runtime([](auto& r) { r.set_packages("a\nb"); }),
       "spec.runtime.packages", "no file of a bundle"},
      {"65 args", runtime([](auto& r) {
         for (int i = 0; i < 65; ++i) r.add_args("x");
       }),
       "spec.runtime.args", "64"},
      {"long arg", runtime([](auto& r) { r.add_args("x"), r.add_args(std::string(4097, 'x')); }),
       "spec.runtime.args[1]", "4Ki"},
      {"NUL in arg", runtime([](auto& r) { r.add_args(std::string("a\0b", 3)); }),
       "spec.runtime.args[0]", "NUL"},
      {"env key", runtime([](auto& r) { (*r.mutable_env())["1A"] = "x"; }), "spec.runtime.env",
       "1A"},
      {"env key with =", runtime([](auto& r) { (*r.mutable_env())["A=B"] = "x"; }),
       "spec.runtime.env", "A=B"},
      {"our env", runtime([](auto& r) { (*r.mutable_env())["FLODEA_FD"] = "9"; }),
       "spec.runtime.env.FLODEA_FD", "FLODEA_"},
      {"NUL in env", runtime([](auto& r) { (*r.mutable_env())["A"] = std::string("\0", 1); }),
       "spec.runtime.env.A", "NUL"},
  };
  for (const Refusal& c : cases) expect_refusal(c);
}

TEST_CASE("a bad quantity is refused with its field and the right form") {
  auto resources = [](std::function<void(pb::Resources&)> edit) {
    return on_spec([edit](pb::AgentSpec& s) { edit(*s.mutable_resources()); });
  };
  const std::vector<Refusal> cases{
      {"bad unit", resources([](auto& r) { r.set_memory("64Mb"); }), "spec.resources.memory",
       "64Mi"},
      {"negative", resources([](auto& r) { r.set_memory("-1Mi"); }), "spec.resources.memory",
       "64Mi"},
      {"under the runtime's minimum", resources([](auto& r) { r.set_memory("23Mi"); }),
       "spec.resources.memory", "24Mi"},
      {"overflow", resources([](auto& r) { r.set_memory("99999999999Ti"); }),
       "spec.resources.memory", "bytes"},
      {"cpu text", resources([](auto& r) { r.set_cpu("half"); }), "spec.resources.cpu", "0.5"},
      {"no cpu", resources([](auto& r) { r.set_cpu("0"); }), "spec.resources.cpu", "0.01"},
      {"cpu too little", resources([](auto& r) { r.set_cpu("5m"); }), "spec.resources.cpu", "0.01"},
      {"pids", resources([](auto& r) { r.set_pids(40000); }), "spec.resources.pids", "32768"},
      {"small disk", resources([](auto& r) { r.set_disk("15Mi"); }), "spec.resources.disk", "16Mi"},
      {"open files", resources([](auto& r) { r.set_open_files(15); }), "spec.resources.open_files",
       "16"},
      {"log rate", resources([](auto& r) { r.set_log_rate("fast"); }), "spec.resources.log_rate",
       "64Mi"},
      {"bare seconds", on_spec([](auto& s) { s.set_stop_timeout("5"); }), "spec.stop_timeout",
       "5s"},
      {"too long", on_spec([](auto& s) { s.set_stop_timeout("11m"); }), "spec.stop_timeout", "10m"},
      {"policy", on_spec([](auto& s) { s.mutable_restart()->set_policy("onfailure"); }),
       "spec.restart.policy", "did you mean \"on-failure\""},
      {"backoff",
       on_spec([](auto& s) { s.mutable_restart()->mutable_backoff()->set_initial("1"); }),
       "spec.restart.backoff.initial", "200ms"},
      {"longer than any",
       on_spec([](auto& s) { s.mutable_restart()->mutable_backoff()->set_reset_after("8785h"); }),
       "spec.restart.backoff.reset_after", "not between 0s and 8784h"},
      {"max below initial", on_spec([](auto& s) {
         s.mutable_restart()->mutable_backoff()->set_initial("2s");
         s.mutable_restart()->mutable_backoff()->set_max("1s");
       }),
       "spec.restart.backoff.max", "raise max"},
      {"log keep", on_spec([](auto& s) { s.mutable_logs()->set_keep("2Gi"); }), "spec.logs.keep",
       "1Gi"},
      {"when full", on_spec([](auto& s) { s.mutable_logs()->set_when_full("x"); }),
       "spec.logs.when_full", "block, drop"},
      {"signal", on_spec([](auto& s) { s.mutable_readiness()->set_signal("selv"); }),
       "spec.readiness.signal", "\"self\""},
      {"no bundle", on_spec([](auto& s) { s.clear_bundle(); }), "spec.bundle", "no bundle"},
      {"bundle is a path", on_spec([](auto& s) { s.set_bundle("./ledger"); }), "spec.bundle",
       "PutBundle"},
      {"bundle climbs", on_spec([](auto& s) { s.set_bundle("sha256:../../etc"); }), "spec.bundle",
       "PutBundle"},
  };
  for (const Refusal& c : cases) expect_refusal(c);
}

TEST_CASE("more cores than the host has is this host's refusal") {
  pb::AgentManifest m = smallest();
  m.mutable_spec()->mutable_resources()->set_cpu("4");
  auto decoded = decode_manifest(m, SpecBounds{.host_cpu_millis = 2000});
  REQUIRE_FALSE(decoded);
  CHECK(decoded.error().code == Code::kFailedPrecondition);
  CHECK(decoded.error().field == "spec.resources.cpu");
}

TEST_CASE("an agent's view keeps what the lifecycle says, and its text is made UTF-8") {
  AgentView view;
  view.manifest = *decode_manifest(smallest());
  view.id = AgentId::random();
  view.state = AgentState::kBackoff;
  view.reason = "signal";
  view.message = "bad \xff byte";
  view.state_since = 1500ms;
  view.exit_code = 3;
  view.usage = AgentUsage{.memory_bytes = 7};
  view.start_phases = {{"volume", 2ms}};
  pb::Agent wire = encode_agent(view);
  CHECK(wire.state() == pb::STATE_BACKOFF);
  CHECK(wire.message() == "bad \xEF\xBF\xBD byte");
  CHECK(wire.state_since().seconds() == 1);
  CHECK(wire.state_since().nanos() == 500'000'000);
  CHECK(wire.exit_code() == 3);
  CHECK(wire.usage().memory_bytes() == 7);
  CHECK(wire.start_phases(0).nanos() == 2'000'000);
  CHECK_FALSE(wire.has_next_start());
}

}  // namespace

TEST_CASE("a dry run that an earlier Apply had is refused, not made so") {
  pb::ApplyRequest request;
  *request.mutable_manifest() = smallest();
  CHECK(decode_apply(request));
  request.set_dry_run(true);
  CHECK(decode_apply(request).error().field == "dry_run");
}

TEST_CASE("a plan has manifests, each of another agent; an error says of which") {
  pb::PlanRequest plan;
  CHECK(decode_plan(plan).error().field == "manifests");
  *plan.add_manifests() = smallest();
  *plan.add_manifests() = smallest();
  auto twice = decode_plan(plan);
  REQUIRE_FALSE(twice);
  CHECK(twice.error().field == "manifests[1].metadata.name");
  plan.mutable_manifests(1)->mutable_metadata()->set_name("other");
  CHECK(decode_plan(plan)->size() == 2);
  plan.mutable_manifests(1)->mutable_spec()->mutable_runtime()->set_type("perl");
  CHECK(decode_plan(plan).error().field == "manifests[1].spec.runtime.type");
  plan.mutable_manifests(1)->Clear();
  CHECK(decode_plan(plan).error().field.starts_with("manifests[1]."));
  while (plan.manifests_size() < 4097) *plan.add_manifests() = smallest();
  CHECK(decode_plan(plan).error().field == "manifests");
}

}  // namespace flodea::control
