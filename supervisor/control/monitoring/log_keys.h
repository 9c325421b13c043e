// The agents' log keys in locked memory that never reaches swap or a core file and is wiped when
// given back. One guarded page holds many keys: a sodium_malloc of its own for each would cost an
// agent four pages. Thread-safe. A LogKeyRef outlives its arena safely.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "supervisor/control/monitoring/log_store.h"

namespace flodea::control {

class LogKeyArena : public std::enable_shared_from_this<LogKeyArena> {
 public:
  // Shared by whoever is reading or writing with the key; the last one wipes it.
  using Ref = std::shared_ptr<const unsigned char>;

  static Result<std::shared_ptr<LogKeyArena>> create();
  Result<Ref> store(const LogKey& key);

 private:
  LogKeyArena() = default;
  struct SodiumFree {
    void operator()(unsigned char* page) const;
  };
  Status grow();
  void give_back(unsigned char* slot);

  std::mutex mutex_;
  std::vector<std::unique_ptr<unsigned char, SodiumFree>> pages_;
  std::vector<unsigned char*> free_;
};

bool same_key(const LogKeyArena::Ref& stored, const LogKey& key);  // in constant time

}  // namespace flodea::control
