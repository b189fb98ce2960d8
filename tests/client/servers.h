// For tests: real servers for librelevo, each test with both faces of the pool (faces.h).
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "faces.h"
#include "postgres/clone.h"
#include "postgres/real_server.h"
#include "postgres/sync_names.h"

namespace relevo::client::testing {

inline pid_t postmaster_of(const ports::PostgresConfig& config) {
    std::ifstream file(config.data_dir + "/postmaster.pid");
    pid_t pid = 0;
    file >> pid;
    return pid;
}

inline std::vector<pid_t> children_of(pid_t parent) {
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        if (entry.path().filename().string().find_first_not_of("0123456789") != std::string::npos)
            continue;
        std::ifstream file(entry.path() / "stat");
        std::string text{std::istreambuf_iterator<char>(file), {}};
        const auto end = text.rfind(')');
        if (end == std::string::npos) continue;
        if (std::stol(text.substr(end + 4)) == parent) found.push_back(std::stoi(text));
    }
    return found;
}

// Power loss, as far as a process knows it.
inline void kill_all_of(const ports::PostgresConfig& config) {
    const auto postmaster = postmaster_of(config);
    ::kill(postmaster, SIGSTOP);
    const auto children = children_of(postmaster);
    ::kill(postmaster, SIGKILL);
    for (const auto pid : children) ::kill(pid, SIGKILL);
    for (int i = 0; i < 1000 && ::kill(postmaster, 0) == 0; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    for (const auto pid : children)
        for (int i = 0; i < 1000 && ::kill(pid, 0) == 0; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

class ClientServers : public postgres::testing::RealServers,
                      public ::testing::WithParamInterface<Face> {
protected:
    void SetUp() override {
        RealServers::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        primary = member("one");
        // What is not committed stays unflushed: that is when ids are given out twice.
        primary.parameters.base["wal_writer_delay"] = "10s";
        // There is no agent here that would start it again.
        primary.parameters.base["restart_after_crash"] = "on";
        make_primary(primary);
        value(primary, "CREATE TABLE public.counter (n int)");
        value(primary, "INSERT INTO public.counter VALUES (0)");
    }

    Options options(const std::vector<int>& ports, const std::string& more = {}) {
        std::string hosts, numbers;
        for (const int port : ports) {
            hosts += hosts.empty() ? "127.0.0.1" : ",127.0.0.1";
            numbers += (numbers.empty() ? "" : ",") + std::to_string(port);
        }
        Options o;
        o.conninfo = "host=" + hosts + " port=" + numbers +
                     " user=postgres dbname=postgres password='sup\\'er\\\\ $$ secret'" + more;
        o.size = 2;
        o.deadline = std::chrono::seconds(30);
        return o;
    }

    std::unique_ptr<AnyPool> pool(Options o) {
        auto made = make_pool(GetParam(), std::move(o));
        EXPECT_TRUE(made) << made.error().message;
        return made ? *std::move(made) : nullptr;
    }

    // Every commit waits for a standby that there is not, from now on. What the setting shows does
    // not tell: it counts once the checkpointer has read it too.
    void let_commits_wait() {
        value(primary, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
        value(primary, "SELECT pg_reload_conf()");
        const auto committing = connect(primary), watching = connect(primary);
        ASSERT_TRUE(committing && watching);
        const auto wait =
            loop.run(postgres::commits_wait(*committing, *watching, std::chrono::seconds(20)));
        ASSERT_TRUE(wait) << wait.error().message;
        ASSERT_TRUE(*wait);
    }

    std::string count() { return value(primary, "SELECT n FROM public.counter"); }

    static Expected<void> increment(BlockingTransaction& t) {
        auto done = t.execute("UPDATE public.counter SET n = n + 1");
        if (!done) return std::unexpected(done.error());
        return {};
    }

    ports::PostgresConfig primary;
};

class ClientCluster : public ClientServers {
protected:
    void SetUp() override {
        ClientServers::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        standby = member("two");
        ports::Postgres::ClonePlan plan;
        plan.source = upstream(primary);
        const auto cloned = loop.run(postgres::clone(loop.pool(), standby, plan, 150000));
        ASSERT_TRUE(cloned) << cloned.error().message;
        start(standby, upstream(primary));
        ASSERT_TRUE(becomes(standby, "SELECT count(*) FROM public.counter", "1"));
    }
    ports::PostgresConfig standby;
};

}  // namespace relevo::client::testing
