// What a run did, one line each: for people when asked for, and always as a hash, so that two runs
// of one seed can be compared.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace relevo::sim {

class Trace {
public:
    explicit Trace(bool on) : on_(on) {}
    bool on() const { return on_; }
    // Only call it to make a line when on(): most runs are not looked at.
    void line(Instant at, std::string_view who, std::string_view what);
    void mix(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001B3U; }
    std::uint64_t hash() const { return hash_; }
    const std::vector<std::string>& lines() const { return lines_; }

    std::function<void(const std::string&)> sink;  // absent: kept in lines()

private:
    bool on_;
    std::uint64_t hash_ = 0xCBF29CE484222325U;
    std::vector<std::string> lines_;
};

}  // namespace relevo::sim
