#include "client/verdict.h"

#include <charconv>

namespace relevo::client {

namespace {

template <class T>
std::optional<T> number(std::string_view text, int base) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size() || text.empty())
        return std::nullopt;
    return value;
}

Verdict in_the_same_life(XactStatus status) {
    switch (status) {
        case XactStatus::committed: return Verdict::committed;
        case XactStatus::aborted: return Verdict::aborted;
        case XactStatus::in_progress: return Verdict::wait;
        // Neither can be, of an id that this life has given to us a moment ago.
        case XactStatus::future:
        case XactStatus::too_old: return Verdict::unknown;
    }
    return Verdict::unknown;
}

bool surely_ours(const Mark& mark, const Evidence& evidence) {
    if (!mark.flushed) return false;
    // A crash in place keeps what was flushed. Another server on a timeline of this number was
    // promoted apart from ours.
    if (evidence.life.timeline == mark.life.timeline) return evidence.server == mark.server;
    return evidence.left_at >= mark.end;
}

Verdict after_recovery(const Mark& mark, const Evidence& evidence) {
    if (evidence.life.recovered != 0 && evidence.life.recovered < mark.end) return Verdict::aborted;
    if (evidence.left_at != 0 && evidence.left_at < mark.end) return Verdict::aborted;
    switch (evidence.status) {
        case XactStatus::aborted:
        case XactStatus::in_progress:
        case XactStatus::future: return Verdict::aborted;
        case XactStatus::committed:
        case XactStatus::too_old: break;
    }
    if (evidence.noted && !mark.session.empty())
        return *evidence.noted >= mark.number ? Verdict::committed : Verdict::aborted;
    if (evidence.status == XactStatus::committed && surely_ours(mark, evidence))
        return Verdict::committed;
    return Verdict::unknown;
}

}  // namespace

const char* to_string(Verdict verdict) {
    switch (verdict) {
        case Verdict::committed: return "committed";
        case Verdict::aborted: return "aborted";
        case Verdict::wait: return "wait";
        case Verdict::stale: return "stale";
        case Verdict::unknown: return "unknown";
    }
    return "?";
}

Verdict judge(const Mark& mark, const Evidence& evidence) {
    if (evidence.life.system_id != mark.life.system_id) return Verdict::stale;
    if (evidence.life.timeline < mark.life.timeline) return Verdict::stale;
    if (evidence.life == mark.life) return in_the_same_life(evidence.status);
    return after_recovery(mark, evidence);
}

std::optional<Lsn> parse_lsn(std::string_view text) {
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto high = number<std::uint32_t>(text.substr(0, slash), 16);
    const auto low = number<std::uint32_t>(text.substr(slash + 1), 16);
    if (!high || !low) return std::nullopt;
    return Lsn{*high} << 32 | *low;
}

std::string lsn_text(Lsn lsn) {
    const auto hex = [](std::uint64_t value) {
        char text[16];
        const auto [end, error] = std::to_chars(text, text + sizeof text, value, 16);
        std::string upper(text, error == std::errc() ? end : text);
        for (char& c : upper)
            if (c >= 'a') c = static_cast<char>(c - 'a' + 'A');
        return upper;
    };
    return hex(lsn >> 32) + "/" + hex(lsn & 0xffffffff);
}

std::optional<std::uint32_t> timeline_of(std::string_view wal_file) {
    if (wal_file.size() != 24) return std::nullopt;
    return number<std::uint32_t>(wal_file.substr(0, 8), 16);
}

Lsn left_at(std::string_view history, std::uint32_t timeline) {
    while (!history.empty()) {
        const auto end = history.find('\n');
        auto line = history.substr(0, end);
        history.remove_prefix(end == std::string_view::npos ? history.size() : end + 1);
        const auto tab = line.find('\t');
        if (tab == std::string_view::npos) continue;
        if (number<std::uint32_t>(line.substr(0, tab), 10) != timeline) continue;
        line.remove_prefix(tab + 1);
        return parse_lsn(line.substr(0, line.find('\t'))).value_or(0);
    }
    return 0;
}

}  // namespace relevo::client
