#include "base/time.h"

#include <fmt/core.h>

#include "base/text.h"

namespace relevo {
namespace {

// Reads a text from left to right; every step says whether it could be done.
class Cursor {
public:
    explicit Cursor(std::string_view text) : text_(text) {}

    bool at_end() const { return text_.empty(); }
    char peek() const { return text_.empty() ? '\0' : text_.front(); }
    bool skip(char c) {
        if (peek() != c) return false;
        text_.remove_prefix(1);
        return true;
    }
    bool digit_next() const { return peek() >= '0' && peek() <= '9'; }
    int digit() {
        const int value = peek() - '0';
        text_.remove_prefix(1);
        return value;
    }
    // Exactly count digits, as a number from low to high.
    std::optional<int> number(int count, int low, int high) {
        int value = 0;
        for (int i = 0; i < count; ++i) {
            if (!digit_next()) return std::nullopt;
            value = value * 10 + digit();
        }
        if (value < low || value > high) return std::nullopt;
        return value;
    }
    std::string_view rest() const { return text_; }

private:
    std::string_view text_;
};

std::optional<std::chrono::sys_days> parse_date(Cursor& in) {
    const auto year = in.number(4, 1, 9999);
    if (!year || !in.skip('-')) return std::nullopt;
    const auto month = in.number(2, 1, 12);
    if (!month || !in.skip('-')) return std::nullopt;
    const auto day = in.number(2, 1, 31);
    if (!day) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year(*year),
                                           std::chrono::month(static_cast<unsigned>(*month)),
                                           std::chrono::day(static_cast<unsigned>(*day))};
    if (!date.ok()) return std::nullopt;
    return std::chrono::sys_days(date);
}

// Digits after a point, as microseconds; what is finer is cut off.
std::optional<std::chrono::microseconds> parse_fraction(Cursor& in) {
    if (!in.digit_next()) return std::nullopt;
    int value = 0;
    int scale = 100000;
    while (in.digit_next()) {
        value += in.digit() * scale;
        scale /= 10;
    }
    return std::chrono::microseconds(value);
}

std::optional<std::chrono::microseconds> parse_time_of_day(Cursor& in) {
    const auto hour = in.number(2, 0, 23);
    if (!hour || !in.skip(':')) return std::nullopt;
    const auto minute = in.number(2, 0, 59);
    if (!minute) return std::nullopt;
    std::chrono::microseconds time = std::chrono::hours(*hour) + std::chrono::minutes(*minute);
    if (!in.skip(':')) return time;
    const auto second = in.number(2, 0, 59);
    if (!second) return std::nullopt;
    time += std::chrono::seconds(*second);
    if (in.skip('.') || in.skip(',')) {
        const auto fraction = parse_fraction(in);
        if (!fraction) return std::nullopt;
        time += *fraction;
    }
    return time;
}

// The rest of the text: an offset from UTC.
std::optional<std::chrono::minutes> parse_zone(Cursor& in) {
    const std::string name = lower(in.rest());
    if (name == "z" || name == "utc" || name == "gmt") return std::chrono::minutes(0);
    const bool west = in.peek() == '-';
    if (!in.skip('-') && !in.skip('+')) return std::nullopt;
    const auto hours = in.number(2, 0, 23);
    if (!hours) return std::nullopt;
    int minutes = 0;
    if (!in.at_end()) {
        in.skip(':');
        const auto read = in.number(2, 0, 59);
        if (!read) return std::nullopt;
        minutes = *read;
    }
    if (!in.at_end()) return std::nullopt;
    const std::chrono::minutes offset = std::chrono::hours(*hours) + std::chrono::minutes(minutes);
    return west ? -offset : offset;
}

}  // namespace

std::string to_iso(WallTime time) {
    const auto days = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(days);
    const std::chrono::hh_mm_ss clock(time - days);
    std::string out =
        fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                    static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                    clock.hours().count(), clock.minutes().count(), clock.seconds().count());
    if (const auto micros = clock.subseconds().count(); micros != 0)
        out += fmt::format(".{:06}", micros);
    return out + "+00:00";
}

std::optional<ParsedTime> parse_iso(std::string_view text) {
    Cursor in(trim(text));
    const auto date = parse_date(in);
    if (!date) return std::nullopt;
    if (in.at_end()) return ParsedTime{*date, false};
    if (!in.skip('T') && !in.skip('t') && !in.skip(' ')) return std::nullopt;
    const auto time = parse_time_of_day(in);
    if (!time) return std::nullopt;
    if (in.at_end()) return ParsedTime{*date + *time, false};
    in.skip(' ');
    const auto zone = parse_zone(in);
    if (!zone) return std::nullopt;
    return ParsedTime{*date + *time - *zone, true};
}

}  // namespace relevo
