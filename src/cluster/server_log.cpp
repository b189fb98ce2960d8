#include "cluster/server_log.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/text.h"
#include "cluster/json.h"

namespace relevo::cluster {
namespace {

// A record with a statement of megabytes is none of a page.
constexpr std::size_t record_max = 256UL << 10U;
constexpr std::size_t message_max = 200;
// Of one piece. Each is one more of the same, or forged.
constexpr std::size_t messages_max = 50;

constexpr std::array<std::string_view, 3> states = {"XX001", "XX002", "58030"};
constexpr std::array<std::string_view, 3> severities = {"ERROR", "FATAL", "PANIC"};
constexpr std::array<std::string_view, 10> words = {
    "invalid page in block ",
    "could not read block ",
    "unexpected data beyond EOF in block ",
    "contains unexpected zero page at block ",
    "contains corrupted page at block ",
    "failed to re-find parent key in index ",
    "missing chunk number ",
    "unexpected chunk number ",
    "from before relfrozenxid ",
    ": Input/output error",
};

struct Entry {
    std::string severity, state, message, context;
};

template <class List>
bool among(const List& list, std::string_view one) {
    return std::ranges::find(list, one) != list.end();
}

bool has_words(std::string_view message) {
    return std::ranges::any_of(words, [&](auto one) { return message.contains(one); });
}

// What a function raised by itself, or another server said.
bool is_hearsay(const Entry& entry) {
    return entry.context.contains(" at RAISE") || entry.context.contains("remote SQL command");
}

std::string shown(std::string text) {
    if (text.size() > message_max) text.resize(message_max);
    return one_line(std::move(text));
}

bool is_word_char(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

// As a word of its own.
bool has_word(std::string_view text, std::string_view word) {
    for (auto at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
        const auto end = at + word.size();
        const bool begins = at == 0 || !is_word_char(text[at - 1]);
        if (begins && (end == text.size() || !is_word_char(text[end]))) return true;
    }
    return false;
}

// "2026-11-26 19:59:55.407 UTC [17502] boss@app ERROR:  invalid page in block 0 of ...". What
// continues a message begins with a tab.
std::optional<Entry> of_line(std::string_view line) {
    if (line.starts_with('\t')) return std::nullopt;
    // The first such word is the severity: what comes after it is anybody's text.
    const auto colon = line.find(":  ");
    if (colon == std::string_view::npos) return std::nullopt;
    auto before = line.substr(0, colon);
    const auto blank = before.rfind(' ');
    const auto begin = blank == std::string_view::npos ? 0 : blank + 1;
    Entry out;
    out.severity = before.substr(begin);
    before = before.substr(0, begin);
    auto message = line.substr(colon + 3);
    for (const auto state : states) {
        // log_error_verbosity = verbose
        const bool verbose = message.starts_with(std::string(state) + ": ");
        if (verbose) message.remove_prefix(state.size() + 2);
        if (verbose || has_word(before, state)) out.state = state;
    }
    if (out.state.empty() && has_words(message)) out.state = states[0];
    out.message = message;
    return out;
}

std::vector<std::string> csv_fields(std::string_view record) {
    std::vector<std::string> fields(1);
    bool quoted = false;
    for (std::size_t i = 0; i < record.size(); ++i) {
        const char c = record[i];
        if (c == '"') {
            // Doubled, it is one of the text's.
            if (quoted && i + 1 < record.size() && record[i + 1] == '"') {
                fields.back() += '"';
                ++i;
            } else {
                quoted = !quoted;
            }
        } else if (c == ',' && !quoted) {
            fields.emplace_back();
        } else {
            fields.back() += c;
        }
    }
    return fields;
}

// PostgreSQL's documentation, "Using CSV-Format Log Output".
std::optional<Entry> of_csv(std::string_view record) {
    constexpr std::size_t severity = 11, state = 12, message = 13, context = 18, at_least = 23;
    auto fields = csv_fields(record);
    if (fields.size() < at_least) return std::nullopt;
    return Entry{fields[severity], fields[state], fields[message], fields[context]};
}

std::optional<Entry> of_json(std::string_view record) {
    const auto object = json::parse_object(record);
    if (!object) return std::nullopt;
    json::Fields fields(*object);
    Entry out;
    fields.text("error_severity", out.severity);
    fields.text("state_code", out.state);
    fields.text("message", out.message);
    fields.text("context", out.context);
    if (!fields.status()) return std::nullopt;
    return out;
}

std::optional<Entry> read_record(ServerLog::Kind kind, std::string_view record) {
    if (kind == ServerLog::Kind::lines) return of_line(record);
    // Nearly all of a busy log: not worth taking apart.
    if (std::ranges::none_of(states, [&](auto one) { return record.contains(one); }))
        return std::nullopt;
    return kind == ServerLog::Kind::csv ? of_csv(record) : of_json(record);
}

}  // namespace

std::size_t ServerLog::end_of_record(std::string_view piece) {
    if (kind_ != Kind::csv) return piece.find('\n');
    for (std::size_t i = 0; i < piece.size(); ++i) {
        if (piece[i] == '"') quoted_ = !quoted_;
        if (piece[i] == '\n' && !quoted_) return i;
    }
    return std::string_view::npos;
}

std::vector<std::string> ServerLog::read(std::string_view piece) {
    std::vector<std::string> out;
    while (!piece.empty()) {
        if (too_long_) {
            const auto end = piece.find('\n');
            if (end == std::string_view::npos) break;
            piece.remove_prefix(end + 1);
            too_long_ = quoted_ = false;
            continue;
        }
        const auto window = piece.substr(0, record_max + 1 - kept_.size());
        const auto end = end_of_record(window);
        kept_ += window.substr(0, end);
        piece.remove_prefix(end == std::string_view::npos ? window.size() : end + 1);
        if (end == std::string_view::npos) {
            too_long_ = kept_.size() > record_max;
            if (too_long_) kept_.clear();
            continue;
        }
        const auto record = std::exchange(kept_, {});
        const auto entry = read_record(kind_, record);
        if (entry && among(severities, entry->severity) && among(states, entry->state) &&
            !is_hearsay(*entry) && out.size() < messages_max)
            out.push_back(shown(entry->message));
    }
    return out;
}

}  // namespace relevo::cluster
