// For tests only: a repository whose restores go as the test says.
#pragma once

#include <string>
#include <vector>

#include "ports/backup.h"

namespace relevo::agent {

class FakeRestores : public ports::Backup {
public:
    Result<cluster::Repository> repository = cluster::Repository{};
    std::vector<RestorePlan> plans;
    Status outcome;
    std::vector<std::string> ended;

    Task<Status> restore(RestorePlan plan) override {
        plans.push_back(std::move(plan));
        co_return outcome;
    }
    void end_restore(const std::string& into) override { ended.push_back(into); }
    Task<Result<cluster::Repository>> info(Duration) override { co_return repository; }
    Task<Status> apply() override { co_return Status{}; }

    bool configured() const override { return true; }
    ports::BackupConfig config() const override { return {}; }
    Task<Status> let_fetch(std::optional<std::vector<cluster::HistoryLine>>) override {
        co_return Status{};
    }
    Task<Status> create_stanza(Duration) override { co_return Status{}; }
    Task<Status> check(Duration) override { co_return Status{}; }
    Task<Result<Archived>> archived(cluster::ArchiveRange, Duration) override {
        co_return Archived{};
    }
    Task<Result<std::vector<cluster::HistoryLine>>> history(cluster::ArchiveRange,
                                                            cluster::Timeline, Duration) override {
        co_return std::vector<cluster::HistoryLine>{};
    }
    Task<Result<int>> fill_archive(std::vector<cluster::HistoryLine>) override { co_return 0; }
    std::string why_not_from_standby() const override { return {}; }
    Task<Result<std::string>> run(Plan) override { co_return "x"; }
    Task<Result<std::vector<std::string>>> expire(bool) override {
        co_return std::vector<std::string>{};
    }
    Task<Result<std::string>> verify() override { co_return "x"; }
    void end_job() override {}
    void stop() override {}
};

}  // namespace relevo::agent
