// The state that a flodead hands to the program it executes in its place: a KeptState in a sealed
// memfd. The descriptors it names keep their numbers.
#pragma once

#include "supervisor/root/earlier_life.h"

namespace flodea::root {

inline constexpr std::uint32_t kKeptStateVersion = 1;

// Close-on-exec, as everything here.
Result<UniqueFd> write_kept_state(const v1::KeptState& state);
// kFailedPrecondition: not such a state, or one of a later version than this program knows.
Result<v1::KeptState> read_kept_state(int fd);

// The numbers of all descriptors that the state names.
std::vector<int> kept_descriptors(const v1::KeptState& state);
// Whether they are closed by an exec.
Status set_close_on_exec(const v1::KeptState& state, bool close);

// In the program that was executed: becomes the owner of every descriptor that the state names.
// Each must be open, and named once.
Result<EarlierLife> adopt_kept_state(v1::KeptState state);

}  // namespace flodea::root
