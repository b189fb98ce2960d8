// Which of its alternatives a variant holds, as std::holds_alternative says it, at the price of one
// comparison: libstdc++ 12's looks for the alternative's number each time, in a loop that clang 19
// leaves in. An effect is one of 36 and is asked a dozen such questions: a quarter of a schedule.
#pragma once

#include <variant>

namespace relevo {

template <class T, class... Alternatives>
constexpr bool holds(const std::variant<Alternatives...>& value) noexcept {
    return std::get_if<T>(&value) != nullptr;
}

}  // namespace relevo
