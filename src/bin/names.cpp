#include "bin/names.h"

#include <utility>

#include "base/log.h"
#include "os/blocking.h"
#include "os/file.h"

namespace relevo {

namespace {

dns::Names names_of(const config::DnsConfig& c) {
    return {.primary = c.primary,
            .replica = c.replica,
            .ttl_s = static_cast<std::uint32_t>(c.ttl_s),
            .addresses = c.addresses,
            .replica_lag_bytes_max = static_cast<std::uint64_t>(c.replica_lag_bytes_max)};
}

Result<dns::PublisherOptions> publisher_options(const config::DnsConfig& c) {
    const auto what = "dns.update.key_file " + c.key_file;
    const auto text = os::read_file(c.key_file);
    if (!text) return within(what, text.error());
    auto key = dns::parse_key(*text);
    if (!key) return within(what, key.error());
    dns::PublisherOptions options{
        .names = names_of(c), .zone = c.zone, .servers = {}, .key = *std::move(key)};
    for (const auto& server : c.servers)
        options.servers.push_back({server.host, static_cast<std::uint16_t>(server.port)});
    return options;
}

}  // namespace

NameService::NameService(boost::asio::io_context& loop, boost::asio::thread_pool& pool,
                         const ports::Control& control, config::DnsConfig config)
    : loop_(loop), pool_(pool), control_(control), config_(std::move(config)) {
    if (!config_.servers.empty()) {
        auto options = publisher_options(config_);
        if (options)
            publisher_ = std::make_unique<dns::Publisher>(loop, pool, control, *std::move(options));
        else
            log::error("DNS is not updated until this is mended and the agent told to reload: {}",
                       options.error().message);
    }
    if (config_.responder) responder_ = make_responder();
}

std::unique_ptr<dns::Responder> NameService::make_responder() {
    dns::ResponderOptions options{
        .host = config_.responder->host == "*" ? "" : config_.responder->host,
        .port = static_cast<std::uint16_t>(config_.responder->port),
        .zone = config_.zone,
        .names = names_of(config_)};
    return std::make_unique<dns::Responder>(
        loop_, options, [&control = control_, names = options.names] {
            return dns::to_answer(*control.view(), control.now(), control.wall(), names);
        });
}

void NameService::start() {
    if (responder_) {
        const auto listening = responder_->start();
        if (!listening) log::error("{}", listening.error().message);
    }
    if (publisher_) publisher_->start();
}

void NameService::changed() {
    if (publisher_) publisher_->changed();
}

Task<void> NameService::apply(config::DnsConfig config) {
    wanted_ = std::move(config);
    if (std::exchange(applying_, true)) co_return;  // the one under way sees to it
    while (wanted_) {
        auto before = std::exchange(config_, *std::exchange(wanted_, std::nullopt));
        co_await renew_publisher();
        auto names = before;
        names.servers = config_.servers;
        names.key_file = config_.key_file;
        if (names != config_) co_await renew_responder(before.responder);
    }
    applying_ = false;
}

// Also when nothing changed in the section: the key may be another one.
Task<void> NameService::renew_publisher() {
    std::unique_ptr<dns::Publisher> next;
    if (!config_.servers.empty()) {
        auto options = co_await os::Blocking(pool_).run(
            [config = config_] { return publisher_options(config); });
        if (!options) {
            log::error("dns.update stays as it was: {}", options.error().message);
            co_return;
        }
        next = std::make_unique<dns::Publisher>(loop_, pool_, control_, *std::move(options));
    }
    const auto last = std::exchange(publisher_, nullptr);
    if (last) co_await last->stop();
    publisher_ = std::move(next);
    if (publisher_) publisher_->start();
}

Task<void> NameService::renew_responder(std::optional<config::Address> before) {
    // One that moves is there at its new address before it leaves the old one.
    const bool moves = config_.responder && config_.responder != before;
    auto next = config_.responder ? make_responder() : nullptr;
    if (moves) {
        const auto listening = next->start();
        if (!listening) {
            log::error("dns.responder stays where it was: {}", listening.error().message);
            co_return;
        }
    }
    const auto last = std::exchange(responder_, nullptr);
    if (last) co_await last->stop();
    responder_ = std::move(next);
    if (!responder_ || moves) co_return;
    const auto listening = responder_->start();
    if (!listening) log::error("{}", listening.error().message);
}

Task<void> NameService::stop() {
    if (publisher_) co_await publisher_->stop();
    if (responder_) co_await responder_->stop();
}

}  // namespace relevo
