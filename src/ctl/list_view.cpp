#include "ctl/list_view.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>

#include "base/text.h"
#include "cluster/publish.h"
#include "config/node.h"
#include "ctl/table.h"
#include "ctl/yaml.h"

namespace relevo::ctl {
namespace {

using cluster::MemberRow;
using cluster::ShownRole;

constexpr std::size_t reason_width_max = 50;

// The columns in their order. Those from copied on are shown only when somebody has a
// value.
enum class Key {
    cluster,
    member,
    host,
    role,
    state,
    timeline,
    receive_lsn,
    receive_lag,
    replay_lsn,
    replay_lag,
    copied,
    pending_restart,
    pending_restart_reason,
    scheduled_restart,
    tags,
};

struct KeyInfo {
    Key key;
    const char* name;    // for programs
    const char* header;  // over a table
    Align align;
    bool optional;
};
constexpr KeyInfo columns[] = {
    {Key::cluster, "Cluster", nullptr, Align::left, false},
    {Key::member, "Member", "Member", Align::left, false},
    {Key::host, "Host", "Host", Align::left, false},
    {Key::role, "Role", "Role", Align::left, false},
    {Key::state, "State", "State", Align::left, false},
    {Key::timeline, "TL", "TL", Align::right, false},
    {Key::receive_lsn, "Receive LSN", "Receive LSN", Align::right, false},
    {Key::receive_lag, "Receive Lag", "Lag", Align::right, false},
    {Key::replay_lsn, "Replay LSN", "Replay LSN", Align::right, false},
    {Key::replay_lag, "Replay Lag", "Lag", Align::right, false},
    {Key::copied, "Copied", "Copied", Align::left, true},
    {Key::pending_restart, "Pending restart", "Pending restart", Align::left, true},
    {Key::pending_restart_reason, "Pending restart reason", "Pending restart reason", Align::left,
     true},
    {Key::scheduled_restart, "Scheduled restart", "Scheduled restart", Align::left, true},
    {Key::tags, "Tags", "Tags", Align::left, true},
};

struct Value {
    Field field;  // for programs
    Cell cell;    // for a table
};
using Row = std::map<Key, Value>;

bool is_leader(const MemberRow& row) {
    return row.role == ShownRole::leader || row.role == ShownRole::standby_leader;
}

Tone role_tone(const MemberRow& row) { return is_leader(row) ? Tone::leader : Tone::plain; }

Tone state_tone(const MemberRow& row) {
    if (row.state == "running" || row.state == "streaming") return Tone::good;
    for (const char* bad : {"stopped", "crashed", "failed", "unknown"})
        if (icontains(row.state, bad)) return Tone::bad;
    return Tone::attention;
}

// Whole megabytes, half to even as Python rounds.
std::int64_t megabytes(std::uint64_t bytes) {
    return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(bytes) / 1048576.0));
}

Value text_value(const std::string& text, Tone tone = Tone::plain) {
    return {text_field(text), {text, tone}};
}

Value number_value(std::int64_t number, Tone tone = Tone::plain) {
    return {number_field(number), {fmt::format("{}", number), tone}};
}

void put_position(Row& out, Key lsn, Key lag, const cluster::ShownPosition& position) {
    if (!position.lsn) {
        out[lsn] = text_value("unknown", Tone::bad);
        return;
    }
    out[lsn] = text_value(cluster::to_string(*position.lsn));
    if (!position.lag) return;
    const auto shown = megabytes(*position.lag);
    out[lag] = number_value(shown, shown > 0 ? Tone::attention : Tone::plain);
}

// A member of another make may only tell one position: it is shown where it belongs.
void put_positions(Row& out, const MemberRow& row) {
    if (row.holds_lock) return;
    auto receive = row.receive, replay = row.replay;
    if (!receive.lsn && !replay.lsn && row.generic.lsn)
        (row.state == "streaming" ? receive : replay) = row.generic;
    put_position(out, Key::receive_lsn, Key::receive_lag, receive);
    put_position(out, Key::replay_lsn, Key::replay_lag, replay);
}

void put_reason(Row& out, const MemberRow& row) {
    std::vector<std::string> full, brief;
    for (const auto& [guc, change] : row.pending_restart_reason) {
        full.push_back(fmt::format("{}: {}->{}", guc, change.old_value, change.new_value));
        const bool fits = display_width(full.back()) <= reason_width_max;
        brief.push_back(fits ? full.back() : guc + ": [hidden - too long]");
    }
    if (full.empty()) return;
    out[Key::pending_restart_reason] = {text_field(join(full, "\n")),
                                        {join(brief, "\n"), Tone::attention}};
}

void put_tags(Row& out, const MemberRow& row, Format format) {
    if (row.tags.published.empty()) return;
    auto tags = config::Node::map();
    for (const auto& [name, value] : row.tags.published) tags.set(name, node_of_json(value.json));
    const auto flow = to_flow_yaml(tags);
    const auto block = std::string(trim(config::to_yaml(tags)));
    out[Key::tags] = {{flow, config::to_json(tags)},
                      {format == Format::topology ? flow : block, Tone::plain}};
}

Row row_of(const Shown& shown, const MemberRow& row, bool with_port, Format format) {
    Row out;
    out[Key::cluster] = text_value(shown.cluster);
    out[Key::member] = text_value(row.name, role_tone(row));
    if (!row.host.empty())
        out[Key::host] =
            text_value(with_port ? fmt::format("{}:{}", row.host, row.port) : row.host);
    out[Key::role] = text_value(cluster::to_column_text(row.role), role_tone(row));
    out[Key::state] = text_value(row.state, state_tone(row));
    if (row.timeline != 0) out[Key::timeline] = number_value(row.timeline);
    put_positions(out, row);
    if (const auto copied = shown.copied.find(row.name); copied != shown.copied.end())
        out[Key::copied] = text_value(copied->second, Tone::attention);
    if (row.pending_restart) out[Key::pending_restart] = text_value("*", Tone::attention);
    put_reason(out, row);
    if (row.scheduled_restart) {
        auto text = row.scheduled_restart->schedule;
        if (!row.scheduled_restart->postgres_version.empty())
            text += " if version < " + row.scheduled_restart->postgres_version;
        out[Key::scheduled_restart] = text_value(text);
    }
    put_tags(out, row, format);
    return out;
}

// The port matters when it is not PostgreSQL's own or does not tell two members apart.
bool ports_needed(const std::vector<MemberRow>& rows) {
    std::set<std::string> hosts;
    return std::ranges::any_of(rows, [&](const MemberRow& row) {
        return !row.host.empty() && (row.port != 5432 || !hosts.insert(row.host).second);
    });
}

// Leader first, below each member those who stream from it, depth first.
class Tree {
public:
    explicit Tree(std::vector<MemberRow> rows) : rows_(std::move(rows)) {
        const auto leader = std::ranges::find_if(rows_, is_leader);
        const std::string leader_name = leader == rows_.end() ? "" : leader->name;
        std::set<std::string> names;
        for (const auto& row : rows_) names.insert(row.name);
        for (const auto& row : rows_) {
            if (row.name == leader_name) continue;
            const auto from = row.tags.replicatefrom();
            const bool cascades = names.contains(from) && from != leader_name && from != row.name;
            children_[cascades ? from : leader_name].push_back(&row);
        }
        if (leader != rows_.end()) place(*leader, 0);
        for (const auto* row : children_[""]) place(*row, 0);
        // A circle of replicatefrom hangs from nobody; its members are still members.
        for (const auto& row : rows_)
            if (!placed_.contains(row.name)) place(row, leader_name.empty() ? 0 : 1);
    }
    std::vector<MemberRow> take() { return std::move(order_); }

private:
    void place(const MemberRow& row, std::size_t level) {
        if (!placed_.insert(row.name).second) return;
        order_.push_back(row);
        if (level > 0) order_.back().name = std::string(2 * (level - 1), ' ') + "+ " + row.name;
        for (const auto* child : children_[row.name]) place(*child, level + 1);
    }

    std::vector<MemberRow> rows_, order_;
    std::map<std::string, std::vector<const MemberRow*>> children_;
    std::set<std::string> placed_;
};

std::vector<Row> rows_of(const Shown& shown, const ListOptions& options) {
    auto members = cluster::member_rows(shown.snapshot, shown.settings);
    const bool with_port = ports_needed(members);
    if (options.format == Format::topology) members = Tree(std::move(members)).take();
    std::vector<Row> rows;
    rows.reserve(members.size());
    for (const auto& member : members)
        rows.push_back(row_of(shown, member, with_port, options.format));
    return rows;
}

std::vector<KeyInfo> columns_for(const std::vector<Row>& rows, const ListOptions& options,
                                 bool as_table) {
    std::vector<KeyInfo> chosen;
    for (const auto& column : columns) {
        if (as_table && column.key == Key::cluster) continue;
        const auto has = [&](const Row& row) { return row.contains(column.key); };
        // Not one of Patroni's: whoever reads all of those by their place finds them there.
        const bool asked_for = options.extended && column.key != Key::copied;
        if (!column.optional || asked_for || std::ranges::any_of(rows, has))
            chosen.push_back(column);
    }
    return chosen;
}

std::string title_of(const Shown& shown) {
    const auto& id = shown.snapshot.initialize;
    const std::string state = !id ? "uninitialized" : id->empty() ? "initializing" : *id;
    return fmt::format("Cluster: {} ({})", shown.cluster, state);
}

// A quorum that cannot be met: whether commits wait, and whom they, or an election, wait for.
std::string quorum_footer(const Shown& shown) {
    const auto& sync = shown.snapshot.sync;
    if (shown.settings.synchronous_mode == cluster::SyncMode::off || !sync.active()) return {};
    if (sync.unreadable) return " Synchronous replication: the sync key cannot be read\n";
    std::string missing;
    int voters = 0, there = 0;
    for (const auto& name : sync.voters) {
        if (iequals(name, sync.leader)) continue;
        ++voters;
        const auto* member = shown.snapshot.member(name);
        const bool streams =
            member && member->running() &&
            (member->replication_state == "streaming" || member->replication_state.empty());
        there += static_cast<int>(streams);
        if (!streams) missing += (missing.empty() ? "" : ", ") + name;
    }
    if (voters == 0)
        return shown.settings.synchronous_mode_strict ? " Commits wait: synchronous_mode_strict is "
                                                        "set, and no standby is synchronous\n"
                                                      : "";
    const int needed = voters - sync.quorum;
    if (there < needed)
        return fmt::format(
            " Commits wait: {} of {} synchronous standbys must confirm them, {} can; "
            "missing: {}\n",
            needed, voters, there, missing);
    if (there < sync.quorum + 1)
        return fmt::format(
            " No failover is possible now: {} voters must take part, {} can; missing: "
            "{}\n",
            sync.quorum + 1, there, missing);
    return {};
}

const char* disk_words(cluster::DiskState state) {
    switch (state) {
        case cluster::DiskState::failed: return "takes no writes";
        case cluster::DiskState::hold: return "is nearly full";
        case cluster::DiskState::warning:
        case cluster::DiskState::ok: break;
    }
    return "is filling";
}

std::string footer_of(const Shown& shown) {
    std::string out = quorum_footer(shown);
    if (shown.settings.pause) out += " Maintenance mode: on\n";
    if (const auto& r = shown.snapshot.restoration; r && r->goes_on())
        out += fmt::format(" Restore in place by {}: {} (relevoctl restore --status)\n", r->member,
                           to_string(r->phase));
    if (const auto& r = shown.snapshot.rebuild)
        if (const auto text = cluster::describe(*r, shown.now); !text.empty())
            out += fmt::format(" {}\n", text);
    for (const auto& [name, member] : shown.snapshot.members)
        if (!member.admission.empty())
            out +=
                fmt::format(" {} lets no client in, readers neither: {}\n", name, member.admission);
    for (const auto& [name, member] : shown.snapshot.members)
        if (!member.disk_note.empty())
            out += fmt::format(" {}: its disk {}: {}\n", name, disk_words(member.disk),
                               member.disk_note);
    for (const auto& [name, member] : shown.snapshot.members)
        if (member.corrupted)
            out += fmt::format(" {}: its data is damaged: {}\n", name, member.corruption_note);
        else if (!member.corruption_note.empty())
            out += fmt::format(" {}: its data may be damaged: {}\n", name, member.corruption_note);
    for (const auto& [name, member] : shown.snapshot.members)
        if (!member.archive_note.empty() && shown.snapshot.led_by(name))
            out += fmt::format(" The archive: {}\n", member.archive_note);
    for (const auto& [name, member] : shown.snapshot.members)
        if (member.refuses_writes && shown.snapshot.led_by(name))
            out += fmt::format(" {} refuses writes until there is room; reads go on\n", name);
    for (const auto& [name, member] : shown.snapshot.members)
        if (!member.lowered_commits.empty() && shown.snapshot.led_by(name))
            out += fmt::format(" synchronous_commit is {}: such commits may be lost\n",
                               member.lowered_commits);
    const auto& request = shown.snapshot.failover;
    if (request && !request->scheduled_at_text.empty()) {
        out += fmt::format(" Switchover scheduled at: {}\n", request->scheduled_at_text);
        if (!request->leader.empty()) out += fmt::format("{:>24}: {}\n", "from", request->leader);
        if (!request->member.empty()) out += fmt::format("{:>24}: {}\n", "to", request->member);
    }
    return out;
}

}  // namespace

std::string cluster_table(const Shown& shown, const ListOptions& options) {
    const auto rows = rows_of(shown, options);
    const auto chosen = columns_for(rows, options, true);
    Table table{.title = title_of(shown), .columns = {}, .rows = {}};
    for (const auto& column : chosen) table.columns.push_back({column.header, column.align});
    for (const auto& row : rows) {
        std::vector<Cell> cells;
        for (const auto& column : chosen) {
            const auto found = row.find(column.key);
            cells.push_back(found == row.end() ? Cell{} : found->second.cell);
        }
        table.rows.push_back(std::move(cells));
    }
    return draw(table, options.colour) + footer_of(shown);
}

std::string cluster_records(const std::vector<Shown>& clusters, const ListOptions& options) {
    std::vector<Row> rows;
    for (const auto& shown : clusters)
        std::ranges::move(rows_of(shown, options), std::back_inserter(rows));
    const auto chosen = columns_for(rows, options, false);
    Records records;
    for (const auto& column : chosen) records.names.emplace_back(column.name);
    for (const auto& row : rows) {
        std::vector<Field> fields;
        for (const auto& column : chosen) {
            const auto found = row.find(column.key);
            fields.push_back(found == row.end() ? Field{} : found->second.field);
        }
        records.rows.push_back(std::move(fields));
    }
    switch (options.format) {
        case Format::json: return to_json_line(records);
        case Format::yaml: return to_yaml_list(records);
        case Format::tsv:
        case Format::pretty:
        case Format::topology: break;
    }
    return to_tsv(records);
}

std::string list_text(const std::vector<Shown>& clusters, const ListOptions& options) {
    if (options.format != Format::pretty && options.format != Format::topology)
        return cluster_records(clusters, options);
    std::string out;
    for (const auto& shown : clusters) out += cluster_table(shown, options);
    return out;
}

}  // namespace relevo::ctl
