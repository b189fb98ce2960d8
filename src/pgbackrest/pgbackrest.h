// The real pgBackRest as the port Backup: its file rendered, its program run as a child with a
// deadline, its answers understood. Any version from 2.24 on (info's multiple repositories: 2.33).
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>

#include "os/blocking.h"
#include "pgbackrest/settings.h"
#include "ports/backup.h"

namespace relevo::pgbackrest {

class PgBackRest final : public ports::Backup {
public:
    // Asked anew by each call. The section alone costs nothing: it is asked for after every step of
    // the agent's. Calls that run are awaited before this is destroyed.
    struct Source {
        std::function<const ports::BackupConfig&()> section;
        std::function<Settings()> settings;
    };
    PgBackRest(boost::asio::io_context& loop, os::Blocking pool, Source source);
    ~PgBackRest() override;
    PgBackRest(const PgBackRest&) = delete;
    PgBackRest& operator=(const PgBackRest&) = delete;

    bool configured() const override;
    ports::BackupConfig config() const override;
    Task<Status> apply() override;
    Task<Status> let_fetch(std::optional<std::vector<cluster::HistoryLine>> left) override;
    Task<Result<cluster::Repository>> info(Duration deadline) override;
    Task<Status> create_stanza(Duration deadline) override;
    Task<Status> check(Duration deadline) override;
    Task<Result<Archived>> archived(cluster::ArchiveRange archive, Duration deadline) override;
    Task<Result<std::vector<cluster::HistoryLine>>> history(cluster::ArchiveRange archive,
                                                            cluster::Timeline timeline,
                                                            Duration deadline) override;
    Task<Result<int>> fill_archive(std::vector<cluster::HistoryLine> left) override;
    std::string why_not_from_standby() const override;
    Task<Result<std::string>> run(Plan plan) override;
    Task<Result<std::vector<std::string>>> expire(bool dry_run) override;
    Task<Result<std::string>> verify() override;
    void end_job() override;
    Task<Status> restore(RestorePlan plan) override;
    void end_restore(const std::string& into) override;
    void stop() override;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace relevo::pgbackrest
