#include <fmt/format.h>
#include <seccomp.h>
#include <sys/mman.h>

#include <memory>

#include "base/unique_fd.h"
#include "policy/seccomp_profile.h"

namespace flodea {
namespace {

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

scmp_compare op_of(SeccompArg::Op op) {
  switch (op) {
    case SeccompArg::Op::kEq:
      return SCMP_CMP_EQ;
    case SeccompArg::Op::kNe:
      return SCMP_CMP_NE;
    case SeccompArg::Op::kLt:
      return SCMP_CMP_LT;
    case SeccompArg::Op::kLe:
      return SCMP_CMP_LE;
    case SeccompArg::Op::kGt:
      return SCMP_CMP_GT;
    case SeccompArg::Op::kGe:
      return SCMP_CMP_GE;
    case SeccompArg::Op::kMaskedEq:
      return SCMP_CMP_MASKED_EQ;
  }
  return SCMP_CMP_EQ;
}

std::uint32_t action_of(const SeccompRule& rule) {
  switch (rule.action) {
    case SeccompRule::Action::kAllow:
      return SCMP_ACT_ALLOW;
    case SeccompRule::Action::kNotify:
      return SCMP_ACT_NOTIFY;
    case SeccompRule::Action::kErrno:
      return SCMP_ACT_ERRNO(static_cast<std::uint32_t>(rule.error));
  }
  return SCMP_ACT_KILL_PROCESS;
}

Status add_rule(scmp_filter_ctx context, const SeccompProfile& profile, const SeccompRule& rule) {
  std::vector<scmp_arg_cmp> args;
  for (const SeccompArg& a : rule.args) {
    bool masked = a.op == SeccompArg::Op::kMaskedEq;
    args.push_back({.arg = a.index,
                    .op = op_of(a.op),
                    .datum_a = masked ? a.mask : a.value,
                    .datum_b = masked ? a.value : 0});
  }
  for (const std::string& name : rule.syscalls) {
    int number = seccomp_syscall_resolve_name(name.c_str());
    // A library older than the call cannot name it; the default refuses it all the same. Only what
    // is to be allowed must be known.
    if (number == __NR_SCMP_ERROR && rule.action != SeccompRule::Action::kAllow) continue;
    if (number == __NR_SCMP_ERROR)
      return fail(
          Code::kInvalidArgument,
          fmt::format("seccomp profile {}: unknown system call \"{}\"", profile.name, name));
    if (number < 0) continue;  // not on this architecture
    int rc = seccomp_rule_add_array(context, action_of(rule), number,
                                    static_cast<unsigned>(args.size()), args.data());
    if (rc != 0 && rc != -EEXIST)
      return fail_errno(fmt::format("seccomp profile {}: rule for {}", profile.name, name), -rc);
  }
  return {};
}

Result<std::vector<sock_filter>> export_filter(scmp_filter_ctx context) {
  auto memfd = TRY(adopt_fd(::memfd_create("seccomp", MFD_CLOEXEC), "memfd_create"));
  if (int rc = seccomp_export_bpf(context, memfd.get()); rc != 0)
    return fail_errno("seccomp_export_bpf", -rc);
  off_t size = ::lseek(memfd.get(), 0, SEEK_END);
  std::vector<sock_filter> filter(static_cast<std::size_t>(size) / sizeof(sock_filter));
  if (::pread(memfd.get(), filter.data(), static_cast<std::size_t>(size), 0) != size)
    return fail_errno("read the filter");
  if (filter.size() > BPF_MAXINSNS) return fail(Code::kOutOfRange, "the filter is too long");
  return filter;
}

}  // namespace

Result<std::vector<sock_filter>> compile(const SeccompProfile& profile) {
  Context context(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (!context) return fail(Code::kInternal, "seccomp_init");
  seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const SeccompRule& rule : profile.rules) TRY(add_rule(context.get(), profile, rule));
  return export_filter(context.get());
}

}  // namespace flodea
