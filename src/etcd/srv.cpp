#include "etcd/srv.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "etcd/url.h"
#include "net/http_client.h"

namespace relevo::etcd {

namespace {

constexpr int answer_bytes_max = 16 * 1024;
constexpr int srv_fixed_bytes = 6;  // priority, weight, port
constexpr auto members_deadline = std::chrono::seconds(1);

struct Service {
    const char* name;
    bool https;
    bool peers;
};
constexpr std::array services{
    Service{"_etcd-client-ssl", true, false}, Service{"_etcd-client", false, false},
    Service{"_etcd-ssl", true, false},        Service{"_etcd", false, false},
    Service{"_etcd-server-ssl", true, true},  Service{"_etcd-server", false, true},
};

// glibc's resolver with a state of its own, so that any thread may ask.
class Resolver {
public:
    explicit Resolver(const SrvQuestion& question) {
        ready_ = res_ninit(&state_) == 0;
        state_.retrans = static_cast<int>(question.timeout.count());
        state_.retry = 1;
        if (!question.nameserver) return;
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_port = htons(question.nameserver->port);
        inet_pton(AF_INET, question.nameserver->host.c_str(), &at.sin_addr);
        state_.nsaddr_list[0] = at;
        state_.nscount = 1;
    }
    ~Resolver() {
        if (ready_) res_nclose(&state_);
    }
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    struct Record {
        unsigned priority = 0;
        unsigned weight = 0;
        EtcdEndpoint at;
    };
    std::vector<Record> ask(const std::string& name) {
        std::vector<unsigned char> answer(answer_bytes_max);
        if (!ready_) return {};
        const int size =
            res_nquery(&state_, name.c_str(), ns_c_in, ns_t_srv, answer.data(), answer_bytes_max);
        ns_msg message{};
        if (size <= 0 || ns_initparse(answer.data(), size, &message) != 0) return {};
        std::vector<Record> records;
        for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
            ns_rr row{};
            if (ns_parserr(&message, ns_s_an, i, &row) != 0 || ns_rr_type(row) != ns_t_srv)
                continue;
            if (ns_rr_rdlen(row) <= srv_fixed_bytes) continue;
            const unsigned char* data = ns_rr_rdata(row);
            std::array<char, NS_MAXDNAME> target{};
            if (dn_expand(ns_msg_base(message), ns_msg_end(message), data + srv_fixed_bytes,
                          target.data(), static_cast<int>(target.size())) < 0)
                continue;
            records.push_back({.priority = ns_get16(data),
                               .weight = ns_get16(data + 2),
                               .at = {.host = target.data(),
                                      .port = static_cast<std::uint16_t>(ns_get16(data + 4))}});
        }
        std::ranges::sort(records, [](const Record& a, const Record& b) {
            return a.priority != b.priority ? a.priority < b.priority : a.weight > b.weight;
        });
        return records;
    }

private:
    struct __res_state state_{};
    bool ready_ = false;
};

// A peer's own list of the members, as JSON over HTTP. Its certificate is not verified: the peers'
// one seldom is made for clients, and nothing is told to them.
std::vector<EtcdEndpoint> ask_peer(const EtcdEndpoint& peer) {
    net::ClientOptions options;
    options.tls.insecure = true;
    net::ClientRequest request;
    request.url = to_string(peer) + "/members";
    const auto response = net::request_blocking(options, request, members_deadline);
    std::vector<EtcdEndpoint> found;
    if (!response || response->status != 200) return found;
    const auto members = nlohmann::json::parse(response->body, nullptr, false);
    if (!members.is_array()) return found;
    for (const auto& member : members) {
        if (!member.is_object() || !member.contains("clientURLs") ||
            !member["clientURLs"].is_array())
            continue;
        for (const auto& url : member["clientURLs"]) {
            if (!url.is_string()) continue;
            if (const auto endpoint = parse_url(url.get<std::string>())) found.push_back(*endpoint);
        }
    }
    return found;
}

}  // namespace

Result<std::vector<EtcdEndpoint>> discover(const SrvQuestion& question,
                                           const std::atomic<bool>& stopping) {
    Resolver resolver(question);
    for (const auto& service : services) {
        if (stopping) break;
        const auto name =
            fmt::format("{}{}{}._tcp.{}", service.name, question.suffix.empty() ? "" : "-",
                        question.suffix, question.domain);
        std::vector<EtcdEndpoint> found;
        for (auto& record : resolver.ask(name)) {
            record.at.https = service.https;
            found.push_back(record.at);
        }
        if (service.peers) {
            const auto peers = std::exchange(found, {});
            for (const auto& peer : peers) {
                if (stopping || !found.empty()) break;
                found = ask_peer(peer);
            }
        }
        if (!found.empty()) return found;
    }
    return fail(
        ErrorCode::unavailable,
        fmt::format(
            "DNS has no SRV records of etcd for {}: check srv and srv_suffix in the etcd3 section",
            question.domain));
}

}  // namespace relevo::etcd
