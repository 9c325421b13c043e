// The layers of agents (layer_store.h), found or made: what a runtime's recipes ask for
// (runtimes/runtime.h) is looked up on a thread that may wait, made by flodead's jobs where it is
// missing, and remembered, so that the next start of the same agent asks nobody. Asked for the same
// thing twice at once, it makes it once. Core thread only; callbacks run there, within `ensure`
// where everything is known.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "supervisor/control/layers/layer_store.h"
#include "supervisor/control/root_client/root_client.h"

namespace flodea::control {

class Layers {
 public:
  template <class T>
  using Callback = std::function<void(Result<T>)>;

  // All outlive the layers.
  struct Parts {
    LayerStore& store;
    std::function<void(std::function<void()>)> disk;  // runs it on a thread that may wait, in order
    std::function<void(std::function<void()>)> post;  // back to the core thread
    std::function<void(const JobRequest&, Callback<EndedJob>)> run_job;
    std::function<void(Callback<CodeKey>)> code_key;
    std::function<void(const std::string& what)> on_damage;
  };
  explicit Layers(Parts parts) : parts_(std::move(parts)) {}

  // In the order of the recipes. Errors carry the recipe's field.
  void ensure(const BundleDigest& bundle, const std::vector<LayerRecipe>& recipes,
              Callback<std::vector<BundleDigest>> done);
  // The layers that agents on these bundles need, or may soon; forgets the others. They are bundles
  // to be kept (bundle_store.h).
  void collect(std::set<BundleDigest> in_use, Nanos now, Callback<std::set<BundleDigest>> done);
  // What was found or made for bundles in use since `collect` looked joins `layers`; what is in
  // neither is forgotten.
  void keep(const std::set<BundleDigest>& in_use, std::set<BundleDigest>& layers);

 private:
  struct Ensuring;
  struct Making;
  void next(std::shared_ptr<Ensuring> ensuring);
  void find(const std::string& id, const BundleDigest& bundle, const LayerRecipe& recipe);
  void with_key(const std::string& id, std::function<void(const CodeKey&)> then);
  void looked_up(const std::string& id, Result<LookedUp> found);
  void make(const std::string& id);
  void made(const std::string& id, Result<EndedJob> job);
  void settle(const std::string& id, Result<Layer> layer);

  Parts parts_;
  std::optional<CodeKey> code_key_;
  std::map<std::string, Layer> known_;  // by id
  std::map<std::string, std::shared_ptr<Making>> making_;
  std::deque<std::string> queue_;  // that need a job; the first has it
};

// Why a job gave nothing, for whoever wrote the bundle: INVALID_ARGUMENT with what the program said
// where it refused its input (exit code 1), FAILED_PRECONDITION where its memory did not do; else
// INTERNAL.
Error job_error(const LayerRecipe& recipe, const EndedJob& job, std::string_view messages);

}  // namespace flodea::control
