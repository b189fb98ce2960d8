// A coroutine that never suspends: it has run to its end when the call that began it returns, on
// the thread that called. So the pool's rules, written as coroutines, are ordinary calls where
// waiting means blocking (by_thread.h). What it awaits must be as direct: a Direct or a Ready.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace relevo::client {

// What is awaited is already here.
template <class T>
struct Ready {
    T value;
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    T await_resume() { return std::move(value); }
};
template <>
struct Ready<void> {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const noexcept {}
};

namespace detail {

template <class T>
struct DirectResult {
    std::optional<T> value;
    std::exception_ptr thrown;
    template <class U>
    void return_value(U&& its) {
        value.emplace(std::forward<U>(its));
    }
    T take() {
        if (thrown) std::rethrow_exception(thrown);
        return *std::move(value);
    }
};
template <>
struct DirectResult<void> {
    std::exception_ptr thrown;
    void return_void() noexcept {}
    void take() const {
        if (thrown) std::rethrow_exception(thrown);
    }
};

}  // namespace detail

template <class T>
class [[nodiscard]] Direct {
public:
    struct promise_type : detail::DirectResult<T> {
        Direct get_return_object() {
            return Direct(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        std::suspend_never initial_suspend() const noexcept { return {}; }
        std::suspend_always final_suspend() const noexcept { return {}; }
        void unhandled_exception() noexcept { this->thrown = std::current_exception(); }
        template <class U>
        Direct<U>&& await_transform(Direct<U>&& its) const noexcept {
            return std::move(its);
        }
        template <class U>
        Ready<U>&& await_transform(Ready<U>&& its) const noexcept {
            return std::move(its);
        }
    };

    Direct(Direct&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    Direct& operator=(Direct&&) = delete;
    ~Direct() {
        if (frame_) frame_.destroy();
    }

    T get() { return frame_.promise().take(); }  // once; throws what the coroutine threw

    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    T await_resume() { return get(); }

private:
    explicit Direct(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
    std::coroutine_handle<promise_type> frame_;
};

}  // namespace relevo::client
