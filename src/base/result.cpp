#include "base/result.h"

namespace relevo {

const char* to_string(ErrorCode code) {
    switch (code) {
        case ErrorCode::unavailable: return "unavailable";
        case ErrorCode::outcome_unknown: return "outcome unknown";
        case ErrorCode::conflict: return "conflict";
        case ErrorCode::not_found: return "not found";
        case ErrorCode::invalid: return "invalid";
        case ErrorCode::denied: return "denied";
        case ErrorCode::cancelled: return "cancelled";
        case ErrorCode::failed: return "failed";
    }
    return "?";
}

std::unexpected<Error> within(std::string_view doing, Error error) {
    std::string message(doing);
    message += ": ";
    message += error.message;
    return std::unexpected(Error{error.code, std::move(message)});
}

}  // namespace relevo
