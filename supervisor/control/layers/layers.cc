#include "supervisor/control/layers/layers.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/quantity.h"
#include "base/safe_path.h"
#include "base/text.h"

namespace flodea::control {
namespace {

constexpr std::size_t kMessageBytes = 400;
constexpr std::size_t kMessageLimit = 64 << 10;

// A sealed memfd as memory: nobody can change or shorten it any more.
class Mapped {
 public:
  static Result<Mapped> map(int fd) {
    struct stat st{};
    if (::fstat(fd, &st) != 0) return fail_errno("fstat a job's output");
    Mapped mapped;
    mapped.size_ = static_cast<std::size_t>(st.st_size);
    if (mapped.size_ == 0) return mapped;
    mapped.data_ = ::mmap(nullptr, mapped.size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped.data_ == MAP_FAILED) {
      mapped.data_ = nullptr;
      return fail_errno("map a job's output");
    }
    return mapped;
  }
  Mapped(Mapped&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapped& operator=(Mapped&&) = delete;
  ~Mapped() {
    if (data_ != nullptr) ::munmap(data_, size_);
  }
  std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  Mapped() = default;
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

std::string id_of(const BundleDigest& bundle, const LayerRecipe& recipe) {
  std::string id = bundle.hex();
  for (const std::string* word : {&recipe.program, &recipe.input, &recipe.output, &recipe.version})
    id += fmt::format(" {}:{}", word->size(), *word);
  for (const std::string& word : recipe.arguments) id += fmt::format(" {}:{}", word.size(), word);
  return id;
}

JobRequest job_of(const BundleDigest& bundle, const LayerRecipe& recipe) {
  return {.bundle = bundle,
          .program = recipe.program,
          .input = recipe.input,
          .arguments = recipe.arguments,
          .memory_bytes = recipe.memory_bytes,
          .seconds = recipe.seconds,
          .output_bytes = recipe.output_bytes};
}

}  // namespace

Error job_error(const LayerRecipe& recipe, const EndedJob& job, std::string_view messages) {
  if (job.out_of_memory) {
    return fail(Code::kFailedPrecondition,  // trying again would not help
                fmt::format("{} needs more than {} of memory for it", recipe.program,
                            format_bytes(recipe.memory_bytes)))
        .value()
        .with_field(recipe.field)
        .with_remedy("make what the bundle brings smaller");
  }
  std::string_view line = messages.substr(0, messages.find('\n'));
  if (!job.signaled && job.value == 1 && !line.empty())
    return fail(Code::kInvalidArgument, clean_line(line, kMessageBytes))
        .value()
        .with_field(recipe.field);
  return fail(Code::kInternal,
              fmt::format("{} ended with {} {}: {}", recipe.program,
                          job.signaled ? "signal" : "status", job.value,
                          line.empty() ? "no message" : clean_line(line, kMessageBytes)))
      .value()
      .with_field(recipe.field);
}

// One `ensure`: its recipes in turn.
struct Layers::Ensuring {
  BundleDigest bundle;
  std::vector<LayerRecipe> recipes;
  std::vector<BundleDigest> layers;
  Callback<std::vector<BundleDigest>> done;
};

// One layer on its way, and who waits for it.
struct Layers::Making {
  BundleDigest bundle;
  LayerRecipe recipe;
  std::vector<Callback<BundleDigest>> waiting;
};

void Layers::ensure(const BundleDigest& bundle, const std::vector<LayerRecipe>& recipes,
                    Callback<std::vector<BundleDigest>> done) {
  next(std::make_shared<Ensuring>(
      Ensuring{.bundle = bundle, .recipes = recipes, .layers = {}, .done = std::move(done)}));
}

void Layers::next(std::shared_ptr<Ensuring> ensuring) {
  while (ensuring->layers.size() < ensuring->recipes.size()) {
    const LayerRecipe& recipe = ensuring->recipes[ensuring->layers.size()];
    std::string id = id_of(ensuring->bundle, recipe);
    auto known = known_.find(id);
    if (known != known_.end() && parts_.store.unchanged(known->second)) {
      ensuring->layers.push_back(known->second.digest);
      continue;
    }
    auto& making = making_[id];
    bool first = making == nullptr;
    if (first)
      making = std::make_shared<Making>(
          Making{.bundle = ensuring->bundle, .recipe = recipe, .waiting = {}});
    making->waiting.push_back([this, ensuring](Result<BundleDigest> layer) {
      if (!layer) return ensuring->done(tl::unexpected(std::move(layer).error()));
      ensuring->layers.push_back(*layer);
      next(ensuring);
    });
    if (first) find(id, ensuring->bundle, recipe);
    return;
  }
  ensuring->done(std::move(ensuring->layers));
}

void Layers::collect(std::set<BundleDigest> in_use, Nanos now,
                     Callback<std::set<BundleDigest>> done) {
  parts_.disk([this, in_use = std::move(in_use), now, done = std::move(done)] {
    auto needed =
        std::make_shared<Result<std::set<BundleDigest>>>(parts_.store.collect(in_use, now));
    parts_.post([needed, done] { done(std::move(*needed)); });
  });
}

void Layers::keep(const std::set<BundleDigest>& in_use, std::set<BundleDigest>& layers) {
  for (auto known = known_.begin(); known != known_.end();) {
    if (in_use.contains(known->second.bundle)) layers.insert(known->second.digest);
    known = layers.contains(known->second.digest) ? std::next(known) : known_.erase(known);
  }
}

void Layers::with_key(const std::string& id, std::function<void(const CodeKey&)> then) {
  if (code_key_) return then(*code_key_);
  parts_.code_key([this, id, then = std::move(then)](Result<CodeKey> key) {
    if (!key) return settle(id, tl::unexpected(std::move(key).error()));
    code_key_ = *key;
    then(*key);
  });
}

void Layers::find(const std::string& id, const BundleDigest& bundle, const LayerRecipe& recipe) {
  with_key(id, [this, id, bundle, recipe](const CodeKey& key) {
    parts_.disk([this, id, bundle, recipe, key] {
      auto found = std::make_shared<Result<LookedUp>>(parts_.store.look_up(bundle, recipe, key));
      parts_.post([this, id, found] { looked_up(id, std::move(*found)); });
    });
  });
}

void Layers::looked_up(const std::string& id, Result<LookedUp> found) {
  if (!found) return settle(id, tl::unexpected(std::move(found).error()));
  if (!found->damage.empty()) parts_.on_damage(found->damage);
  if (found->layer) return settle(id, std::move(*found->layer));
  LayerRecipe& recipe = making_.at(id)->recipe;
  if (recipe.input_limit != 0 && found->input_bytes > recipe.input_limit) {
    Error error =
        fail(Code::kInvalidArgument, fmt::format("{} has {} bytes and may have {}", recipe.input,
                                                 found->input_bytes, recipe.input_limit))
            .value();
    return settle(id, tl::unexpected(std::move(error).with_field(recipe.field)));
  }
  recipe.memory_bytes += recipe.memory_per_byte * found->input_bytes;
  queue_.push_back(id);
  if (queue_.size() == 1) make(id);
}

// flodead runs one at a time: the others wait here, where each one's time does not pass meanwhile.
void Layers::make(const std::string& id) {
  const Making& making = *making_.at(id);
  parts_.run_job(job_of(making.bundle, making.recipe),
                 [this, id](Result<EndedJob> job) { made(id, std::move(job)); });
}

void Layers::made(const std::string& id, Result<EndedJob> job) {
  queue_.pop_front();
  if (!queue_.empty()) parts_.post([this, next = queue_.front()] { make(next); });
  const Making& making = *making_.at(id);
  if (!job) {
    Error error = std::move(job).error();
    if (error.code == Code::kDeadlineExceeded)
      error.message = fmt::format("{} did not finish within {} s", making.recipe.program,
                                  making.recipe.seconds);
    return settle(id, tl::unexpected(std::move(error).with_field(making.recipe.field)));
  }
  auto ended = std::make_shared<EndedJob>(std::move(*job));
  parts_.disk([this, id, ended, bundle = making.bundle, recipe = making.recipe, key = *code_key_] {
    auto stored = [&]() -> Result<Layer> {
      if (ended->signaled || ended->value != 0) {
        auto said = ended->messages.valid() ? Mapped::map(ended->messages.get())
                                            : Result<Mapped>(fail(Code::kNotFound, ""));
        std::string_view text = said ? said->bytes().substr(0, kMessageLimit) : "";
        return tl::unexpected(job_error(recipe, *ended, text));
      }
      auto output = TRY(Mapped::map(ended->output.get()));
      return parts_.store.store(bundle, recipe, key, output.bytes());
    };
    auto outcome = std::make_shared<Result<Layer>>(stored());
    parts_.post([this, id, outcome] { settle(id, std::move(*outcome)); });
  });
}

void Layers::settle(const std::string& id, Result<Layer> layer) {
  auto node = making_.extract(id);
  if (node.empty()) return;
  if (layer) known_[id] = *layer;
  for (auto& waiting : node.mapped()->waiting) {
    if (layer)
      waiting(layer->digest);
    else
      waiting(tl::unexpected(layer.error()));
  }
}

}  // namespace flodea::control
