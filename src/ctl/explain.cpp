#include "ctl/explain.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/text.h"
#include "config/node.h"
#include "ctl/changes.h"
#include "ctl/dialogue.h"
#include "ctl/table.h"
#include "ctl/yaml.h"

namespace relevo::ctl {
namespace {

using cluster::JournalEntry;
using cluster::MemberName;
using config::Node;
using Kind = cluster::JournalKind;
using std::chrono::microseconds;

// A host that is gone must not keep an operator waiting.
constexpr Duration member_deadline = std::chrono::seconds(3);

struct Wanted {
    std::string cluster;
    std::optional<std::size_t> number;  // absent: the last
};

struct Gathered {
    std::vector<JournalEntry> entries;
    std::map<MemberName, std::string> not_asked;  // and why
    std::set<MemberName> answered;
    std::map<MemberName, microseconds> ahead;  // members whose clocks were corrected
    int unreadable = 0;
};

struct Heard {
    cluster::Journal journal;
    microseconds offset{};     // its clock against ours
    microseconds uncertain{};  // half of the time that the answer took
};

Result<Wanted> wanted_by(const std::vector<std::string>& words) {
    Wanted wanted;
    bool chosen = false;
    for (const auto& word : words) {
        const auto number = parse_decimal(word);
        const bool which = word == "last" || number;
        if (which && std::exchange(chosen, true))
            return fail(ErrorCode::invalid, "name one change of leader: last, or its number");
        if (number && *number < 1)
            return fail(ErrorCode::invalid,
                        "changes of leader are numbered from 1, the oldest that is known");
        if (number) wanted.number = static_cast<std::size_t>(*number);
        if (which) continue;
        if (!wanted.cluster.empty())
            return fail(ErrorCode::invalid,
                        "name one cluster, not " + wanted.cluster + " and " + word);
        wanted.cluster = word;
    }
    return wanted;
}

Result<Heard> ask(Context& context, const cluster::MemberRecord& member) {
    const auto sent = context.clock.wall();
    RLV_TRY(const auto answer, call(context, member, "GET", "/journal", "", member_deadline));
    const auto received = context.clock.wall();
    if (answer.status != 200)
        return fail(ErrorCode::failed,
                    fmt::format("it keeps no journal: answered {}", answer.status));
    auto journal = cluster::parse_journal(answer.body);
    if (!journal || journal->member != member.name)
        return fail(ErrorCode::failed, "it keeps no journal: is it an agent of relevo?");
    Heard heard;
    heard.uncertain = (received - sent) / 2;
    heard.offset = journal->wall - (sent + heard.uncertain);
    heard.journal = *std::move(journal);
    return heard;
}

// Times are left as they are unless the clocks disagree by more than the network can explain.
void compare_clocks(std::map<MemberName, Heard>& heard, Gathered& out) {
    constexpr microseconds tolerated = std::chrono::milliseconds(50);
    std::vector<microseconds> offsets;
    offsets.reserve(heard.size());
    for (const auto& [name, one] : heard) offsets.push_back(one.offset);
    std::ranges::sort(offsets);
    const auto middle = offsets.empty() ? microseconds{} : offsets[(offsets.size() - 1) / 2];
    for (auto& [name, one] : heard) {
        const auto ahead = one.offset - middle;
        if (std::chrono::abs(ahead) <= tolerated + 2 * one.uncertain) continue;
        out.ahead[name] = ahead;
        for (auto& entry : one.journal.entries) entry.wall -= ahead;
    }
}

Gathered gather(Context& context, const Loaded& loaded) {
    Gathered out;
    std::map<MemberName, Heard> heard;
    for (const auto* member : members_with(loaded.snapshot(), RoleFilter::any)) {
        auto one = ask(context, *member);
        if (one) {
            out.answered.insert(member->name);
            heard[member->name] = *std::move(one);
        } else {
            out.not_asked[member->name] = one.error().message;
        }
    }
    compare_clocks(heard, out);
    for (auto& [name, one] : heard) {
        out.unreadable += one.journal.unreadable;
        std::ranges::move(one.journal.entries, std::back_inserter(out.entries));
    }
    return out;
}

// Whoever played a part and has no member key any more.
void name_absent(Gathered& out, const Change& change) {
    std::set<MemberName> names = {change.before, change.after};
    for (const auto& entry : change.entries) names.insert(entry.about);
    names.erase("");
    for (const auto& name : names)
        if (!out.answered.contains(name))
            out.not_asked.try_emplace(name, "it has no key in the DCS");
}

// ---- for people

struct Row {
    std::int64_t offset_ms = 0;
    std::string member, text;
};

std::vector<Row> rows_of(const Change& change) {
    const auto offset = [&](WallTime at) {
        return std::chrono::duration_cast<std::chrono::milliseconds>(at - change.first_sign)
            .count();
    };
    std::vector<Row> rows;
    for (const auto& entry : change.entries) {
        rows.push_back({offset(entry.wall), entry.member, entry.text});
        if (entry.kind == Kind::suspects && entry.ms >= 0)
            rows.push_back({offset(entry.wall) - entry.ms, entry.member,
                            fmt::format("hears {} for the last time",
                                        entry.about.empty() ? "its leader" : entry.about)});
    }
    std::ranges::sort(rows, {}, [](const Row& row) { return row.offset_ms; });
    return rows;
}

std::string shares_text(const Shares& shares) {
    std::string text = fmt::format("{} ms", shares.total.value_or(0));
    std::string parts;
    const std::pair<const char*, std::optional<std::int64_t>> all[] = {{"detect", shares.detect},
                                                                       {"seal", shares.seal},
                                                                       {"take", shares.take},
                                                                       {"promote", shares.promote}};
    for (const auto& [name, ms] : all)
        if (ms) parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", name, *ms);
    return text + ": " + parts;
}

std::string remarks(const Gathered& gathered) {
    std::string text;
    for (const auto& [name, why] : gathered.not_asked)
        text += fmt::format("Not asked: {} ({})\n", name, trim(why));
    for (const auto& [name, ahead] : gathered.ahead)
        text += fmt::format(
            "Clocks:    {}'s is {} ms {} the others': its times are corrected by "
            "that\n",
            name, std::chrono::abs(ahead).count() / 1000,
            ahead.count() > 0 ? "ahead of" : "behind");
    if (gathered.unreadable > 0)
        text += fmt::format("Left out:  {} entries that this relevoctl does not understand\n",
                            gathered.unreadable);
    return text;
}

std::string as_text(Context& context, const std::string& cluster, const Change& change,
                    std::size_t number, std::size_t count, const Gathered& gathered) {
    std::string text = fmt::format("Change of leader {} of {} in cluster {}: {} -> {}, {}\n\n",
                                   number, count, cluster, change.before, change.after,
                                   local_text(change.first_sign, context.clock, true));
    std::size_t width = 0;
    for (const auto& entry : change.entries) width = std::max(width, display_width(entry.member));
    for (const auto& row : rows_of(change))
        text += fmt::format("{:>8} ms  {}{}  {}\n", fmt::format("{:+}", row.offset_ms), row.member,
                            std::string(width - std::min(width, display_width(row.member)), ' '),
                            row.text);
    text += fmt::format("\nCause:     {}\n", change.cause);
    text += fmt::format("Before:    {}, term {}\n", change.before, change.term_before);
    text += fmt::format(
        "After:     {}, term {}{}\n", change.after, change.term,
        change.timeline != 0 ? fmt::format(", timeline {}", change.timeline) : std::string());
    text += fmt::format("Time:      {}\n", shares_text(change.shares));
    return text + remarks(gathered);
}

// ---- for programs

void set_shares(Node& out, const Shares& shares) {
    auto node = Node::map();
    if (shares.detect) node.set("detect", Node::integer(*shares.detect));
    if (shares.seal) node.set("seal", Node::integer(*shares.seal));
    if (shares.take) node.set("take", Node::integer(*shares.take));
    if (shares.promote) node.set("promote", Node::integer(*shares.promote));
    if (shares.total) node.set("total", Node::integer(*shares.total));
    out.set("shares_ms", std::move(node));
}

Node leader_node(const MemberName& name, cluster::Revision term) {
    auto node = Node::map();
    node.set("member", Node::string(name));
    node.set("term", Node::integer(term));
    return node;
}

void set_change(Node& out, const Change& change, std::size_t number) {
    out.set("number", Node::integer(static_cast<std::int64_t>(number)));
    out.set("cause", Node::string(change.cause));
    out.set("first_sign", Node::string(to_iso(change.first_sign)));
    out.set("before", leader_node(change.before, change.term_before));
    auto after = leader_node(change.after, change.term);
    if (change.timeline != 0) after.set("timeline", Node::integer(change.timeline));
    out.set("after", std::move(after));
    set_shares(out, change.shares);
    auto events = Node::list();
    for (const auto& entry : change.entries) {
        auto event = Node::map();
        const auto offset =
            std::chrono::duration<double, std::milli>(entry.wall - change.first_sign);
        event.set("offset_ms", Node::integer(static_cast<std::int64_t>(offset.count())));
        const auto told = config::parse_json(to_json(entry));
        if (told)
            for (const auto& field : told->fields) event.set(field.key, field.value);
        events.items.push_back(std::move(event));
    }
    out.set("events", std::move(events));
}

std::string as_json(const std::string& cluster, const Change* change, std::size_t number,
                    std::size_t count, const Gathered& gathered) {
    auto out = Node::map();
    out.set("cluster", Node::string(cluster));
    out.set("count", Node::integer(static_cast<std::int64_t>(count)));
    if (change != nullptr) set_change(out, *change, number);
    auto silent = Node::list();
    for (const auto& [name, why] : gathered.not_asked) {
        auto one = Node::map();
        one.set("member", Node::string(name));
        one.set("why", Node::string(why));
        silent.items.push_back(std::move(one));
    }
    out.set("not_asked", std::move(silent));
    auto clocks = Node::map();
    for (const auto& [name, ahead] : gathered.ahead)
        clocks.set(name, Node::integer(ahead.count() / 1000));
    out.set("clocks_ahead_ms", std::move(clocks));
    out.set("left_out", Node::integer(gathered.unreadable));
    return to_spaced_json(out) + "\n";
}

}  // namespace

Outcome explain(Context& context, const ExplainCommand& command) {
    RLV_TRY(const auto wanted, wanted_by(command.words));
    RLV_TRY(const auto loaded, load(context, wanted.cluster));
    auto gathered = gather(context, loaded);
    const auto changes = changes_of_leader(std::exchange(gathered.entries, {}));
    const bool json = command.format == "json";
    if (changes.empty()) {
        context.terminal.out(
            json ? as_json(loaded.name(), nullptr, 0, 0, gathered)
                 : fmt::format("No change of leader is known in cluster {}.\n", loaded.name()) +
                       remarks(gathered));
        return Exit::ok;
    }
    const auto number = wanted.number.value_or(changes.size());
    if (number > changes.size())
        return fail(ErrorCode::not_found,
                    fmt::format("{} changes of leader are known in cluster {}: name one from 1, "
                                "the oldest, to {}",
                                changes.size(), loaded.name(), changes.size()));
    const auto& change = changes[number - 1];
    name_absent(gathered, change);
    context.terminal.out(
        json ? as_json(loaded.name(), &change, number, changes.size(), gathered)
             : as_text(context, loaded.name(), change, number, changes.size(), gathered));
    return Exit::ok;
}

}  // namespace relevo::ctl
