// `bootstrap.method: pgbackrest`: a new cluster out of a backup repository
// (docs/adr/0020-restore.md). With a command in its section it is a custom method like any other.
#include <algorithm>
#include <iterator>

#include "base/text.h"
#include "config/postgresql.h"
#include "config/sections.h"

namespace relevo::config {
namespace {

constexpr const char* path = "bootstrap.pgbackrest";
constexpr const char* keys[] = {"backup",
                                "stanza",
                                "config",
                                "take_over_stanza",
                                "recovery_target",
                                "recovery_target_time",
                                "recovery_target_lsn",
                                "recovery_target_xid",
                                "recovery_target_timeline",
                                "recovery_target_inclusive"};

// PostgreSQL's names for it, as in recovery_conf.
cluster::TargetWords read_words(Reader& section) {
    cluster::TargetWords words;
    section.text("recovery_target_time", words.time);
    section.text("recovery_target_lsn", words.lsn);
    section.text("recovery_target_xid", words.xid);
    section.text("recovery_target_timeline", words.timeline);
    std::string target;
    section.word("recovery_target", target, {"immediate"});
    words.immediate = !target.empty();
    bool inclusive = true;
    section.boolean("recovery_target_inclusive", inclusive);
    words.exclusive = !inclusive;
    words.latest = !words.immediate && words.time.empty() && words.lsn.empty() && words.xid.empty();
    return words;
}

}  // namespace

bool is_origin(std::string_view method, const Node* section) {
    return method == "pgbackrest" && (section == nullptr || section->find("command") == nullptr);
}

void read_origin(Reader& section, const Node* given, ports::BootstrapOrigin& out) {
    // A target that is misspelt must not become the end of the archive.
    if (given != nullptr && given->is(Node::Kind::map))
        for (const auto& [key, value] : given->fields)
            if (std::ranges::find(keys, key) == std::end(keys))
                section.problem(key, "is not known here; known are " +
                                         join({std::begin(keys), std::end(keys)}, ", ") +
                                         " (and command, for a method of your own)");
    if (const auto target = cluster::target_of(read_words(section)))
        out.target = *target;
    else
        section.problem("recovery_target", target.error().message);
    std::string backup;
    section.text("backup", backup);
    if (!backup.empty()) out.backup = std::move(backup);
    section.text("stanza", out.stanza);
    section.text("config", out.config);
    if (!out.config.empty() && !out.config.starts_with('/'))
        section.wrong("config", "an absolute path, as in /etc/pgbackrest/pgbackrest.conf");
    section.boolean("take_over_stanza", out.take_over_stanza);
}

// Two clusters that archive into one stanza with one system identifier: each writes timelines that
// the other's recovery takes for its own.
void check_origin(const ports::Bootstrap& bootstrap, const ports::BackupConfig& backup,
                  std::vector<Problem>& problems) {
    if (!bootstrap.origin) return;
    const auto& origin = *bootstrap.origin;
    if (!backup.present && (origin.config.empty() || origin.stanza.empty())) {
        problems.push_back({"", path,
                            "without a section `backup` it must say where the backups are: "
                            "config: /etc/pgbackrest/pgbackrest.conf and stanza, or add the "
                            "section"});
        return;
    }
    if (!backup.present || origin.take_over_stanza) return;
    const bool same_repository = origin.config.empty() || origin.config == backup.config;
    const bool same_stanza = origin.stanza.empty() || origin.stanza == backup.stanza;
    if (same_repository && same_stanza)
        problems.push_back(
            {"", path,
             "the new cluster would archive into the stanza that it is restored from (" +
                 backup.stanza +
                 "), and two clusters in one spoil both: give backup.stanza a name of its own, and "
                 "this one's to bootstrap.pgbackrest.stanza; or, when the old cluster is gone for "
                 "good, set take_over_stanza: true"});
}

}  // namespace relevo::config
