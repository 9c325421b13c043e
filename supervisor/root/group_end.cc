#include "supervisor/root/group_end.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>

namespace flodea::root {

OneShot<bool> wait_group_empty(EventLoop& loop, const Cgroup& group) {
  OneShot<bool> empty(loop);
  int fd = group.events_fd();
  auto timer = loop.call_after(kEmptyDeadline, [&loop, fd, empty]() mutable {
    loop.unwatch(fd);
    empty.set(false);
  });
  auto look = [&loop, &group, fd, empty, timer]() mutable {
    if (group.populated().value_or(false)) return;
    loop.unwatch(fd);
    loop.cancel(timer);
    empty.set(true);
  };
  auto watched = loop.watch(fd, EPOLLPRI, [look](std::uint32_t) mutable { look(); });
  if (!watched) spdlog::error("error=\"cgroup.events: {}\"", watched.error().describe());
  look();
  return empty;
}

}  // namespace flodea::root
