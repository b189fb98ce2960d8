#include "ctl/dialogue.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include "base/text.h"

namespace relevo::ctl {
namespace {

std::unexpected<Error> aborted() { return fail(ErrorCode::cancelled, "Aborted!"); }

}  // namespace

Result<std::string> prompt(Terminal& terminal, std::string_view text,
                           std::optional<std::string_view> preset) {
    const auto question =
        preset ? fmt::format("{} [{}]: ", text, *preset) : fmt::format("{}: ", text);
    for (;;) {
        const auto line = terminal.ask(question);
        if (!line) return aborted();
        auto answer = std::string(trim(*line));
        if (!answer.empty()) return answer;
        if (preset) return std::string(*preset);
    }
}

Result<bool> confirm(Terminal& terminal, std::string_view text) {
    for (;;) {
        const auto line = terminal.ask(fmt::format("{} [y/N]: ", text));
        if (!line) return aborted();
        const auto answer = lower(trim(*line));
        if (answer == "y" || answer == "yes") return true;
        if (answer.empty() || answer == "n" || answer == "no") return false;
        terminal.err("Error: invalid input, type y or n\n");
    }
}

Status confirm_or_stop(Terminal& terminal, std::string_view text, std::string_view doing) {
    RLV_TRY(const bool yes, confirm(terminal, text));
    if (!yes)
        return fail(ErrorCode::failed, fmt::format("{} canceled; nothing was changed", doing));
    return {};
}

Result<std::optional<WallTime>> parse_schedule(std::string_view text, Clock& clock) {
    const auto wanted = trim(text);
    if (wanted.empty() || iequals(wanted, "now")) return std::optional<WallTime>();
    auto parsed = parse_iso(wanted);
    // "2031-02-03T04:05", as the prompt's example has it.
    if (!parsed && wanted.size() == 16) parsed = parse_iso(std::string(wanted) + ":00");
    if (!parsed)
        return fail(ErrorCode::invalid,
                    fmt::format("cannot read the time {:?}; write it as 2031-02-03T04:05 or "
                                "2031-02-03T04:05:06+00:00, or say now",
                                wanted));
    if (!parsed->has_zone) parsed->time -= clock.zone_offset(parsed->time);
    return std::optional<WallTime>(parsed->time);
}

std::string local_text(WallTime time, Clock& clock, bool fraction) {
    using namespace std::chrono;
    const auto shifted = time + clock.zone_offset(time);
    const auto whole = floor<seconds>(shifted);
    auto text =
        fmt::format("{:%Y-%m-%d %H:%M:%S}",
                    fmt::gmtime(static_cast<std::time_t>(whole.time_since_epoch().count())));
    if (fraction)
        text += fmt::format(".{:02}", duration_cast<milliseconds>(shifted - whole).count() / 10);
    return text;
}

std::string choice_text(const std::vector<std::string>& names) {
    std::string out;
    for (const auto& name : names) out += (out.empty() ? "'" : ", '") + name + "'";
    return "[" + out + "]";
}

}  // namespace relevo::ctl
