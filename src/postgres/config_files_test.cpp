#include "postgres/config_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "os/file.h"
#include "postgres/half_made.h"

namespace relevo::postgres {
namespace {

namespace fs = std::filesystem;

class ConfigFilesTest : public ::testing::Test {
protected:
    void SetUp() override {
        auto made = os::make_temporary_directory("relevo-config-files");
        ASSERT_TRUE(made) << made.error().message;
        root = *made;
        config.scope = "demo";
        config.name = "pg-1";
        config.listen_addresses = "127.0.0.1";
        config.port = 5499;
        config.data_dir = config.config_dir = root + "/data";
        config.bin_dir = root + "/no-programs";  // parameters are not judged
        config.parameters.base = {{"Max_Connections", "100"},
                                  {"wal_level", "hot_standby"},
                                  {"work_mem", "8MB"},
                                  {"wal_keep_segments", "8"},
                                  {"restore_command", "x"}};
        fs::create_directories(config.data_dir);
    }
    void TearDown() override { fs::remove_all(root); }

    std::string text(const std::string& name) const {
        std::ifstream file(config.data_dir + "/" + name);
        return {std::istreambuf_iterator<char>(file), {}};
    }
    void put(const std::string& name, const std::string& content) const {
        std::ofstream(config.data_dir + "/" + name) << content;
    }
    FilesWritten write(const FilesRequest& request) const {
        auto done = ConfigFiles(config).write(request);
        EXPECT_TRUE(done) << done.error().message;
        return done ? *done : FilesWritten{};
    }
    static FilesRequest standby(int version = 150000) {
        FilesRequest request;
        request.version = version;
        request.recovery = RecoverySettings{.values = {{"primary_conninfo", "host='a b'"}}};
        return request;
    }

    std::string root;
    ports::PostgresConfig config;
};

TEST_F(ConfigFilesTest, keeps_what_was_there_and_includes_it) {
    put("postgresql.conf", "shared_buffers = 1GB\n");
    EXPECT_TRUE(write(standby()).config);
    EXPECT_EQ(text("postgresql.base.conf"), "shared_buffers = 1GB\n");
    const std::string ours = text("postgresql.conf");
    EXPECT_TRUE(ours.contains("include 'postgresql.base.conf'\n"));
    EXPECT_TRUE(ours.contains("max_connections = '100'\n"));
    EXPECT_TRUE(ours.contains("wal_level = 'replica'\n"));
    EXPECT_TRUE(ours.contains("wal_keep_size = '128MB'\n"));
    EXPECT_TRUE(ours.contains("primary_conninfo = 'host=''a b'''\n"));
    EXPECT_FALSE(ours.contains("restore_command"))
        << "recovery settings are not taken from the parameters";
    EXPECT_LT(ours.find("\nwal_retrieve_retry_interval"), ours.find("\ninclude "))
        << "a local file may set it";

    EXPECT_FALSE(write(standby()).any()) << "the same content is not written again";
    EXPECT_EQ(text("postgresql.base.conf"), "shared_buffers = 1GB\n");
}

TEST_F(ConfigFilesTest, does_not_take_its_own_file_for_the_operators) {
    write(standby());
    fs::remove(config.data_dir + "/postgresql.base.conf");
    write(standby());
    EXPECT_FALSE(text("postgresql.base.conf").contains("include"));
}

TEST_F(ConfigFilesTest, includes_the_custom_file_and_leaves_the_original_alone) {
    config.custom_conf = "mine.conf";
    put("postgresql.conf", "a = 1\n");
    write(standby());
    EXPECT_TRUE(text("postgresql.conf").contains("include 'mine.conf'"));
    EXPECT_FALSE(fs::exists(config.data_dir + "/postgresql.base.conf"));
}

TEST_F(ConfigFilesTest, goes_on_reading_the_configuration_of_an_adopted_server) {
    auto request = standby();
    request.adopted_config_file = "/etc/postgresql/15/main/postgresql.conf";
    write(request);
    EXPECT_EQ(text("postgresql.base.conf"),
              "include_if_exists '/etc/postgresql/15/main/postgresql.conf'\n");
    EXPECT_TRUE(text("postgresql.conf").contains("data_directory = '" + config.data_dir + "'"));
    EXPECT_FALSE(text("postgresql.conf").contains("hba_file")) << "its own stays in force";
}

TEST_F(ConfigFilesTest, rewrites_hba_and_ident_of_the_role_when_they_are_configured) {
    config.pg_hba.base = {"local all all trust"};
    config.pg_hba.primary = std::vector<std::string>{"host all all 0.0.0.0/0 scram-sha-256"};
    config.pg_ident.base = {"map a b"};
    auto request = standby();
    EXPECT_TRUE(write(request).hba);
    EXPECT_TRUE(text("pg_hba.conf").contains("local all all trust\n"));
    EXPECT_TRUE(text("pg_ident.conf").contains("map a b\n"));
    EXPECT_TRUE(
        text("postgresql.conf").contains("hba_file = '" + config.data_dir + "/pg_hba.conf'"));
    request.role = cluster::Role::primary;
    write(request);
    EXPECT_TRUE(text("pg_hba.conf").contains("scram-sha-256"));
    EXPECT_FALSE(text("pg_hba.conf").contains("trust"));
}

TEST_F(ConfigFilesTest, lets_an_hba_file_that_is_configured_elsewhere_be) {
    config.pg_hba.base = {"local all all trust"};
    config.parameters.base["hba_file"] = "/etc/hba";
    write(standby());
    EXPECT_FALSE(fs::exists(config.data_dir + "/pg_hba.conf"));
    EXPECT_TRUE(text("postgresql.conf").contains("hba_file = '/etc/hba'"));
}

TEST_F(ConfigFilesTest, lays_the_roles_parameters_over_but_never_protected_ones) {
    config.parameters.primary =
        std::map<std::string, std::string>{{"work_mem", "1GB"}, {"max_connections", "7"}};
    auto request = standby();
    request.role = cluster::Role::primary;
    const auto effective = write(request).effective;
    EXPECT_EQ(effective.at("work_mem"), "1GB");
    EXPECT_EQ(effective.at("max_connections"), "100");
    request.role = cluster::Role::replica;
    EXPECT_EQ(write(request).effective.at("work_mem"), "8MB");
}

TEST_F(ConfigFilesTest, raises_a_standby_to_what_its_wal_needs) {
    auto request = standby();
    request.control_minimums = {{"max_connections", 200}, {"max_worker_processes", 4}};
    const auto done = write(request);
    EXPECT_EQ(done.effective.at("max_connections"), "200");
    EXPECT_EQ(done.raised, std::vector<std::string>{"max_connections"});
    request.recovery.reset();
    EXPECT_EQ(write(request).effective.at("max_connections"), "100")
        << "a primary takes what is configured";
}

TEST_F(ConfigFilesTest, makes_and_removes_the_signal_file_only_when_asked) {
    auto request = standby();
    write(request);
    EXPECT_FALSE(fs::exists(config.data_dir + "/standby.signal"));
    request.touch_signal_file = true;
    write(request);
    EXPECT_TRUE(fs::exists(config.data_dir + "/standby.signal"));
    request.recovery.reset();
    write(request);
    EXPECT_FALSE(fs::exists(config.data_dir + "/standby.signal"));
}

TEST_F(ConfigFilesTest, takes_recovery_settings_out_of_auto_conf_and_leaves_the_rest) {
    put("postgresql.auto.conf",
        "# ALTER SYSTEM\nwork_mem = '1MB'\nprimary_conninfo = 'host=x'\nRestore_Command='y'\n");
    auto request = standby();
    request.server_running = true;
    write(request);
    EXPECT_TRUE(text("postgresql.auto.conf").contains("primary_conninfo"))
        << "a running server may be writing it";
    request.server_running = false;
    write(request);
    EXPECT_EQ(text("postgresql.auto.conf"), "# ALTER SYSTEM\nwork_mem = '1MB'\n");
}

TEST_F(ConfigFilesTest, saves_its_files_and_brings_back_what_a_clone_lost) {
    config.pg_hba.base = {"local all all trust"};
    write(standby());
    const ConfigFiles files(config);
    ASSERT_TRUE(files.back_up());
    const std::string before = text("postgresql.conf");
    fs::remove(files.config_path());
    fs::remove(files.hba_path());
    ASSERT_TRUE(files.restore());
    EXPECT_EQ(text("postgresql.conf"), before);
    EXPECT_TRUE(text("pg_hba.conf").contains("trust"));
    EXPECT_EQ(text("pg_ident.conf"), "") << "a missing one is made empty";
    put("pg_hba.conf", "changed\n");
    ASSERT_TRUE(files.restore());
    EXPECT_EQ(text("pg_hba.conf"), "changed\n") << "what is there stays";
}

TEST_F(ConfigFilesTest, owns_synchronous_standby_names_while_it_is_told_to) {
    config.parameters.base["synchronous_standby_names"] = "*";
    auto request = standby();
    EXPECT_EQ(write(request).effective.at("synchronous_standby_names"), "*");
    request.synchronous_standby_names = "ANY 1 (\"pg-2\")";
    EXPECT_EQ(write(request).effective.at("synchronous_standby_names"), "ANY 1 (\"pg-2\")");
    EXPECT_TRUE(text("postgresql.conf").contains("'ANY 1 (\"pg-2\")'"));
    request.synchronous_standby_names = "";
    EXPECT_EQ(write(request).effective.at("synchronous_standby_names"), "");
}

TEST_F(ConfigFilesTest, puts_the_controlled_parameters_on_the_command_line_in_their_order) {
    config.parameters.base["wal_log_hints"] = "on";
    const auto done = write(standby());
    const auto arguments = postmaster_arguments(ConfigFiles(config), done.effective, 150000);
    const std::vector<std::string> wanted{"-D",
                                          config.data_dir,
                                          "--config-file=" + config.data_dir + "/postgresql.conf",
                                          "--listen_addresses=127.0.0.1",
                                          "--port=5499",
                                          "--cluster_name=demo",
                                          "--wal_level=replica",
                                          "--max_connections=100",
                                          "--wal_log_hints=on"};
    EXPECT_EQ(arguments, wanted);
}

TEST(QuoteGuc, doubles_quotes_and_backslashes_and_never_ends_the_line) {
    EXPECT_EQ(quote_guc("it's"), "'it''s'");
    EXPECT_EQ(quote_guc("a\\b\nc"), "'a\\\\b\\nc'");
    EXPECT_EQ(parse_config_text("x = " + quote_guc("it's a\\b") + " # note\n# y = 1\nZ 5\n"),
              (Parameters{{"x", "it's a\\b"}, {"z", "5"}}));
}

TEST(ParameterCatalogOfText, drops_what_is_unknown_and_clamps_what_is_out_of_range) {
    const auto catalog = ParameterCatalog::parse(
        "work_mem\tuser\tx\tINTEGER\t0\t64\t2147483647\tshort\tlong\n"
        "log_file_mode\tsighup\tx\tINTEGER\t0\t0\t511\tshort\tlong\n"
        "fsync\tsighup\tx\tBOOLEAN\tTRUE\t\t\tshort\tlong\n");
    std::string warning;
    EXPECT_EQ(catalog.accept("work_mem", "8MB", warning), "8MB");
    EXPECT_EQ(catalog.accept("work_mem", "10", warning), "64");
    EXPECT_FALSE(warning.empty());
    EXPECT_EQ(catalog.accept("work_mem", "much", warning), std::nullopt);
    EXPECT_EQ(catalog.accept("log_file_mode", "0600", warning), "0600")
        << "an octal number, not six hundred";
    EXPECT_EQ(catalog.accept("fsync", "on", warning), "on");
    EXPECT_EQ(catalog.accept("fsync", "maybe", warning), std::nullopt);
    EXPECT_EQ(catalog.accept("no_such_thing", "1", warning), std::nullopt);
    EXPECT_FALSE(warning.empty());
    EXPECT_EQ(catalog.accept("my.thing", "1", warning), "1");
    EXPECT_EQ(catalog.accept("jit_expressions", "on", warning), "on")
        << "known though not described";
}

}  // namespace
}  // namespace relevo::postgres
