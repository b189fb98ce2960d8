#include "cluster/fuzz/targets.h"

#include "base/assert.h"
#include "base/text.h"
#include "cluster/backup_job.h"
#include "cluster/backup_proof.h"
#include "cluster/corruption.h"
#include "cluster/cron.h"
#include "cluster/journal.h"
#include "cluster/member.h"
#include "cluster/publish.h"
#include "cluster/rebuild.h"
#include "cluster/recovery_target.h"
#include "cluster/restoration.h"
#include "cluster/server_log.h"
#include "cluster/settings.h"
#include "cluster/snapshot.h"
#include "cluster/stream.h"

namespace relevo::cluster::fuzz {
namespace {

// Writing may change a text once (bytes that are not UTF-8 in a legacy URL), never twice.
template <class Parse>
void settles(const std::string& once, Parse parse) {
    const auto read = parse(once);
    RLV_ASSERT(read.has_value());
    RLV_ASSERT(to_json(*read) == once);
}

void check_settings(const Settings& settings) {
    RLV_ASSERT(settings.ttl.count() >= 3 && settings.loop_wait.count() >= 1 &&
               settings.retry_timeout.count() >= 1);
    RLV_ASSERT(settings.loop_wait + 2 * settings.retry_timeout <= settings.ttl);
    RLV_ASSERT(settings.maximum_lag_on_syncnode >= -1 && settings.synchronous_node_count >= 0);
}

void check_snapshot(const Snapshot& snapshot) {
    Settings settings;
    if (snapshot.config) {
        const auto read = read_settings(snapshot.config->json);
        RLV_ASSERT(read.has_value());
        check_settings(read->settings);
        settings = read->settings;
    }
    if (snapshot.failover) {
        RLV_ASSERT(!snapshot.failover->leader.empty() || !snapshot.failover->member.empty());
        settles(to_json(*snapshot.failover), parse_failover);
    }
    if (snapshot.sync.active()) settles(to_json(snapshot.sync), parse_sync);
    if (snapshot.has_status) settles(to_json(snapshot.status), parse_status);
    if (snapshot.history) RLV_ASSERT(parse_history(to_json(*snapshot.history)).has_value());
    for (const auto& [name, member] : snapshot.members) RLV_ASSERT(member.name == name);
    RLV_ASSERT(member_rows(snapshot, settings).size() == snapshot.members.size());
    RLV_ASSERT(!cluster_json("fuzz", snapshot, settings).empty());
}

}  // namespace

void backup_job(std::string_view text) {
    const auto read = parse_backup_job(text);
    if (!read) return;
    settles(to_json(*read), parse_backup_job);
    const auto again = parse_backup_job(to_json(*read));
    RLV_ASSERT(*again == *read);
    RLV_ASSERT(!read->id.empty() && read->ttl_s >= 0 && read->attempts >= 0);
    RLV_ASSERT(read->state != JobState::running || !read->run.empty());
}

void backup_proofs(std::string_view text) {
    const auto read = parse_proofs(text);
    if (!read) return;
    const auto again = parse_proofs(to_json(*read));
    RLV_ASSERT(again && *again == *read);
    for (const auto& proof : *read) RLV_ASSERT(proof.took_ms() >= 0);
}

void corruption(std::string_view text) {
    const auto read = parse_corruption(text);
    if (!read) return;
    settles(to_json(*read), parse_corruption);
    auto mark = *read;
    learn_counts(mark, {{"app", 7, {}}, {"", 1, {}}}, WallTime{});
    RLV_ASSERT(mark.seen.at("app") == 7);
    learn_log(mark, "invalid page", WallTime{});
    RLV_ASSERT(!corruption_note(mark, "c", "m").empty());
    forget(mark);
    RLV_ASSERT(corruption_note(mark, "c", "m").empty());
}

void server_log(std::string_view text) {
    constexpr std::size_t few = 50, long_record = 200'000, longest = 200;
    for (const auto kind : {ServerLog::Kind::lines, ServerLog::Kind::csv, ServerLog::Kind::json}) {
        const auto whole = ServerLog(kind).read(text);
        for (const auto& one : whole) RLV_ASSERT(one.size() <= longest);
        if (whole.size() >= few || text.size() > long_record) continue;
        ServerLog log(kind);
        auto pieces = log.read(text.substr(0, text.size() / 2));
        for (auto& one : log.read(text.substr(text.size() / 2))) pieces.push_back(std::move(one));
        RLV_ASSERT(pieces == whole);
    }
}

void cron(std::string_view text) {
    const auto read = Cron::parse(text);
    if (!read) {
        const auto& why = read.error().message;
        RLV_ASSERT(!why.empty() && why.size() < 400);
        for (const char c : why) RLV_ASSERT(c >= ' ' && c <= '~');
        return;
    }
    // Every expression that is taken comes, in the past too, and the two ways agree.
    const WallTime now{std::chrono::sys_days{std::chrono::year{2026} / 5 / 14}};
    const Zone zone("Test", std::chrono::hours(1),
                    {{std::chrono::floor<std::chrono::seconds>(now), std::chrono::hours(2)},
                     {std::chrono::floor<std::chrono::seconds>(now) + std::chrono::hours(9),
                      std::chrono::hours(1)}});
    const auto next = read->next_after(now, zone);
    const auto last = read->last_until(now, zone);
    RLV_ASSERT(next && last && *next > now && *last <= now);
    RLV_ASSERT(read->last_until(*next, zone) == next);
    RLV_ASSERT(read->next_after(*last, zone) == next);
    RLV_ASSERT(Cron::parse(read->text()) == *read);
}

void journal(std::string_view text) {
    const auto check = [](const JournalEntry& entry) {
        const auto line = to_json(entry);
        RLV_ASSERT(line.find('\n') == std::string::npos);
        const auto again = parse_journal_entry(line);
        RLV_ASSERT(again.has_value() && *again == entry);
        for (const char c : entry.text + entry.member + entry.about + entry.answer)
            RLV_ASSERT(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
    };
    if (const auto entry = parse_journal_entry(text)) check(*entry);
    const auto read = parse_journal(text);
    if (!read) return;
    std::vector<std::string> lines;
    for (const auto& entry : read->entries) {
        check(entry);
        lines.push_back(to_json(entry));
    }
    const auto again = parse_journal(
        journal_json(read->member, read->wall, read->mono, {lines.begin(), lines.end()}));
    RLV_ASSERT(again.has_value() && again->entries == read->entries && again->unreadable == 0);
}

void member(std::string_view text) {
    const auto read = parse_member("m", text);
    if (text.starts_with('{')) {  // a blank leaves it to the general parser, with the same outcome
        const auto general = parse_member("m", " " + std::string(text));
        RLV_ASSERT(general.has_value() == read.has_value());
        if (read) RLV_ASSERT(*general == *read);
    }
    if (!read) return;
    const int port = read->port();
    RLV_ASSERT(port > 0 && port < 65536);
    RLV_ASSERT(read->tags.failover_priority() >= 0 && read->tags.sync_priority() >= 0);
    settles(to_json(*read), [](std::string_view again) { return parse_member("m", again); });
}

void rebuild(std::string_view text) {
    const auto read = parse_rebuild(text);
    if (!read) return;
    settles(to_json(*read), parse_rebuild);
    RLV_ASSERT(!read->member.empty() && read->kept.find('/') == std::string::npos);
    const auto claim = claim_rebuild(*read, read->member, read->since);
    const auto again = parse_rebuild(to_json(claim));
    RLV_ASSERT(again && rebuild_after(*again, read->member));
    RLV_ASSERT(to_json(ended_rebuild(claim, false, read->note)).find('\n') == std::string::npos);
}

void restoration(std::string_view text) {
    const auto read = parse_restoration(text);
    if (!read) return;
    settles(to_json(*read), parse_restoration);
    RLV_ASSERT(read->target.timeline.number > 0 && !read->member.empty());
    RLV_ASSERT(aside_suffix(read->id).find('/') == std::string::npos);
}

void recovery_target(std::string_view text) {
    const auto check = [&](Result<RecoveryTarget> (*parse)(std::string_view)) {
        const auto read = parse(text);
        if (!read) {
            const auto& why = read.error().message;
            RLV_ASSERT(!why.empty() && why.size() < 400);
            for (const char c : why) RLV_ASSERT(c >= ' ' && c <= '~');
            return;
        }
        const auto value = value_text(*read);
        RLV_ASSERT(value.find_first_of("'\"\n$\\") == std::string::npos);
        RLV_ASSERT(parse(value) == *read && !describe(*read).empty());
    };
    check(target_at_time);
    check(target_at_lsn);
    check(target_at_xid);
    if (const auto timeline = parse_target_timeline(text))
        RLV_ASSERT(parse_target_timeline(to_string(*timeline)) == *timeline);
}

void settings(std::string_view text) {
    const auto read = read_settings(text);
    if (!read) return;
    check_settings(read->settings);
    // What can be read can be patched, and a patch applied twice is a patch applied once.
    const auto patched =
        patch_json(text, R"({"ttl":30,"pause":null,"postgresql":{"use_slots":true}})");
    if (!patched) return;  // more keys than an ordered object may have
    RLV_ASSERT(patch_json(*patched, R"({"ttl":30,"pause":null,"postgresql":{"use_slots":true}})") ==
               *patched);
}

void stream(std::string_view text) {
    if (const auto read = parse_stream(text)) settles(to_json(*read), parse_stream);
    const auto report = parse_gateway_report(text);
    if (!report) return;
    RLV_ASSERT(!report->name.empty() && report->wait.count() >= 0);
    settles(to_json(*report), parse_gateway_report);
    for (const auto& blocker : report->blockers) RLV_ASSERT(!describe(blocker).empty());
}

void snapshot(std::string_view text) {
    SnapshotReader reader;
    KeyTree tree;
    const std::vector<std::string> lines = split(text, '\n');
    for (std::size_t i = 0; i + 1 < lines.size(); i += 2) {
        KeyValue& entry = tree.keys[lines[i]];
        entry.mod_revision = ++tree.revision;
        if (entry.create_revision == 0) entry.create_revision = tree.revision;
        entry.value = lines[i + 1];
        const Snapshot read = reader.read(tree);
        RLV_ASSERT(read.revision == tree.revision);
        RLV_ASSERT(reader.take_problems().size() <= 1);  // one key changed
        check_snapshot(read);
    }
    reader.read(tree);
    RLV_ASSERT(reader.take_problems().empty());
}

}  // namespace relevo::cluster::fuzz
