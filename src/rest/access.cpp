#include "rest/access.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "net/resolve.h"

namespace relevo::rest {
namespace ip = boost::asio::ip;
namespace {

using Clock = std::chrono::steady_clock;
using Addresses = std::vector<ip::address>;
constexpr std::chrono::seconds resolve_deadline{2};
constexpr std::chrono::seconds members_kept{
    60};  // a resolved member host, before it is asked for again

struct Allowlist {
    Addresses addresses;
    std::vector<ip::network_v4> v4;
    std::vector<ip::network_v6> v6;

    // False: the text is neither an address nor a network.
    bool add(const std::string& text) {
        if (const auto address = net::parse_address(text)) {
            addresses.push_back(net::unmapped(*address));
            return true;
        }
        boost::system::error_code bad;
        if (const auto network = ip::make_network_v4(text, bad); !bad) {
            v4.push_back(network.canonical());
            return true;
        }
        bad.clear();
        if (const auto network = ip::make_network_v6(text, bad); !bad) {
            v6.push_back(network.canonical());
            return true;
        }
        return false;
    }

    bool contains(const ip::address& who) const {
        if (std::ranges::find(addresses, who) != addresses.end()) return true;
        if (who.is_v4()) {
            return std::ranges::any_of(v4, [&](const ip::network_v4& network) {
                return ip::network_v4(who.to_v4(), network.prefix_length()).canonical() == network;
            });
        }
        return std::ranges::any_of(v6, [&](const ip::network_v6& network) {
            return ip::network_v6(who.to_v6(), network.prefix_length()).canonical() == network;
        });
    }
};

struct Known {
    Addresses addresses;
    Clock::time_point at;
};

}  // namespace

struct Access::Impl {
    boost::asio::io_context& loop;
    boost::asio::thread_pool& pool;
    RestOptions options;
    std::string expected_authorization;  // after "Basic "; empty: no authentication
    Allowlist allowlist;
    std::map<std::string, Known> members;

    Task<bool> is_member(const ip::address& who, const ports::View& view);
    Task<bool> is_allowed(const net::Request& request, const ports::View& view, bool failsafe);
};

Access::Access(boost::asio::io_context& loop, boost::asio::thread_pool& pool)
    : impl_(std::make_unique<Impl>(loop, pool)) {}
Access::~Access() = default;

Task<void> Access::load(const RestOptions& options) {
    Allowlist next;
    for (const auto& entry : options.allowlist) {
        if (next.add(entry)) continue;
        const auto found = co_await net::resolve(impl_->loop, impl_->pool, entry, resolve_deadline);
        if (found) {
            for (const auto& address : *found) next.addresses.push_back(net::unmapped(address));
        } else {
            log::warning("restapi.allowlist: {}; the entry allows nobody", found.error().message);
        }
    }
    impl_->options = options;
    impl_->allowlist = std::move(next);
    impl_->members.clear();
    impl_->expected_authorization =
        options.authentication ? net::basic_authorization(*options.authentication).substr(6) : "";
}

// Patroni: the hosts of the members' api_url.
Task<bool> Access::Impl::is_member(const ip::address& who, const ports::View& view) {
    // The view may be replaced while a name is looked up: keep its snapshot.
    const auto snapshot = view.snapshot;
    if (!snapshot) co_return false;
    for (const auto& [name, member] : snapshot->members) {
        const auto url = net::parse_url(member.api_url);
        if (!url) continue;
        const auto known = members.find(url->host);
        const bool fresh = known != members.end() && Clock::now() - known->second.at < members_kept;
        if (!fresh) {
            auto found = co_await net::resolve(loop, pool, url->host, resolve_deadline);
            if (!found) continue;
            for (auto& address : *found) address = net::unmapped(address);
            members.insert_or_assign(url->host, Known{std::move(*found), Clock::now()});
        }
        const auto now_known = members.find(url->host);
        if (now_known == members.end()) continue;
        if (std::ranges::find(now_known->second.addresses, who) !=
            now_known->second.addresses.end()) {
            co_return true;
        }
    }
    co_return false;
}

Task<bool> Access::Impl::is_allowed(const net::Request& request, const ports::View& view,
                                    bool failsafe) {
    const bool by_members = options.allowlist_include_members && !failsafe;
    if (options.allowlist.empty() && !by_members) co_return true;
    const auto who = net::parse_address(request.client_address);
    if (!who) co_return false;
    if (allowlist.contains(*who)) co_return true;
    if (!by_members) co_return false;
    const bool member = co_await is_member(*who, view);
    co_return member;
}

Task<std::optional<Refusal>> Access::refuse(const net::Request& request, const ports::View& view,
                                            bool failsafe) {
    const bool allowed = co_await impl_->is_allowed(request, view, failsafe);
    if (!allowed) co_return Refusal{403, "Access is denied"};
    const auto& options = impl_->options;
    if (options.tls.on() && options.tls.verify_client != net::VerifyClient::none &&
        !request.client_cert_verified) {
        co_return Refusal{403, "Access is denied: a client certificate is required"};
    }
    if (impl_->expected_authorization.empty()) co_return std::nullopt;
    const auto* header = request.header("Authorization");
    if (header == nullptr) co_return Refusal{401, "no auth header received"};
    const auto given = trim(*header);
    const bool basic = given.size() > 6 && iequals(given.substr(0, 6), "Basic ");
    if (basic && equal_in_constant_time(trim(given.substr(6)), impl_->expected_authorization)) {
        co_return std::nullopt;
    }
    co_return Refusal{401, "not authenticated"};
}

bool Access::guards() const {
    const auto& options = impl_->options;
    return !impl_->expected_authorization.empty() || !options.allowlist.empty() ||
           options.allowlist_include_members ||
           (options.tls.on() && options.tls.verify_client != net::VerifyClient::none);
}

}  // namespace relevo::rest
