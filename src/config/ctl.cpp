#include "config/ctl.h"

#include <fmt/format.h>

#include <filesystem>

namespace relevo::config {
namespace {

std::string variable(const Environment& environment, const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? "" : found->second;
}

bool exists(const std::string& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
}

}  // namespace

Result<std::optional<std::string>> ctl_config_path(const std::optional<std::string>& given,
                                                   const Environment& environment) {
    std::string named = given.value_or("");
    if (named.empty()) named = variable(environment, "PATRONICTL_CONFIG_FILE");
    std::string folder = variable(environment, "XDG_CONFIG_HOME");
    if (folder.empty()) folder = variable(environment, "HOME") + "/.config";
    const std::string standard = folder + "/patroni/patronictl.yaml";
    if (named.empty() || named == standard)
        return exists(standard) ? std::optional(standard) : std::nullopt;
    if (!exists(named))
        return fail(ErrorCode::not_found,
                    fmt::format("the configuration file {} does not exist", named));
    return named;
}

Result<LocalConfig> load_for_ctl(const CtlOptions& options, const Environment& environment) {
    Source source{.path = std::nullopt, .environment = environment};
    RLV_TRY(source.path, ctl_config_path(options.config_file, environment));
    source.dcs_url = options.dcs_url;
    if (!source.dcs_url && !variable(environment, "DCS_URL").empty())
        source.dcs_url = variable(environment, "DCS_URL");
    RLV_TRY(LocalConfig config, load(source, For::ctl));
    if (config.etcd3.hosts.empty() && config.etcd3.srv.empty())
        return fail(
            ErrorCode::invalid,
            fmt::format(
                "{} names no DCS; name the agent's file with -c, or etcd with -d etcd3://host:port",
                config.origin));
    if (options.insecure) config.ctl.insecure = true;
    return config;
}

}  // namespace relevo::config
