// What happens at one moment of a run: a callable, moved and never copied, called once. Most of a
// run's time would go into std::function's allocations otherwise: this one keeps what nearly every
// lambda here captures in itself.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace relevo::sim {

class Action {
public:
    Action() = default;
    template <class F>
        requires(!std::is_same_v<std::remove_cvref_t<F>, Action>)
    Action(F&& what) {  // NOLINT: made of any callable, as std::function is
        using Held = std::remove_cvref_t<F>;
        if constexpr (sizeof(Held) <= room && alignof(Held) <= alignof(std::max_align_t) &&
                      std::is_nothrow_move_constructible_v<Held>) {
            ::new (static_cast<void*>(place_)) Held(std::forward<F>(what));
            kind_ = &inside<Held>;
        } else {
            ::new (static_cast<void*>(place_)) Held*(new Held(std::forward<F>(what)));
            kind_ = &outside<Held>;
        }
    }
    Action(Action&& other) noexcept { take(other); }
    Action& operator=(Action&& other) noexcept {
        if (this == &other) return *this;
        clear();
        take(other);
        return *this;
    }
    Action(const Action&) = delete;
    Action& operator=(const Action&) = delete;
    ~Action() { clear(); }

    explicit operator bool() const { return kind_ != nullptr; }
    void operator()() { kind_->call(place_); }

private:
    struct Kind {
        void (*call)(std::byte* place);
        void (*move)(std::byte* from, std::byte* to);  // leaves nothing behind
        void (*destroy)(std::byte* place);
    };
    static constexpr std::size_t room = 64;

    template <class Held>
    static Held& held(std::byte* place) {
        return *std::launder(reinterpret_cast<Held*>(place));
    }
    template <class Held>
    static constexpr Kind inside = {[](std::byte* place) { held<Held>(place)(); },
                                    [](std::byte* from, std::byte* to) {
                                        ::new (static_cast<void*>(to))
                                            Held(std::move(held<Held>(from)));
                                        std::destroy_at(&held<Held>(from));
                                    },
                                    [](std::byte* place) { std::destroy_at(&held<Held>(place)); }};
    template <class Held>
    static constexpr Kind outside = {[](std::byte* place) { (*held<Held*>(place))(); },
                                     [](std::byte* from, std::byte* to) {
                                         ::new (static_cast<void*>(to)) Held*(held<Held*>(from));
                                     },
                                     [](std::byte* place) { delete held<Held*>(place); }};

    void take(Action& other) {
        if (other.kind_ == nullptr) return;
        other.kind_->move(other.place_, place_);
        kind_ = std::exchange(other.kind_, nullptr);
    }
    void clear() {
        if (kind_ != nullptr) std::exchange(kind_, nullptr)->destroy(place_);
    }

    const Kind* kind_ = nullptr;
    alignas(std::max_align_t) std::byte place_[room];
};

}  // namespace relevo::sim
