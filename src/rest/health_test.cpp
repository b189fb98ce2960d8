#include "rest/health.h"

#include "rest/test_api.h"

namespace relevo::rest {
namespace {

using cluster::Lsn;
using testing::change_snapshot;
using testing::view_of_primary;
using testing::view_of_replica;
using namespace std::chrono_literals;

struct HealthTest : testing::ApiTest {};

ports::View standby_leader(Instant now) {
    auto view = view_of_replica(now);
    view.name = "pg-0";
    view.role = cluster::Role::standby_leader;
    view.leading = true;
    view.lead_until = now + 10s;
    view.settings.standby_cluster.emplace();
    return view;
}

ports::View voter(Instant now, cluster::SyncMode mode) {
    auto view = view_of_replica(now);
    view.settings.synchronous_mode = mode;
    change_snapshot(view, [](cluster::Snapshot& snapshot) {
        snapshot.sync.leader = "pg-0";
        snapshot.sync.voters = {"pg-1"};
        snapshot.sync.mod_revision = 1;
    });
    return view;
}

ports::View noloadbalance(Instant now) {
    auto view = view_of_replica(now);
    view.tags.published["noloadbalance"].json = "true";
    return view;
}

ports::View postgres_down(Instant now) {  // and the lease is still good: Patroni says 200 here
    auto view = view_of_primary(now);
    view.postgres.server = cluster::Server::stopped;
    view.state = cluster::State::crashed;
    return view;
}

ports::View lock_lost(Instant now) {
    auto view = view_of_primary(now);
    view.lead_until = now - 1ns;
    view.snapshot = nullptr;
    return view;
}

// Contract 5.3's matrix; where it has 503*, ours is 503 on purpose.
constexpr const char* matrix = R"(
/                     200 503 503 503 503 503 503 503
/primary              200 503 503 503 503 503 503 503
/read-write           200 503 503 503 503 503 503 503
/master               200 503 503 503 503 503 503 503
/leader               200 200 503 503 503 503 503 503
/standby-leader       503 200 503 503 503 503 503 503
/standby_leader       503 200 503 503 503 503 503 503
/replica              503 503 200 200 200 503 503 503
/read-only            200 200 200 200 200 503 503 503
/sync                 503 503 503 200 503 503 503 503
/synchronous          503 503 503 200 503 503 503 503
/quorum               503 503 503 503 200 503 503 503
/async                503 503 200 503 503 503 503 503
/asynchronous         503 503 200 503 503 503 503 503
/read-only-sync       200 200 503 200 503 503 503 503
/read-only-synchronous 200 200 503 200 503 503 503 503
/read-only-quorum     200 200 503 503 200 503 503 503
/health               200 200 200 200 200 200 503 200
/no-such-check        503 503 503 503 503 503 503 503
)";

TEST_F(HealthTest, TheMatrixOfTheContractHoldsForAllThreeMethods) {
    const std::vector<ports::View> columns = {view_of_primary(control.at),
                                              standby_leader(control.at),
                                              view_of_replica(control.at),
                                              voter(control.at, cluster::SyncMode::on),
                                              voter(control.at, cluster::SyncMode::quorum),
                                              noloadbalance(control.at),
                                              postgres_down(control.at),
                                              lock_lost(control.at)};
    with_api([&]() -> Task<void> {
        std::istringstream rows(matrix);
        std::string path;
        int rows_seen = 0;
        while (rows >> path) {
            ++rows_seen;
            for (std::size_t column = 0; column < columns.size(); ++column) {
                int expected = 0;
                rows >> expected;
                control.shown = std::make_shared<ports::View>(columns[column]);
                for (const auto* method : {"GET", "HEAD", "OPTIONS"}) {
                    const auto answer = co_await ask(method, path);
                    EXPECT_EQ(answer.status, expected)
                        << method << " " << path << " column " << column;
                    EXPECT_EQ(answer.body.empty(), method != std::string_view{"GET"})
                        << method << path;
                }
            }
        }
        EXPECT_EQ(rows_seen, 19);
    });
}

struct Case {
    const char* path;
    int status;
};

int check(const std::string& target, const ports::View& view, Instant now) {
    const auto mark = target.find('?');
    const auto query = mark == target.npos ? Query{} : net::parse_query(target.substr(mark + 1));
    const auto path = target.substr(0, mark);
    if (path == "/readiness") return readiness_code(query, view, now);
    return health_code(path, query, view, now);
}

TEST_F(HealthTest, ALaggingReplicaFailsALagThatIsTooSmall) {
    auto view = view_of_replica(control.at);
    view.postgres.replay = Lsn{67108960 - 2'000'000};
    for (const auto& [path, status] : {Case{"/replica", 200},
                                       {"/replica?lag=10MB", 200},
                                       {"/replica?lag=1MB", 503},
                                       {"/replica?lag=1999999", 503},
                                       {"/replica?lag=2000000", 200},
                                       {"/replica?lag=nonsense", 200},
                                       {"/read-only?lag=1MB", 503},
                                       {"/async?lag=1MB", 503},
                                       {"/health?lag=1MB", 200}}) {
        EXPECT_EQ(check(path, view, control.at), status) << path;
    }
    // What the receiver heard of counts even where the DCS is behind.
    view.postgres.replay = Lsn{67108960};
    view.postgres.latest_end = Lsn{67108960 + 5'000'000};
    EXPECT_EQ(check("/replica?lag=1MB", view, control.at), 503);
}

TEST_F(HealthTest, TheReplicationStateIsAFilter) {
    auto view = view_of_replica(control.at);
    EXPECT_EQ(check("/replica?replication_state=streaming", view, control.at), 200);
    view.postgres.replication_state = "in archive recovery";
    EXPECT_EQ(check("/replica?replication_state=streaming", view, control.at), 503);
    EXPECT_EQ(check("/replica?replication_state=in+archive+recovery", view, control.at), 200);
}

TEST_F(HealthTest, TagsFilterReplicasAndNeverThePrimary) {
    auto view = view_of_replica(control.at);
    view.tags.published["clonefrom"].json = "true";
    view.tags.published["dc"].json = "\"east\"";
    view.tags.published["weight"].json = "3";
    for (const auto& [path, status] : {Case{"/replica?tag_dc=east", 200},
                                       {"/replica?tag_dc=west", 503},
                                       {"/replica?tag_none=1", 503},
                                       {"/replica?tag_clonefrom=true", 200},
                                       {"/replica?tag_clonefrom=True", 503},
                                       {"/replica?tag_weight=3&tag_dc=east", 200},
                                       {"/replica?tag_weight=3&tag_dc=west", 503},
                                       {"/replica?tag_dc=east&tag_dc=west", 200},
                                       {"/health?tag_dc=west", 503},
                                       {"/async?tag_dc=east", 200}}) {
        EXPECT_EQ(check(path, view, control.at), status) << path;
    }
    const auto primary = view_of_primary(control.at);
    EXPECT_EQ(check("/primary?tag_dc=west", primary, control.at), 200);
    EXPECT_EQ(check("/leader?tag_dc=west", primary, control.at), 200);
    EXPECT_EQ(check("/read-only?tag_dc=west", primary, control.at), 503);
}

TEST_F(HealthTest, TheLeaseIsJudgedAtTheMomentOfAnswering) {
    const auto view = view_of_primary(control.at);
    EXPECT_EQ(check("/primary", view, control.at + 10s - 1ns), 200);
    EXPECT_EQ(check("/primary", view, control.at + 10s), 503);
    EXPECT_EQ(check("/leader", view, control.at + 10s), 503);
}

TEST_F(HealthTest, APrimaryThatKeepsClientsOutIsNotOneToReadEither) {
    auto view = view_of_primary(control.at);
    view.keeps_clients_out = true;
    for (const char* path : {"/primary", "/leader", "/read-write", "/read-only", "/"})
        EXPECT_EQ(check(path, view, control.at), 503) << path;
    EXPECT_EQ(readiness_code({}, view, control.at), 503);
    EXPECT_EQ(check("/health", view, control.at), 200);
}

TEST_F(HealthTest, ALeaderThatIsStillInRecoveryIsNoPrimary) {
    auto view = view_of_primary(control.at);
    view.postgres.in_recovery = true;
    EXPECT_EQ(check("/primary", view, control.at), 503);
    EXPECT_EQ(check("/leader", view, control.at), 503);
    view.postgres.in_recovery = false;
    view.postgres.server = cluster::Server::hung;
    EXPECT_EQ(check("/primary", view, control.at), 503);
}

TEST_F(HealthTest, WithoutAViewAndPausedTheRoleDecides) {
    auto view = lock_lost(control.at);
    view.settings.pause = true;
    EXPECT_EQ(check("/primary", view, control.at), 200);
    EXPECT_EQ(check("/leader", view, control.at), 200);
    EXPECT_EQ(check("/standby-leader", view, control.at), 503);
    view.postgres.server = cluster::Server::stopped;
    EXPECT_EQ(check("/primary", view, control.at), 503);
}

TEST_F(HealthTest, LivenessFollowsTheNextLook) {
    auto view = view_of_primary(control.at);
    view.settings.ttl = 30s;
    view.next_look = control.at - 29s;
    EXPECT_EQ(liveness_code(view, control.at), 200);
    view.next_look = control.at - 31s;
    EXPECT_EQ(liveness_code(view, control.at), 503);
    view.postgres.in_recovery = true;  // a replica has twice the time
    EXPECT_EQ(liveness_code(view, control.at), 200);
    view.next_look = control.at - 61s;
    EXPECT_EQ(liveness_code(view, control.at), 503);
    view.settings.pause = true;
    EXPECT_EQ(liveness_code(view, control.at), 200);
}

TEST_F(HealthTest, ReadinessIsAStreamingReplicaWithinItsLag) {
    EXPECT_EQ(check("/readiness", view_of_primary(control.at), control.at), 200);
    EXPECT_EQ(check("/readiness", postgres_down(control.at), control.at), 503);
    auto view = view_of_replica(control.at);
    EXPECT_EQ(check("/readiness", view, control.at), 200);
    view.postgres.replay = Lsn{67108960 - 3'000'000};
    EXPECT_EQ(check("/readiness", view, control.at), 503);  // maximum_lag_on_failover is 1 MB
    EXPECT_EQ(check("/readiness?lag=10MB", view, control.at), 200);
    EXPECT_EQ(check("/readiness?mode=write", view, control.at), 200);
    view.postgres.replication_state = "in archive recovery";
    EXPECT_EQ(check("/readiness?mode=write", view, control.at), 503);
    view = view_of_replica(control.at);
    view.snapshot = nullptr;
    EXPECT_EQ(check("/readiness", view, control.at), 503);
    view.failsafe_active = true;
    EXPECT_EQ(check("/readiness", view, control.at), 200);
}

}  // namespace
}  // namespace relevo::rest
