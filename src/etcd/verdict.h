// What an answer of etcd, or the lack of one, means for the call it belongs to.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

namespace relevo::etcd {

enum class Verdict {
    answered,
    not_sent,       // never left us: another endpoint may be asked, whatever the call was
    no_answer,      // this endpoint cannot serve, or the connection broke: perhaps done
    busy,           // etcd refused for now: not done
    log_in,         // the token is old: authenticate and send again, nothing was done
    denied,         // the user or password is wrong, or has not the rights
    no_auth,        // authentication is switched off on the server
    lease_missing,  // the lease named is not known
    lease_exists,   // a lease with this id is there already
    refused,        // etcd understood and said no for good
};

Verdict judge(const grpc::Status& status);
// "etcdserver: permission denied (PERMISSION_DENIED)" without secrets.
std::string describe(const grpc::Status& status);

}  // namespace relevo::etcd
