#include "gateway/status.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace relevo::gateway {
namespace {

using Json = nlohmann::ordered_json;

std::string place(const ports::Endpoint& one) {
    return one.host.contains(':') ? fmt::format("[{}]:{}", one.host, one.port)
                                  : fmt::format("{}:{}", one.host, one.port);
}

Json members_json(const State& state, Instant now) {
    Json members = Json::array();
    for (const auto& [url, source] : state.sources) {
        Json one{{"url", url}, {"heard", source.connected}};
        if (source.view) {
            one["name"] = source.view->name;
            one["silent_ms"] = to_ms(now - source.heard_at);
            one["leads"] = source.serves_until > now;
            one["reads"] = state.readers.contains(url);
            one["lag_bytes"] = source.view->lag_bytes;
            one["lag_ms"] = source.view->lag_ms.count();
        }
        if (!source.problem.empty()) one["problem"] = source.problem;
        members.push_back(std::move(one));
    }
    return members;
}

Json databases_json(const ports::PoolerStats& stats) {
    Json list = Json::array();
    for (const auto& one : stats.databases)
        list.push_back({{"name", one.name},
                        {"paused", one.paused},
                        {"clients_active", one.clients_active},
                        {"clients_waiting", one.clients_waiting},
                        {"servers_active", one.servers_active},
                        {"servers_idle", one.servers_idle},
                        {"transactions", one.transactions},
                        {"longest_wait_ms", one.longest_wait.count() / 1000}});
    return list;
}

// A label's value as Prometheus has it.
std::string label(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\' || c == '"') out += '\\';
        if (c == '\n')
            out += "\\n";
        else
            out += c;
    }
    return out;
}

class Metrics {
public:
    explicit Metrics(std::string common) : common_(std::move(common)) {}
    void family(const char* name, const char* type, const char* help) {
        name_ = name;
        text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    }
    void value(const std::string& labels, double number) {
        text += fmt::format("{}{{{}{}{}}} {}\n", name_, common_, labels.empty() ? "" : ",", labels,
                            number);
    }
    std::string text;

private:
    std::string common_, name_;
};

void pooler_metrics(Metrics& out, const ports::PoolerStats& stats) {
    const auto each = [&](const char* name, const char* type, const char* help, auto value) {
        out.family(name, type, help);
        for (const auto& one : stats.databases)
            out.value(fmt::format("database=\"{}\"", label(one.name)),
                      static_cast<double>(value(one)));
    };
    using Database = ports::PoolerStats::Database;
    each("relevo_gateway_clients_active", "gauge", "Clients that are linked to a server.",
         [](const Database& one) { return one.clients_active; });
    each("relevo_gateway_clients_waiting", "gauge", "Clients that wait for a server.",
         [](const Database& one) { return one.clients_waiting; });
    each("relevo_gateway_servers", "gauge", "Connections to servers.",
         [](const Database& one) { return one.servers_active + one.servers_idle; });
    each("relevo_gateway_transactions_total", "counter", "Transactions since the pooler's start.",
         [](const Database& one) { return one.transactions; });
}

}  // namespace

bool healthy(const StatusInput& input) {
    return input.pooler_runs && input.state.started && input.state.why == Why::none;
}

std::string status_json(const StatusInput& input) {
    const auto& s = input.state;
    Json out{{"name", input.name},
             {"version", input.version},
             {"scope", s.scope},
             {"healthy", healthy(input)},
             {"term", s.term}};
    out["leader"] = s.target ? Json(s.target->name) : Json();
    Json writes{{"held", s.why != Why::none}};
    if (s.why != Why::none) {
        writes["because"] = to_string(s.why);
        writes["for_ms"] = to_ms(input.now - s.why_since);
    }
    const bool leads = s.applied && s.applied->writes;
    writes["to"] = leads ? Json(place(*s.applied->writes)) : Json();
    writes["term"] = s.applied ? s.applied->term : 0;
    out["writes"] = std::move(writes);
    if (s.options.reads) {
        Json to = Json::array();
        if (s.applied)
            for (const auto& one : s.applied->reads) to.push_back(place(one));
        out["reads"] = {
            {"held", s.reads_wait},
            {"to", std::move(to)},
            {"replicas", s.readers.size()},
            {"policy", s.options.policy == ReadPolicy::any            ? "any"
                       : s.options.policy == ReadPolicy::replica_only ? "replica-only"
                                                                      : "prefer-replica"}};
    }
    out["members"] = members_json(s, input.now);
    Json pooler{{"running", input.pooler_runs}};
    const auto said = s.said.find("pooler");
    if (!input.pooler_runs && said != s.said.end()) pooler["problem"] = said->second;
    if (input.pooler) {
        pooler["version"] = input.pooler->version;
        if (!input.pooler->stopped_by_hand.empty())
            pooler["problem"] =
                fmt::format("it was {} by hand, for all databases: RESUME on its console ends that",
                            input.pooler->stopped_by_hand);
        pooler["databases"] = databases_json(*input.pooler);
    }
    out["pooler"] = std::move(pooler);
    return out.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

std::string metrics_text(const StatusInput& input) {
    const auto& s = input.state;
    Metrics out(fmt::format("scope=\"{}\",gateway=\"{}\"", label(s.scope), label(input.name)));
    const auto one = [&](const char* name, const char* type, const char* help, double number) {
        out.family(name, type, help);
        out.value("", number);
    };
    const auto held_now = s.why == Why::none || s.why == Why::no_leader_known
                              ? Duration::zero()
                              : input.now - s.why_since;
    one("relevo_gateway_healthy", "gauge", "1: clients are served.", healthy(input) ? 1 : 0);
    one("relevo_gateway_writes_held", "gauge", "1: clients of the primary wait.",
        s.why == Why::none ? 0 : 1);
    one("relevo_gateway_term", "gauge", "The newest term that was heard of.",
        static_cast<double>(s.term));
    one("relevo_gateway_replicas", "gauge", "Replicas that reads go to.",
        static_cast<double>(s.readers.size()));
    one("relevo_gateway_holds_total", "counter", "Times that clients were made to wait.",
        static_cast<double>(s.holds));
    one("relevo_gateway_held_seconds_total", "counter", "How long, together.",
        to_s(s.held_for + held_now));
    one("relevo_gateway_repoints_total", "counter", "Times that the pooler was led elsewhere.",
        static_cast<double>(s.repoints));
    out.family("relevo_gateway_member_heard", "gauge", "1: the member's stream comes.");
    for (const auto& [url, source] : s.sources)
        out.value(fmt::format("member=\"{}\"", label(source.view ? source.view->name : url)),
                  source.connected ? 1 : 0);
    if (input.pooler) pooler_metrics(out, *input.pooler);
    return out.text;
}

}  // namespace relevo::gateway
