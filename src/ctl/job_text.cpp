#include "ctl/job_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>
#include <vector>

#include "base/text.h"

namespace relevo::ctl {

using config::Node;

std::string text_of(const Node& node, const char* key) {
    const auto* value = node.find(key);
    return value != nullptr ? config::scalar_text(*value).value_or("") : std::string();
}

std::optional<double> number_of(const Node& node, const char* key) {
    const auto text = text_of(node, key);
    return text.empty() ? std::nullopt : parse_real(text);
}

std::string bytes_text(double bytes) {
    constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB"};
    std::size_t unit = 0;
    for (; bytes >= 1024 && unit + 1 < std::size(units); ++unit) bytes /= 1024;
    return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 1, units[unit]);
}

std::string duration_text(double seconds) {
    const auto all = static_cast<std::int64_t>(seconds);
    if (all < 120) return fmt::format("{} s", all);
    if (all < 7200) return fmt::format("{} min", all / 60);
    return fmt::format("{} h {} min", all / 3600, all / 60 % 60);
}

std::string progress_text(const Node& work) {
    std::vector<std::string> parts;
    if (const auto percent = number_of(work, "percent"))
        parts.push_back(fmt::format("{:.1f}%", *percent));
    const auto done = number_of(work, "done_bytes"), total = number_of(work, "total_bytes");
    if (done && total)
        parts.push_back(bytes_text(*done) + " of " + bytes_text(*total));
    else if (done)
        parts.push_back(bytes_text(*done));
    if (const auto left = number_of(work, "eta_s"))
        parts.push_back("about " + duration_text(*left) + " left");
    return join(parts, ", ");
}

void ProgressLine::show(const std::string& text, const std::string& news) {
    if (quiet_) return;
    if (terminal_.interactive()) {
        terminal_.out("\r\x1b[K" + text);
        shown_ = true;
        return;
    }
    if (std::exchange(last_, news) != news) terminal_.out(text + "\n");
}

void ProgressLine::clear() {
    if (std::exchange(shown_, false)) terminal_.out("\r\x1b[K");
}

Result<Node> parsed(const HttpAnswer& answer, int code) {
    if (answer.status == code) return config::parse_json(answer.body);
    const auto kind = answer.status == 409                           ? ErrorCode::conflict
                      : answer.status == 404                         ? ErrorCode::not_found
                      : answer.status == 401 || answer.status == 403 ? ErrorCode::denied
                                                                     : ErrorCode::failed;
    if (answer.status == 501)
        return fail(kind, "the member's agent makes no backups: it is Patroni's, or an older one");
    return fail(kind, std::string(trim(answer.body)));
}

void pause_before_next_look(Clock& clock, Instant began) {
    clock.sleep(std::clamp<Duration>((clock.now() - began) / 50, std::chrono::milliseconds(100),
                                     std::chrono::seconds(1)));
}

}  // namespace relevo::ctl
