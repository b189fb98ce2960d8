#include "bin/names.h"

#include "base/log.h"
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
                         const ports::Control& control, const config::DnsConfig& config) {
    if (!config.servers.empty()) {
        auto options = publisher_options(config);
        if (options)
            publisher_ = std::make_unique<dns::Publisher>(loop, pool, control, *std::move(options));
        else
            log::error("DNS is not updated until the agent is restarted: {}",
                       options.error().message);
    }
    if (config.responder) {
        dns::ResponderOptions options{
            .host = config.responder->host == "*" ? "" : config.responder->host,
            .port = static_cast<std::uint16_t>(config.responder->port),
            .zone = config.zone,
            .names = names_of(config)};
        responder_ =
            std::make_unique<dns::Responder>(loop, options, [&control, names = options.names] {
                return dns::to_answer(*control.view(), control.now(), control.wall(), names);
            });
    }
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

Task<void> NameService::stop() {
    if (publisher_) co_await publisher_->stop();
    if (responder_) co_await responder_->stop();
}

}  // namespace relevo
