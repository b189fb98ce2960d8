#include "config/local.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>

#include "base/text.h"
#include "config/environment.h"
#include "config/node.h"
#include "config/sections.h"

namespace relevo::config {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t read_limit =
    (1U << 20) + 1;  // one more than parse_yaml takes, so that it says so

struct Gathered {
    Node tree = Node::map();
    std::vector<std::string> consumed, warnings;
    std::string origin;
};

std::expected<std::string, Problem> read_file(const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "re");
    if (file == nullptr)
        return std::unexpected(
            Problem{path, "", fmt::format("cannot be read: {}", std::strerror(errno))});
    std::string text(read_limit, '\0');
    errno = 0;
    const std::size_t got = std::fread(text.data(), 1, text.size(), file);
    const int error = std::ferror(file) != 0 ? errno : 0;
    std::fclose(file);
    if (error != 0)
        return std::unexpected(
            Problem{path, "", fmt::format("cannot be read: {}", std::strerror(error))});
    text.resize(got);
    return text;
}

class Gatherer {
public:
    Gatherer(const Source& source, For whom) : source_(source) {
        options_.environment = &source.environment;
        // A missing password of another program's must not keep an operator from looking at the
        // cluster.
        if (whom == For::ctl) options_.strict_keys = {"etcd3", "scope", "namespace"};
        options_.warnings = &out_.warnings;
        options_.consumed = &out_.consumed;
    }

    std::expected<Gathered, std::vector<Problem>> gather() {
        std::error_code error;
        const bool given = source_.path && !source_.path->empty();
        const auto status = given ? fs::status(*source_.path, error) : fs::file_status();
        if (given && error && error != std::errc::no_such_file_or_directory)
            problems_.push_back(
                {*source_.path, "", fmt::format("cannot be read: {}", error.message())});
        else if (given && fs::exists(status))
            files(status);
        else if (!variable("PATRONI_CONFIGURATION").empty())
            whole();
        else
            environment_alone(given);
        if (problems_.empty() && source_.dcs_url)
            apply_dcs_url(out_.tree, *source_.dcs_url, problems_);
        if (!problems_.empty()) return std::unexpected(std::move(problems_));
        return std::move(out_);
    }

private:
    const Source& source_;
    YamlOptions options_;
    Gathered out_;
    std::vector<Problem> problems_;

    std::string variable(const std::string& name) const {
        const auto found = source_.environment.find(name);
        return found == source_.environment.end() ? "" : found->second;
    }

    void add(const std::string& name, const std::string& text) {
        auto tree = parse_yaml(text, name, options_);
        if (!tree) {
            problems_.insert(problems_.end(), tree.error().begin(), tree.error().end());
            return;
        }
        if (tree->is(Node::Kind::null)) {
            problems_.push_back({name, "", "is empty, expected a mapping (scope: ..., name: ...)"});
        } else if (!tree->is(Node::Kind::map)) {
            problems_.push_back({tree->where(), "", "expected a mapping (scope: ..., name: ...)"});
        } else if (out_.tree.fields.empty()) {
            out_.tree = std::move(*tree);
        } else {
            merge(out_.tree, *tree);
        }
    }

    void add_file(const std::string& path) {
        if (const auto text = read_file(path)) {
            add(path, *text);
        } else {
            problems_.push_back(text.error());
        }
    }

    void files(const fs::file_status& status) {
        out_.origin = *source_.path;
        if (fs::is_directory(status)) {
            directory();
        } else {
            add_file(*source_.path);
        }
        merge_environment();
    }

    // Every *.yml and *.yaml, by name; later ones win.
    void directory() {
        std::error_code error;
        std::vector<std::string> paths;
        for (fs::directory_iterator at(*source_.path, error), end; !error && at != end;
             at.increment(error)) {
            const std::string extension = at->path().extension().string();
            std::error_code ignored;
            if ((extension == ".yml" || extension == ".yaml") && at->is_regular_file(ignored))
                paths.push_back(at->path().string());
        }
        if (error)
            problems_.push_back(
                {*source_.path, "", fmt::format("cannot be read: {}", error.message())});
        else if (paths.empty())
            problems_.push_back({*source_.path, "", "holds no file *.yml or *.yaml"});
        std::ranges::sort(paths);
        for (const std::string& path : paths) add_file(path);
    }

    void merge_environment() {
        FromEnvironment from = read_environment(source_.environment);
        problems_.insert(problems_.end(), from.problems.begin(), from.problems.end());
        std::ranges::move(from.consumed, std::back_inserter(out_.consumed));
        merge(out_.tree, from.tree);
    }

    // The whole YAML in one variable; no other variable counts then.
    void whole() {
        out_.origin = "environment variable PATRONI_CONFIGURATION";
        out_.consumed = {"PATRONI_CONFIGURATION"};
        add(out_.origin, variable("PATRONI_CONFIGURATION"));
    }

    void environment_alone(bool missing_file) {
        out_.origin = "environment";
        merge_environment();
        const std::string missing = missing_file ? fmt::format("{} does not exist", *source_.path)
                                                 : "no configuration file was named";
        if (!out_.tree.fields.empty()) {
            if (missing_file)
                out_.warnings.push_back(missing + "; the PATRONI_* environment alone is used");
        } else if (problems_.empty() && !source_.dcs_url) {
            problems_.push_back(
                {"", "", missing + " and no PATRONI_* environment variables are set"});
        }
    }
};

}  // namespace

std::expected<LocalConfig, std::vector<Problem>> load_or_problems(const Source& source, For whom) {
    auto gathered = Gatherer(source, whom).gather();
    if (!gathered) return std::unexpected(std::move(gathered).error());
    LocalConfig out;
    out.origin = std::move(gathered->origin);
    out.consumed = std::move(gathered->consumed);
    out.warnings = std::move(gathered->warnings);
    std::vector<Problem> problems;
    read_sections(gathered->tree, whom, source.environment, out, problems);
    for (Problem& problem : problems)
        if (problem.where.empty()) problem.where = out.origin;
    if (!problems.empty()) {
        // A file that is not there is the likely reason for what is missing: say so first.
        for (const std::string& warning : out.warnings)
            if (warning.contains("does not exist"))
                problems.insert(problems.begin(), Problem{"", "", warning});
        return std::unexpected(std::move(problems));
    }
    return out;
}

Result<LocalConfig> load(const Source& source, For whom) {
    auto config = load_or_problems(source, whom);
    if (!config) return fail(ErrorCode::invalid, to_text(config.error()));
    return std::move(*config);
}

std::string to_yaml(const LocalConfig& config) {
    const auto tree = parse_json(config.merged_json);
    return tree ? to_yaml(*tree) : std::string();
}

Environment process_environment() {
    Environment out;
    for (char** each = environ; each != nullptr && *each != nullptr; ++each) {
        const std::string_view pair(*each);
        const auto equals = pair.find('=');
        if (equals != std::string_view::npos && equals > 0)
            out.emplace(pair.substr(0, equals), pair.substr(equals + 1));
    }
    return out;
}

}  // namespace relevo::config
