// An instance across lives of flodead: what is written down of it, and how it goes on from there.
#include <signal.h>
#include <sys/stat.h>

#include "supervisor/root/instance.h"

namespace flodea::root {

v1::KeptInstance Instance::kept() const {
  v1::KeptInstance out;
  out.set_boot_id(context_.boot_id);
  out.set_uid_range(range_ ? range_->index : 0);
  *out.mutable_request() = request_;
  *out.mutable_reply() = reply_;
  out.set_state(state_);
  *out.mutable_exit() = exit_;
  out.set_kill_reason(kill_reason_);
  out.set_deadline_boottime_ns(deadline_boottime_ns_);
  out.set_volume_loop(volume_.loop);
  struct stat store;
  if (volume_.store && ::fstat(volume_.store.get(), &store) == 0) {
    out.set_store_device(store.st_dev);
    out.set_store_inode(store.st_ino);
  }
  return out;
}

v1::KeptDescriptors Instance::kept_descriptors() const {
  v1::KeptDescriptors out;
  auto number = [](int fd) { return fd < 0 ? 0 : fd; };
  out.set_worker(number(worker_.get()));
  out.set_attach(number(attach_.first.get()));
  out.set_attach_worker(number(attach_.second.get()));
  out.set_log_read(number(log_.first.get()));
  out.set_log_write(number(log_.second.get()));
  out.set_status_page(number(status_page_.get()));
  out.set_store(number(volume_.store.get()));
  out.set_device(number(context_.volumes.device_of(agent_)));
  return out;
}

Status Instance::write_down() const {
  return context_.journal.record(
      {.name = name(), .boot_id = context_.boot_id, .uid_range = range_->index, .kept = kept()});
}

bool Instance::settled() const {
  return state_ == v1::INSTANCE_STATE_EXITED || (state_ == v1::INSTANCE_STATE_RUNNING && !ending_);
}

Status Instance::adopt(const v1::KeptInstance& kept, InstanceDescriptors descriptors) {
  reply_ = kept.reply();
  exit_ = kept.exit();
  kill_reason_ = kept.kill_reason();
  range_ = UidRange{.index = kept.uid_range(), .base = reply_.uid_base()};
  journalled_ = true;
  worker_ = std::move(descriptors.worker);
  attach_ = std::move(descriptors.attach);
  log_ = std::move(descriptors.log);
  status_page_ = std::move(descriptors.status_page);
  volume_.store = std::move(descriptors.store);
  volume_.loop = kept.volume_loop();
  volume_open_ = true;
  if (descriptors.device) context_.volumes.adopt(agent_, std::move(descriptors.device));
  state_ = kept.state();
  auto group = context_.cgroups.open(name());
  if (group) group_ = std::move(*group);
  if (state_ == v1::INSTANCE_STATE_EXITED) return {};
  auto going = group ? go_on(kept) : Status(tl::unexpected(std::move(group).error()));
  if (going) return {};
  if (worker_.valid()) {  // what cannot be watched must not run
    context_.loop.unwatch(worker_.get());
    [[maybe_unused]] auto killed = worker_.send_signal(SIGKILL);
  }
  state_ = v1::INSTANCE_STATE_EXITED;
  exit_.set_killed_by("it could not be taken over");
  return going;
}

// What happened while nobody watched is found: an end by the pidfd, a kill for want of memory by
// the group's count (v1 tells once, and leaves the rest of the agent alive).
Status Instance::go_on(const v1::KeptInstance& kept) {
  oom_ = TRY(group_->watch_oom_v1());
  TRY(watch_worker());
  if (kept.deadline_boottime_ns() != 0) TRY(set_deadline(kept.deadline_boottime_ns()));
  if (!kill_reason_.empty()) return group_->kill();
  if (!oom_) return {};
  auto reader = TRY(CgroupReader::open(group_->paths()));
  auto usage = TRY(reader.read());
  if (usage.oom_kills == 0) return {};
  exit_.set_oom_kills(usage.oom_kills);
  return group_->kill();
}

}  // namespace flodea::root
