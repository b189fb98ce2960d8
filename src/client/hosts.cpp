#include "client/hosts.h"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <map>

namespace relevo::client {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    std::size_t from = 0;
    for (auto comma = text.find(','); comma != std::string::npos; comma = text.find(',', from)) {
        parts.push_back(text.substr(from, comma - from));
        from = comma + 1;
    }
    parts.push_back(text.substr(from));
    return parts;
}

std::unexpected<Error> invalid(std::string message) {
    return std::unexpected(Error{Kind::invalid, "", std::move(message), 0});
}

// Where the connection string says nothing: a peer that vanished is noticed in about five seconds,
// not in two hours or fifteen minutes.
constexpr std::array<std::pair<const char*, const char*>, 6> defaults{
    {{"keepalives", "1"},
     {"keepalives_idle", "2"},
     {"keepalives_interval", "1"},
     {"keepalives_count", "3"},
     {"tcp_user_timeout", "5000"},
     {"fallback_application_name", "librelevo"}}};

bool is_directory(const std::string& host) {
    return host.starts_with('/') || host.starts_with('@');
}

// "the n-th of these", as libpq counts: one for all, or one for each.
std::string nth(const std::vector<std::string>& parts, std::size_t n) {
    return parts.size() == 1 ? parts.front() : parts.at(n);
}

}  // namespace

Expected<Conninfo> parse_conninfo(const std::string& text) {
    char* problem = nullptr;
    PQconninfoOption* options = ::PQconninfoParse(text.c_str(), &problem);
    if (!options) {
        // libpq's message quotes the piece it stumbled over, which may be the password.
        ::PQfreemem(problem);
        return invalid("conninfo is neither a libpq URI nor its keyword = value form");
    }
    std::map<std::string, std::string> given;
    for (const auto* option = options; option->keyword; ++option)
        if (option->val) given[option->keyword] = option->val;
    ::PQconninfoFree(options);

    const auto names = split(given["host"]), addresses = split(given["hostaddr"]);
    const auto ports = split(given["port"].empty() ? "5432" : given["port"]);
    const bool named = !given["host"].empty(), addressed = !given["hostaddr"].empty();
    if (!named && !addressed)
        return invalid("conninfo names no host: give all members, as in host=a,b,c");
    const auto count = named ? names.size() : addresses.size();
    if ((named && addressed && names.size() != addresses.size()) ||
        (ports.size() != 1 && ports.size() != count))
        return invalid("conninfo: host, hostaddr and port must be as many as each other");

    Conninfo info;
    for (std::size_t i = 0; i < count; ++i) {
        Endpoint endpoint{named ? names[i] : addresses[i], addressed ? addresses[i] : "",
                          nth(ports, i)};
        if (endpoint.port.empty()) endpoint.port = "5432";
        info.hosts.push_back(std::move(endpoint));
    }
    for (const char* ours : {"host", "hostaddr", "port", "target_session_attrs", "connect_timeout"})
        given.erase(ours);
    for (const auto& [name, value] : defaults) given.try_emplace(name, value);
    info.keywords.assign(given.begin(), given.end());
    return info;
}

namespace {

struct Lookup {
    explicit Lookup(const asio::any_io_executor& executor) : bell(executor) {}
    asio::steady_timer bell;
    std::vector<std::vector<Endpoint>> found;
    std::size_t pending = 0;
};

Task<void> look_up_one(std::shared_ptr<Lookup> all, std::size_t index, Endpoint host) {
    const auto executor = co_await asio::this_coro::executor;
    asio::ip::tcp::resolver resolver(executor);
    error_code failed;
    const auto answer = co_await resolver.async_resolve(
        host.host, "", asio::redirect_error(asio::use_awaitable, failed));
    for (const auto& entry : answer) {
        Endpoint endpoint{host.host, entry.endpoint().address().to_string(), host.port};
        auto& list = all->found[index];
        if (std::ranges::find(list, endpoint) == list.end()) list.push_back(std::move(endpoint));
    }
    --all->pending;
    all->bell.cancel();
}

void rethrow(const std::exception_ptr& thrown) {
    if (thrown) std::rethrow_exception(thrown);
}

}  // namespace

Task<std::vector<Endpoint>> look_up(asio::any_io_executor executor, std::vector<Endpoint> hosts,
                                    Clock::time_point until) {
    const auto all = std::make_shared<Lookup>(executor);
    all->found.resize(hosts.size());
    for (std::size_t i = 0; i < hosts.size(); ++i) {
        error_code not_one;
        const auto literal = asio::ip::make_address(hosts[i].host, not_one);
        if (!hosts[i].address.empty() || is_directory(hosts[i].host)) {
            all->found[i] = {hosts[i]};
        } else if (!not_one) {
            all->found[i] = {{hosts[i].host, literal.to_string(), hosts[i].port}};
        } else {
            ++all->pending;
            asio::co_spawn(executor, look_up_one(all, i, hosts[i]), rethrow);
        }
    }
    while (all->pending > 0 && Clock::now() < until) {
        all->bell.expires_at(until);
        error_code rung;
        co_await all->bell.async_wait(asio::redirect_error(asio::use_awaitable, rung));
    }
    std::vector<Endpoint> endpoints;
    for (auto& list : all->found) endpoints.insert(endpoints.end(), list.begin(), list.end());
    co_return endpoints;
}

namespace {

struct Arrivals {
    explicit Arrivals(const asio::any_io_executor& executor) : bell(executor) {}
    asio::steady_timer bell;
    std::vector<std::pair<Endpoint, Opened>> arrived;
    std::size_t pending = 0;
    bool over = false;  // nobody listens any more
};

Task<void> try_one(std::shared_ptr<Arrivals> all, asio::any_io_executor executor, Keywords keywords,
                   Endpoint endpoint, Clock::time_point until) {
    auto opened = co_await open_session(executor, std::move(keywords), endpoint, until);
    --all->pending;
    if (all->over) co_return;
    all->arrived.emplace_back(std::move(endpoint), std::move(opened));
    all->bell.cancel();
}

}  // namespace

Task<Search> search(asio::any_io_executor executor, Keywords keywords,
                    std::vector<Endpoint> endpoints, Wanted wanted, std::uint32_t timeline_at_least,
                    Clock::time_point until) {
    const auto all = std::make_shared<Arrivals>(executor);
    for (const auto& endpoint : endpoints) {
        ++all->pending;
        asio::co_spawn(executor, try_one(all, executor, keywords, endpoint, until), rethrow);
    }
    Search result;
    result.seen.stage = Stage::connect;
    result.seen.lost = true;
    result.message = endpoints.empty() ? "no host has an address" : "no server answered in time";
    std::size_t seen = 0, refusals = 0;
    while (!result.session) {
        for (; seen < all->arrived.size() && !result.session; ++seen) {
            auto& [endpoint, opened] = all->arrived[seen];
            if (opened.session && wanted(*opened.session, timeline_at_least)) {
                result.session = std::move(opened.session);
                result.endpoint = endpoint;
            } else if (!opened.session) {
                refusals += classify(opened.seen) == Action::reject ? 1 : 0;
                result.seen = opened.seen;
                result.message = opened.message;
            } else {
                result.message = endpoint.host +
                                 " is not what is looked for (a replica, the "
                                 "primary, or a primary that was replaced)";
            }
        }
        if (result.session || all->pending == 0 || Clock::now() >= until) break;
        all->bell.expires_at(until);
        error_code rung;
        co_await all->bell.async_wait(asio::redirect_error(asio::use_awaitable, rung));
    }
    all->over = true;
    all->arrived.clear();
    result.hopeless = !endpoints.empty() && refusals == endpoints.size();
    co_return result;
}

}  // namespace relevo::client
