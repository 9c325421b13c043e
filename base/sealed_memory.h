// A memfd of a fixed size that two programs share (memfd_create(2), F_ADD_SEALS of fcntl(2)). The
// seals keep it from shrinking under a mapping, which would be a SIGBUS, and from growing. Mapped
// by Boost.Interprocess; there is no managed segment and no mutex in it, so a peer that dies or
// lies can block nobody.
#pragma once

#include <boost/interprocess/mapped_region.hpp>

#include "base/unique_fd.h"

namespace flodea {

// `name` is seen in /proc. All zero, sealed SHRINK|GROW|SEAL, close-on-exec.
Result<UniqueFd> make_sealed_memory(const char* name, std::size_t bytes);

// kPermissionDenied: not a memfd with the seals; kInvalidArgument: another size. `name` is for the
// message.
Status check_sealed_memory(int fd, const char* name, std::size_t bytes);

// Of what passes the check. The descriptor may be closed afterwards.
Result<boost::interprocess::mapped_region> map_sealed_memory(int fd, const char* name,
                                                             std::size_t bytes,
                                                             boost::interprocess::mode_t mode);

}  // namespace flodea
