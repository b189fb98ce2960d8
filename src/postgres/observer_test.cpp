#include "postgres/observer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "os/file.h"
#include "postgres/probe.h"
#include "postgres/process.h"
#include "postgres/wal_file.h"

namespace relevo::postgres {
namespace {

TEST(WalFile, the_newest_timeline_of_a_position_is_that_of_its_segment) {
    auto directory = os::make_temporary_directory("relevo-wal-");
    ASSERT_TRUE(directory) << directory.error().message;
    for (const char* name :
         {"000000010000000000000003", "000000020000000000000003", "000000030000000000000004",
          "00000009.history", "0000000A0000000000000003.partial"})
        ASSERT_TRUE(os::write_file(*directory + "/" + name, "", 0600));
    constexpr std::uint64_t segment = 16ULL << 20U;
    EXPECT_EQ(newest_timeline_at(*directory, 3 * segment + 7, segment), 2U);
    EXPECT_EQ(newest_timeline_at(*directory, 4 * segment, segment), 3U);
    EXPECT_EQ(newest_timeline_at(*directory, 5 * segment, segment), 0U);
    EXPECT_EQ(newest_timeline_at(*directory + "/nowhere", 7, segment), 0U);
    EXPECT_TRUE(os::remove_tree(*directory));
}

TEST(DiskView, a_mark_that_cannot_be_read_is_no_reason_to_start) {
    auto directory = os::make_temporary_directory("relevo-view-");
    ASSERT_TRUE(directory) << directory.error().message;
    ports::PostgresConfig config;
    config.data_dir = *directory + "/data";
    ASSERT_TRUE(os::make_directory(config.data_dir + "/global", 0700));
    ASSERT_TRUE(os::write_file(config.data_dir + "/PG_VERSION", "15\n", 0600));
    ASSERT_TRUE(os::write_file(config.data_dir + "/global/pg_control", "", 0600));
    EXPECT_EQ(look_at_disk(config, nullptr).data_dir, cluster::DataDir::initialized);
    ASSERT_TRUE(os::make_directory(config.data_dir + ".half_made", 0700));
    const auto view = look_at_disk(config, nullptr);
    EXPECT_EQ(view.data_dir, cluster::DataDir::unusable);
    EXPECT_FALSE(view.problem.empty());
    EXPECT_TRUE(os::remove_tree(*directory));
}

TEST(ControlData, the_program_s_output_is_read) {
    const auto file = parse_control_data(
        "Database system identifier:           7711261943289599177\n"
        "Database cluster state:               shut down in recovery\n"
        "Latest checkpoint location:           0/1511A88\n"
        "Latest checkpoint's REDO location:    0/1511A50\n"
        "Latest checkpoint's TimeLineID:       3\n"
        "Minimum recovery ending location:     1/20\n"
        "Min recovery ending loc's timeline:   4\n"
        "wal_log_hints setting:                on\n"
        "max_connections setting:              100\n"
        "max_prepared_xacts setting:           7\n"
        "Data page checksum version:           1\n");
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->data.state, cluster::ControlState::shut_down_in_recovery);
    EXPECT_EQ(file->data.system_id, "7711261943289599177");
    EXPECT_EQ(to_string(file->data.checkpoint), "0/1511A88");
    EXPECT_EQ(file->data.checkpoint_timeline, 3U);
    EXPECT_EQ(to_string(file->data.min_recovery_end), "1/20");
    EXPECT_EQ(file->data.min_recovery_end_timeline, 4U);
    EXPECT_TRUE(file->data.checksums);
    EXPECT_TRUE(file->data.wal_log_hints);
    EXPECT_EQ(file->minimums.at("max_connections"), 100);
    EXPECT_EQ(file->minimums.at("max_prepared_transactions"), 7);
    EXPECT_FALSE(parse_control_data("pg_controldata: fatal"));
}

TEST(PidFile, its_lines_are_read_and_garbage_is_none) {
    const auto file =
        parse_pid_file("812\n/data\n1700000000\n5433\n/run\n127.0.0.1\n  123 456\nready   \n");
    ASSERT_TRUE(file);
    EXPECT_EQ(file->pid, 812);
    EXPECT_EQ(file->port, 5433);
    EXPECT_EQ(file->status, "ready");
    EXPECT_EQ(file->socket_directory, "/run");
    EXPECT_FALSE(file->single_user);
    EXPECT_TRUE(parse_pid_file("-812\n/data\n")->single_user);
    EXPECT_FALSE(parse_pid_file(""));
    EXPECT_FALSE(parse_pid_file("garbage\n"));
    EXPECT_EQ(parse_pid_file("812\n")->status, "") << "written in two steps";
}

TEST(PidFile, a_process_is_ours_by_its_start_time_or_its_program_and_directory) {
    PidFile file;
    file.pid = 812;
    file.started_s = 1000;
    os::ProcessInfo process;
    process.pid = 812;
    process.parent = 1;
    process.started_s = 1002;
    process.program = "/bin/sleep";
    const auto ours = [&](pid_t self = 77, pid_t parent = 78) {
        return is_our_postmaster(file, process, "/data", "/usr/bin/postgres", self, parent);
    };
    EXPECT_TRUE(ours());
    process.started_s = 1010;
    EXPECT_FALSE(ours());
    process.program = "/usr/bin/postgres (deleted)";
    process.directory = "/data";
    EXPECT_TRUE(ours()) << "an upgraded program that still runs";
    process.directory = "/other";
    EXPECT_FALSE(ours());
    process.directory = "/data";
    EXPECT_FALSE(ours(812));
    EXPECT_FALSE(ours(77, 812));
    process.parent = 77;
    EXPECT_FALSE(ours());
    process.parent = 1;
    EXPECT_TRUE(ours());
    file.single_user = true;
    EXPECT_FALSE(ours()) << "initdb's and a recovery's: their end is no crash";
    file.single_user = false;
    process.state = 'Z';
    EXPECT_FALSE(ours());
}

TEST(PidFile, the_options_of_the_last_start_serve_a_single_user_server) {
    EXPECT_EQ(options_of_last_start("/usr/lib/postgres \"-D\" \"/data dir\" \"--port=5\" "
                                    "\"-c\" \"a=b c\" \"-i\"\n"),
              (std::vector<std::string>{"--port=5", "-c", "a=b c"}));
}

TEST(Probe, a_refusal_tells_starting_from_serving) {
    using namespace std::string_literals;
    const auto starting = read_refusal("SFATAL\0VFATAL\0C57P03\0Mdas System startet\0\0"s);
    EXPECT_EQ(starting.kind, ProbeAnswer::Kind::starting);
    EXPECT_EQ(starting.message, "das System startet");
    EXPECT_EQ(read_refusal("SFATAL\0C53300\0Mtoo many\0\0"s).kind, ProbeAnswer::Kind::accepting);
    EXPECT_EQ(read_refusal("garbage"s).kind, ProbeAnswer::Kind::accepting);
}

TEST(History, the_lines_of_a_timeline_file_are_read) {
    const auto lines =
        parse_history("1\t0/3000060\tno recovery target specified\n\n2\t0/4000000\tx\n");
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_EQ(lines[0].timeline, 1U);
    EXPECT_EQ(to_string(lines[0].switch_point), "0/3000060");
    EXPECT_EQ(lines[0].reason, "no recovery target specified");
    EXPECT_TRUE(parse_history("# nothing\n").empty());
}

TEST(LocalOptions, the_first_listen_address_that_is_local_is_taken_without_a_lookup) {
    ports::PostgresConfig config;
    config.listen_addresses = "10.0.0.1, 0.0.0.0";
    auto options = local_options(config, "x");
    EXPECT_EQ(options.host, "localhost");
    EXPECT_EQ(options.options.at("hostaddr"), "127.0.0.1");
    config.listen_addresses = "10.0.0.1";
    EXPECT_EQ(local_options(config, "x").host, "10.0.0.1");
    config.use_unix_socket = true;
    EXPECT_EQ(local_options(config, "x").host, "");
    config.parameters.base["unix_socket_directories"] = "@abstract, /run/pg";
    EXPECT_EQ(local_options(config, "x").host, "/run/pg");
    config.parameters.base["unix_socket_directories"] = "";
    EXPECT_EQ(local_options(config, "x").host, "10.0.0.1");
}

}  // namespace
}  // namespace relevo::postgres
