#include "config/generate.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "config/address.h"
#include "config/environment.h"
#include "config/node.h"
#include "config/parameters.h"

namespace relevo::config {
namespace {

const char* const fixme = "#FIXME";

Node texts(std::initializer_list<std::string> each) {
    Node list = Node::list();
    for (const std::string& text : each) list.items.push_back(Node::string(text));
    return list;
}

// Sets what neither the environment nor an earlier line has set.
void standard(Node& tree, std::string_view path, Node value) {
    Node* into = &tree;
    while (true) {
        const auto dot = path.find('.');
        if (dot == std::string_view::npos) break;
        Node* next = into->find_any(path.substr(0, dot));
        into = next != nullptr ? next : &into->set(path.substr(0, dot), Node::map());
        path.remove_prefix(dot + 1);
    }
    if (into->find(path) == nullptr) into->set(path, std::move(value));
}

void standard(Node& tree, std::string_view path, const std::string& text) {
    standard(tree, path, Node::string(text));
}

void fill_postgresql(Node& tree, const std::string& host) {
    standard(tree, "postgresql.listen", to_text(Address{.host = host, .port = 5432}));
    standard(tree, "postgresql.connect_address", to_text(Address{.host = host, .port = 5432}));
    standard(tree, "postgresql.data_dir", fixme);
    standard(tree, "postgresql.bin_dir", fixme);
    for (const auto& [account, name] : {std::pair{"superuser", "postgres"},
                                        {"replication", "replicator"},
                                        {"rewind", "rewind_user"}}) {
        standard(tree, fmt::format("postgresql.authentication.{}.username", account), name);
        standard(tree, fmt::format("postgresql.authentication.{}.password", account), fixme);
    }
    standard(tree, "postgresql.parameters.password_encryption", "scram-sha-256");
    const std::string replication = tree.at("postgresql.authentication.replication.username")->text;
    standard(tree, "postgresql.pg_hba",
             texts({"host all all all scram-sha-256",
                    fmt::format("host replication {} all scram-sha-256", replication)}));
}

void fill_bootstrap(Node& tree) {
    for (const auto& [key, value] :
         {std::pair{"loop_wait", 10}, {"retry_timeout", 10}, {"ttl", 30}})
        standard(tree, fmt::format("bootstrap.dcs.{}", key), Node::integer(value));
    standard(tree, "bootstrap.dcs.maximum_lag_on_failover", Node::integer(1048576));
    standard(tree, "bootstrap.dcs.postgresql.use_pg_rewind", Node::boolean(true));
    std::vector<std::string> none;
    for (const auto& [name, value] : controlled_gucs({}, none))
        standard(tree, "bootstrap.dcs.postgresql.parameters." + name, resolve_plain(value));
}

void fill_tags(Node& tree) {
    standard(tree, "tags.failover_priority", Node::integer(1));
    standard(tree, "tags.sync_priority", Node::integer(1));
    standard(tree, "tags.noloadbalance", Node::boolean(false));
    standard(tree, "tags.clonefrom", Node::boolean(true));
    standard(tree, "tags.nostream", Node::boolean(false));
}

// Patroni's order of sections; what else the environment gave follows.
Node in_order(const Node& tree) {
    Node out = Node::map();
    for (const char* key : {"scope", "namespace", "name", "log", "restapi", "ctl", "etcd3",
                            "bootstrap", "postgresql", "watchdog", "tags"})
        if (const Node* value = tree.find(key)) out.set(key, *value);
    for (const auto& [key, value] : tree.fields)
        if (out.find(key) == nullptr) out.set(key, value);
    return out;
}

}  // namespace

ThisHost this_host() {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0) return {.name = fixme, .address = fixme};
    ThisHost out{.name = name.data(), .address = name.data()};
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(name.data(), nullptr, &hints, &found) != 0) return out;
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
    std::array<char, NI_MAXHOST> text{};
    if (::getnameinfo(found->ai_addr, found->ai_addrlen, text.data(), text.size(), nullptr, 0,
                      NI_NUMERICHOST) == 0)
        out.address = text.data();
    return out;
}

Result<std::string> sample_config(const Environment& environment, const ThisHost& host) {
    FromEnvironment from = read_environment(environment);
    if (!from.problems.empty()) return fail(ErrorCode::invalid, to_text(from.problems));
    Node& tree = from.tree;
    standard(tree, "scope", fixme);
    standard(tree, "name", host.name);
    standard(tree, "log.level", "INFO");
    standard(tree, "restapi.listen", to_text(Address{.host = host.address, .port = 8008}));
    standard(tree, "restapi.connect_address", to_text(Address{.host = host.address, .port = 8008}));
    bool has_dcs = false;
    for (const char* dcs :
         {"etcd", "etcd3", "consul", "exhibitor", "kubernetes", "raft", "zookeeper"})
        has_dcs = has_dcs || tree.find(dcs) != nullptr;
    if (!has_dcs) standard(tree, "etcd3.hosts", texts({fixme}));
    fill_bootstrap(tree);
    fill_postgresql(tree, host.address);
    fill_tags(tree);
    return to_yaml(in_order(tree));
}

Status write_config(const std::string& path, const std::string& text) {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path parent = fs::path(path).parent_path();
    if (!parent.empty()) fs::create_directories(parent, error);
    if (error)
        return fail(ErrorCode::failed,
                    fmt::format("{} cannot be made: {}", parent.string(), error.message()));
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        return fail(ErrorCode::failed,
                    fmt::format("{} cannot be written: {}", path, std::strerror(errno)));
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t wrote = ::write(file, text.data() + done, text.size() - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) break;
        done += static_cast<std::size_t>(wrote);
    }
    const int problem = done < text.size() ? errno : 0;
    if (::close(file) != 0 || problem != 0)
        return fail(ErrorCode::failed,
                    fmt::format("{} cannot be written: {}", path, std::strerror(problem)));
    return {};
}

}  // namespace relevo::config
