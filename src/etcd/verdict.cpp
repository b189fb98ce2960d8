#include "etcd/verdict.h"

#include <fmt/format.h>

#include "base/text.h"

namespace relevo::etcd {

namespace {

bool says(const grpc::Status& status, const char* words) {
    return status.error_message().find(words) != std::string::npos;
}

// gRPC's own words for a call that found no connection to go out on.
bool never_left(const grpc::Status& status) {
    return says(status, "failed to connect to all addresses") ||
           says(status, "DNS resolution failed") || says(status, "empty address list") ||
           says(status, "Name or service not known");
}

Verdict judge_argument(const grpc::Status& status) {
    if (says(status, "revision of auth store is old") || says(status, "user name is empty"))
        return Verdict::log_in;
    if (says(status, "authentication failed")) return Verdict::denied;
    return Verdict::refused;
}

Verdict judge_precondition(const grpc::Status& status) {
    if (says(status, "authentication is not enabled")) return Verdict::no_auth;
    if (says(status, "lease already exists")) return Verdict::lease_exists;
    return Verdict::refused;
}

}  // namespace

Verdict judge(const grpc::Status& status) {
    switch (status.error_code()) {
        case grpc::StatusCode::OK: return Verdict::answered;
        case grpc::StatusCode::UNAVAILABLE:
            return never_left(status) ? Verdict::not_sent : Verdict::no_answer;
        case grpc::StatusCode::UNAUTHENTICATED: return Verdict::log_in;
        case grpc::StatusCode::PERMISSION_DENIED: return Verdict::denied;
        case grpc::StatusCode::RESOURCE_EXHAUSTED: return Verdict::busy;
        case grpc::StatusCode::NOT_FOUND:
            return says(status, "lease not found") ? Verdict::lease_missing : Verdict::refused;
        case grpc::StatusCode::INVALID_ARGUMENT: return judge_argument(status);
        case grpc::StatusCode::FAILED_PRECONDITION: return judge_precondition(status);
        // UNKNOWN is also how a member that is not the primary lessor says so.
        case grpc::StatusCode::UNKNOWN:
        case grpc::StatusCode::CANCELLED:
        case grpc::StatusCode::DEADLINE_EXCEEDED:
        case grpc::StatusCode::ABORTED:
        case grpc::StatusCode::INTERNAL:
        case grpc::StatusCode::DATA_LOSS: return Verdict::no_answer;
        case grpc::StatusCode::ALREADY_EXISTS:
        case grpc::StatusCode::OUT_OF_RANGE:
        case grpc::StatusCode::UNIMPLEMENTED:
        case grpc::StatusCode::DO_NOT_USE: return Verdict::refused;
    }
    return Verdict::no_answer;
}

std::string describe(const grpc::Status& status) {
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return "no answer in time";
    return fmt::format("{} (gRPC code {})", status.error_message(),
                       static_cast<int>(status.error_code()));
}

}  // namespace relevo::etcd
