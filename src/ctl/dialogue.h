// The questions a command asks. Every one can be answered by the end of the input, which is the
// operator's way to say "stop": cancelled, shown as Aborted!.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ctl/context.h"

namespace relevo::ctl {

// "text [default]: "; an empty line takes the default. Without a default the question is repeated
// until something is typed.
Result<std::string> prompt(Terminal& terminal, std::string_view text,
                           std::optional<std::string_view> preset = {});

// "text [y/N]: "; asks again until the answer is one.
Result<bool> confirm(Terminal& terminal, std::string_view text);

// confirm, and an error with code failed when the answer is no.
Status confirm_or_stop(Terminal& terminal, std::string_view text, std::string_view doing);

// "now" (nullopt), or a calendar time; without a zone it is the operator's own.
// invalid: it is neither.
Result<std::optional<WallTime>> parse_schedule(std::string_view text, Clock& clock);

// "2031-02-03 04:05:06" in the operator's zone; with fraction: ".12" behind it.
std::string local_text(WallTime time, Clock& clock, bool fraction = false);

// "['a', 'b']": how Patroni writes a choice into a question.
std::string choice_text(const std::vector<std::string>& names);

}  // namespace relevo::ctl
