// Of sanitizer builds only: defaults for the programs that forbid being traced and run under a
// seccomp filter (flodea-control, flodea-vault, flodea-worker). They get no environment.
// detect_leaks: the leak checker stops its process with ptrace, which is what these refuse.
// use_sigaltstack: a thread begun under the filter would ask for one.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  return "detect_leaks=0:use_sigaltstack=0:strict_string_checks=1";
}
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "use_sigaltstack=0"; }
