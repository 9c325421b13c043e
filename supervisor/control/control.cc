#include "supervisor/control/control.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "base/event_loop.h"
#include "base/safe_path.h"
#include "base/serial_executor.h"
#include "policy/profiles/control.h"
#include "policy/restrict_self.h"
#include "runtimes/runtime.h"
#include "supervisor/control/layers/entries_client.h"
#include "supervisor/control/layers/layers.h"
#include "supervisor/control/lifecycle/engine.h"
#include "supervisor/control/lifecycle/host_effects.h"
#include "supervisor/control/lifecycle/self_host.h"
#include "supervisor/control/monitoring/metrics_exporter.h"
#include "supervisor/control/operators/operators_server.h"
#include "supervisor/control/spec_json_service.h"

namespace flodea::control {
namespace {

constexpr Nanos kCollectBundles = std::chrono::hours(1);
// What nothing answers may have done it, this long before control was seen to have crashed.
constexpr Nanos kSuspectFor = std::chrono::milliseconds(250);

Status check_spec(const BundleStore& bundles, const AgentSpec& spec) {
  TRY(bundles.check_entrypoint(spec.bundle, spec.runtime.entrypoint));
  return validate_runtime(spec);
}

std::function<double()> uniform_random() {
  auto engine = std::make_shared<std::mt19937_64>(std::random_device{}());
  return [engine] { return std::uniform_real_distribution<double>(0, 1)(*engine); };
}

SpecBounds bounds_of(const HostFacts& host) {
  SpecBounds bounds{.host_cpu_millis = host.cpus * 1000, .runtimes = {}};
  for (const Runtime& runtime : runtimes())
    bounds.runtimes[std::string(runtime.type)] = {runtime.minimum_memory,
                                                  std::string(runtime.engine)};
  return bounds;
}

Result<UniqueFd> open_directory(const UniqueFd& state_dir, const std::string& name) {
  return TRY_CONTEXT(open_beneath(state_dir.get(), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                     "state directory");
}

}  // namespace

// In the order of making; destroyed in reverse. What is made only once flodead has answered comes
// last.
struct Control::Parts {
  ControlConfig config;
  ControlFds fds;
  SystemClock clock;
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<EventLog> events;
  std::shared_ptr<CallMarks> marks;
  std::optional<CrashCounts> crashes;
  Engine* core = nullptr;  // `engine`, for callbacks of what is made before it
  std::unique_ptr<LogStore> logs;
  std::unique_ptr<BundleStore> bundles;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<MetricsExporter> metrics;
  Meters meters;
  std::unique_ptr<SelfHost> self;
  std::unique_ptr<Gateway> gateway;
  std::unique_ptr<VaultClient> vault;
  std::unique_ptr<LayerStore> layer_store;
  std::unique_ptr<Layers> layers;
  std::map<std::string, std::string> runtime_versions;  // on this host
  UniqueFd pressure;
  std::unique_ptr<HostEffects> effects;
  std::unique_ptr<OperatorsServer> operators;
  // Destroyed before what its tasks use. What may take long on a disk is not for the core thread.
  std::unique_ptr<SerialExecutor> disk = std::make_unique<SerialExecutor>(2, "disk");
  std::shared_ptr<SerialExecutor::Strand> log_files = disk->make_strand();
  std::shared_ptr<SerialExecutor::Strand> bundle_files = disk->make_strand();
  std::shared_ptr<SerialExecutor::Strand> layer_files = disk->make_strand();
  std::thread farewell;  // ends the operators' server while the loop still answers its calls
  Status outcome;

  void open_marks();
  Status read_marks(StateDb& db);
  Status open_state();
  Status make_metrics();
  Status make_gateway_and_effects();
  Status make_layers();
  void ensure_layers(const AgentSpec& spec, Layers::Callback<std::vector<BundleDigest>> done);
  void on_limit(const LimitNotice& notice);
  void greet();
  void take_over(HostFacts host);
  void serve(const HostFacts& host);
  void collect_bundles();
  void condemn_bundles(std::set<BundleDigest> in_use);
  void end();
  void fail_with(Error error);
};

Result<std::unique_ptr<Control>> Control::create(ControlConfig config, ControlFds fds) {
  auto parts = std::make_unique<Parts>();
  parts->config = std::move(config);
  parts->fds = std::move(fds);
  parts->loop = TRY(EventLoop::create());
  std::unique_ptr<Control> control(new Control(std::move(parts)));
  control->parts_->open_marks();
  TRY(control->parts_->open_state());
  TRY(control->parts_->make_metrics());
  TRY(control->parts_->make_gateway_and_effects());
  auto filter = TRY(compile(kControlProfile));
  TRY(restrict_system_calls(filter));
  return control;
}

Control::Control(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Control::~Control() {
  if (parts_->farewell.joinable()) parts_->farewell.join();
}

Status Control::run() {
  parts_->greet();
  TRY(parts_->loop->run());
  if (parts_->farewell.joinable()) parts_->farewell.join();
  return parts_->outcome;
}

// ---- making

void Control::Parts::open_marks() {
  if (!fds.marks) return;
  auto opened = CallMarks::open(std::move(fds.marks));
  if (opened)
    marks = std::move(*opened);
  else
    spdlog::error("error=\"{}\"", opened.error().describe());
}

// Cleared only once they are counted: flodead tells of a crash only once. And also where they
// cannot be: what they say is of that crash alone.
Status Control::Parts::read_marks(StateDb& db) {
  if (!marks) return {};
  Status counted;
  if (config.crashed > 0) {
    auto marked = marks->marked(Nanos(config.crashed) - kSuspectFor);
    auto counts = marked ? db.count_crash(*marked) : tl::unexpected(marked.error());
    if (counts)
      crashes = std::move(*counts);
    else
      counted = tl::unexpected(counts.error());
  }
  TRY(marks->clear());
  return counted;
}

Status Control::Parts::open_state() {
  std::string path = config.state_dir + "/state.db";
  auto db = TRY(StateDb::open(path));
  if (Status read = read_marks(db); !read)
    spdlog::error("error=\"nobody is put into quarantine: {}\"", read.error().describe());
  events = TRY(make_event_log({.path = path, .clock = clock}));
  auto logs_dir = TRY(open_directory(fds.state_dir, "logs"));
  logs = TRY(make_log_store({.directory = std::move(logs_dir),
                             .clock = clock,
                             .on_limit = [this](const AgentId& agent, const std::string& message) {
                               if (core != nullptr) core->agent_limit(agent, "log: " + message);
                             }}));
  auto bundles_dir = TRY(open_directory(fds.state_dir, "bundles"));
  bundles = TRY(BundleStore::open(std::move(bundles_dir)));
  engine = std::make_unique<Engine>(EngineParts{
      .db = std::move(db),
      .clock = clock,
      .events = *events,
      .post = [this](std::function<void()> task) { loop->post(std::move(task)); },
      // The service has looked into the bundle; meanwhile it may have been collected.
      .check_spec = [this](const AgentSpec& spec) { return bundles->check_stored(spec.bundle); },
      .random = uniform_random(),
      .closed = [this] { end(); },
      .crashes = crashes});
  core = engine.get();
  return {};
}

Status Control::Parts::make_metrics() {
  auto collect = [this](std::function<void(std::vector<AgentView>)> answer) {
    engine->list([answer = std::move(answer)](Result<std::vector<AgentView>> views) {
      if (views) answer(std::move(*views));
    });
  };
  auto exporter = MetricsExporter::start(
      {.address = config.metrics, .version = FLODEA_VERSION, .revision = ""}, collect);
  if (!exporter) {  // settings, whatever its code: starting again would not help
    exporter.error().code = Code::kFailedPrecondition;
    return tl::unexpected(std::move(exporter).error().with_context("--metrics " + config.metrics));
  }
  metrics = std::move(*exporter);
  return {};
}

Status Control::Parts::make_gateway_and_effects() {
  self = std::make_unique<SelfHost>(
      meters, *logs, [this](const AgentId& agent, Generation g) { engine->agent_ready(agent, g); });
  auto on_call = [this](const AgentId& agent, const std::string& method, const std::string& code,
                        Nanos duration) {
    metrics->call_ended(engine->name_of(agent), method, code, duration);
    engine->agent_answered(agent);
  };
  gateway = TRY(make_gateway(
      {.self = *self,
       .clock = clock,
       .on_call = on_call,
       .on_limit = [this](const LimitNotice& notice) { on_limit(notice); },
       .on_failure =
           [this](Error why) {
             why.code = Code::kInternal;  // not a setting's fault: flodead starts the next control
             loop->post([this, why = std::move(why).with_context("guard")] { fail_with(why); });
           },
       .marks = marks}));
  vault = TRY(VaultClient::create(*loop, std::move(fds.vault)));
  if (!config.pressure.empty())
    pressure.reset(::open(config.pressure.c_str(), O_RDONLY | O_CLOEXEC));
  HostParts host{
      .loop = *loop,
      .clock = clock,
      .vault = *vault,
      .gateway = *gateway,
      .logs = *logs,
      .disk = [this](std::function<void()> task) { log_files->post(std::move(task)); },
      .meters = meters,
      .pressure = pressure.get(),
      .state_dir = fds.state_dir.get(),
      .spec_json = spec_json,
      .layers = [this](const AgentSpec& spec, auto done) { ensure_layers(spec, std::move(done)); },
      .root_lost = [this](const Error& why) { fail_with(why); },
      .marks = marks};
  effects = TRY(HostEffects::create(std::move(host), std::move(fds.root), *engine));
  return make_layers();
}

Status Control::Parts::make_layers() {
  auto bundles_dir = TRY(open_directory(fds.state_dir, "bundles"));
  layer_store = TRY(LayerStore::open(*bundles, std::move(bundles_dir), read_entries));
  auto on_damage = [this](const std::string& what) {
    spdlog::error("error=\"{}; it is made anew\"", what);
    (void)events->record(
        {.kind = event_kind("layer.damaged"), .message = what + "; it is made anew"});
  };
  layers = std::make_unique<Layers>(Layers::Parts{
      .store = *layer_store,
      .disk = [this](std::function<void()> task) { layer_files->post(std::move(task)); },
      .post = [this](std::function<void()> task) { loop->post(std::move(task)); },
      .run_job = [this](const JobRequest& request,
                        auto done) { effects->run_job(request, std::move(done)); },
      .code_key = [this](auto done) { vault->get_code_key(std::move(done)); },
      .on_damage = on_damage});
  return {};
}

void Control::Parts::ensure_layers(const AgentSpec& spec,
                                   Layers::Callback<std::vector<BundleDigest>> done) {
  auto runtime = find_runtime(spec.runtime.type);
  if (!runtime) return done(tl::unexpected(std::move(runtime).error()));
  auto version = runtime_versions.find(spec.runtime.type);
  if (version == runtime_versions.end())  // refused by admission, which says more
    return done(std::vector<BundleDigest>());
  layers->ensure(spec.bundle, (*runtime)->layers(spec, version->second), std::move(done));
}

void Control::Parts::on_limit(const LimitNotice& notice) {
  if (core == nullptr) return;
  core->agent_limit(notice.agent, notice.text());
  if (notice.effect == LimitEffect::kClosed)
    loop->post([this, agent = notice.agent] { effects->reconnect(agent); });
}

// ---- running

void Control::Parts::greet() {
  effects->hello([this](Result<HostFacts> host) {
    if (!host) return fail_with(std::move(host).error().with_context("flodead"));
    if (host->epoch.value != config.epoch)
      return fail_with(fail(Code::kInternal, "flodead has begun another epoch").value());
    take_over(std::move(*host));
  });
}

void Control::Parts::take_over(HostFacts host) {
  runtime_versions = host.runtimes;
  if (!pressure)
    host.missing.push_back("freezing idle agents under memory pressure (" + config.pressure +
                           " cannot be read)");
  if (!marks)
    host.missing.push_back(
        "quarantine (flodead and flodea-control are not of one version: `flodea reload`)");
  engine->recover(*effects, *metrics, host, [this, host](Status recovered) {
    if (!recovered) return fail_with(std::move(recovered).error());
    serve(host);
  });
}

void Control::Parts::serve(const HostFacts& host) {
  auto server = OperatorsServer::start(
      {.listening = std::move(fds.operators),
       .operators_group = ::getgid(),
       .backends = {*engine, *events, *logs, *bundles,
                    [this](const AgentSpec& spec) { return check_spec(*bundles, spec); },
                    [this](Lifecycle::Callback<void> done) {
                      loop->post([this, done = std::move(done)] { effects->reload(done); });
                    }},
       .bounds = bounds_of(host)});
  if (!server) return fail_with(std::move(server).error().with_context("operators' API"));
  operators = std::move(*server);
  loop->call_after(kCollectBundles, [this] { collect_bundles(); });
  (void)events->record({.kind = event_kind("service"),
                        .message = "flodea-control is up, epoch " + std::to_string(config.epoch)});
  spdlog::info("state=up version={} epoch={}", FLODEA_VERSION, config.epoch);
}

void Control::Parts::collect_bundles() {
  auto in_use = engine->bundles_in_use();
  if (in_use) {
    layers->collect(std::move(*in_use), clock.wall(),
                    [this](Result<std::set<BundleDigest>> needed) {
                      if (needed) return condemn_bundles(std::move(*needed));
                      spdlog::warn("error=\"layers: {}\"", needed.error().describe());
                    });
  } else {
    spdlog::warn("error=\"bundles: {}\"", in_use.error().describe());
  }
  loop->call_after(kCollectBundles, [this] { collect_bundles(); });
}

// Condemned on the core thread, so that no apply comes between asking and removing.
void Control::Parts::condemn_bundles(std::set<BundleDigest> in_use) {
  auto now = engine->bundles_in_use();
  if (!now) return spdlog::warn("error=\"bundles: {}\"", now.error().describe());
  layers->keep(*now, in_use);
  in_use.merge(*now);
  auto condemned = bundles->condemn_unused(in_use, clock.wall());
  if (!condemned) spdlog::warn("error=\"bundles: {}\"", condemned.error().describe());
  if (condemned && *condemned > 0) spdlog::info("bundles-removed={}", *condemned);
  bundle_files->post([this] {
    if (Status removed = bundles->remove_condemned(); !removed)
      spdlog::warn("error=\"bundles: {}\"", removed.error().describe());
  });
}

// Every agent is stopped. Calls under way are answered, then the loop ends.
void Control::Parts::end() {
  engine->end_waits();
  if (farewell.joinable()) return;
  farewell = std::thread([this] {
    if (operators) operators->shutdown();
    loop->stop();
  });
}

void Control::Parts::fail_with(Error error) {
  if (outcome) outcome = tl::unexpected(std::move(error));
  loop->stop();
}

}  // namespace flodea::control
