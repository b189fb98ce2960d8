#include "client/classify.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace relevo::client {

namespace {

bool one_of(std::string_view code, const auto& codes) {
    return std::ranges::find(codes, code) != codes.end();
}

// The server can't serve now, or not in this role. 57P0x: shutting down, crashed, starting up.
constexpr std::array<std::string_view, 7> other_time{"57P01", "57P02", "57P03", "57P05",
                                                     "53300", "25006", "55P04"};
// Rolled back because of others; the same again may well succeed.
constexpr std::array<std::string_view, 2> conflict{"40001", "40P01"};

bool worth_repeating(std::string_view code) {
    return one_of(code, other_time) || one_of(code, conflict) || code.starts_with("08");
}

// Wrong password, no such database, no entry in pg_hba.conf: waiting does not help. Anything else
// that keeps us from connecting may pass.
bool hopeless(std::string_view code) {
    return code.starts_with("28") || code == "3D000" || code == "42501" || code == "42704" ||
           code.starts_with("22");
}

Action after_commit(const Seen& seen) {
    if (!seen.sent) return Action::again;
    if (seen.lost || seen.fatal) return Action::in_doubt;
    if (seen.refused) return worth_repeating(seen.sqlstate) ? Action::again : Action::reject;
    if (seen.unconfirmed) return Action::unconfirmed;
    return seen.rolled_back ? Action::reject : Action::done;
}

}  // namespace

const char* to_string(Kind kind) {
    switch (kind) {
        case Kind::rejected: return "rejected";
        case Kind::unavailable: return "unavailable";
        case Kind::unknown: return "unknown";
        case Kind::invalid: return "invalid";
        case Kind::closed: return "closed";
    }
    return "?";
}

const char* to_string(Action action) {
    switch (action) {
        case Action::done: return "done";
        case Action::reject: return "reject";
        case Action::again: return "again";
        case Action::in_doubt: return "in doubt";
        case Action::unconfirmed: return "unconfirmed";
    }
    return "?";
}

Action classify(const Seen& seen) {
    switch (seen.stage) {
        case Stage::connect:
            if (seen.refused && hopeless(seen.sqlstate)) return Action::reject;
            return seen.refused || seen.lost ? Action::again : Action::done;
        case Stage::begin:
        case Stage::statement:
            // COMMIT was not sent: the server rolls back, whatever became of the statement.
            if (seen.refused && !seen.fatal)
                return worth_repeating(seen.sqlstate) ? Action::again : Action::reject;
            if (seen.fatal) return worth_repeating(seen.sqlstate) ? Action::again : Action::reject;
            return seen.lost ? Action::again : Action::done;
        case Stage::commit: return after_commit(seen);
        case Stage::alone: {
            const auto action = after_commit(seen);
            const bool doubtful = action == Action::in_doubt || action == Action::unconfirmed;
            return doubtful && seen.idempotent ? Action::again : action;
        }
    }
    return Action::reject;
}

Duration pause(const Backoff& backoff, int n, double drawn) {
    const auto first = static_cast<double>(backoff.first.count());
    const auto longest = static_cast<double>(backoff.longest.count());
    const double top = std::min(longest, first * std::exp2(std::min(n - 1, 60)));
    return Duration(static_cast<Duration::rep>(top * drawn));
}

void RetryBudget::earn() { tokens_ = std::min(budget_.saved, tokens_ + budget_.earned); }

bool RetryBudget::spend() {
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
}

}  // namespace relevo::client
