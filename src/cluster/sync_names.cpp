#include "cluster/sync_names.h"

#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace relevo::cluster {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

// What PostgreSQL's scanner reads as one name without quotes, and not as one of its words.
bool is_plain(std::string_view name) {
    if (name.empty() || !is_letter(name.front())) return false;
    for (const char c : name)
        if (!is_letter(c) && !is_digit(c) && c != '$') return false;
    return !iequals(name, "any") && !iequals(name, "first");
}

std::string quoted(const std::string& name) {
    if (name == "*" || is_plain(name)) return name;
    std::string out = "\"";
    for (const char c : name) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + '"';
}

struct Token {
    enum class What { name, number, punctuation, end } what = What::end;
    std::string text;
    bool quoted = false;
};

class Scanner {
public:
    explicit Scanner(std::string_view text) : text_(text) {}
    Result<Token> next() {
        while (at_ < text_.size() && is_space(text_[at_])) ++at_;
        if (at_ == text_.size()) return Token{};
        const char c = text_[at_];
        if (c == '"') return in_quotes();
        if (c == ',' || c == '(' || c == ')' || c == '*') {
            ++at_;
            const auto what = c == '*' ? Token::What::name : Token::What::punctuation;
            return Token{what, std::string(1, c), false};
        }
        const std::size_t from = at_;
        if (is_digit(c)) {
            while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
            return Token{Token::What::number, std::string(text_.substr(from, at_ - from)), false};
        }
        // Letters beyond ASCII are part of names.
        const auto inside = [](char x) {
            return is_letter(x) || is_digit(x) || x == '$' || static_cast<unsigned char>(x) >= 0x80;
        };
        while (at_ < text_.size() && inside(text_[at_])) ++at_;
        if (at_ == from)
            return fail(ErrorCode::invalid, fmt::format("unexpected character at {}", at_ + 1));
        return Token{Token::What::name, std::string(text_.substr(from, at_ - from)), false};
    }

private:
    std::string_view text_;
    std::size_t at_ = 0;

    Result<Token> in_quotes() {
        Token token{Token::What::name, {}, true};
        for (++at_; at_ < text_.size(); ++at_) {
            if (text_[at_] != '"') {
                token.text += text_[at_];
            } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
                token.text += '"';
                ++at_;
            } else {
                ++at_;
                return token;
            }
        }
        return fail(ErrorCode::invalid, "a quoted name has no end");
    }
};

Result<std::vector<Token>> tokens(std::string_view text) {
    Scanner scanner(text);
    std::vector<Token> out;
    while (true) {
        auto token = scanner.next();
        if (!token) return std::unexpected(token.error());
        if (token->what == Token::What::end) return out;
        out.push_back(*std::move(token));
    }
}

bool is(const Token& token, const char* text) {
    return !token.quoted && token.what != Token::What::number && iequals(token.text, text);
}

// name, name, ...: [from, to) of the tokens.
Status read_list(const std::vector<Token>& all, std::size_t from, std::size_t to, SyncNames& out) {
    if (from >= to) return fail(ErrorCode::invalid, "a list of names is missing");
    for (std::size_t i = from; i < to; ++i) {
        const bool comma = (i - from) % 2 == 1;
        if (comma != is(all[i], ",") || is(all[i], "(") || is(all[i], ")"))
            return fail(ErrorCode::invalid, "names must stand between commas");
        if (comma) continue;
        if (is(all[i], "*"))
            out.everybody = true;
        else
            out.names.push_back(all[i].text);
    }
    if ((to - from) % 2 == 0) return fail(ErrorCode::invalid, "a name is missing after a comma");
    return {};
}

}  // namespace

std::string to_text(const SyncNames& value) {
    if (value.count <= 0) return {};
    std::string list = value.everybody ? "*" : "";
    for (const auto& name : value.names) list += (list.empty() ? "" : ",") + quoted(name);
    if (value.method == SyncNames::Method::any)
        return fmt::format("ANY {} ({})", value.count, list);
    const bool single = value.count == 1 && value.names.size() + (value.everybody ? 1 : 0) == 1;
    return single ? list : fmt::format("{} ({})", value.count, list);
}

Result<SyncNames> parse_sync_names(std::string_view text) {
    auto all = tokens(text);
    if (!all) return std::unexpected(all.error());
    SyncNames out;
    if (all->empty()) return out;
    out.method = SyncNames::Method::first;
    std::size_t at = 0;
    const bool word = is(all->front(), "any") || is(all->front(), "first");
    if (word && all->size() > 1 && (*all)[1].what == Token::What::number) {
        if (is(all->front(), "any")) out.method = SyncNames::Method::any;
        at = 1;
    }
    const bool counted =
        (*all)[at].what == Token::What::number && at + 1 < all->size() && is((*all)[at + 1], "(");
    if (!counted) {
        if (at != 0) return fail(ErrorCode::invalid, "a list of names in brackets is missing");
        out.count = 1;
        RLV_CHECK(read_list(*all, 0, all->size(), out));
        return out;
    }
    const auto count = parse_decimal((*all)[at].text);
    if (!count || *count < 1 || *count > 1000)
        return fail(ErrorCode::invalid, "the number of standbys must be between 1 and 1000");
    out.count = static_cast<int>(*count);
    if (!is(all->back(), ")")) return fail(ErrorCode::invalid, "a closing bracket is missing");
    RLV_CHECK(read_list(*all, at + 2, all->size() - 1, out));
    return out;
}

}  // namespace relevo::cluster
