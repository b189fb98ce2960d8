// A scripted world for tests: keys in memory, members' answers by URL, an operator who types what
// was written down for him, and a clock that moves only when somebody sleeps.
#pragma once

#include <fmt/core.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cluster/keys.h"
#include "cluster/memory_store.h"
#include "ctl/commands.h"
#include "ctl/context.h"

namespace relevo::ctl {

class FakeStore : public Store {
public:
    cluster::MemoryStore keys;
    std::optional<Error> broken;
    std::function<void()> before_commit;  // somebody else, just before us

    Result<cluster::KeyTree> read() override {
        if (broken) return std::unexpected(*broken);
        return keys.tree();
    }
    Result<cluster::TxnResult> commit(const cluster::Txn& txn) override {
        if (before_commit) std::exchange(before_commit, {})();
        if (broken) return std::unexpected(*broken);
        return keys.commit(txn, 0);
    }
    void put(const std::string& key, const std::string& value) {
        cluster::Txn txn;
        txn.writes.push_back(
            {.what = cluster::Write::What::put, .key = key, .value = value, .with_lease = false});
        (void)keys.commit(txn, 0);
    }
    std::string at(const std::string& key) const {
        const auto found = keys.tree().keys.find(key);
        return found == keys.tree().keys.end() ? "(none)" : found->second.value;
    }
};

class FakeHttp : public Http {
public:
    std::map<std::string, std::deque<Result<HttpAnswer>>>
        answers;                    // "POST db-a /restart"; last stays
    std::vector<std::string> sent;  // "POST db-a /restart {...}"

    Result<HttpAnswer> send(const std::string& method, const std::string& url,
                            const std::string& body, Duration) override {
        // http://db-a:8008/restart
        const auto host = url.substr(7, url.find(':', 7) - 7);
        const auto key = method + " " + host + " " + url.substr(url.find('/', 7));
        sent.push_back(body.empty() ? key : key + " " + body);
        auto& script = answers[key];
        if (script.empty()) return fail(ErrorCode::unavailable, "connection refused");
        auto answer = script.front();
        if (script.size() > 1) script.pop_front();
        return answer;
    }
    void answer(const std::string& key, int status, const std::string& body = "") {
        answers[key].push_back(HttpAnswer{status, body});
    }
    void break_off(const std::string& key, ErrorCode code) {
        answers[key].push_back(fail(code, "the connection broke"));
    }
};

class FakeSql : public Sql {
public:
    std::expected<SqlTable, SqlError> result;
    std::vector<std::string> asked;
    std::expected<SqlTable, SqlError> run(const SqlTarget& target,
                                          const std::string& statement) override {
        asked.push_back(fmt::format("{}:{} {} {} {} {}", target.host, target.port, target.user,
                                    target.database, target.password.value_or("-"), statement));
        return result;
    }
};

class FakeClock : public Clock {
public:
    Instant time{};
    int sleeps = 0;
    int sleeps_max = 1000;  // then the operator interrupts
    std::function<void()> on_sleep;
    struct Interrupted {};

    Instant now() override { return time; }
    WallTime wall() override {
        return WallTime(std::chrono::seconds(1'900'000'000)) +
               std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch());
    }
    void sleep(Duration duration) override {
        if (++sleeps > sleeps_max) throw Interrupted();
        time += duration;
        if (on_sleep) on_sleep();
    }
    std::chrono::seconds zone_offset(WallTime) override { return std::chrono::hours(2); }
};

class FakeTerminal : public Terminal {
public:
    std::string output, errors;
    std::deque<std::string> typed;  // answers in their order; then the input ends
    std::vector<std::string> questions;
    bool is_terminal = false;
    int cleared = 0;

    void out(std::string_view text) override { output += text; }
    void err(std::string_view text) override { errors += text; }
    std::optional<std::string> ask(std::string_view prompt) override {
        questions.emplace_back(prompt);
        if (typed.empty()) return std::nullopt;
        auto answer = typed.front();
        typed.pop_front();
        return answer;
    }
    std::optional<std::string> ask_hidden(std::string_view prompt) override { return ask(prompt); }
    bool interactive() override { return is_terminal; }
    bool colour() override { return is_terminal; }
    void clear() override { ++cleared; }
};

class FakeDesk : public Desk {
public:
    std::map<std::string, std::string> files;
    std::function<std::string(std::string)> editor;
    std::vector<std::string> paged;

    Result<std::string> read_file(const std::string& path) override {
        const auto found = files.find(path);
        if (found == files.end()) return fail(ErrorCode::not_found, "cannot read " + path);
        return found->second;
    }
    Result<std::string> edit(const std::string&, const std::string& text) override {
        if (!editor) return fail(ErrorCode::not_found, "no editor found");
        return editor(text);
    }
    Status page(const std::string& text) override {
        paged.push_back(text);
        return {};
    }
    std::size_t pick(std::size_t count) override { return count - 1; }
};

// The whole: run("switchover --force") as the shell would.
class World {
public:
    std::map<std::string, FakeStore> stores;
    FakeHttp http;
    FakeSql sql;
    FakeClock clock;
    FakeTerminal terminal;
    FakeDesk desk;
    std::string scope = "orders";
    std::optional<Error> no_configuration;
    GlobalOptions seen;

    FakeStore& store() { return stores["orders"]; }

    int run(const std::vector<std::string>& args) {
        return ctl::run(args, terminal, "1.2.3",
                        [this](const GlobalOptions& options) { return connect(options); });
    }

    // db-a leads, db-b streams, db-c streams from db-b and needs a restart.
    void three_members() {
        auto& keys = store();
        keys.put("initialize", "7400000000000000001");
        keys.put("config", R"({"ttl":30,"loop_wait":10,"retry_timeout":10})");
        keys.put("status", R"({"optime":1509949656})");
        keys.put("leader", "db-a");
        keys.put("members/db-a", member("db-a", 11,
                                        R"("state":"running","role":"primary",)"
                                        R"("xlog_location":1509949656,"timeline":4)"));
        keys.put("members/db-b", member("db-b", 12, replica(1509949656)));
        keys.put(
            "members/db-c",
            member(
                "db-c", 13,
                replica(1506803928) +
                    R"(,"pending_restart":true,"pending_restart_reason":{"max_connections":)"
                    R"({"old_value":"100","new_value":"200"}},"tags":{"replicatefrom":"db-b"})"));
    }

    static std::string member(const std::string& name, int host, const std::string& more) {
        return fmt::format(R"({{"conn_url":"postgres://10.1.0.{}:5432/postgres",)"
                           R"("api_url":"http://{}:8008/patroni","version":"4.1.4",{}}})",
                           host, name, more);
    }
    static std::string replica(std::uint64_t replayed) {
        return fmt::format(R"("state":"running","role":"replica","replication_state":"streaming",)"
                           R"("receive_lsn":1509949656,"replay_lsn":{},"xlog_location":{},)"
                           R"("timeline":4)",
                           replayed, replayed);
    }

private:
    class FakeBackend : public Backend {
    public:
        explicit FakeBackend(World& world)
            : context_{.terminal = world.terminal,
                       .clock = world.clock,
                       .http = world.http,
                       .sql = world.sql,
                       .desk = world.desk,
                       .store = [&world](const std::string& name) -> Result<Store*> {
                           return &world.stores[name];
                       },
                       .scope = world.scope} {}
        Context& context() override { return context_; }

    private:
        Context context_;
    };

    Result<std::unique_ptr<Backend>> connect(const GlobalOptions& options) {
        seen = options;
        if (no_configuration) return std::unexpected(*no_configuration);
        return std::make_unique<FakeBackend>(*this);
    }
};

}  // namespace relevo::ctl
