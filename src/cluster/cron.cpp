#include "cluster/cron.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/text.h"

namespace relevo::cluster {
namespace {

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::year_month_day;

// February 29 on a Sunday comes every 28 years, and once in 40 where a century has no leap year.
constexpr days search{41 * 366};
constexpr WallTime first_time = sys_days{std::chrono::year{1970} / 1 / 1};
constexpr WallTime last_time = sys_days{std::chrono::year{9000} / 1 / 1};
constexpr std::size_t text_max = 200;

constexpr std::array<std::string_view, 12> month_names = {"jan", "feb", "mar", "apr", "may", "jun",
                                                          "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> weekday_names = {"sun", "mon", "tue", "wed",
                                                           "thu", "fri", "sat"};

struct FieldKind {
    const char* name;
    int low, high;
    std::span<const std::string_view> names;  // the first one means `low`
};
const FieldKind minute_field{"minute", 0, 59, {}};
const FieldKind hour_field{"hour", 0, 23, {}};
const FieldKind day_field{"day of the month", 1, 31, {}};
const FieldKind month_field{"month", 1, 12, month_names};
const FieldKind weekday_field{"day of the week", 0, 7, weekday_names};

struct Nickname {
    const char *name, *meaning;
};
constexpr Nickname nicknames[] = {
    {"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
    {"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
};

// What was written, as it can stand in a message whoever wrote it.
std::string shown(std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, 40)) out += c >= ' ' && c <= '~' ? c : '?';
    return out + (text.size() > 40 ? "..." : "");
}

std::unexpected<Error> wrong(const FieldKind& field, std::string_view found, std::string_view why) {
    return fail(ErrorCode::invalid,
                fmt::format("in the field {}, \"{}\": {}", field.name, shown(found), why));
}

std::string accepted(const FieldKind& field) {
    auto text = fmt::format("expected a number from {} to {}", field.low, field.high);
    if (!field.names.empty())
        text += fmt::format(" or {} to {}", field.names.front(), field.names.back());
    return text;
}

Result<int> value(const FieldKind& field, std::string_view text, std::string_view item) {
    const auto name = std::ranges::find(field.names, lower(text));
    if (name != field.names.end()) return field.low + static_cast<int>(name - field.names.begin());
    const bool digits = !text.empty() && text.size() <= 4 &&
                        text.find_first_not_of("0123456789") == std::string_view::npos;
    const auto number = digits ? parse_decimal(text) : std::nullopt;
    if (!number || *number < field.low || *number > field.high)
        return wrong(field, item, accepted(field));
    return static_cast<int>(*number);
}

Result<int> step_of(const FieldKind& field, std::string_view text, std::string_view item) {
    const bool digits = !text.empty() && text.size() <= 4 &&
                        text.find_first_not_of("0123456789") == std::string_view::npos;
    const auto step = digits ? parse_decimal(text) : std::nullopt;
    if (!step || *step < 1 || *step > field.high)
        return wrong(field, item, fmt::format("a step is a number from 1 to {}", field.high));
    return static_cast<int>(*step);
}

// One item of a list: `*`, a, a-b, with /step behind `*` and a-b.
template <std::size_t N>
Status read_item(const FieldKind& field, std::string_view item, std::bitset<N>& out) {
    const auto slash = item.find('/');
    const auto range = item.substr(0, slash);
    const auto dash = range.find('-');
    int low = field.low, high = field.high;
    if (range != "*") {
        RLV_TRY(low, value(field, range.substr(0, dash), item));
        high = low;
        if (dash != std::string_view::npos) {
            RLV_TRY(high, value(field, range.substr(dash + 1), item));
            if (high < low)
                return wrong(field, item, "the range ends before it begins; write two ranges");
        } else if (slash != std::string_view::npos) {
            return wrong(field, item,
                         fmt::format("a step goes with * or a range, as {}-{}{}", low, field.high,
                                     shown(item.substr(slash))));
        }
    }
    int step = 1;
    if (slash != std::string_view::npos) {
        RLV_TRY(step, step_of(field, item.substr(slash + 1), item));
    }
    for (int at = low; at <= high; at += step) out.set(static_cast<std::size_t>(at));
    return {};
}

template <std::size_t N>
Status read_field(const FieldKind& field, std::string_view text, std::bitset<N>& out) {
    for (const auto& item : split(text, ',')) RLV_CHECK(read_item(field, item, out));
    return {};
}

std::vector<std::string> words(std::string_view text) {
    std::vector<std::string> out;
    std::string word;
    for (const char c : text) {
        const bool blank = c == ' ' || c == '\t';
        if (!blank) word += c;
        if (blank && !word.empty()) out.push_back(std::exchange(word, {}));
    }
    if (!word.empty()) out.push_back(word);
    return out;
}

unsigned last_day(unsigned month) {
    constexpr unsigned lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return lengths[month - 1];
}

}  // namespace

Result<Cron> Cron::parse(std::string_view given) {
    const auto text = trim(given);
    if (text.size() > text_max)
        return fail(
            ErrorCode::invalid,
            fmt::format("longer than the {} characters a cron expression may have", text_max));
    std::string_view meaning = text;
    for (const auto& nickname : nicknames)
        if (iequals(text, nickname.name)) meaning = nickname.meaning;
    if (meaning.starts_with('@'))
        return fail(ErrorCode::invalid,
                    fmt::format("\"{}\" is none of @hourly, @daily, @midnight, @weekly, @monthly, "
                                "@yearly, @annually",
                                shown(text)));
    const auto fields = words(meaning);
    if (fields.size() != 5)
        return fail(ErrorCode::invalid,
                    fmt::format("\"{}\" has {} fields, a cron expression has five: minute, hour, "
                                "day of the month, month, day of the week",
                                shown(text), fields.size()));
    Cron cron;
    cron.text_ = std::string(text);
    RLV_CHECK(read_field(minute_field, fields[0], cron.minutes_));
    RLV_CHECK(read_field(hour_field, fields[1], cron.hours_));
    RLV_CHECK(read_field(day_field, fields[2], cron.days_));
    RLV_CHECK(read_field(month_field, fields[3], cron.months_));
    RLV_CHECK(read_field(weekday_field, fields[4], cron.weekdays_));
    if (cron.weekdays_[7]) cron.weekdays_.set(0);
    cron.every_hour_ = fields[1].starts_with('*');
    cron.any_day_ = fields[2].starts_with('*');
    cron.any_weekday_ = fields[4].starts_with('*');
    if (!cron.can_match())
        return fail(
            ErrorCode::invalid,
            fmt::format("\"{}\" never comes: none of its months has such a day", shown(text)));
    return cron;
}

bool Cron::can_match() const {
    if (!any_day_ && !any_weekday_) return true;  // the weekday alone is enough
    for (unsigned month = 1; month <= 12; ++month)
        for (unsigned day = 1; months_[month] && day <= last_day(month); ++day)
            if (days_[day]) return true;
    return false;
}

bool Cron::matches(sys_days day) const {
    const year_month_day date{day};
    if (!months_[static_cast<unsigned>(date.month())]) return false;
    const bool by_date = days_[static_cast<unsigned>(date.day())];
    const bool by_weekday = weekdays_[std::chrono::weekday{day}.c_encoding()];
    if (any_day_ || any_weekday_) return by_date && by_weekday;
    return by_date || by_weekday;
}

std::vector<Zone::Seconds> Cron::instants(sys_days day, const Zone& zone) const {
    std::vector<Zone::Seconds> out;
    if (!matches(day)) return out;
    for (std::size_t hour = 0; hour < hours_.size(); ++hour) {
        for (std::size_t minute = 0; hours_[hour] && minute < minutes_.size(); ++minute) {
            if (!minutes_[minute]) continue;
            const auto shown =
                zone.shown(day + std::chrono::hours(hour) + std::chrono::minutes(minute));
            if (shown.first) out.push_back(*shown.first);
            if (shown.second && every_hour_) out.push_back(*shown.second);
            if (!shown.first && !every_hour_) out.push_back(shown.skipped_at);
        }
    }
    return out;
}

// A change of the zone's clocks can move an instant past midnight, and let two days' instants
// overlap: where one is found, the day beside it is looked at too.
std::optional<WallTime> Cron::next_after(WallTime t, const Zone& zone) const {
    if (t < first_time || t > last_time) return std::nullopt;
    const auto begin = std::chrono::floor<days>(t) - days(2);
    std::optional<WallTime> best;
    for (auto day = begin; day <= begin + search; day += days(1)) {
        const bool found = best.has_value();
        for (const auto at : instants(day, zone))
            if (at > t && (!best || at < *best)) best = at;
        if (found) break;
    }
    return best;
}

std::optional<WallTime> Cron::last_until(WallTime t, const Zone& zone) const {
    if (t < first_time || t > last_time) return std::nullopt;
    const auto begin = std::chrono::floor<days>(t) + days(2);
    std::optional<WallTime> best;
    for (auto day = begin; day >= begin - search; day -= days(1)) {
        const bool found = best.has_value();
        for (const auto at : instants(day, zone))
            if (at <= t && (!best || at > *best)) best = at;
        if (found) break;
    }
    return best;
}

}  // namespace relevo::cluster
