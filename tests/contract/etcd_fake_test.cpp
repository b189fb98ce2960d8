// What real servers cannot be made to do at will: answer from an old raft term, lose an answer.
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <atomic>

#include "etcd/etcd_dcs.h"
#include "rpc.grpc.pb.h"
#include "tests/contract/dcs_support.h"
#include "tests/contract/loop.h"

namespace relevo::tests {
namespace {

using namespace std::chrono_literals;
namespace pb = ::etcdserverpb;

// One key named after the server, in the raft term it is told.
class FakeEtcd final : public pb::KV::Service, public pb::Lease::Service {
public:
    explicit FakeEtcd(std::string name) : name_(std::move(name)) {
        grpc::ServerBuilder builder;
        builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
        builder.RegisterService(static_cast<pb::KV::Service*>(this));
        builder.RegisterService(static_cast<pb::Lease::Service*>(this));
        server_ = builder.BuildAndStart();
    }
    ~FakeEtcd() override { server_->Shutdown(std::chrono::system_clock::now()); }

    etcd::EtcdEndpoint at() const {
        return {.host = "127.0.0.1", .port = static_cast<std::uint16_t>(port_)};
    }

    std::atomic<std::uint64_t> term = 5;
    std::atomic<int> commits = 0;
    std::atomic<bool> lose_next_commit = false;
    std::atomic<bool> lease_is_there = false;

private:
    void fill(pb::ResponseHeader* header) const {
        header->set_cluster_id(77);
        header->set_revision(10);
        header->set_raft_term(term);
    }
    grpc::Status Range(grpc::ServerContext*, const pb::RangeRequest* request,
                       pb::RangeResponse* reply) override {
        fill(reply->mutable_header());
        auto& kv = *reply->add_kvs();
        kv.set_key(request->key() + "server");
        kv.set_value(name_);
        return grpc::Status::OK;
    }
    grpc::Status Txn(grpc::ServerContext*, const pb::TxnRequest*, pb::TxnResponse* reply) override {
        ++commits;
        if (lose_next_commit.exchange(false))
            return {grpc::StatusCode::UNAVAILABLE, "etcdserver: request timed out"};
        fill(reply->mutable_header());
        reply->set_succeeded(true);
        return grpc::Status::OK;
    }
    grpc::Status LeaseGrant(grpc::ServerContext*, const pb::LeaseGrantRequest* request,
                            pb::LeaseGrantResponse* reply) override {
        if (lease_is_there)
            return {grpc::StatusCode::FAILED_PRECONDITION, "etcdserver: lease already exists"};
        fill(reply->mutable_header());
        reply->set_id(request->id());
        reply->set_ttl(request->ttl());
        return grpc::Status::OK;
    }
    grpc::Status LeaseKeepAlive(
        grpc::ServerContext*,
        grpc::ServerReaderWriter<pb::LeaseKeepAliveResponse, pb::LeaseKeepAliveRequest>* stream)
        override {
        pb::LeaseKeepAliveRequest request;
        while (stream->Read(&request)) {
            pb::LeaseKeepAliveResponse reply;
            fill(reply.mutable_header());
            reply.set_id(request.id());
            reply.set_ttl(9);
            stream->Write(reply);
        }
        return grpc::Status::OK;
    }

    std::string name_;
    int port_ = 0;
    std::unique_ptr<grpc::Server> server_;
};

class EtcdFake : public testing::Test {
protected:
    void SetUp() override {
        etcd::EtcdOptions options;
        options.endpoints = {first.at(), second.at()};
        options.shuffle = false;
        options.use_proxies = true;
        dcs = etcd::make_etcd_dcs(loop.io, options, "/b/").value();
    }
    void TearDown() override { loop.run(dcs->stop()); }
    std::string who_answers() {
        const auto tree = loop.run(dcs->read(2s));
        return tree ? tree->keys.at("server").value : tree.error().message;
    }
    Result<cluster::TxnResult> commit() { return loop.run(dcs->commit({{}, {put("a", "1")}}, 2s)); }

    FakeEtcd first{"first"};
    FakeEtcd second{"second"};
    Loop loop;
    std::unique_ptr<ports::Dcs> dcs;
};

TEST_F(EtcdFake, an_answer_from_an_older_raft_term_counts_as_none) {
    EXPECT_EQ(who_answers(), "first");
    first.term = 4;
    EXPECT_EQ(who_answers(), "second");
    first.term = 6;
    second.term = 4;
    EXPECT_EQ(who_answers(), "first");
}

TEST_F(EtcdFake, with_only_old_terms_a_read_is_unavailable_and_says_why) {
    EXPECT_EQ(who_answers(), "first");
    first.term = second.term = 4;
    const auto tree = loop.run(dcs->read(500ms));
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, ErrorCode::unavailable);
    EXPECT_NE(tree.error().message.find("raft term 4"), std::string::npos) << tree.error().message;
}

TEST_F(EtcdFake, a_commit_answered_from_an_older_term_is_unknown) {
    EXPECT_EQ(who_answers(), "first");
    ASSERT_TRUE(commit());
    first.term = 4;
    const auto result = commit();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::outcome_unknown);
}

TEST_F(EtcdFake, a_commit_whose_answer_is_lost_is_sent_to_nobody_else) {
    first.lose_next_commit = true;
    const auto result = commit();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::outcome_unknown) << result.error().message;
    EXPECT_EQ(first.commits + second.commits, 1);
}

TEST_F(EtcdFake, a_grant_that_was_heard_after_all_is_taken_with_the_ttl_it_has) {
    first.lease_is_there = second.lease_is_there = true;
    const auto lease = loop.run(dcs->keep_lease(10s, 2s));
    ASSERT_TRUE(lease) << lease.error().message;
    EXPECT_TRUE(lease->fresh);
    EXPECT_EQ(lease->ttl, 9s);
}

}  // namespace
}  // namespace relevo::tests
