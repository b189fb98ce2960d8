// The words are etcd's own (3.4 to 3.6) and gRPC's.
#include "etcd/verdict.h"

#include <gtest/gtest.h>

namespace relevo::etcd {
namespace {

using Code = grpc::StatusCode;

Verdict of(Code code, const char* words) { return judge(grpc::Status(code, words)); }

TEST(Verdict, only_a_call_that_found_no_connection_was_surely_not_sent) {
    EXPECT_EQ(of(Code::UNAVAILABLE,
                 "failed to connect to all addresses; last error: UNKNOWN: Connection refused"),
              Verdict::not_sent);
    EXPECT_EQ(of(Code::UNAVAILABLE, "DNS resolution failed for etcd-1:2379"), Verdict::not_sent);
    EXPECT_EQ(of(Code::UNAVAILABLE, "Socket closed"), Verdict::no_answer);
    EXPECT_EQ(of(Code::UNAVAILABLE, "recvmsg:Connection reset by peer"), Verdict::no_answer);
}

TEST(Verdict, a_member_without_a_leader_or_out_of_time_has_perhaps_done_it) {
    EXPECT_EQ(of(Code::UNAVAILABLE, "etcdserver: no leader"), Verdict::no_answer);
    EXPECT_EQ(of(Code::UNAVAILABLE,
                 "etcdserver: request timed out, possibly due to previous leader failure"),
              Verdict::no_answer);
    EXPECT_EQ(of(Code::UNKNOWN, "etcdserver: not primary lessor"), Verdict::no_answer);
    EXPECT_EQ(of(Code::DEADLINE_EXCEEDED, "Deadline Exceeded"), Verdict::no_answer);
    EXPECT_EQ(of(Code::RESOURCE_EXHAUSTED, "etcdserver: too many requests"), Verdict::busy);
}

TEST(Verdict, old_tokens_and_wrong_passwords_are_told_apart) {
    EXPECT_EQ(of(Code::UNAUTHENTICATED, "etcdserver: invalid auth token"), Verdict::log_in);
    EXPECT_EQ(of(Code::INVALID_ARGUMENT, "etcdserver: revision of auth store is old"),
              Verdict::log_in);
    EXPECT_EQ(of(Code::INVALID_ARGUMENT, "etcdserver: user name is empty"), Verdict::log_in);
    EXPECT_EQ(of(Code::INVALID_ARGUMENT,
                 "etcdserver: authentication failed, invalid user ID or password"),
              Verdict::denied);
    EXPECT_EQ(of(Code::PERMISSION_DENIED, "etcdserver: permission denied"), Verdict::denied);
    EXPECT_EQ(of(Code::FAILED_PRECONDITION, "etcdserver: authentication is not enabled"),
              Verdict::no_auth);
}

TEST(Verdict, leases_have_their_own) {
    EXPECT_EQ(of(Code::NOT_FOUND, "etcdserver: requested lease not found"), Verdict::lease_missing);
    EXPECT_EQ(of(Code::FAILED_PRECONDITION, "etcdserver: lease already exists"),
              Verdict::lease_exists);
    EXPECT_EQ(of(Code::INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request"),
              Verdict::refused);
}

}  // namespace
}  // namespace relevo::etcd
