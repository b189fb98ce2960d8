#include "postgres/gate.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "base/text.h"
#include "os/file.h"

namespace relevo::postgres {
namespace {

constexpr std::string_view first_line =
    "# relevo keeps clients out until what this primary holds is confirmed by its standbys.\n";
constexpr std::string_view explanation =
    "# The server's own file follows below its mark, and relevo puts it back when clients may "
    "come\n"
    "# in; changes below the mark are kept. Without relevo: remove all above it, and reload.\n";
// It begins a line, which no rule above it can: a rule may hold these words in quotes.
constexpr std::string_view mark = "\n# ---- pg_hba.conf as it was, by relevo ----\n";

struct Word {
    std::string text;
    bool quoted = false;
};
// PostgreSQL's pg_hba.conf: fields apart by blanks, words of a field by commas, quotes take a word
// its meaning, # ends a line, and a backslash at its end goes on with the next.
struct Field {
    std::vector<Word> words;
    std::size_t begin = 0, end = 0;  // in the line
};

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f'; }

std::vector<Field> fields_of(std::string_view line) {
    std::vector<Field> fields;
    std::size_t at = 0;
    const auto skip = [&] {
        while (at < line.size() && (blank(line[at]) || line[at] == ',')) ++at;
        return at < line.size() && line[at] != '#';
    };
    while (skip()) {
        Field field;
        field.begin = at;
        for (bool more = true; more;) {
            Word word;
            bool quote = false;
            for (; at < line.size(); ++at) {
                const char c = line[at];
                if (!quote && (blank(c) || c == ',' || c == '#')) break;
                if (c == '"') {
                    if (!quote && at > 0 && line[at - 1] == '"' && !word.text.empty())
                        word.text += '"';  // two within quotes are one
                    quote = !quote;
                    word.quoted = true;
                } else {
                    word.text += c;
                }
            }
            field.end = at;
            field.words.push_back(std::move(word));
            more = at < line.size() && line[at] == ',';
            if (more) ++at;
            if (more && !skip()) more = false;
        }
        fields.push_back(std::move(field));
    }
    return fields;
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    std::string line;
    while (!text.empty()) {
        const auto end = text.find('\n');
        std::string_view one = text.substr(0, end);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
        if (one.ends_with('\r')) one.remove_suffix(1);
        const bool goes_on = one.ends_with('\\');
        if (goes_on) one.remove_suffix(1);
        line += one;
        if (!goes_on) lines.push_back(std::exchange(line, {}));
    }
    if (!line.empty()) lines.push_back(std::move(line));
    return lines;
}

enum class Means { no, yes, perhaps };

Means means_user(const Field& field, const std::string& user) {
    Means found = Means::no;
    for (const auto& word : field.words) {
        if (word.text == user || (!word.quoted && word.text == "all")) return Means::yes;
        if (word.text.starts_with('/') ||
            (!word.quoted && (word.text.starts_with('+') || word.text.starts_with('@'))))
            found = Means::perhaps;
    }
    return found;
}

// Rules of databases by name may be those of the agent's: they are kept with their own word.
bool only_replication(const Field& field) {
    return std::ranges::all_of(
        field.words, [](const Word& word) { return !word.quoted && word.text == "replication"; });
}

std::string quoted(const std::string& name) {
    std::string out = "\"";
    for (const char c : name) out += c == '"' ? std::string("\"\"") : std::string(1, c);
    return out + "\"";
}

struct Rule {
    std::string line;
    std::vector<Field> fields;
    bool local = false, anywhere = false, rejects = false, includes = false;
};

std::optional<Rule> rule_of(std::string line) {
    Rule rule;
    rule.fields = fields_of(line);
    if (rule.fields.empty()) return std::nullopt;
    const auto word = [&](std::size_t n) {
        return n < rule.fields.size() ? rule.fields[n].words.front().text : std::string();
    };
    const auto type = word(0);
    rule.includes = type.starts_with("include");
    rule.local = type == "local";
    if (!rule.includes && (rule.fields.size() < 4 || only_replication(rule.fields[1])))
        return std::nullopt;  // what PostgreSQL will refuse, it refuses below the mark too
    rule.anywhere = rule.local || word(3) == "all";
    for (std::size_t n = 3; n < rule.fields.size(); ++n)
        rule.rejects = rule.rejects || word(n) == "reject";
    rule.line = std::move(line);
    return rule;
}

std::string for_user(const Rule& rule, const std::string& user) {
    const auto& field = rule.fields[2];
    return rule.line.substr(0, field.begin) + quoted(user) +
           rule.line.substr(field.end, rule.fields.back().end - field.end) + "\n";
}

// The rules of one user. Which apply to it must be sure where it has to get in.
Result<std::string> rules_for(const std::vector<Rule>& rules, const std::string& user, bool local,
                              bool must) {
    std::string text;
    bool decided = false, enters = false;
    for (const auto& rule : rules) {
        const bool concerns = rule.includes || rule.local == local;
        const auto means = rule.includes ? Means::perhaps : means_user(rule.fields[2], user);
        if (means == Means::perhaps && must && concerns && !decided)
            return fail(ErrorCode::failed,
                        fmt::format("whether the rule '{}' of pg_hba.conf is about the user {} "
                                    "cannot be told: put a rule of its own before it",
                                    trim(rule.line), user));
        if (means != Means::yes) continue;
        text += for_user(rule, user);
        if (rule.local != local) continue;
        enters = enters || (!decided && !rule.rejects);
        decided = decided || rule.anywhere;
    }
    if (must && !enters)
        return fail(ErrorCode::failed,
                    fmt::format("no rule of pg_hba.conf lets the user {} in by {}", user,
                                local ? "the local socket" : "TCP"));
    return text;
}

}  // namespace

Result<std::string> gate_text(std::string_view rules, const GateKeys& keys) {
    std::vector<Rule> known;
    for (auto& line : lines_of(rules))
        if (auto rule = rule_of(std::move(line))) known.push_back(*std::move(rule));
    std::string text(first_line);
    text += explanation;
    RLV_TRY(const std::string own, rules_for(known, keys.agent, keys.by_socket, true));
    text += own;
    for (const auto& user : keys.others) {
        if (user == keys.agent) continue;
        RLV_TRY(const std::string more, rules_for(known, user, false, false));
        text += more;
    }
    // "all" databases are all but those of physical replication, which the rules below decide on.
    text += "local all all reject\nhost all all all reject";
    text += mark;
    text += rules;
    return text;
}

bool is_gate(std::string_view text) { return text.starts_with(first_line); }

std::string behind_gate(std::string_view text) {
    const auto at = is_gate(text) ? text.find(mark) : std::string_view::npos;
    return std::string(at == std::string_view::npos ? text : text.substr(at + mark.size()));
}

std::string gate_before(std::string_view gate, const std::string& rules) {
    const auto at = is_gate(gate) ? gate.find(mark) : std::string_view::npos;
    if (at == std::string_view::npos) return rules;
    return std::string(gate.substr(0, at + mark.size())) + rules;
}

namespace {

std::string real_path(const std::string& path) {
    const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                           &std::free);
    return real ? std::string(real.get()) : path;
}

std::string kept_name(const std::string& path) { return path + ".relevo"; }

Error system_error(const std::string& what) {
    return Error{ErrorCode::failed, fmt::format("{}: {}", what, std::strerror(errno))};
}

}  // namespace

Status close_gate(const std::string& hba_file, const GateKeys& keys) {
    RLV_CHECK(open_gate(hba_file));
    const auto path = real_path(hba_file);
    RLV_TRY(const std::string rules, os::read_file(path));
    RLV_TRY(const std::string gate, gate_text(rules, keys));
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return std::unexpected(system_error(path));
    // Its own inode comes back: with its owner and mode, and without a wait for the disk.
    const auto kept = kept_name(path);
    (void)::unlink(kept.c_str());
    const bool linked = ::link(path.c_str(), kept.c_str()) == 0;
    if (!linked && info.st_uid != ::geteuid())
        return std::unexpected(system_error(path + " cannot be kept beside itself"));
    auto written = os::write_file(path, gate, info.st_mode & 07777U);
    if (!written) (void)::unlink(kept.c_str());
    return written;
}

Status open_gate(const std::string& hba_file) {
    const auto path = real_path(hba_file);
    const auto text = os::read_file(path);
    if (!text)
        return text.error().code == ErrorCode::not_found ? Status{} : std::unexpected(text.error());
    const auto kept = kept_name(path);
    if (!is_gate(*text)) {
        (void)::unlink(kept.c_str());
        return {};
    }
    const auto rules = behind_gate(*text);
    if (const auto before = os::read_file(kept); before && *before == rules) {
        if (::rename(kept.c_str(), path.c_str()) == 0) return {};
    }
    struct stat info{};
    const bool known = ::stat(path.c_str(), &info) == 0;
    RLV_CHECK(os::write_file(path, rules, known ? info.st_mode & 07777U : 0600));
    (void)::unlink(kept.c_str());
    return {};
}

namespace {

std::string note_name(const std::string& data_dir) { return path_beside(data_dir, ".gated"); }

}  // namespace

Status note_gate(const std::string& data_dir, const std::string& hba_file) {
    std::ofstream out(note_name(data_dir), std::ios::trunc);
    out << hba_file;
    out.close();
    if (!out) return std::unexpected(system_error(note_name(data_dir)));
    return {};
}

std::string noted_gate(const std::string& data_dir) {
    std::ifstream in(note_name(data_dir));
    return {std::istreambuf_iterator<char>(in), {}};
}

void forget_gate(const std::string& data_dir) { (void)::unlink(note_name(data_dir).c_str()); }

}  // namespace relevo::postgres
