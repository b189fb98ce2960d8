// What the installed server knows of its own parameters, asked of the binary itself
// (`postgres --describe-config`) instead of carried as a table for every version. One answer is
// kept for each binary and its time of change. Blocking: call it in the thread pool.
//
// The description leaves out the developers' options and gives no values of enumerations: the first
// are known by name here, the second are left for the server to judge.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace relevo::postgres {

struct ParameterInfo {
    enum class Kind { boolean, integer, real, enumeration, text } kind = Kind::text;
    std::string context;           // postmaster sighup backend superuser user ...
    std::string minimum, maximum;  // numbers in base units; empty: none
};

class ParameterCatalog {
public:
    // The text of --describe-config.
    static ParameterCatalog parse(std::string_view description);
    // Runs `postgres_program --describe-config`, or takes the kept answer.
    static Result<std::shared_ptr<const ParameterCatalog>> of_program(
        const std::string& postgres_program);

    const ParameterInfo* find(std::string_view name) const;
    bool knows(std::string_view name) const;  // also the omitted ones, and every name with a dot
    bool empty() const { return known_.empty(); }

    // The value to write for name: itself, clamped into its range, or nothing when it can never be
    // valid (not a boolean, not a number). `warning` gets the sentence for the log, empty when all
    // is well.
    std::optional<std::string> accept(std::string_view name, std::string_view value,
                                      std::string& warning) const;

private:
    std::map<std::string, ParameterInfo, std::less<>> known_;
};

// primary_conninfo, restore_command, recovery_target*, ...: these stand in the recovery block or
// nowhere.
bool is_recovery_parameter(std::string_view name);

}  // namespace relevo::postgres
