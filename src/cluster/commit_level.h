// synchronous_commit: how far a commit's WAL must have come before the client hears of it, and
// where somebody has set it lower than the cluster wants.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace relevo::cluster {

// In PostgreSQL's words, the weakest first.
enum class CommitLevel { off, local, remote_write, on, remote_apply };
const char* to_string(CommitLevel level);
// Also what PostgreSQL takes for on and off: true, no, 1.
std::optional<CommitLevel> parse_commit_level(std::string_view text);

// One place where synchronous_commit is set for sessions to come. With a file: for the whole
// server. Without: for a role, for a database, for a role in a database; for all roles when neither
// is named.
struct CommitSetting {
    CommitLevel level = CommitLevel::on;
    std::string role, database;
    std::string file;
    bool operator==(const CommitSetting&) const = default;

    // The agent may take it back: ALTER ROLE, ALTER DATABASE, ALTER SYSTEM. Another file is the
    // operator's.
    bool can_be_reset() const;
};

std::string place(const CommitSetting& setting);  // "for role app in database shop", "in FILE"
// "off for role app, local for database shop"; the first few where there are many. A name that is
// no plain word is shown quoted, its control characters escaped.
std::string describe(const std::vector<CommitSetting>& settings);

}  // namespace relevo::cluster
