// A replica out of the repository of backups (docs/adr/0019-replicas-from-backups.md).
#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <variant>

#include "base/log.h"
#include "os/file.h"
#include "postgres/clone_job.h"
#include "postgres/connection.h"
#include "postgres/control_data.h"
#include "postgres/half_made.h"
#include "postgres/line_of.h"
#include "postgres/voteless.h"

namespace relevo::postgres {

namespace asio = boost::asio;
using namespace std::chrono_literals;

namespace {

constexpr Duration connect_patience = 5s;

// pgBackRest takes a directory for one of PostgreSQL's by these, and refuses to replace what is in
// any other.
bool can_be_gone_over(const std::string& dir) {
    return os::exists(dir + "/PG_VERSION") || os::exists(dir + "/backup.manifest");
}

// It puts tablespaces where they were when the backup was made, which on a host with several
// members is another one's.
bool has_tablespaces(const std::string& dir) {
    const auto names = os::list_directory(dir + "/pg_tblspc");
    return names && !names->empty();
}

enum class Over { nothing, partial, old_data };

Result<Over> what_to_go_over(const CloneJob& job, const ports::ReplicaMethod& method) {
    const std::string& dir = job.config.data_dir;
    if (job.target_ours || !can_be_gone_over(dir)) return Over::nothing;
    RLV_TRY(const auto mark, read_half_made(dir));
    if (mark == by_restore) return Over::partial;
    if (!method.delta || is_a_copy(mark)) return Over::nothing;
    if (!has_tablespaces(dir)) return Over::old_data;
    log::info("{} has tablespaces: the backup is restored beside the old data, and not over it",
              dir);
    return Over::nothing;
}

// Whether the restore is to be one of the differences. Blocking. The marks come before anything
// changes.
Result<bool> prepare_restore(CloneJob& job, const ports::ReplicaMethod& method) {
    const std::string& dir = job.config.data_dir;
    RLV_TRY(const Over over, what_to_go_over(job, method));
    switch (over) {
        case Over::partial: {
            RLV_CHECK(mark_voteless(dir));
            RLV_TRY(job.moved, moved_earlier(dir, job.suffix));
            job.target_ours = true;
            log::info("a restore into {} was interrupted: it is gone on with", dir);
            return true;
        }
        case Over::old_data:
            if (half_made_by(dir) != by_method) RLV_CHECK(check_replaceable(job));
            RLV_CHECK(mark_voteless(dir));
            job.changed_in_place = true;
            RLV_CHECK(mark_half_made(dir, by_method));
            return true;
        case Over::nothing: break;
    }
    RLV_CHECK(clear_target(job));
    RLV_CHECK(mark_half_made(dir, by_restore));
    job.target_ours = true;
    RLV_CHECK(ensure_directory(dir));
    return false;
}

// Of the leader, or of a standby that offers itself: both are on the leader's line.
Task<Result<cluster::WalLine>> ask_source(const CloneJob& job) {
    const auto& source = *job.plan.source;
    ConnectOptions options = remote_options(job.config, job.config.replication, source.host,
                                            source.port, job.config.name + " restore");
    options.replication = true;
    auto opened = co_await Connection::open(job.pool, std::move(options), connect_patience);
    if (!opened)
        co_return within(fmt::format("asking {} for its timeline", source.host), opened.error());
    auto line = co_await line_of(**opened);
    co_return line;
}

// A restore is a child of another room's, which does not hear that this coroutine is cancelled.
Task<Status> end_when_cancelled(CloneJob& job) {
    asio::steady_timer never(co_await asio::this_coro::executor,
                             asio::steady_timer::time_point::max());
    co_await never.async_wait(asio::as_tuple(asio::use_awaitable));
    job.plan.repository->end_restore(job.config.data_dir);
    co_return Status();
}

Task<Status> restore(CloneJob& job, cluster::BackupRecord backup, bool delta,
                     const std::string& method) {
    using namespace asio::experimental::awaitable_operators;
    ports::CopySource::Restore what{
        .backup = std::move(backup), .into = job.config.data_dir, .delta = delta, .progress = {}};
    if (job.plan.progress)
        what.progress = [&job, method](const cluster::BackupProgress& now) {
            job.plan.progress({.method = method,
                               .done_bytes = now.done_bytes,
                               .total_bytes = now.total_bytes,
                               .percent = now.percent});
        };
    auto restoring = job.plan.repository->restore(std::move(what));
    auto watching = end_when_cancelled(job);
    const auto either = co_await (std::move(restoring) || std::move(watching));
    co_return std::visit([](const Status& status) { return status; }, either);
}

// A repository in conflict with something is no reason to try no other method.
std::unexpected<Error> of_this_method(Error error) {
    if (error.code == ErrorCode::conflict) error.code = ErrorCode::failed;
    return std::unexpected(std::move(error));
}

// What was restored is this cluster's, whatever the repository says of itself.
Task<Status> check_identity(CloneJob& job, const cluster::WalLine& line) {
    const auto control = co_await job.pool.run([&job] { return read_control_file(job.config); });
    if (!control) co_return within("reading what was restored", control.error());
    if (control->data.system_id == line.system_id) co_return Status();
    co_return fail(ErrorCode::failed,
                   fmt::format("what was restored is of another cluster: its system identifier is "
                               "{}, ours {}; correct backup.stanza or the repository's path",
                               control->data.system_id, line.system_id));
}

}  // namespace

Task<Status> clone_from_repository(CloneJob& job, const ports::ReplicaMethod& method) {
    if (job.plan.repository == nullptr)
        co_return fail(ErrorCode::invalid, "this agent knows no repository of backups");
    if (!job.plan.source)
        co_return fail(ErrorCode::unavailable,
                       "the line that a backup must lead to is not known without a server to ask");
    auto line = co_await ask_source(job);
    if (!line) co_return of_this_method(line.error());
    // Before anything is touched: a repository that is out of reach costs no data.
    auto backup = co_await job.plan.repository->newest(*line);
    if (!backup) co_return of_this_method(backup.error());
    const auto delta = co_await job.pool.run([&] { return prepare_restore(job, method); });
    if (!delta) co_return std::unexpected(delta.error());
    log::info("restoring backup {}{}", backup->label, *delta ? ", of it what differs" : "");
    Status done = co_await restore(job, *std::move(backup), *delta, method.name);
    if (done) done = co_await check_identity(job, *line);
    if (!done) co_return of_this_method(done.error());
    co_return done;
}

}  // namespace relevo::postgres
