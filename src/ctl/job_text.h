// How members' long works (backups, restores) are read and shown: internal to this room.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "config/node.h"
#include "ctl/context.h"

namespace relevo::ctl {

std::string text_of(const config::Node& node, const char* key);  // empty: it is not there
std::optional<double> number_of(const config::Node& node, const char* key);
std::string bytes_text(double bytes);       // "1.5 GB"
std::string duration_text(double seconds);  // "40 s", "7 min", "2 h 5 min"

// "34.10%, 1.2 GB of 3.5 GB, about 40 s left", out of percent, done_bytes, total_bytes, eta_s.
std::string progress_text(const config::Node& work);

// What the operator sees while he waits: on a terminal one line that is written over, in a log what
// is new.
class ProgressLine {
public:
    ProgressLine(Terminal& terminal, bool quiet) : terminal_(terminal), quiet_(quiet) {}
    ~ProgressLine() { clear(); }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    // news: what must change before a log gets another line; not each percent.
    void show(const std::string& text, const std::string& news);
    void clear();

private:
    Terminal& terminal_;
    bool quiet_, shown_ = false;
    std::string last_;
};

// The body of an answer with that code. Everything else is an error with what the member says.
Result<config::Node> parsed(const HttpAnswer& answer, int code);

// Until a job that was waited for since then is looked at again: its end is told within a fiftieth
// of its time, and nobody is asked more often than ten times a second, nor less than once.
void pause_before_next_look(Clock& clock, Instant began);

}  // namespace relevo::ctl
