// Which agents come after which (`spec.after`): in which order several are applied, and stopped.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace flodea::cli {

using Names = std::vector<std::string>;
using After = std::map<std::string, Names>;                       // by agent: those it comes after
using Precedence = std::map<std::string, std::set<std::string>>;  // by agent: those before it

// `names`, each behind those it comes after, be it by way of agents that are not among them; else
// as they were.
Names in_start_order(const Names& names, const After& after);

// For each of `names` those of them that come after it, be it by way of others: to be stopped
// before it. Only names that have any.
Precedence stopped_before(const Names& names, const After& after);

}  // namespace flodea::cli
