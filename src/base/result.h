// What can go wrong, as a value: an Error is a code for the program and a sentence for the
// operator. A code exists only when a caller branches on it. Broken invariants are RLV_ASSERT
// (base/assert.h).
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace relevo {

enum class ErrorCode {
    unavailable,      // surely not done; the other side could not be reached or refused to serve
    outcome_unknown,  // perhaps done: read again before acting on it
    conflict,         // the guard did not hold: somebody else was there first
    not_found,        // what was asked for does not exist
    invalid,          // what was given cannot be understood or is not allowed
    denied,           // credentials or rights are missing
    cancelled,        // we gave it up ourselves
    failed,           // it was tried and did not work
};

const char* to_string(ErrorCode code);

struct Error {
    ErrorCode code{};
    std::string message;  // for the operator: what failed and what to do; never a secret
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
    return std::unexpected(Error{code, std::move(message)});
}

// The same error with what was being done put before it: "reading the config: no such file".
std::unexpected<Error> within(std::string_view doing, Error error);

}  // namespace relevo

#define RLV_JOIN_(a, b) a##b
#define RLV_JOIN(a, b) RLV_JOIN_(a, b)

// RLV_TRY(const auto lsn, parse_lsn(text));  returns the error from the enclosing function.
#define RLV_TRY(declaration, ...) \
    RLV_TRY_(RLV_JOIN(rlv_try_, __COUNTER__), return, declaration, __VA_ARGS__)
#define RLV_CO_TRY(declaration, ...) \
    RLV_TRY_(RLV_JOIN(rlv_try_, __COUNTER__), co_return, declaration, __VA_ARGS__)
#define RLV_TRY_(held, leave, declaration, ...)                  \
    auto held = (__VA_ARGS__);                                   \
    if (!held) leave ::std::unexpected(std::move(held).error()); \
    declaration = *std::move(held)

// RLV_CHECK(write(...));  the same for a Status.
#define RLV_CHECK(...)                                               \
    do {                                                             \
        if (auto rlv_status = (__VA_ARGS__); !rlv_status)            \
            return ::std::unexpected(std::move(rlv_status).error()); \
    } while (false)
#define RLV_CO_CHECK(...)                                               \
    do {                                                                \
        if (auto rlv_status = (__VA_ARGS__); !rlv_status)               \
            co_return ::std::unexpected(std::move(rlv_status).error()); \
    } while (false)
