// The other members' agents, asked over their REST API: ours or Patroni's (contract 7.3, 7.16).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/http_client.h"
#include "ports/peers.h"

namespace relevo::rest {

struct PeerOptions {
    // An agent is always "insecure": without a client certificate nothing is verified; with one the
    // chain is, the host name is not (contract 2.5).
    net::ClientTls tls{
        .cafile = {}, .certfile = {}, .keyfile = {}, .keyfile_password = {}, .insecure = true};
    std::optional<net::Credentials> credentials;  // restapi.authentication of this node
};

class HttpPeers final : public ports::Peers {
public:
    HttpPeers(boost::asio::io_context& loop, boost::asio::thread_pool& pool, PeerOptions options);

    Task<Result<cluster::PeerStatus>> status(const cluster::MemberRecord& member,
                                             Duration deadline) override;
    Task<Result<cluster::Lsn>> failsafe(const cluster::MemberRecord& member, std::string body,
                                        Duration deadline) override;
    Task<Result<cluster::PulseAnswer>> pulse(const cluster::MemberRecord& member,
                                             cluster::Pulse from, Duration deadline) override;
    Task<Result<std::string>> wal_tail(const cluster::MemberRecord& member, cluster::TailAsk ask,
                                       Duration deadline) override;
    Task<bool> postgres_answers(const cluster::MemberRecord& member, Duration deadline) override;
    Task<bool> alive(const std::string& api_url, Duration deadline) override;

    void set_options(PeerOptions options);  // a reload; for what begins after it

private:
    boost::asio::io_context& loop_;
    boost::asio::thread_pool& pool_;
    net::HttpClient client_;
};

std::unique_ptr<HttpPeers> make_peers(boost::asio::io_context& loop, boost::asio::thread_pool& pool,
                                      PeerOptions options);

Result<cluster::PulseAnswer> parse_pulse_answer(std::string_view text);
// The status JSON of a member. Fields that are missing or of an odd type read as not given.
Result<cluster::PeerStatus> parse_peer_status(std::string_view text);

}  // namespace relevo::rest
