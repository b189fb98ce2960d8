// What PostgreSQL's server log tells of damage (docs/adr/0022): SQLSTATE XX001 and XX002 (data and
// index corrupted) and 58030 (a disk that fails). Of plain lines that have no SQLSTATE
// (log_line_prefix without %e) by their words, in English. Pure.
//
// Nothing in a log is beyond what a client can bring about: a plpgsql RAISE has any SQLSTATE and
// text, and a user name with a newline in it, of somebody who never got in, is a line of its own
// where log_line_prefix has %u. So this is for people.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace relevo::cluster {

class ServerLog {
public:
    enum class Kind { lines, csv, json };  // log_destination: stderr, csvlog, jsonlog
    explicit ServerLog(Kind kind) : kind_(kind) {}

    // The next bytes of the file, from the beginning of a record on. The messages in them that tell
    // of damage, a bounded number of bounded length, without control characters.
    std::vector<std::string> read(std::string_view piece);

    // What follows begins with a record, or is the rest of one up to the end of its line.
    void restart(bool with_rest) {
        *this = ServerLog(kind_);
        too_long_ = with_rest;
    }

private:
    // Where in these bytes the record ends that the bytes kept begin with; npos: not there.
    std::size_t end_of_record(std::string_view piece);

    Kind kind_;
    std::string kept_;       // of a record whose end has not come yet
    bool quoted_ = false;    // csv: it is within quotes
    bool too_long_ = false;  // it is not kept; what begins with the next line is
};

}  // namespace relevo::cluster
