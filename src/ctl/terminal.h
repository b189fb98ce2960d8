// The operator's real terminal, files, editor and clock.
#pragma once

#include "ctl/context.h"

namespace relevo::ctl {

// Standard streams. Colour: standard output is a terminal, TERM is not dumb and NO_COLOR is not
// set.
class StandardTerminal : public Terminal {
public:
    StandardTerminal();
    void out(std::string_view text) override;
    void err(std::string_view text) override;
    std::optional<std::string> ask(std::string_view prompt) override;
    std::optional<std::string> ask_hidden(std::string_view prompt) override;
    bool interactive() override { return interactive_; }
    bool colour() override { return colour_; }
    void clear() override;

private:
    bool interactive_ = false;
    bool colour_ = false;
};

class StandardDesk : public Desk {
public:
    Result<std::string> read_file(const std::string& path) override;
    Result<std::string> edit(const std::string& name, const std::string& text) override;
    Status page(const std::string& text) override;
    std::size_t pick(std::size_t count) override;
};

class SystemClock : public Clock {
public:
    Instant now() override;
    WallTime wall() override;
    void sleep(Duration time) override;
    std::chrono::seconds zone_offset(WallTime at) override;
};

// Ctrl-C prints Aborted!, gives the terminal its echo back and exits with 1.
void abort_on_interrupt();

}  // namespace relevo::ctl
