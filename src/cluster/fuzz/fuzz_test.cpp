// The fuzz targets over a small corpus and its mutations, the same ones in every run.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/fuzz/targets.h"

namespace relevo::cluster::fuzz {
namespace {

using Corpus = std::vector<std::string>;

const Corpus members = {
    R"({"conn_url":"postgres://10.0.0.2:5432/postgres","api_url":"http://10.0.0.2:8008/patroni",)"
    R"("state":"running","role":"replica","version":"4.1.4","tags":{"clonefrom":true,)"
    R"("failover_priority":"3"},"xlog_location":67108960,"replay_lsn":67108960,)"
    R"("receive_lsn":67108960,"replication_state":"streaming","timeline":1})",
    R"({"state":"stopped","role":"master","pending_restart":true,)"
    R"("pending_restart_reason":{"a":{"old_value":"1","new_value":2}},)"
    R"("scheduled_restart":{"schedule":"2030-01-01T00:00:00Z","timeout":"60",)"
    R"("restart_pending":""},"pause":true,"checkpoint_after_promote":false})",
    "postgres://u:p@[fd00::1]:5433/db?application_name=http%3A%2F%2Fh:8008/patroni",
    "{}",
};

const Corpus configs = {
    R"({"ttl":30,"loop_wait":10,"retry_timeout":10,"maximum_lag_on_failover":1048576,)"
    R"("postgresql":{"use_pg_rewind":true,"parameters":{"max_connections":50}}})",
    R"({"ttl":"3","synchronous_mode":"quorum","synchronous_node_count":2,)"
    R"("standby_cluster":{"host":"h","port":5432,"create_replica_methods":["basebackup"]}})",
    R"({"slots":{"a":{"type":"logical","database":"d","plugin":"p"},"b":null},)"
    R"("ignore_slots":[{"name":"x"}],"member_slots_ttl":"30min","pause":true})",
    R"({"ttl":1e3,"loop_wait":-1,"retry_timeout":99999999999999999999})",
};

Corpus trees() {
    std::string all =
        "initialize\n7711188255317205645\nleader\npg-1\nstatus\n"
        R"({"optime":67108960,"slots":{"pg_2":5},"retain_slots":["pg_2"]})"
        "\nfailover\n"
        R"({"leader":"pg-1","member":"pg-2","scheduled_at":"2030-01-01T00:00:00+02:00"})"
        "\nsync\n"
        R"({"leader":"pg-1","quorum":1,"sync_standby":"pg-0,pg-2"})"
        "\nhistory\n"
        R"([[1,67382056,"no recovery target specified","2026-01-02T03:04:05.678901+00:00","pg-1"]])"
        "\ntimeline\n"
        R"({"timeline":2})"
        "\nfailsafe\n"
        R"({"pg-0":"http://10.0.0.1:8008/patroni"})";
    Corpus corpus = {
        all, "failover\npg-1:pg-2\noptime/leader\n67108960\nstatus\n5\nstatus\n{}\nfailover\n{}"};
    for (const std::string& member : members) all += "\nmembers/pg-1\n" + member;
    for (const std::string& config : configs) all += "\nconfig\n" + config;
    corpus.push_back(all);
    return corpus;
}

const Corpus journals = {
    R"({"seq":7,"time":"2026-01-02T03:04:05.678901+00:00","mono_ns":123456789,"member":"n2",)"
    R"("term":4711,"kind":"counted","about":"n3","answer":"sealed","lsn":"0/5000128",)"
    R"("timeline":3,"revision":4710,"ms":12,"text":"n3 is sealed at 0/5000128"})",
    R"({"member":"n2","time":"2026-01-02T03:04:06Z","mono_ns":99,"entries":[)"
    R"({"seq":1,"time":"2026-01-02T03:04:05+02:00","member":"n2","kind":"took","term":9},)"
    R"({"seq":2,"time":"2026-01-02T03:04:05Z","member":"n3","kind":"took","term":9},{}]})",
};

const Corpus streams = {
    R"({"sequence":1764097237000001,"scope":"demo","name":"pg-1","system_id":"771",)"
    R"("seen":{"leader":"pg-1","term":42},"term":42,"serves_for_ms":4200,)"
    R"("hold":{"id":9,"drain_ms":2000},"primary":true,"standby":false,"streaming":false,)"
    R"("timeline":3,"leader_timeline":3,"lag_bytes":0,"lag_ms":0,"host":"10.0.0.1","port":5432,)"
    R"("members":[{"name":"pg-1","api_url":"http://10.0.0.1:8008/patroni","host":"10.0.0.1",)"
    R"("port":5432},{"name":"pg-2","noloadbalance":true}]})",
    R"({"name":"gw-1","since":1764097237000001,"wait_ms":300,"positions":true,"hold":9,)"
    R"("outcome":"blocked","blockers":[{"pid":4711,"user":"app","database":"workflow",)"
    R"("client":"10.0.0.7","query":"select 1","age_ms":5200}]})",
};

const Corpus backup_jobs = {
    R"({"id":"20260514T010000Z-7","what":"full","state":"running","requested_by":"schedule",)"
    R"("requested":"2026-05-14T01:00:00.123456+00:00","due":"2026-05-14T01:00:00+00:00",)"
    R"("member":"pg-1","declined":["pg-2"],"run":"pg-1/1778720400000000","under":4711,"ttl":30,)"
    R"("primary":"pg-0","attempts":2,"begun":"2026-05-14T01:00:01+00:00",)"
    R"("progress":{"done_bytes":123,"total_bytes":456,"percent_x100":2697,)"
    R"("at":"2026-05-14T01:00:09+00:00"}})",
    R"({"id":"x","what":"expire","state":"failed","requested_by":"operator",)"
    R"("requested":"2026-05-14T01:00:00Z","ended":"2026-05-14T01:00:01+02:00",)"
    R"("interrupted":true,"label":"20260514-010000F","result":"its runner pg-1 is gone"})",
};

const Corpus proofs = {
    R"({"proofs":[{"id":"20260514T010000Z-7","begun":"2026-05-14T01:00:00.5+00:00",)"
    R"("due":"2026-05-14T01:00:00+00:00","member":"pg-1","backup":"20260514-010000F","ok":false,)"
    R"("step":"check","result":"check: the last row is f","unchecked":"no amcheck",)"
    R"("bytes":23000000,"restore_ms":1200,"recovery_ms":300,"checks_ms":40,)"
    R"("restored_to":"0/5000028","newest":"2026-05-14T00:59:58.25+00:00"}]})",
    R"({"proofs":[]})",
};

const Corpus corruptions = {
    R"({"found":[{"what":"checksum_failures","where":"app","count":3,)"
    R"("first":"2026-05-14T01:00:00+00:00","last":"2026-05-14T01:00:00.25+02:00"},)"
    R"({"what":"backup","where":"20260514-010000F","count":0,"first":"2026-05-14T01:00:00Z",)"
    R"("last":"2026-05-14T01:00:00Z"}],"seen":{"app":3,"":1}})",
    R"({"found":[{"what":"amcheck","where":"app.public.t","count":3,)"
    R"("first":"2026-05-14T01:00:00Z","last":"2026-05-14T01:00:00Z"}],)"
    R"("log":[{"what":"log","where":"invalid page in block 0","count":1,)"
    R"("first":"2026-05-14T01:00:00Z","last":"2026-05-14T01:00:00Z"}]})",
    R"({"found":[],"seen":{}})",
};

const Corpus crons = {
    "0 1 * * *",    "*/15 9-17/2 1,15 jan-mar,dec mon",
    "@weekly",      "59 23 31 12 7",
    "0 0 29 2 */7", "30 2 1-7 * sun",
    "@daily",       "* * * * *",
};

const Corpus targets = {
    "2026-05-14 10:00+00",
    "2026-05-14T12:00:00.25+02:00",
    "0001-01-01 00:00:00+14",
    "1A/4000060",
    "4294968031",
    "latest",
    "current",
    "3",
};

// One text made from the corpus by a few random edits.
class Mutator {
public:
    explicit Mutator(Corpus corpus) : corpus_(std::move(corpus)) {}

    std::string next() {
        std::string text = corpus_[below(corpus_.size())];
        for (std::size_t edits = 1 + below(4); edits > 0; --edits) edit(text);
        return text;
    }

private:
    // splitmix64: the same numbers everywhere.
    std::uint64_t random() {
        std::uint64_t mixed = random_ += 0x9E3779B97F4A7C15U;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9U;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBU;
        return mixed ^ (mixed >> 31);
    }
    std::size_t below(std::size_t limit) { return static_cast<std::size_t>(random() % limit); }

    void edit(std::string& text) {
        static const Corpus tokens = {
            "null",       "true", "-1",      "1e999", "18446744073709551616",
            "4294967295", "\"",   "\\",      "{",     "}",
            "[",          "]",    ":",       ",",     "\xFF",
            "\xC3",       "\n",   "\\u0000", "{}",    "\\ud800",
            "\"\"",       "0x",   "1.5",     "/",     "%",
            "%zz",        "9",    "-",       "@",     "[[[[[[",
        };
        const std::size_t at = below(text.size() + 1);
        const std::size_t length = below(std::min<std::size_t>(text.size() - at, 20) + 1);
        switch (below(6)) {
            case 0: text.erase(at, length); break;
            case 1: text.insert(at, tokens[below(tokens.size())]); break;
            case 2: text.replace(at, length, tokens[below(tokens.size())]); break;
            case 3: text.insert(at, text.substr(at, length)); break;
            case 4:
                if (at < text.size()) text[at] = static_cast<char>(random() & 0xFFU);
                break;
            default: text.resize(at); break;
        }
    }

    Corpus corpus_;
    std::uint64_t random_ = 20260101;
};

void run(const Corpus& corpus, int mutations, void (*target)(std::string_view)) {
    for (const std::string& text : corpus) target(text);
    Mutator mutator(corpus);
    for (int i = 0; i < mutations; ++i) {
        const std::string text = mutator.next();
        SCOPED_TRACE(text);
        ASSERT_NO_THROW(target(text)) << text;
    }
}

TEST(Fuzz, ProofsNeverThrowAndSettle) { run(proofs, 20'000, backup_proofs); }
TEST(Fuzz, BackupJobsNeverThrowAndSettle) { run(backup_jobs, 20'000, backup_job); }
TEST(Fuzz, CorruptionMarksNeverThrowAndSettle) { run(corruptions, 20'000, corruption); }
TEST(Fuzz, CronExpressionsComeOrAreRefused) { run(crons, 10'000, cron); }
TEST(Fuzz, JournalsNeverThrowAndSettle) { run(journals, 20'000, journal); }
TEST(Fuzz, MembersNeverThrowAndSettle) { run(members, 20'000, member); }
const Corpus rebuilds = {
    R"({"member":"pg-2","phase":"asked","since":1795694401500,"kept":".damaged-20261126T120001Z",)"
    R"("previous":{"pg-2":{"begun":1795694401500,"failed":1}}})",
    R"({"member":"pg-2","phase":"failed","since":1795694401500,"kept":".damaged-20261126T120001Z",)"
    R"("note":"pg_basebackup: no","previous":{"a":{"begun":1},"pg-2":{"begun":2,"failed":3}}})"};
const Corpus restorations = {
    R"({"id":"20261126-121530-pg-2","phase":"restoring","member":"pg-2","backup":"20261126F",)"
    R"("repository":1,"to_lsn":"0/4000060","target_timeline":3,"timeline":7,)"
    R"("asked":"2026-11-26T12:15:30.250000+00:00"})",
    R"({"id":"a-1","phase":"cancelled","member":"b","backup":"","to":"2026-11-26 06:45:15+00",)"
    R"("exclusive":true,"target_timeline":1,"problem":"why"})",
    R"({"id":"a-1","phase":"stopping","member":"b","backup":"x","latest":true,)"
    R"("target_timeline":1,"last_id":"c","last_timeline":4})"};

TEST(Fuzz, RebuildsNeverThrowAndSettle) { run(rebuilds, 20'000, rebuild); }
TEST(Fuzz, RestorationsNeverThrowAndSettle) { run(restorations, 20'000, restoration); }
TEST(Fuzz, RecoveryTargetsComeBackAsTheyWere) { run(targets, 10'000, recovery_target); }
const Corpus logs = {
    "2026-11-26 19:59:55.407 UTC [17502] boss@app ERROR:  invalid page in block 0 of relation x\n"
    "2026-11-26 19:59:55.407 UTC [17502] boss@app STATEMENT:  select\n\tcount(*) from t\n",
    R"(2026-11-26 19:59:55.483 UTC,"boss","app",17504,"[local]",6b.4460,4,"SELECT",2026-11-26 )"
    R"(19:59:55 UTC,3/6,0,ERROR,XX002,"index ""t_n"" contains unexpected zero page at block 1",,)"
    R"("Please REINDEX it.",,,,"select n from t",,,"psql","client backend",,0)"
    "\n",
    R"({"timestamp":"2026-11-26 19:59:55.483 UTC","error_severity":"ERROR","state_code":"XX002",)"
    R"("message":"index \"t_n\" contains unexpected zero page","context":"at RAISE"})"
    "\n",
};

TEST(Fuzz, ServerLogsComeOutTheSameInPieces) { run(logs, 20'000, server_log); }
TEST(Fuzz, SettingsNeverThrowAndKeepTheirRule) { run(configs, 20'000, settings); }
TEST(Fuzz, StreamsNeverThrowAndSettle) { run(streams, 20'000, stream); }
TEST(Fuzz, SnapshotsNeverThrowAndReportOnce) { run(trees(), 3'000, snapshot); }

}  // namespace
}  // namespace relevo::cluster::fuzz
