// What flodea-vault gives up before its first request. What it may still call stands in
// policy/profiles/vault.json, with reasons; everything else fails with EPERM.
#pragma once

#include "base/result.h"

namespace flodea::vault {

// Locks all memory, now and later: key material and I/O buffers never reach a disk, and answering
// the kernel never waits for memory that only its own answer would free. Without CAP_IPC_LOCK:
// kPermissionDenied (buffers and raw keys are locked one by one anyway).
Status lock_memory();
// Every descriptor from `first` on is closed: this process must inherit nothing of what it serves
// (it would wait for itself).
Status close_from(int first);
// policy/profiles/vault.json, which is part of the program, for all threads.
Status restrict_self();

}  // namespace flodea::vault
