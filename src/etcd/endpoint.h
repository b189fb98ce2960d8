// One etcd endpoint: its channel, made when first needed, and what is known of its health.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>

#include <memory>
#include <set>
#include <string>

#include "base/result.h"
#include "etcd/etcd_dcs.h"
#include "etcd/wire.h"
#include "rpc.grpc.pb.h"

namespace relevo::etcd {

class Call;

struct Stubs {
    explicit Stubs(const std::shared_ptr<grpc::Channel>& made);
    std::shared_ptr<grpc::Channel> channel;
    etcdserverpb::KV::Stub kv;
    etcdserverpb::Watch::Stub watch;
    etcdserverpb::Lease::Stub lease;
    etcdserverpb::Cluster::Stub cluster;
    etcdserverpb::Maintenance::Stub maintenance;
    etcdserverpb::Auth::Stub auth;
};

class Endpoint {
public:
    Endpoint(EtcdEndpoint at, std::shared_ptr<grpc::ChannelCredentials> credentials);

    const std::string& name() const { return name_; }  // "https://10.0.0.1:2379"
    const EtcdEndpoint& address() const { return address_; }
    std::shared_ptr<Stubs> stubs();
    bool connected() const;
    // Cancels all its calls and forgets the connection: the next use makes a new one.
    void give_up();

    std::set<Call*> calls;  // under way
    bool probing = false;
    Steady::time_point down_until{};  // tried last before that

private:
    EtcdEndpoint address_;
    std::string name_;
    std::shared_ptr<grpc::ChannelCredentials> credentials_;
    std::shared_ptr<Stubs> stubs_;
};
using EndpointPtr = std::shared_ptr<Endpoint>;

struct Credentials {
    std::shared_ptr<grpc::ChannelCredentials> plain;
    std::shared_ptr<grpc::ChannelCredentials> tls;  // null: nothing configured asks for it
};
// invalid: a file cannot be read.
Result<Credentials> read_credentials(const EtcdOptions& options);

}  // namespace relevo::etcd
