#include "dns/update.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace relevo::dns {

namespace {

constexpr std::string_view opening = "relevo term=";

std::string dotted(std::string_view name) {
    auto text = lower(name);
    if (!text.ends_with('.')) text.push_back('.');
    return text;
}

std::string term_text(const Desired& desired) {
    return fmt::format("{}{} member={}", opening, desired.term, desired.member);
}

net::Task<Result<std::vector<std::string>>> ask(Link& link, std::string name, Type type) {
    auto message = question(name, type);
    if (message.empty())
        co_return fail(ErrorCode::invalid, fmt::format("{} is no name for DNS", name));
    RLV_CO_TRY(const auto bytes, co_await link.ask(std::move(message)));
    RLV_CO_TRY(const auto records, read_answer(bytes));
    std::vector<std::string> texts;
    for (const auto& record : records)
        if (record.type == type && record.name == dotted(name)) texts.push_back(record.text);
    co_return texts;
}

net::Task<Result<bool>> as_wanted(Link& link, const Desired& desired) {
    for (const auto& [name, all] : desired.names) {
        std::set<std::string> found;
        for (const auto type : {Type::a, Type::aaaa}) {
            RLV_CO_TRY(const auto texts, co_await ask(link, name, type));
            found.insert(texts.begin(), texts.end());
        }
        if (found != all) co_return false;
    }
    co_return true;
}

struct Guard {
    std::vector<std::string> all;  // TXT records, ours among them
    std::string ours;
    std::uint64_t term = 0;
};

net::Task<Result<Guard>> read_guard(Link& link, const Desired& desired) {
    Guard guard;
    RLV_CO_TRY(guard.all, co_await ask(link, desired.guard, Type::txt));
    for (const auto& text : guard.all) {
        const auto term = term_of(text);
        if (!term || *term < guard.term) continue;
        guard.term = *term;
        guard.ours = text;
    }
    co_return guard;
}

net::Task<Result<Done>> verify(Link& link, const Desired& desired) {
    RLV_CO_TRY(const auto after, co_await read_guard(link, desired));
    RLV_CO_TRY(const bool same, co_await as_wanted(link, desired));
    if (same && after.term == desired.term) co_return Done::changed;
    if (after.term > desired.term) co_return fail(ErrorCode::conflict, "a newer leader wrote it");
    co_return fail(ErrorCode::failed,
                   fmt::format("the update of {} was accepted, but the server does not answer "
                               "with what was written",
                               desired.guard));
}

net::Task<Result<Done>> try_once(const OpenLink& open, const Desired& desired, const Key& key,
                                 const std::function<bool()>& may_write) {
    RLV_CO_TRY(const auto look, co_await open());
    RLV_CO_TRY(auto guard, co_await read_guard(*look, desired));
    if (guard.term > desired.term)
        co_return fail(ErrorCode::invalid,
                       fmt::format("{} already carries term {}, ours is {}: it belongs to a newer "
                                   "leader. (If etcd was made anew, terms began again: delete the "
                                   "TXT record of {} once.)",
                                   desired.guard, guard.term, desired.term, desired.guard));
    if (guard.ours == '"' + term_text(desired) + '"') {
        RLV_CO_TRY(const bool same, co_await as_wanted(*look, desired));
        if (same) co_return Done::unchanged;
    }
    Update update{.zone = desired.zone,
                  .guard = desired.guard,
                  .guard_then = std::move(guard.all),
                  .term_before = std::move(guard.ours),
                  .term_after = term_text(desired),
                  .names = desired.names,
                  .ttl_s = desired.ttl_s};
    RLV_CO_TRY(const auto message, update_message(update, key));
    RLV_CO_TRY(const auto write, co_await open());
    if (!may_write()) co_return fail(ErrorCode::cancelled, "this member does not lead any more");
    RLV_CO_TRY(const auto bytes, co_await write->ask(message.bytes));
    RLV_CO_CHECK(read_update_answer(bytes, message, key));
    RLV_CO_TRY(const auto again, co_await open());
    co_return co_await verify(*again, desired);
}

}  // namespace

std::optional<std::uint64_t> term_of(std::string_view txt) {
    if (txt.starts_with('"')) txt.remove_prefix(1);
    if (!txt.starts_with(opening)) return std::nullopt;
    txt.remove_prefix(opening.size());
    std::uint64_t term = 0;
    const auto [end, error] = std::from_chars(txt.data(), txt.data() + txt.size(), term);
    if (error != std::errc() || (end != txt.data() + txt.size() && *end != ' ' && *end != '"'))
        return std::nullopt;
    return term;
}

net::Task<Result<Done>> bring_up_to_date(const OpenLink& open, const Desired& desired,
                                         const Key& key, const std::function<bool()>& may_write) {
    // A conflict means that somebody wrote between our look and our update: who, is looked at
    // again.
    constexpr int tries = 3;
    for (int i = 1;; ++i) {
        auto done = co_await try_once(open, desired, key, may_write);
        if (done || done.error().code != ErrorCode::conflict || i == tries) co_return done;
    }
}

}  // namespace relevo::dns
