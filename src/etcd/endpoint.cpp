#include "etcd/endpoint.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>

#include "base/log.h"
#include "etcd/call.h"

namespace relevo::etcd {

namespace {

constexpr int keepalive_time_ms = 10'000;  // etcd drops clients that ping more often than every 5 s
constexpr int keepalive_timeout_ms = 2'000;
constexpr int connect_timeout_ms = 1'000;
constexpr int reconnect_min_ms = 100;
constexpr int reconnect_max_ms = 500;
constexpr int answer_bytes_max = 64 * 1024 * 1024;

void to_our_log(gpr_log_func_args* args) { log::debug("grpc: {}", args->message); }

grpc::ChannelArguments channel_arguments() {
    grpc::ChannelArguments arguments;
    // The ping itself rarely goes out, the watch's own check keeps the connection busy. What counts
    // is the timeout: gRPC sets it as TCP_USER_TIMEOUT, so that the kernel breaks a connection
    // whose data nobody acknowledges. A host without power is found that way even where there is no
    // other endpoint.
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive_time_ms);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, keepalive_timeout_ms);
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    // The minimum is gRPC's timeout of one connection attempt; its default is 20 s.
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, connect_timeout_ms);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, reconnect_min_ms);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, reconnect_max_ms);
    // A channel made anew must not get the dead connection of the one given up.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);  // when to send again is for us to say
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // pings that tune big transfers; ours are small
    arguments.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
    arguments.SetInt(GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0);
    arguments.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, answer_bytes_max);
    arguments.SetServiceConfigJSON("{}");
    arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    return arguments;
}

// Addresses go past gRPC's resolver with its threads; names need it.
std::string target(const EtcdEndpoint& at) {
    in6_addr bytes{};
    if (inet_pton(AF_INET, at.host.c_str(), &bytes) == 1)
        return fmt::format("ipv4:{}:{}", at.host, at.port);
    if (inet_pton(AF_INET6, at.host.c_str(), &bytes) == 1)
        return fmt::format("ipv6:[{}]:{}", at.host, at.port);
    return fmt::format("dns:///{}:{}", at.host, at.port);
}

Result<std::string> read_file(const char* option, const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file)
        return fail(ErrorCode::invalid,
                    fmt::format("etcd {}: cannot read {}: {}", option, path, std::strerror(errno)));
    return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

std::string to_string(const EtcdEndpoint& endpoint) {
    const bool v6 = endpoint.host.find(':') != std::string::npos;
    return fmt::format("{}://{}{}{}:{}", endpoint.https ? "https" : "http", v6 ? "[" : "",
                       endpoint.host, v6 ? "]" : "", endpoint.port);
}

Result<Credentials> read_credentials(const EtcdOptions& options) {
    static std::once_flag once;
    std::call_once(once, [] { gpr_set_log_function(to_our_log); });

    Credentials credentials{grpc::InsecureChannelCredentials(), nullptr};
    const bool secure = !options.cacert.empty() || !options.cert.empty() ||
                        !options.srv_domain.empty() ||
                        std::ranges::any_of(options.endpoints, &EtcdEndpoint::https);
    if (!secure) return credentials;

    grpc::SslCredentialsOptions ssl;
    if (!options.cacert.empty()) {
        RLV_TRY(ssl.pem_root_certs, read_file("cacert", options.cacert));
    } else if (auto system = read_file("cacert", "/etc/ssl/certs/ca-certificates.crt")) {
        ssl.pem_root_certs = std::move(*system);
    }
    if (!options.cert.empty()) {
        RLV_TRY(ssl.pem_cert_chain, read_file("cert", options.cert));
        ssl.pem_private_key = ssl.pem_cert_chain;
        if (!options.key.empty()) {
            RLV_TRY(ssl.pem_private_key, read_file("key", options.key));
        }
    }
    credentials.tls = grpc::SslCredentials(ssl);
    return credentials;
}

Stubs::Stubs(const std::shared_ptr<grpc::Channel>& made)
    : channel(made),
      kv(made),
      watch(made),
      lease(made),
      cluster(made),
      maintenance(made),
      auth(made) {}

Endpoint::Endpoint(EtcdEndpoint at, std::shared_ptr<grpc::ChannelCredentials> credentials)
    : address_(std::move(at)), name_(to_string(address_)), credentials_(std::move(credentials)) {}

std::shared_ptr<Stubs> Endpoint::stubs() {
    if (!stubs_)
        stubs_ = std::make_shared<Stubs>(
            grpc::CreateCustomChannel(target(address_), credentials_, channel_arguments()));
    return stubs_;
}

bool Endpoint::connected() const {
    return stubs_ && stubs_->channel->GetState(false) == GRPC_CHANNEL_READY;
}

void Endpoint::give_up() {
    for (auto* call : calls) call->cancel();
    stubs_.reset();
}

}  // namespace relevo::etcd
