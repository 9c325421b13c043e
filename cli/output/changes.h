// What differs between two manifests as the supervisor has them, field by field.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "flodea/operators/v1/operators.pb.h"

namespace flodea::cli {

struct FieldChange {
  std::string path;  // "spec.resources.memory", "metadata.labels.team", "spec.runtime.args[0]"
  std::optional<std::string> before, after;  // absent: the field is not there
};

// Labels and spec, by path. Without `before` all of `after` is new.
std::vector<FieldChange> changes_between(const operators::v1::Agent* before,
                                         const operators::v1::Agent& after);
// "spec.resources.memory: 64Mi → 128Mi"
std::string change_text(const FieldChange& change);
// As `diff -u` has it: a line with - and one with + a field; empty where nothing differs.
std::string diff_text(const operators::v1::Agent* before, const operators::v1::Agent& after,
                      const std::string& file);

}  // namespace flodea::cli
