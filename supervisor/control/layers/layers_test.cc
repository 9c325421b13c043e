#include "supervisor/control/layers/layers.h"

#include <fcntl.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <filesystem>
#include <fstream>

#include <catch2/catch_test_macros.hpp>

#include "base/safe_path.h"
#include "flodea/operators/v1/operators.pb.h"
#include "supervisor/control/layers/entries_client.h"
#include "tests/support/temporary_dir.h"

using namespace flodea;
using namespace flodea::control;
namespace fs = std::filesystem;

namespace {

using Made = Result<std::vector<BundleDigest>>;

template <class T>
T must(Result<T> result) {
  if (!result) FAIL(result.error().describe());
  return std::move(*result);
}

UniqueFd memory(std::string_view text) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  REQUIRE(write_all(fd.get(), text));
  return fd;
}

// A control's layers over one directory of bundles; a second one is the next control.
struct Bench {
  explicit Bench(const std::string& path) : path(path) {
    fs::create_directories(path);
    bundles = must(BundleStore::open(directory()));
    store = must(LayerStore::open(*bundles, directory(), read_entries));
    layers = std::make_unique<Layers>(
        Layers::Parts{.store = *store,
                      .disk = [](auto task) { task(); },
                      .post = [this](auto task) { posted.push_back(std::move(task)); },
                      .run_job =
                          [this](const JobRequest& request, auto done) {
                            jobs.push_back(request);
                            done(job());
                          },
                      .code_key = [this](auto done) { done(key); },
                      .on_damage = [this](const std::string& what) { damage.push_back(what); }});
  }

  UniqueFd directory() const {
    return must(adopt_fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), path));
  }

  BundleDigest put(const std::string& file, const std::string& text) {
    auto upload = must(bundles->receive());
    REQUIRE(upload.add(file, S_IFREG | 0644, ""));
    REQUIRE(upload.append(text));
    return must(upload.finish()).digest;
  }

  Made ensure(const BundleDigest& bundle, const LayerRecipe& recipe) {
    std::optional<Made> made;
    layers->ensure(bundle, {recipe}, [&](Made answer) { made.emplace(std::move(answer)); });
    run();
    REQUIRE(made);
    return *made;
  }

  void run() {
    for (; !posted.empty(); posted.pop_front()) posted.front()();
  }

  std::string kept(const BundleDigest& layer, const std::string& file) const {
    std::ifstream in(path + "/" + layer.hex() + "/app/" + file);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string path;
  std::deque<std::function<void()>> posted;
  std::vector<JobRequest> jobs;
  std::vector<std::string> damage;
  CodeKey key{1, 2, 3};
  std::function<Result<EndedJob>()> job = [] {
    return EndedJob{.signaled = false,
                    .value = 0,
                    .out_of_memory = false,
                    .output = memory("machine code"),
                    .messages = memory("")};
  };
  std::unique_ptr<BundleStore> bundles;
  std::unique_ptr<LayerStore> store;
  std::unique_ptr<Layers> layers;
};

LayerRecipe code_recipe() {
  return {.program = "wasm-compiler",
          .arguments = {"--max-memory", "1"},
          .input = "main.wasm",
          .output = ".flodea/module.cwasm",
          .version = "48.0.8",
          .field = "spec.runtime.entrypoint",
          .memory_bytes = 64 << 20,
          .memory_per_byte = 10,
          .seconds = 7,
          .output_bytes = 1 << 20};
}

LayerRecipe tree_recipe() {
  LayerRecipe recipe = code_recipe();
  recipe.program = "unpacker";
  recipe.input = recipe.output = "";
  return recipe;
}

std::function<Result<EndedJob>()> refusing(int value, const std::string& message) {
  return [=] {
    return EndedJob{.signaled = false,
                    .value = value,
                    .out_of_memory = false,
                    .output = memory(""),
                    .messages = memory(message)};
  };
}

std::string entries(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string out;
  google::protobuf::io::StringOutputStream stream(&out);
  for (const auto& [path, text] : files) {
    operators::v1::PutBundleRequest request;
    request.mutable_entry()->set_path(path);
    request.mutable_entry()->set_mode(S_IFREG | 0644);
    google::protobuf::util::SerializeDelimitedToZeroCopyStream(request, &stream);
    request.set_data(text);
    google::protobuf::util::SerializeDelimitedToZeroCopyStream(request, &stream);
  }
  return out;
}

}  // namespace

TEST_CASE("a layer is made once, and found again by the next control") {
  TemporaryDir dir;
  Bench first(dir.path());
  auto bundle = first.put("main.wasm", "module");
  auto made = must(first.ensure(bundle, code_recipe()));
  REQUIRE(made.size() == 1);
  CHECK(first.kept(made[0], ".flodea/module.cwasm") == "machine code");
  REQUIRE(first.jobs.size() == 1);
  CHECK(first.jobs[0].input == "main.wasm");
  CHECK(first.jobs[0].memory_bytes == (64 << 20) + 10 * std::string("module").size());
  CHECK(must(first.ensure(bundle, code_recipe())) == made);
  CHECK(first.jobs.size() == 1);
  Bench next(dir.path());
  CHECK(must(next.ensure(bundle, code_recipe())) == made);
  CHECK(next.jobs.empty());
}

TEST_CASE("who asks for the same at once waits for the one job") {
  TemporaryDir dir;
  Bench bench(dir.path());
  auto bundle = bench.put("main.wasm", "module");
  int answers = 0;
  for (int i = 0; i < 3; ++i)
    bench.layers->ensure(bundle, {code_recipe()}, [&](Made made) { answers += made ? 1 : 0; });
  bench.run();
  CHECK(answers == 3);
  CHECK(bench.jobs.size() == 1);
}

TEST_CASE("the same module in another bundle shares the layer; another engine makes its own") {
  TemporaryDir dir;
  Bench bench(dir.path());
  auto one = bench.put("main.wasm", "module");
  auto made = must(bench.ensure(one, code_recipe()));
  auto upload = must(bench.bundles->receive());
  REQUIRE(upload.add("main.wasm", S_IFREG | 0644, ""));
  REQUIRE(upload.append("module"));
  REQUIRE(upload.add("data", S_IFREG | 0644, ""));
  auto two = must(upload.finish()).digest;
  REQUIRE(one != two);
  CHECK(must(bench.ensure(two, code_recipe())) == made);
  CHECK(bench.jobs.size() == 1);
  auto newer = code_recipe();
  newer.version = "49";
  CHECK(bench.ensure(one, newer));
  CHECK(bench.jobs.size() == 2);
  CHECK(bench.ensure(bench.put("main.wasm", "another"), code_recipe()));
  CHECK(bench.jobs.size() == 3);
}

TEST_CASE("machine code that Flodea did not write is never given to an agent") {
  TemporaryDir dir;
  Bench first(dir.path());
  auto bundle = first.put("main.wasm", "module");
  auto layer = must(first.ensure(bundle, code_recipe()))[0];
  std::string file = dir.path() + "/" + layer.hex() + "/app/.flodea/module.cwasm";
  Bench next(dir.path());
  Bench* bench = &first;
  SECTION("changed beside a control that knows it") { std::ofstream(file) << "machine c0de"; }
  SECTION("changed while no control ran") {
    bench = &next;
    std::ofstream(file) << "machine c0de";
  }
  SECTION("and the index forgets it: its own MAC is never made of what lies there") {
    bench = &next;
    std::ofstream(file) << "machine c0de";
    fs::remove_all(dir.path() + "/.layers");
    fs::create_directory(dir.path() + "/.layers");
    Bench third(dir.path());
    CHECK(must(third.ensure(bundle, code_recipe()))[0] == layer);
    CHECK(third.kept(layer, ".flodea/module.cwasm") == "machine code");
    return;
  }
  SECTION("and its MAC with it") {
    bench = &next;
    std::ofstream(file) << "machine c0de";
    for (const auto& entry : fs::directory_iterator(dir.path() + "/.layers")) {
      std::ifstream in(entry.path());
      std::string text(std::istreambuf_iterator<char>(in), {});
      text.replace(text.find("mac ") + 4, 64, std::string(64, '0'));
      std::ofstream(entry.path()) << text;
    }
  }
  SECTION("made with another key") {
    bench = &next;
    next.key = {9};
  }
  SECTION("gone") {
    bench = &next;
    fs::remove(file);
  }
  bench->jobs.clear();
  CHECK(must(bench->ensure(bundle, code_recipe()))[0] == layer);
  CHECK(bench->damage.size() == 1);
  CHECK(bench->jobs.size() == 1);
  CHECK(bench->kept(layer, ".flodea/module.cwasm") == "machine code");
}

TEST_CASE("two who find nothing at once both need the layer that the second makes again") {
  TemporaryDir dir;
  Bench bench(dir.path());
  auto one = bench.put("main.wasm", "module");
  auto upload = must(bench.bundles->receive());
  REQUIRE(upload.add("main.wasm", S_IFREG | 0644, ""));
  REQUIRE(upload.append("module"));
  REQUIRE(upload.add("data", S_IFREG | 0644, ""));
  auto two = must(upload.finish()).digest;
  std::vector<BundleDigest> made;
  for (const BundleDigest& bundle : {one, two})
    bench.layers->ensure(bundle, {code_recipe()}, [&](Made m) { made.push_back(must(m)[0]); });
  bench.run();
  REQUIRE(made.size() == 2);
  CHECK(made[0] == made[1]);
  CHECK(bench.jobs.size() == 2);
  Nanos later = SystemClock().wall() + std::chrono::hours(2);
  CHECK(must(bench.store->collect({one}, later)) == std::set{made[0]});
  // Removed meanwhile from the index, but applied again before the bundles are looked through.
  CHECK(must(bench.store->collect({}, later)).empty());
  std::set<BundleDigest> kept;
  bench.layers->keep({two}, kept);
  CHECK(kept == std::set{made[0]});
  kept.clear();
  bench.layers->keep({}, kept);
  CHECK(kept.empty());
}

TEST_CASE("a job that waits for another has its own time, and an input past its limit has no job") {
  TemporaryDir dir;
  Bench bench(dir.path());
  std::vector<std::function<void()>> running;
  auto answer = bench.job;
  Layers layers(
      {.store = *bench.store,
       .disk = [](auto task) { task(); },
       .post = [&](auto task) { bench.posted.push_back(std::move(task)); },
       .run_job = [&](const JobRequest&, auto done) { running.push_back([=] { done(answer()); }); },
       .code_key = [&](auto done) { done(bench.key); },
       .on_damage = [](const std::string&) {}});
  int made = 0;
  for (const char* text : {"a", "b", "c"})
    layers.ensure(bench.put("main.wasm", text), {code_recipe()},
                  [&](Made m) { made += m ? 1 : 0; });
  for (std::size_t i = 0; i < 3; ++i) {
    bench.run();
    REQUIRE(running.size() == i + 1);
    running[i]();
  }
  bench.run();
  CHECK(made == 3);
  auto small = code_recipe();
  small.input_limit = 3;
  Error error = bench.ensure(bench.put("main.wasm", "four"), small).error();
  CHECK(error.code == Code::kInvalidArgument);
  CHECK(error.message == "main.wasm has 4 bytes and may have 3");
  CHECK(bench.jobs.empty());
}

TEST_CASE("why a layer could not be made is said to whom it concerns") {
  TemporaryDir dir;
  Bench bench(dir.path());
  auto bundle = bench.put("main.wasm", "module");
  auto error_with = [&](std::function<Result<EndedJob>()> job) {
    bench.job = std::move(job);
    auto made = bench.ensure(bundle, code_recipe());
    REQUIRE_FALSE(made);
    return made.error();
  };
  Error refused = error_with(refusing(1, "main.wasm: unknown import env.gift\n\x1b[2J more"));
  CHECK(refused.code == Code::kInvalidArgument);
  CHECK(refused.message == "main.wasm: unknown import env.gift");
  CHECK(refused.field == "spec.runtime.entrypoint");
  CHECK(error_with(refusing(2, "")).code == Code::kInternal);
  CHECK(error_with([] {
          return EndedJob{
              .signaled = true, .value = 9, .out_of_memory = true, .output = {}, .messages = {}};
        }).code == Code::kFailedPrecondition);
  Error late = error_with([] { return fail(Code::kDeadlineExceeded, "killed"); });
  CHECK(late.code == Code::kDeadlineExceeded);
  CHECK(late.message.find("7 s") != std::string::npos);
  auto absent = code_recipe();
  absent.input = "absent.wasm";
  CHECK(bench.ensure(bundle, absent).error().code == Code::kNotFound);
}

TEST_CASE("the entries that an unpacker writes become a layer, checked as a client's") {
  TemporaryDir dir;
  Bench bench(dir.path());
  auto bundle = bench.put("requirements.lock", "a==1");
  std::string output = entries({{"__pypackages__/a.py", "a = 1\n"}, {"__pypackages__/b.py", ""}});
  bench.job = [&] {
    return EndedJob{.signaled = false,
                    .value = 0,
                    .out_of_memory = false,
                    .output = memory(output),
                    .messages = memory("")};
  };
  SECTION("good ones") {
    auto layer = must(bench.ensure(bundle, tree_recipe()))[0];
    CHECK(bench.kept(layer, "__pypackages__/a.py") == "a = 1\n");
    Bench next(dir.path());
    CHECK(must(next.ensure(bundle, tree_recipe()))[0] == layer);
    CHECK(next.jobs.empty());
    return;
  }
  SECTION("out of the tree") { output = entries({{"../../keys/node.key", "x"}}); }
  SECTION("absolute") { output = entries({{"/etc/passwd", "x"}}); }
  SECTION("twice") { output = entries({{"a", "x"}, {"a", "y"}}); }
  SECTION("cut off") { output.resize(output.size() - 3); }
  SECTION("noise") { output = std::string(1000, '\xff'); }
  CHECK_FALSE(bench.ensure(bundle, tree_recipe()));
  CHECK(fs::is_empty(dir.path() + "/.layers"));
}

TEST_CASE("layers whose bundles are gone are forgotten, after a while") {
  TemporaryDir dir;
  Bench bench(dir.path());
  auto bundle = bench.put("main.wasm", "module");
  auto layer = must(bench.ensure(bundle, code_recipe()))[0];
  Nanos later = SystemClock().wall() + std::chrono::hours(2);
  CHECK(must(bench.store->collect({bundle}, later)) == std::set{layer});
  CHECK(must(bench.store->collect({}, SystemClock().wall())) == std::set{layer});
  CHECK(must(bench.store->collect({}, later)).empty());
  CHECK(fs::is_empty(dir.path() + "/.layers"));
  CHECK(must(bench.ensure(bundle, code_recipe())).size() == 1);
}
