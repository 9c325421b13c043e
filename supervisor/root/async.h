// Steps that wait, written as one function: `Async<T>` is a coroutine whose outcome is a Result<T>;
// `OneShot<T>` is what it waits for (a reply, an exit, a deadline). Everything belongs to the event
// loop's thread. A OneShot resumes its waiter from the loop's top, never from within `set`, so that
// no caller is re-entered.
#pragma once

#include <coroutine>
#include <memory>
#include <optional>
#include <utility>

#include "base/event_loop.h"
#include "base/result.h"

namespace flodea::root {

template <class T>
class [[nodiscard]] Async {
 public:
  struct promise_type {
    std::optional<Result<T>> outcome;
    std::coroutine_handle<> waiter;

    struct Finish {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(
          std::coroutine_handle<promise_type> self) const noexcept {
        return self.promise().waiter ? self.promise().waiter : std::noop_coroutine();
      }
      void await_resume() const noexcept {}
    };
    Async get_return_object() {
      return Async(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    Finish final_suspend() noexcept { return {}; }
    void return_value(Result<T> value) { outcome.emplace(std::move(value)); }
    void unhandled_exception() { std::terminate(); }
  };

  Async(Async&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Async& operator=(Async&&) = delete;
  ~Async() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) {
    handle_.promise().waiter = waiter;
    return handle_;
  }
  Result<T> await_resume() { return std::move(*handle_.promise().outcome); }

 private:
  explicit Async(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

// The outer end: runs at once until its first wait, and frees itself at its end.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

// A value that arrives once. Shared by who sets it and who waits; the first `set` counts.
template <class T>
class OneShot {
 public:
  explicit OneShot(EventLoop& loop) : state_(std::make_shared<State>(State{.loop = &loop})) {}

  bool ready() const { return state_->value.has_value(); }
  void set(Result<T> value) {
    if (ready()) return;
    state_->value.emplace(std::move(value));
    if (state_->waiter) state_->loop->post([state = state_] { state->waiter.resume(); });
  }

  bool await_ready() const { return ready(); }
  void await_suspend(std::coroutine_handle<> waiter) { state_->waiter = waiter; }
  Result<T> await_resume() { return std::move(*state_->value); }

 private:
  struct State {
    EventLoop* loop;
    std::optional<Result<T>> value;
    std::coroutine_handle<> waiter;
  };
  std::shared_ptr<State> state_;
};

}  // namespace flodea::root

// In a coroutine: CO_TRY(auto fd, co_await open()) is TRY with co_return; CO_CHECK is the same for
// a Status.
#define FLODEA_CO_JOIN2(a, b) a##b
#define FLODEA_CO_JOIN(a, b) FLODEA_CO_JOIN2(a, b)
#define FLODEA_CO_TRY(temporary, declaration, ...)                        \
  auto temporary = (__VA_ARGS__);                                         \
  if (!temporary) co_return tl::unexpected(std::move(temporary).error()); \
  declaration = std::move(*temporary)
#define CO_TRY(declaration, ...) \
  FLODEA_CO_TRY(FLODEA_CO_JOIN(co_try_, __LINE__), declaration, __VA_ARGS__)
#define CO_CHECK(...)                                                       \
  do {                                                                      \
    auto co_check_ = (__VA_ARGS__);                                         \
    if (!co_check_) co_return tl::unexpected(std::move(co_check_).error()); \
  } while (false)
