// A cluster's data with real servers: made, copied, followed, rewound.
#include <fmt/format.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "os/file.h"
#include "postgres/bootstrap.h"
#include "postgres/clone.h"
#include "postgres/control_data.h"
#include "postgres/half_made.h"
#include "postgres/hooks.h"
#include "postgres/kept_damaged.h"
#include "postgres/real_server.h"
#include "postgres/reconfigure.h"
#include "postgres/rewind.h"
#include "postgres/slots.h"
#include "postgres/voteless.h"

namespace relevo::postgres {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Verdict = cluster::Divergence::Verdict;

constexpr int version = 150000;

class DataCluster : public testing::RealServers {
protected:
    Status copy(const ports::PostgresConfig& config, const ports::PostgresConfig& source,
                bool replace = false) {
        ports::Postgres::ClonePlan plan;
        plan.source = upstream(source);
        plan.replace_existing = replace;
        return loop.run(clone(loop.pool(), config, plan, version));
    }

    void want_slots(const ports::PostgresConfig& config, const std::vector<std::string>& names) {
        cluster::SlotPlan plan;
        for (const auto& name : names)
            plan.wanted.push_back({.name = name,
                                   .advance_to = {},
                                   .expected_active = true,
                                   .logical = false,
                                   .database = {},
                                   .plugin = {}});
        auto connection = connect(config);
        ASSERT_TRUE(connection);
        const auto done = loop.run(sync_slots(*connection, plan));
        ASSERT_TRUE(done) << done.error().message;
    }

    Result<cluster::Divergence> compare_stopped(const ports::PostgresConfig& config,
                                                const ports::PostgresConfig& source) {
        const auto control = read_control_file(config);
        EXPECT_TRUE(control) << control.error().message;
        return loop.run(
            compare(loop.pool(), config, upstream(source), std::nullopt, control->data, version));
    }

    static constexpr const char* streaming =
        "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'";
};

TEST_F(DataCluster, makes_a_cluster_whose_passwords_work_and_stay_secret) {
    auto one = member("pg1");
    one.parameters.base["log_statement"] = "all";
    std::ofstream(root + "/post.sh") << "#!/bin/sh\necho \"$PGOPTIONS\" > " << root << "/post.out\n"
                                     << "/usr/lib/postgresql/15/bin/psql -X -d \"$1\" -c 'CREATE "
                                        "TABLE public.made_by_script (a int)'\n";
    fs::permissions(root + "/post.sh", fs::perms::owner_all);
    one.bootstrap.post_bootstrap = root + "/post.sh";
    make_primary(one);

    EXPECT_EQ(value(one, "SELECT count(*) FROM public.made_by_script"), "0");
    EXPECT_EQ(value(one, "SELECT rolreplication FROM pg_roles WHERE rolname = 'replicator'"), "t");
    EXPECT_EQ(
        value(one,
              "SELECT has_function_privilege('rewinder', 'pg_read_binary_file(text)', 'EXECUTE')"),
        "t");
    EXPECT_EQ(value(one, "SHOW cluster_name"), "demo");
    EXPECT_EQ(value(one, "SELECT source FROM pg_settings WHERE name = 'max_connections'"),
              "command line");
    const std::string log = server_log(one);
    EXPECT_FALSE(log.contains("secret")) << "a password reached the server's log";
    EXPECT_FALSE(half_made_by(one.data_dir));
    EXPECT_TRUE(fs::exists(one.data_dir + "/pg_hba.conf.backup"));
    for (const auto& entry : fs::directory_iterator(root))
        EXPECT_FALSE(entry.path().filename().string().contains("pgpass"))
            << entry.path() << " was left behind";
    std::ifstream output(root + "/post.out");
    std::string options;
    std::getline(output, options);
    EXPECT_EQ(options, "-c synchronous_commit=local -c statement_timeout=0");

    auto again = loop.run(bootstrap(loop.pool(), one, {}));
    ASSERT_FALSE(again) << "a data directory is never made over another";
    EXPECT_EQ(again.error().code, ErrorCode::conflict);
}

TEST_F(DataCluster, copies_follows_by_reload_and_rewinds_what_diverged) {
    const auto one = member("pg1");
    const auto two = member("pg2");
    const auto three = member("pg3");
    make_primary(one);
    want_slots(one, {"pg2", "pg3"});
    for (const auto& config : {two, three}) {
        const auto done = copy(config, one);
        ASSERT_TRUE(done) << done.error().message;
        EXPECT_FALSE(half_made_by(config.data_dir));
        start(config, upstream(one, config.name));
        EXPECT_TRUE(becomes(config, streaming, "1"));
    }
    EXPECT_EQ(value(one, "SELECT count(*) FROM pg_replication_slots WHERE active"), "2");
    EXPECT_EQ(value(one,
                    "SELECT string_agg(application_name, ',' ORDER BY application_name) FROM "
                    "pg_stat_replication"),
              "pg2,pg3");
    EXPECT_EQ(value(two, "SHOW wal_retrieve_retry_interval"), "200ms");
    value(one, "CREATE TABLE public.kept AS SELECT 1 AS a");
    EXPECT_TRUE(becomes(two, "SELECT count(*) FROM pg_class WHERE relname = 'kept'", "1"));
    EXPECT_TRUE(becomes(three, "SELECT count(*) FROM pg_class WHERE relname = 'kept'", "1"));

    // pg1 loses power; pg2 takes over; pg3 follows it without a restart.
    stop(one, "immediate");
    promote(two);
    want_slots(two, {"pg1", "pg3"});
    value(two, "CREATE TABLE public.after_takeover AS SELECT 1 AS a");
    const std::string started = value(three, "SELECT pg_postmaster_start_time()");
    const auto moved = ConfigFiles(three).write(request(three, upstream(two, "pg3")));
    ASSERT_TRUE(moved) << moved.error().message;
    EXPECT_TRUE(moved->config);
    {
        auto connection = connect(three);
        const auto reloaded = loop.run(reload(*connection));
        ASSERT_TRUE(reloaded) << reloaded.error().message;
    }
    EXPECT_TRUE(
        becomes(three, "SELECT count(*) FROM pg_class WHERE relname = 'after_takeover'", "1"));
    EXPECT_EQ(value(three, "SELECT pg_postmaster_start_time()"), started);

    // pg1 writes on by itself and then comes back.
    start(one, std::nullopt);
    value(one, "CREATE TABLE public.lost AS SELECT generate_series(1, 1000) AS a");
    stop(one);
    auto found = compare_stopped(one, two);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->verdict, Verdict::must_rewind) << found->why;
    EXPECT_TRUE(found->can_rewind);
    const auto control = read_control_file(one);
    EXPECT_FALSE(is_voteless(one.data_dir));
    value(two, "CHECKPOINT");  // the rewind user may not
    const auto rewound = loop.run(rewind(loop.pool(), one, upstream(two), control->data, version));
    ASSERT_TRUE(rewound) << rewound.error().message;
    EXPECT_FALSE(half_made_by(one.data_dir));
    start(one, upstream(two, "pg1"));
    EXPECT_TRUE(becomes(one, streaming, "1"));
    EXPECT_TRUE(is_voteless(one.data_dir)) << "what it acknowledged may be gone";
    EXPECT_EQ(
        value(one, "SELECT count(*) FROM pg_class WHERE relname IN ('kept', 'after_takeover')"),
        "2");
    EXPECT_EQ(value(one, "SELECT count(*) FROM pg_class WHERE relname = 'lost'"), "0");

    // A planned switch: pg2 stops cleanly, pg1 has all of it, pg2 needs no rewind.
    stop(two);
    EXPECT_TRUE(becomes(one, streaming, "0"));
    promote(one);
    found = compare_stopped(two, one);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->verdict, Verdict::streams) << found->why;
    start(two, upstream(one));
    EXPECT_TRUE(becomes(two, streaming, "1"));

    // Whoever is asked must be a primary of this cluster.
    stop(three);
    const auto of_standby = compare_stopped(three, two);
    ASSERT_FALSE(of_standby);
    EXPECT_EQ(of_standby.error().code, ErrorCode::conflict);
}

// Promoted apart from each other at the same place: their history files are the same text.
TEST_F(DataCluster, tells_two_timelines_of_one_number_apart) {
    const auto one = member("pg1");
    const auto two = member("pg2");
    const auto three = member("pg3");
    make_primary(one);
    want_slots(one, {"pg2", "pg3"});
    for (const auto& config : {two, three}) {
        const auto done = copy(config, one);
        ASSERT_TRUE(done) << done.error().message;
        start(config, upstream(one, config.name));
        EXPECT_TRUE(becomes(config, streaming, "1"));
    }
    value(one, "CREATE TABLE public.kept AS SELECT 1 AS a");
    stop(one);
    promote(two);
    value(two, "CREATE TABLE public.ours AS SELECT generate_series(1, 1000) AS a");
    stop(two);
    promote(three);
    const auto found = compare_stopped(two, three);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->verdict, Verdict::must_rewind) << found->why;
    EXPECT_TRUE(found->twin) << found->why;
    EXPECT_FALSE(found->can_rewind) << "pg_rewind says that no rewind is required";

    // A copy of it is no twin, running or stopped.
    const auto done = copy(two, three, true);
    ASSERT_TRUE(done) << done.error().message;
    want_slots(three, {"pg2"});
    start(two, upstream(three, "pg2"));
    EXPECT_TRUE(becomes(two, streaming, "1"));
    value(three, "CREATE TABLE public.more AS SELECT 1 AS a");
    EXPECT_TRUE(becomes(two, "SELECT count(*) FROM pg_class WHERE relname = 'more'", "1"));
    stop(two);
    const auto copied = compare_stopped(two, three);
    ASSERT_TRUE(copied) << copied.error().message;
    EXPECT_EQ(copied->verdict, Verdict::streams) << copied->why;
}

TEST_F(DataCluster, tells_reload_from_restart) {
    auto one = member("pg1");
    make_primary(one);
    auto connection = connect(one);
    ASSERT_TRUE(connection);
    const auto reconfigure_now = [&](bool force) {
        auto wanted = request(one, std::nullopt);
        return loop.run(reconfigure(loop.pool(), ConfigFiles(one), wanted, *connection, force));
    };
    auto done = reconfigure_now(false);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_FALSE(done->reloaded) << "nothing changed";
    EXPECT_TRUE(done->pending.empty());

    one.parameters.base["work_mem"] = "8MB";
    one.parameters.base["no_such_parameter"] = "1";
    done = reconfigure_now(false);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_TRUE(done->reloaded);
    EXPECT_TRUE(done->pending.empty());
    EXPECT_EQ(done->files.warnings.size(), 1U);
    EXPECT_EQ(value(one, "SHOW work_mem"), "8MB");

    one.parameters.base["shared_buffers"] = "32MB";
    one.parameters.base["max_connections"] = "40";
    done = reconfigure_now(false);
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_EQ(done->pending.size(), 2U);
    EXPECT_EQ(done->pending.at("shared_buffers").old_value, "16MB");
    EXPECT_EQ(done->pending.at("shared_buffers").new_value, "32MB");
    EXPECT_EQ(done->pending.at("max_connections").old_value, "30");
    EXPECT_EQ(done->pending.at("max_connections").new_value, "40");

    one.parameters.base["shared_buffers"] = "16MB";
    one.parameters.base["max_connections"] = "30";
    done = reconfigure_now(false);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_TRUE(done->pending.empty());
}

TEST_F(DataCluster, keeps_the_old_data_when_a_copy_fails_or_is_given_up) {
    const auto one = member("pg1");
    auto two = member("pg2");
    make_primary(one);
    fs::create_directories(two.data_dir);
    std::ofstream(two.data_dir + "/precious") << "1";

    auto refused = copy(two, one);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::conflict);
    EXPECT_TRUE(fs::exists(two.data_dir + "/precious"));
    EXPECT_FALSE(is_voteless(two.data_dir)) << "nothing was touched";

    two.create_replica_methods = {"broken"};
    two.replica_methods["broken"] = {.name = "broken",
                                     .command = "/bin/sh -c 'exit 3'",
                                     .keep_data = false,
                                     .no_params = true,
                                     .no_leader = false,
                                     .options = {}};
    const auto failed = copy(two, one, true);
    ASSERT_FALSE(failed);
    EXPECT_TRUE(failed.error().message.contains("3")) << failed.error().message;
    EXPECT_TRUE(fs::exists(two.data_dir + "/precious"));
    EXPECT_FALSE(half_made_by(two.data_dir));

    two.replica_methods["broken"].command = "/bin/sleep 100";
    boost::asio::cancellation_signal cancel;
    boost::asio::steady_timer timer(loop.io(), 300ms);
    timer.async_wait([&](const auto&) { cancel.emit(boost::asio::cancellation_type::terminal); });
    std::optional<Status> given_up;
    ports::Postgres::ClonePlan plan;
    plan.source = upstream(one);
    plan.replace_existing = true;
    plan.progress = [](const cluster::CopyProgress&) {};
    boost::asio::co_spawn(loop.io(), clone(loop.pool(), two, plan, version),
                          boost::asio::bind_cancellation_slot(
                              cancel.slot(), [&](const std::exception_ptr& thrown, Status status) {
                                  EXPECT_FALSE(thrown);
                                  given_up = std::move(status);
                              }));
    loop.io().restart();
    loop.io().run();
    ASSERT_TRUE(given_up);
    ASSERT_FALSE(*given_up);
    EXPECT_EQ(given_up->error().code, ErrorCode::cancelled) << given_up->error().message;
    EXPECT_TRUE(fs::exists(two.data_dir + "/precious"));
    EXPECT_FALSE(half_made_by(two.data_dir));

    two.create_replica_methods = {"basebackup"};
    const auto done = copy(two, one, true);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_FALSE(fs::exists(two.data_dir + "/precious"));
    EXPECT_FALSE(fs::exists(two.data_dir + ".before_clone"));
    EXPECT_TRUE(fs::exists(two.data_dir + "/standby.signal"));
}

// Restores what a stopped copy of the primary holds, or a part of it and then fails.
class FakeRepository final : public ports::CopySource {
public:
    std::string from;
    Status there, outcome;
    std::vector<bool> deltas;
    cluster::WalLine line;

    Task<Result<cluster::BackupRecord>> newest(cluster::WalLine asked) override {
        line = std::move(asked);
        if (!there) co_return std::unexpected(there.error());
        co_return cluster::BackupRecord{};
    }
    Task<Status> restore(Restore what) override {
        deltas.push_back(what.delta);
        const auto over = fs::copy_options::recursive | fs::copy_options::overwrite_existing;
        if (outcome)
            fs::copy(from, what.into, over);
        else
            fs::copy(from + "/PG_VERSION", what.into, over);
        co_return outcome;
    }
    void end_restore(const std::string&) override {}
};

TEST_F(DataCluster, makes_a_replica_out_of_the_repository) {
    const auto one = member("pg1");
    const auto base = member("base");
    auto two = member("pg2");
    make_primary(one);
    ASSERT_TRUE(copy(base, one));
    FakeRepository repository;
    repository.from = base.data_dir;
    two.create_replica_methods = {"pgbackrest"};
    two.replica_methods["pgbackrest"].name = "pgbackrest";
    two.replica_methods["pgbackrest"].from_repository = true;
    ports::Postgres::ClonePlan plan;
    plan.source = upstream(one);
    plan.repository = &repository;
    const auto restore = [&] { return loop.run(clone(loop.pool(), two, plan, version)); };

    repository.there = fail(ErrorCode::conflict, "the repository belongs to another cluster");
    auto done = restore();
    ASSERT_FALSE(done);
    EXPECT_TRUE(done.error().message.contains("another cluster")) << done.error().message;
    EXPECT_FALSE(half_made_by(two.data_dir));
    EXPECT_FALSE(is_voteless(two.data_dir)) << "nothing was touched";

    repository.there = {};
    repository.outcome = fail(ErrorCode::failed, "no answer");
    ASSERT_FALSE(restore());
    EXPECT_EQ(half_made_by(two.data_dir), "restore") << "what is there is not lost";
    EXPECT_TRUE(is_voteless(two.data_dir));
    repository.outcome = {};
    done = restore();
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(repository.deltas, (std::vector{false, true})) << "and is gone on with";
    EXPECT_EQ(repository.line.system_id, read_control_file(one)->data.system_id);
    EXPECT_EQ(repository.line.timeline, 1U);
    EXPECT_FALSE(half_made_by(two.data_dir));
    EXPECT_TRUE(fs::exists(two.data_dir + "/standby.signal"));

    EXPECT_EQ(restore().error().code, ErrorCode::conflict) << "data that is whole stays";
}

TEST_F(DataCluster, falls_back_from_the_repository_and_restores_in_place_only_when_told) {
    const auto one = member("pg1");
    auto two = member("pg2");
    make_primary(one);
    ASSERT_TRUE(copy(two, one));
    FakeRepository repository;
    repository.from = two.data_dir + ".base";
    fs::copy(two.data_dir, repository.from, fs::copy_options::recursive);
    two.create_replica_methods = {"pgbackrest", "basebackup"};
    auto& method = two.replica_methods["pgbackrest"];
    method.name = "pgbackrest";
    method.from_repository = true;
    ports::Postgres::ClonePlan plan;
    plan.source = upstream(one);
    plan.replace_existing = true;
    plan.repository = &repository;
    const auto restore = [&] { return loop.run(clone(loop.pool(), two, plan, version)); };

    std::ofstream(two.data_dir + "/precious") << "1";
    repository.outcome = fail(ErrorCode::denied, "wrong passphrase");
    auto done = restore();
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_FALSE(fs::exists(two.data_dir + "/precious"));
    EXPECT_FALSE(fs::exists(two.data_dir + ".before_clone"));
    EXPECT_FALSE(half_made_by(two.data_dir));
    EXPECT_EQ(repository.deltas, std::vector{false}) << "beside the old data";

    two.create_replica_methods = {"pgbackrest"};
    std::ofstream(two.data_dir + "/precious") << "1";
    ASSERT_FALSE(restore());
    EXPECT_TRUE(fs::exists(two.data_dir + "/precious")) << "which comes back";
    EXPECT_FALSE(half_made_by(two.data_dir));

    ASSERT_TRUE(mark_half_made(two.data_dir, "rewind"));
    ASSERT_FALSE(restore());
    EXPECT_TRUE(fs::exists(two.data_dir + "/precious"));
    EXPECT_EQ(half_made_by(two.data_dir), "rewind") << "no more whole than it was";
    EXPECT_FALSE(half_made_by(two.data_dir + ".before_clone"));
    ASSERT_TRUE(clear_half_made(two.data_dir));

    method.delta = true;
    ASSERT_FALSE(restore());
    EXPECT_EQ(half_made_by(two.data_dir), "method");
    repository.outcome = {};
    done = restore();
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(repository.deltas, (std::vector{false, false, false, true, true}));
    EXPECT_FALSE(half_made_by(two.data_dir));

    fs::create_directories(root + "/tablespace");
    fs::create_directory_symlink(root + "/tablespace", two.data_dir + "/pg_tblspc/16400");
    repository.outcome = fail(ErrorCode::failed, "no answer");
    ASSERT_FALSE(restore());
    EXPECT_EQ(repository.deltas.back(), false) << "a tablespace may be another member's";
}

TEST_F(DataCluster, a_copy_may_keep_the_old_data_for_good) {
    const auto one = member("pg1");
    auto two = member("pg2");
    make_primary(one);
    ASSERT_TRUE(copy(two, one));
    std::ofstream(two.data_dir + "/precious") << "1";
    // A method that would work on what is there finds nothing.
    ports::ReplicaMethod method;
    method.name = "delta";
    method.keep_data = true;
    method.command = "/bin/sh -c 'ls $0 > $0/../seen; exit 1' " + two.data_dir;
    two.replica_methods["delta"] = method;
    two.create_replica_methods = {"delta"};
    ports::Postgres::ClonePlan plan;
    plan.source = upstream(one);
    plan.replace_existing = true;
    plan.keep_as = ".damaged-20261126T120000Z";
    const auto again = [&] { return loop.run(clone(loop.pool(), two, plan, version)); };
    // Nobody could: it is back.
    EXPECT_FALSE(again());
    EXPECT_TRUE(fs::exists(two.data_dir + "/precious"));
    EXPECT_FALSE(half_made_by(two.data_dir));
    EXPECT_EQ(keeping(two.data_dir).value_or("?"), "");
    EXPECT_EQ(os::read_file(root + "/seen").value_or("not run"), "");

    two.create_replica_methods = {"delta", "basebackup"};
    const auto done = again();
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_FALSE(fs::exists(two.data_dir + "/precious"));
    EXPECT_TRUE(fs::exists(two.data_dir + plan.keep_as + "/precious"));
    EXPECT_EQ(keeping(two.data_dir).value_or("?"), "");
    EXPECT_EQ(kept_damaged(two.data_dir), std::vector{two.data_dir + plan.keep_as});
}

TEST_F(DataCluster, brings_back_the_old_data_after_a_crash_in_the_middle_of_a_copy) {
    const auto two = member("pg2");
    fs::create_directories(two.data_dir + ".before_clone");
    std::ofstream(two.data_dir + ".before_clone/precious") << "1";
    fs::create_directories(two.data_dir);
    std::ofstream(two.data_dir + "/half") << "1";
    ASSERT_TRUE(mark_half_made(two.data_dir, "clone"));
    const auto undone = undo_interrupted_clone(two);
    ASSERT_TRUE(undone) << undone.error().message;
    EXPECT_TRUE(*undone);
    EXPECT_TRUE(fs::exists(two.data_dir + "/precious"));
    EXPECT_FALSE(fs::exists(two.data_dir + "/half"));
    EXPECT_FALSE(half_made_by(two.data_dir));

    // One that was half made before is so again.
    fs::rename(two.data_dir, two.data_dir + ".before_clone");
    ASSERT_TRUE(mark_half_made(two.data_dir + ".before_clone", "rewind"));
    ASSERT_TRUE(mark_half_made(two.data_dir, "clone"));
    ASSERT_TRUE(undo_interrupted_clone(two));
    EXPECT_TRUE(fs::exists(two.data_dir + "/precious"));
    EXPECT_EQ(half_made_by(two.data_dir), "rewind");
    EXPECT_FALSE(half_made_by(two.data_dir + ".before_clone"));
}

TEST(PgRewind, says_how_much_it_would_copy) {
    EXPECT_EQ(
        rewind_needs("pg_rewind: reading WAL in target\npg_rewind: need to copy 132 MB (total "
                     "source directory size is 152 MB)\n"),
        std::uint64_t{133} << 20U);
    EXPECT_FALSE(rewind_needs("pg_rewind: no rewind required"));
    EXPECT_FALSE(rewind_needs("need to copy MB"));
    EXPECT_FALSE(rewind_needs("need to copy 99999999999999999999 MB"));
}

TEST_F(DataCluster, starts_in_spite_of_a_value_that_the_server_refuses) {
    auto one = member("pg1");
    make_primary(one);
    stop(one);
    one.parameters.base["log_statement"] = "everything";
    one.parameters.base["work_mem"] = "8MB";
    const auto written = ConfigFiles(one).write(request(one, std::nullopt));
    ASSERT_TRUE(written) << written.error().message;
    ASSERT_EQ(written->warnings.size(), 1U);
    EXPECT_TRUE(written->warnings[0].contains("log_statement")) << written->warnings[0];
    start(one, std::nullopt);
    EXPECT_EQ(value(one, "SHOW work_mem"), "8MB");
}

TEST_F(DataCluster, lets_its_members_in_when_no_pg_hba_is_configured) {
    auto one = member("pg1");
    one.pg_hba.base.clear();
    auto made = loop.run(bootstrap(loop.pool(), one, {}));
    ASSERT_TRUE(made) << made.error().message;
    std::ifstream file(one.data_dir + "/pg_hba.conf");
    const std::string text(std::istreambuf_iterator<char>(file), {});
    EXPECT_TRUE(text.contains("host replication \"replicator\" 0.0.0.0/0 md5\n"));
    EXPECT_TRUE(text.contains("host all \"rewinder\" 0.0.0.0/0 md5\n"));
    EXPECT_FALSE(text.contains("\"postgres\"")) << "only who is needed";
}

TEST_F(DataCluster, keeps_slots_as_planned) {
    const auto one = member("pg1");
    make_primary(one);
    want_slots(one, {"a", "b"});
    EXPECT_EQ(value(one, "SELECT count(*) FROM pg_replication_slots WHERE restart_lsn IS NOT NULL"),
              "2");
    value(one, "SELECT pg_create_physical_replication_slot('unreserved')");
    want_slots(one, {"b", "unreserved"});
    EXPECT_EQ(
        value(one,
              "SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots "
              "WHERE restart_lsn IS NOT NULL"),
        "b,unreserved");

    value(one, "SELECT pg_switch_wal()");
    cluster::SlotPlan plan;
    plan.wanted.push_back(
        {.name = "b",
         .advance_to = *cluster::parse_lsn(value(one, "SELECT pg_current_wal_lsn()")),
         .expected_active = false,
         .logical = false,
         .database = {},
         .plugin = {}});
    auto connection = connect(one);
    ASSERT_TRUE(loop.run(sync_slots(*connection, plan)));
    EXPECT_EQ(value(one, "SELECT restart_lsn FROM pg_replication_slots"),
              cluster::to_string(plan.wanted[0].advance_to));
}

TEST_F(DataCluster, runs_callbacks_beside_and_ends_the_older_one) {
    auto one = member("pg1");
    std::ofstream(root + "/call.sh")
        << "#!/bin/sh\necho \"$@\" >> " << root << "/calls\n[ $1 = on_start ] && sleep 60\n"
        << "echo \"$1 done\" >> " << root << "/calls\n";
    fs::permissions(root + "/call.sh", fs::perms::owner_all);
    one.callbacks = {{"on_start", root + "/call.sh"}, {"on_role_change", root + "/call.sh"}};
    Callbacks callbacks(loop.io().get_executor(), loop.pool());
    const auto calls = [&] {
        std::ifstream file(root + "/calls");
        return std::string(std::istreambuf_iterator<char>(file), {});
    };
    const auto run_for = [&](std::chrono::milliseconds time, const std::string& until) {
        const auto end = std::chrono::steady_clock::now() + time;
        loop.io().restart();
        while (std::chrono::steady_clock::now() < end && !calls().contains(until))
            loop.io().run_for(10ms);
    };
    callbacks.run(one, "on_start", cluster::Role::replica);
    callbacks.run(one, "on_stop", cluster::Role::replica);  // none is configured
    run_for(10s, "on_start");
    EXPECT_TRUE(calls().contains("on_start replica demo\n"));
    callbacks.run(one, "on_role_change", cluster::Role::promoted);
    run_for(10s, "on_role_change done");
    EXPECT_TRUE(calls().contains("on_role_change primary demo\non_role_change done\n"));
    loop.io().restart();
    loop.io().run();  // returns once nothing of the first is left
    EXPECT_FALSE(calls().contains("on_start done"));
    one.before_stop = "/bin/false";
    EXPECT_FALSE(loop.run(run_hook(loop.pool(), one, "before_stop")));
    EXPECT_TRUE(loop.run(run_hook(loop.pool(), one, "pre_promote")));
}

}  // namespace
}  // namespace relevo::postgres
