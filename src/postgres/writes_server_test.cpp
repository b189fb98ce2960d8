// Refusing writes on a real server (docs/adr/0018).
#include "postgres/connection.h"
#include "postgres/server_test.h"

namespace relevo::postgres {
namespace {

using namespace std::chrono_literals;

class Refusing : public WithServers {
protected:
    std::unique_ptr<Node> server() {
        auto a = made_node("a");
        EXPECT_EQ(a->sql("CREATE TABLE public.t (n int)"), "");
        EXPECT_EQ(a->sql("CREATE ROLE app LOGIN PASSWORD 'app'"), "");
        EXPECT_EQ(a->sql("GRANT ALL ON public.t TO app"), "");
        return a;
    }
    std::unique_ptr<Connection> as_app(const Node& node) {
        auto options = local_options(node.config, "test");
        options.user = options.password = "app";
        auto connection = t.await(Connection::open(t.pool, options, patience));
        EXPECT_TRUE(connection) << connection.error().message;
        return connection ? *std::move(connection) : nullptr;
    }
    void refuse(const Node& node, bool on) {
        const auto done = t.await(node.postgres->refuse_writes(on));
        EXPECT_TRUE(done) << done.error().message;
    }
    // What the server says; empty: it was done.
    std::string run(Connection& connection, const std::string& sql) {
        const auto done = t.await(connection.query(sql, patience));
        return done ? std::string() : connection.sqlstate() + " " + done.error().message;
    }
};

TEST_F(Refusing, writes_get_a_clear_error_and_reads_go_on_until_they_are_let_in) {
    auto a = server();
    auto app = as_app(*a);
    ASSERT_TRUE(app);
    EXPECT_FALSE(a->look().refuses_writes);
    refuse(*a, true);
    EXPECT_TRUE(a->look().refuses_writes);
    EXPECT_TRUE(run(*app, "INSERT INTO public.t VALUES (1)").starts_with("25006"));
    EXPECT_EQ(run(*app, "SELECT count(*) FROM public.t"), "");
    refuse(*a, true);  // again: nothing new
    refuse(*a, false);
    EXPECT_FALSE(a->look().refuses_writes);
    EXPECT_EQ(run(*app, "INSERT INTO public.t VALUES (1)"), "");
    EXPECT_EQ(a->sql("SELECT count(*) FROM public.t"), "1");
}

TEST_F(Refusing, whoever_had_written_or_writes_all_the_same_is_ended_but_not_a_superuser) {
    auto a = server();
    auto before = as_app(*a);
    auto reader = as_app(*a);
    auto stubborn = as_app(*a);
    ASSERT_TRUE(before && reader && stubborn);
    EXPECT_EQ(run(*before, "BEGIN"), "");
    EXPECT_EQ(run(*before, "INSERT INTO public.t VALUES (1)"), "");
    EXPECT_EQ(run(*reader, "BEGIN"), "");
    EXPECT_EQ(run(*reader, "SELECT * FROM public.t"), "");
    refuse(*a, true);
    EXPECT_NE(run(*before, "COMMIT"), "");
    EXPECT_EQ(run(*reader, "COMMIT"), "");
    EXPECT_EQ(run(*stubborn, "SET default_transaction_read_only = off"), "");
    EXPECT_EQ(run(*stubborn, "BEGIN"), "");
    EXPECT_EQ(run(*stubborn, "INSERT INTO public.t VALUES (2)"), "");
    refuse(*a, true);
    EXPECT_NE(run(*stubborn, "COMMIT"), "");
    EXPECT_EQ(a->sql("SELECT count(*) FROM public.t"), "0");
    // Somebody must be able to make room.
    auto root = t.await(Connection::open(t.pool, local_options(a->config, "test"), patience));
    ASSERT_TRUE(root);
    EXPECT_EQ(run(**root, "SET default_transaction_read_only = off"), "");
    EXPECT_EQ(run(**root, "DROP TABLE public.t"), "");
    refuse(*a, false);
}

TEST_F(Refusing, a_restart_in_place_goes_on_refusing_and_an_agent_that_comes_later_can_end_it) {
    auto a = server();
    refuse(*a, true);
    ASSERT_TRUE(t.await(a->postgres->stop({})));
    a->start_primary();
    EXPECT_TRUE(a->look().refuses_writes);
    {
        Node later(t, a->config);
        EXPECT_TRUE(later.look().refuses_writes);
        refuse(later, false);
        EXPECT_FALSE(later.look().refuses_writes);
        EXPECT_EQ(later.sql("CREATE TABLE public.u ()"), "");
    }
}

TEST_F(Refusing, what_the_configuration_itself_says_is_not_ours) {
    auto a = server();
    a->config.parameters.base["default_transaction_read_only"] = "on";
    ASSERT_TRUE(t.await(a->postgres->reconfigure(true)));
    EXPECT_EQ(a->sql("SHOW default_transaction_read_only"), "on");
    EXPECT_FALSE(a->look().refuses_writes);
}

}  // namespace
}  // namespace relevo::postgres
