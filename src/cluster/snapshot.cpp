#include "cluster/snapshot.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "cluster/keys.h"

namespace relevo::cluster {
namespace {

const KeyValue* find(const KeyTree& tree, const std::string& key) {
    const auto found = tree.keys.find(key);
    return found == tree.keys.end() ? nullptr : &found->second;
}

bool is_system_id(std::string_view text) {
    constexpr std::size_t length_min = 10;
    return text.size() >= length_min &&
           std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

Result<StatusKey> parse_optime(std::string_view text) {
    const auto position = parse_decimal(text);
    if (!position || *position < 0) return fail(ErrorCode::invalid, "no decimal position");
    return StatusKey{Lsn{static_cast<std::uint64_t>(*position)}, {}, {}};
}

}  // namespace

bool SyncState::names(std::string_view member) const {
    return std::any_of(voters.begin(), voters.end(),
                       [&](const MemberName& voter) { return iequals(voter, member); });
}

bool SyncState::names_or_leader(std::string_view member) const {
    return (active() && iequals(leader, member)) || names(member);
}

const MemberRecord* Snapshot::member(std::string_view name) const {
    for (const auto& [other, record] : members)  // a handful
        if (other == name) return &record;
    return nullptr;
}

const MemberRecord* Snapshot::leader_member() const {
    return leader ? member(leader->name) : nullptr;
}

Timeline Snapshot::timeline() const {
    if (!history) return 0;
    return history->empty() ? 1 : history->back().timeline + 1;
}

bool Snapshot::initialized() const { return initialize && is_system_id(*initialize); }

bool SnapshotReader::unchanged(const std::string& key, const KeyValue& value) const {
    const auto found = seen_.find(key);
    return found != seen_.end() && found->second == value;
}

void SnapshotReader::problem(const std::string& key, const std::string& what, bool has_last) {
    problems_.push_back({key, fmt::format("cannot be understood ({}); {}", what,
                                          has_last ? "the last good value stays in use"
                                                   : "it is not used, repair or remove it")});
}

// The key's value when it is new and good, else the last one (nullptr: there is none); nullopt when
// the key is absent.
template <class T, class Parse>
std::optional<T> SnapshotReader::good(const KeyTree& tree, const char* key, const T* last,
                                      Parse parse) {
    const auto as_it_was = [&] { return last != nullptr ? std::optional<T>(*last) : std::nullopt; };
    const KeyValue* const value = find(tree, key);
    if (value == nullptr) return std::nullopt;
    if (unchanged(key, *value)) return as_it_was();
    Result<T> read = parse(value->value);
    if (read) return *std::move(read);
    problem(key, read.error().message, last != nullptr);
    return as_it_was();
}

void SnapshotReader::read_initialize(const KeyTree& tree, Snapshot& next) {
    const KeyValue* const value = find(tree, keys::initialize);
    if (value == nullptr) return;
    next.initialize_revision = value->mod_revision;
    next.initialize_lease = value->lease;
    next.initialize = value->value;
    if (value->value.empty() || is_system_id(value->value)) return;
    // Before anything good was read the text itself stays: it is there, so nobody may bootstrap.
    const bool has_last = last_->initialize && (last_->initialize->empty() || last_->initialized());
    if (has_last) next.initialize = last_->initialize;
    if (!unchanged(keys::initialize, *value)) {
        problem(keys::initialize, "a system identifier has 10 or more digits", has_last);
    }
}

void SnapshotReader::read_config(const KeyTree& tree, Snapshot& next) {
    const auto parse = [](const std::string& text) -> Result<ConfigKey> {
        RLV_TRY(std::string json, parse_config(text));
        return ConfigKey{std::move(json), 0};
    };
    const auto* last = last_->config ? &*last_->config : nullptr;
    next.config = good<ConfigKey>(tree, keys::config, last, parse);
    if (next.config) next.config->mod_revision = find(tree, keys::config)->mod_revision;
}

void SnapshotReader::read_leader(const KeyTree& tree, Snapshot& next) {
    const KeyValue* const value = find(tree, keys::leader);
    if (value == nullptr || value->value.empty()) return;
    next.leader =
        LeaderKey{value->value, value->create_revision, value->mod_revision, value->lease};
}

void SnapshotReader::read_members(const KeyTree& tree, Snapshot& next) {
    const std::string prefix = keys::member("");
    for (auto it = tree.keys.lower_bound(prefix); it != tree.keys.end(); ++it) {
        const auto& [key, value] = *it;
        if (!key.starts_with(prefix)) break;
        const std::string name = key.substr(prefix.size());
        if (name.empty() || name.find('/') != std::string::npos) continue;
        const MemberRecord* record = last_->member(name);
        Result<MemberRecord> read = fail(ErrorCode::not_found, "");
        if (!unchanged(key, value)) {
            read = parse_member(name, value.value);
            if (read) {
                record = &*read;
            } else {
                problem(key, read.error().message, record != nullptr);
            }
        }
        if (record == nullptr) continue;
        MemberRecord& placed = next.members.insert_or_assign(name, *record).first->second;
        placed.lease = value.lease;
        placed.mod_revision = value.mod_revision;
    }
}

void SnapshotReader::read_status(const KeyTree& tree, Snapshot& next) {
    const StatusKey* const last = last_->has_status ? &last_->status : nullptr;
    std::optional<StatusKey> status;
    if (find(tree, keys::status) != nullptr) {
        status = good<StatusKey>(tree, keys::status, last, parse_status);
    } else if (const KeyValue* const legacy = find(tree, keys::optime)) {
        // Read each time: the last value may have come from the other key.
        const auto read = parse_optime(legacy->value);
        if (read)
            status = *read;
        else if (last != nullptr)
            status = *last;
        if (!read && !unchanged(keys::optime, *legacy)) {
            problem(keys::optime, read.error().message, last != nullptr);
        }
    }
    next.has_status = status.has_value();
    if (status) next.status = *std::move(status);
}

void SnapshotReader::read_failover(const KeyTree& tree, Snapshot& next) {
    const KeyValue* const value = find(tree, keys::failover);
    if (value == nullptr) return;
    next.failover_revision = value->mod_revision;
    next.failover = last_->failover;
    if (unchanged(keys::failover, *value)) return;
    auto read = parse_failover(value->value);
    if (!read) return problem(keys::failover, read.error().message, last_->failover.has_value());
    next.failover.reset();
    if (read->leader.empty() && read->member.empty()) return;
    read->mod_revision = value->mod_revision;
    next.failover = *std::move(read);
}

void SnapshotReader::read_sync(const KeyTree& tree, Snapshot& next) {
    const KeyValue* const value = find(tree, keys::sync);
    if (value == nullptr) return;
    next.sync = last_->sync;
    if (!unchanged(keys::sync, *value)) {
        auto read = parse_sync(value->value);
        if (read) {
            next.sync = *std::move(read);
        } else {
            const bool has_last = last_->sync.mod_revision != 0 && !last_->sync.unreadable;
            next.sync.unreadable = !has_last;
            problem(keys::sync, read.error().message, has_last);
        }
    }
    next.sync.mod_revision = value->mod_revision;
}

void SnapshotReader::read_timeline(const KeyTree& tree, Snapshot& next) {
    const KeyValue* const value = find(tree, keys::timeline);
    if (value == nullptr) return;
    next.granted = last_->granted;
    if (!unchanged(keys::timeline, *value)) {
        const auto read = parse_timeline(value->value);
        if (read)
            next.granted = *read;
        else
            problem(keys::timeline, read.error().message, last_->granted.number != 0);
    }
    next.granted.mod_revision = value->mod_revision;
}

// Without a good value before it is there all the same, and nobody may act as if it were not.
void SnapshotReader::read_restoration(const KeyTree& tree, Snapshot& next) {
    const KeyValue* const value = find(tree, keys::restore);
    if (value == nullptr) return;
    next.restoration = last_->restoration;
    if (!unchanged(keys::restore, *value)) {
        auto read = parse_restoration(value->value);
        if (read)
            next.restoration = *std::move(read);
        else
            problem(keys::restore, read.error().message, next.restoration.has_value());
    }
    if (!next.restoration) next.restoration.emplace();
    next.restoration->revision = value->mod_revision;
}

// Whose turn it was does not tell whose it is: what cannot be read stops everybody.
void SnapshotReader::read_rebuild(const KeyTree& tree, Snapshot& next) {
    const KeyValue* const value = find(tree, keys::rebuild);
    if (value == nullptr) return;
    if (unchanged(keys::rebuild, *value)) {
        next.rebuild = last_->rebuild;
    } else if (auto read = parse_rebuild(value->value)) {
        next.rebuild = *std::move(read);
    } else {
        problem(keys::rebuild, read.error().message, false);
        next.rebuild.emplace();
    }
    next.rebuild->revision = value->mod_revision;
}

std::shared_ptr<const Snapshot> SnapshotReader::read_shared(const KeyTree& tree) {
    auto shared = std::make_shared<Snapshot>();
    Snapshot& next = *shared;
    next.revision = tree.revision;
    read_initialize(tree, next);
    read_config(tree, next);
    read_leader(tree, next);
    read_members(tree, next);
    read_status(tree, next);
    read_failover(tree, next);
    read_sync(tree, next);
    const auto* history = last_->history ? &*last_->history : nullptr;
    next.history = good<std::vector<HistoryLine>>(tree, keys::history, history, parse_history);
    read_timeline(tree, next);
    const auto* deposed = seen_.contains(keys::deposed) ? &last_->deposed : nullptr;
    if (auto read = good<Deposed>(tree, keys::deposed, deposed, parse_deposed))
        next.deposed = *std::move(read);
    const auto* failsafe = seen_.contains(keys::failsafe) ? &last_->failsafe : nullptr;
    if (auto read =
            good<std::map<MemberName, std::string>>(tree, keys::failsafe, failsafe, parse_failsafe))
        next.failsafe = *std::move(read);
    read_restoration(tree, next);
    read_rebuild(tree, next);
    remember(tree);
    last_ = std::move(shared);
    return last_;
}

// What did not change is not copied again.
void SnapshotReader::remember(const KeyTree& tree) {
    auto seen = seen_.begin();
    for (const auto& [key, value] : tree.keys) {
        while (seen != seen_.end() && seen->first < key) seen = seen_.erase(seen);
        if (seen == seen_.end() || seen->first != key)
            seen_.emplace_hint(seen, key, value);
        else {
            if (seen->second != value) seen->second = value;
            ++seen;
        }
    }
    seen_.erase(seen, seen_.end());
}

std::vector<SnapshotReader::Problem> SnapshotReader::take_problems() {
    return std::exchange(problems_, {});
}

}  // namespace relevo::cluster
