#include "dns/key.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "base/text.h"

namespace relevo::dns {

namespace {

constexpr std::array<std::string_view, 5> algorithms{"hmac-sha1", "hmac-sha224", "hmac-sha256",
                                                     "hmac-sha384", "hmac-sha512"};

bool is_base64(std::string_view text) {
    return !text.empty() && text.size() % 4 == 0 && std::ranges::all_of(text, [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               c == '+' || c == '/' || c == '=';
    });
}

bool is_name(std::string_view text) {
    return !text.empty() && text.size() < 250 &&
           std::ranges::all_of(
               text,
               [](char c) {
                   return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
               });
}

std::string dotted(std::string text) {
    if (!text.ends_with('.')) text.push_back('.');
    return text;
}

Result<Key> checked(std::string name, std::string algorithm, std::string secret) {
    algorithm = lower(algorithm);
    if (algorithm.ends_with('.')) algorithm.pop_back();
    if (!is_name(name)) return fail(ErrorCode::invalid, "the TSIG key has no usable name");
    if (std::ranges::find(algorithms, algorithm) == algorithms.end())
        return fail(ErrorCode::invalid,
                    "the TSIG key's algorithm must be hmac-sha256 (or another "
                    "hmac-sha...); make one with `tsig-keygen relevo`");
    if (!is_base64(secret)) return fail(ErrorCode::invalid, "the TSIG key's secret is not base64");
    return Key{dotted(std::move(name)), dotted(std::move(algorithm)), std::move(secret)};
}

// Words and the marks between them; comments of both servers are left out.
std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    std::string word;
    const auto end_word = [&] {
        if (!word.empty()) words.push_back(std::exchange(word, {}));
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool slashes = c == '/' && i + 1 < text.size() && text[i + 1] == '/' && word.empty();
        if (c == '#' || slashes) {
            while (i < text.size() && text[i] != '\n') ++i;
            end_word();
        } else if (c == '"' || c == ';' || c == '{' || c == '}' || c == ' ' || c == '\t' ||
                   c == '\n' || c == '\r') {
            end_word();
        } else {
            word.push_back(c);
        }
    }
    end_word();
    return words;
}

}  // namespace

Result<Key> parse_key(std::string_view text) {
    const auto words = words_of(text);
    if (words.size() == 1) {
        const auto parts = split(words.front(), ':');
        if (parts.size() == 3) return checked(parts[1], parts[0], parts[2]);
    }
    // key "name" { algorithm hmac-sha256; secret "..."; };     key: - id: name algorithm: ...
    std::map<std::string, std::string> found;
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
        auto word = words[i];
        if (word.ends_with(':')) word.pop_back();
        if (word == "key" && words[i + 1] == "-") continue;
        if (word == "id") word = "key";
        if (word == "key" || word == "algorithm" || word == "secret") {
            if (found.contains(word))
                return fail(ErrorCode::invalid, "the TSIG key file must hold one key only");
            found[word] = words[++i];
        }
    }
    if (found.size() != 3)
        return fail(ErrorCode::invalid,
                    "no TSIG key is in it: expected what `tsig-keygen relevo` or `keymgr -t "
                    "relevo` prints, or algorithm:name:secret");
    return checked(found["key"], found["algorithm"], found["secret"]);
}

}  // namespace relevo::dns
