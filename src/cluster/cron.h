// Cron's expressions: five fields (minute, hour, day of the month, month, day of the week) or one
// of @hourly @daily @midnight @weekly @monthly @yearly @annually. Vixie's rules, as Debian's cron
// has them:
//
//  - a field is a list of `*`, numbers, ranges `a-b`, each range and `*` with an optional `/step`;
//    months and days of the week also by their first three letters; Sunday is 0 or 7;
//  - when neither day field begins with `*`, a day matches that either of them names; else it must
//    match both (`0 0 1 * mon`: the 1st and every Monday; `0 0 */2 * mon`: Mondays on odd days);
//  - when clocks are put forward, an expression that names its hours and is due in the hour that is
//    skipped is due at the change; when they are put back, it is due once, the first time the clock
//    shows it. One whose hours begin with `*` goes by elapsed time: it is due whenever a clock
//    shows a matching time, twice when that comes twice.
//
// Pure: no clock, no tz database. The zone is a table (cluster/zone.h).
#pragma once

#include <bitset>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "cluster/zone.h"

namespace relevo::cluster {

class Cron {
public:
    // invalid: what is wrong with which field, and what it may be. Also one that no day can match,
    // as `0 0 30 2 *`.
    static Result<Cron> parse(std::string_view text);

    const std::string& text() const { return text_; }

    // The first instant after t, and the last one not after t. nullopt: none within the four
    // decades in which every combination of date and weekday comes by, or t is not of this age
    // (before 1970, after 9000).
    std::optional<WallTime> next_after(WallTime t, const Zone& zone) const;
    std::optional<WallTime> last_until(WallTime t, const Zone& zone) const;

    bool operator==(const Cron& other) const { return text_ == other.text_; }

private:
    Cron() = default;
    bool can_match() const;
    bool matches(std::chrono::sys_days day) const;
    // Every instant at which it is due on that day of the zone's calendar, not in order.
    std::vector<Zone::Seconds> instants(std::chrono::sys_days day, const Zone& zone) const;

    std::string text_;
    std::bitset<60> minutes_;
    std::bitset<24> hours_;
    std::bitset<32> days_;      // 1 to 31
    std::bitset<13> months_;    // 1 to 12
    std::bitset<8> weekdays_;   // 0 to 6, from Sunday on; 7 is folded into 0
    bool every_hour_ = false;   // the hours begin with `*`
    bool any_day_ = false;      // the days of the month do
    bool any_weekday_ = false;  // the days of the week do
};

}  // namespace relevo::cluster
