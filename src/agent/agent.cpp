#include "agent/agent.h"

#include <boost/asio/as_tuple.hpp>
#include <utility>

#include "agent/version.h"
#include "base/assert.h"
#include "base/log.h"
#include "config/backup.h"
#include "config/zone.h"
#include "os/file.h"

namespace relevo::agent {
namespace asio = boost::asio;

namespace {
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);
}

Agent::Agent(asio::io_context& io, Parts parts)
    : io_(io),
      parts_(std::move(parts)),
      pulses_(io, parts_.clock, parts_.dcs, parts_.peers, state_,
              [this](core::Event event) { feed(std::move(event)); }),
      journal_(io, parts_.blocking, parts_.configuration.local().name),
      poolers_(io, parts_.clock),
      proofs_(io, parts_.clock, parts_.backup, parts_.blocking,
              [this]() -> const auto& { return parts_.configuration.postgres(); }),
      backup_jobs_(io, parts_.clock, parts_.dcs, &parts_.backup, &proofs_),
      backups_(io, parts_.clock, parts_.backup,
               [this] {
                   backup_jobs_.repository_ready();
                   archive_watch_.repository_ready();
               }),
      restores_(io, parts_.clock, parts_.backup, parts_.blocking,
                [this] { return parts_.configuration.local().postgres.data_dir; }),
      in_place_({.clock = parts_.clock,
                 .dcs = parts_.dcs,
                 .backup = parts_.backup,
                 .pool = parts_.blocking,
                 .data_dir = [this] { return parts_.configuration.postgres().data_dir; },
                 .work = parts_.in_place}),
      disks_(io, disk_parts()),
      archive_watch_(io, archive_parts()),
      copies_(parts_.blocking, parts_.backup),
      corruptions_(io, corruption_parts()),
      amchecks_(io, amcheck_parts()),
      alarm_(io),
      wake_(io,
            [this] {
                if (!exit_code_) feed(core::TimerFired{});
            }),
      tasks_(io),
      schedule_alarm_(io),
      ended_(io) {
    ended_.expires_at(asio::steady_timer::time_point::max());
    state_.self = parts_.configuration.self();
    state_.settings = parts_.configuration.settings();
    show();
}

Agent::~Agent() = default;

core::Now Agent::clock() const { return {parts_.clock.now(), parts_.clock.wall()}; }

Task<Status> Agent::wait_for_dcs() {
    constexpr Duration try_for =
        std::chrono::seconds(5);  // Patroni's rhythm at start: every 5 s, for ever
    while (!exit_code_) {
        const Instant begun = now();
        auto tree = co_await parts_.dcs.read(try_for);
        if (tree) {
            see_tree(*tree);
            co_return Status{};
        }
        if (tree.error().code == ErrorCode::denied) co_return std::unexpected(tree.error());
        log::error("waiting for the DCS: {}", tree.error().message);
        const Duration left = begun + try_for - now();
        if (left > Duration::zero() && !exit_code_) {
            alarm_.expires_after(std::chrono::duration_cast<std::chrono::milliseconds>(left));
            co_await alarm_.async_wait(quietly);
        }
    }
    co_return Status{};
}

// Two agents of one name would fight over one member key and one lease: whoever answers under our
// key's address is the other one.
Task<bool> Agent::name_is_taken() {
    if (!first_view_) co_return false;
    const auto* mine = first_view_->member(state_.self.name);
    if (!mine || mine->api_url.empty()) co_return false;
    const std::string url = mine->api_url;
    const bool answered = co_await parts_.peers.alive(url, std::chrono::seconds(3));
    if (answered)
        log::error(
            "a member named {} already answers at {}: stop it, or give this one another name",
            state_.self.name, url);
    co_return answered;
}

Task<std::optional<int>> Agent::prepare() {
    draining_ = true;  // events are held back until run()
    const auto dcs = co_await wait_for_dcs();
    if (!dcs) {
        log::error("{}", dcs.error().message);
        co_return 1;
    }
    if (exit_code_) co_return *exit_code_;
    if (parts_.configuration.settings().standby_cluster) {
        log::error(
            "this cluster is the standby of another one (standby_cluster), which relevo cannot run "
            "yet: "
            "nothing was changed");
        co_return 1;
    }
    const bool taken = co_await name_is_taken();
    if (taken) co_return 1;
    // Not before: the file may be that of the agent which answered.
    co_await journal_.open(parts_.configuration.journal_path());
    co_return std::nullopt;
}

Task<int> Agent::run() {
    parts_.dcs.watch([this](Result<cluster::KeyTreePtr> tree) {
        if (tree)
            see_tree(**tree);
        else
            log::debug("watch: {}", tree.error().message);
    });
    parts_.postgres.on_exit([this](ports::ExitInfo) {
        disks_.look_now();  // it may have ended for want of room
        feed(core::PostmasterExited{});
    });
    draining_ = false;
    feed(core::TimerFired{});
    pulses_.start();
    backup_jobs_.begin();
    disks_.start();
    corruptions_.start();
    amchecks_.start();
    while (!exit_code_) co_await ended_.async_wait(quietly);
    // on_stop takes an address away from this host: it must get its time.
    constexpr Duration callbacks_get = std::chrono::seconds(5);
    co_await parts_.postgres.finish_callbacks(callbacks_get);
    co_await stop();
    if (*exit_code_ == 0)
        log::info("{}", exit_text_);
    else
        log::error("{}", exit_text_);
    co_return *exit_code_;
}

Task<void> Agent::stop() {
    alarm_.cancel();
    wake_.cancel();
    schedule_alarm_.cancel();
    // What runs here ends before the DCS is let go: its end is written there.
    co_await backup_jobs_.stop();
    co_await parts_.dcs.stop();
    co_await restores_.stop();
    corruptions_.ask_stop();
    co_await amchecks_.stop();
    co_await backups_.stop();  // no call to the repository goes on
    co_await archive_watch_.stop();
    co_await backup_jobs_.wait();
    co_await pulses_.stop();
    co_await disks_.stop();
    co_await corruptions_.stop();
    co_await tasks_.wait();
    co_await journal_.stop();
    last_view_ = true;
    wake_watchers();
}

void Agent::ask_stop() {
    if (draining_ && !first_view_) {  // still waiting for the DCS
        exit_code_ = 0;
        alarm_.cancel();
        return;
    }
    backup_jobs_.ask_stop();
    feed(core::StopAsked{});
}

void Agent::ask_reload() {
    tasks_.spawn([](Agent& self) -> Task<void> {
        auto done = co_await self.reload();
        log::info("{}", done.text);
    }(*this));
}

void Agent::see_tree(const cluster::KeyTree& tree) {
    auto snapshot = reader_.read_shared(tree);
    for (const auto& problem : reader_.take_problems())
        log::error("DCS key {}: {}; the last good value stays in use", problem.key, problem.what);
    take_config(*snapshot);
    pulses_.see(tree);
    backup_jobs_.see(tree, snapshot);
    if (!first_view_) first_view_ = snapshot;
    feed(core::DcsView{std::move(snapshot)});
}

void Agent::take_config(const cluster::Snapshot& snapshot) {
    if (!snapshot.config || snapshot.config->json == seen_config_) return;
    seen_config_ = snapshot.config->json;
    const auto changed = parts_.configuration.take_dynamic(seen_config_);
    if (!changed) {
        log::error("DCS key config is not usable, the settings before stay in force: {}",
                   changed.error().message);
        return;
    }
    if (!*changed) return;
    feed(core::SettingsChanged{parts_.configuration.settings()});
    feed(core::SelfChanged{[&] {
        auto self = parts_.configuration.self();
        self.scheduled_restart = state_.self.scheduled_restart;
        return self;
    }()});
    config_pending_ = true;
}

// Files are only written once the data directory is known to be this cluster's: another one's is
// not touched.
void Agent::settle_config() {
    if (!config_pending_ || !state_.pg || !state_.dcs || !state_.dcs->initialized()) return;
    if (state_.pg->data_dir != cluster::DataDir::initialized ||
        state_.pg->system_id != *state_.dcs->initialize)
        return;
    config_pending_ = false;
    tasks_.spawn(apply_config());
}

Task<void> Agent::apply_config() {
    const auto done = co_await parts_.postgres.reconfigure(false);
    if (!done) log::error("applying the configuration: {}", done.error().message);
    const std::string directory = parts_.configuration.postgres().data_dir;
    const std::string path = parts_.configuration.cache_path();
    const std::string json = parts_.configuration.dynamic_json();
    const auto kept = co_await parts_.blocking.run([directory, path, json]() -> Status {
        if (!os::exists(directory + "/PG_VERSION")) return {};
        return os::write_file(path, json, 0600);
    });
    if (!kept) log::warning("the configuration could not be cached: {}", kept.error().message);
}

void Agent::feed(core::Event event) {
    events_.push_back(std::move(event));
    if (!draining_) drain();
}

void Agent::drain() {
    draining_ = true;
    while (!events_.empty()) {
        core::Event event = std::move(events_.front());
        events_.pop_front();
        const auto at = clock();
        // Whatever comes first after a freeze, the core hears of that before.
        const Instant expected =
            std::min(due_, woke_at_ > pulses_.next_tick() ? Instant::max() : pulses_.next_tick());
        if (at.mono > expected && at.mono - expected > core::overslept) {
            events_.push_front(std::move(event));
            event = core::Woke{at.mono - expected};
            due_ = Instant::max();
            woke_at_ = at.mono;
        }
        log::debug("event: {}", core::describe(event));
        witness_.before(state_, event);
        auto step = core::step(state_, event, at);
        for (auto& entry : witness_.after(state_, event, step.effects, at))
            journal_.add(std::move(entry));
        for (auto& issued : step.effects) carry_out(std::move(issued));
        arm(step.wake_at);
    }
    draining_ = false;
    settle_config();
    note_ours();
    show();
}

bool Agent::data_is_ours() const {
    return state_.pg && state_.dcs && state_.dcs->initialized() &&
           state_.pg->system_id == *state_.dcs->initialize;
}

// Its ballast is made by the first look that may make it: a disk may be full a second later.
void Agent::note_ours() {
    const bool ours = data_is_ours();
    if (std::exchange(ours_, ours) != ours && ours) disks_.look_now();
}

void Agent::arm(Instant wake_at) {
    if (exit_code_) return;
    due_ = wake_at;
    if (wake_at == Instant::max())
        wake_.cancel();
    else
        wake_.set(wake_at);
}

// Only for showing: the core looks for itself, since what it decides on must be newer than what it
// did.
Task<std::shared_ptr<const ports::View>> Agent::fresh_view() {
    constexpr Duration as_good_as_new = std::chrono::milliseconds(5);
    if (fresh_view_ && now() - fresh_at_ < as_good_as_new) co_return fresh_view_;
    const Instant began = now();
    const auto sealed = core::sealed_at(state_);
    auto seen = co_await parts_.postgres.observe(cluster::Look::server);
    auto fresh = std::make_shared<ports::View>(*view_);
    fresh->postgres = std::move(seen);
    // A seal is about what was seen after it was made, and must have held all the while.
    fresh->sealed = core::sealed_at(state_) == sealed ? sealed : 0;
    fresh_view_ = fresh;
    fresh_at_ = began;
    co_return fresh;
}

void Agent::show() {
    auto view = std::make_shared<ports::View>();
    view->scope = parts_.configuration.local().scope;
    view->name = state_.self.name;
    if (state_.pg) view->postgres = *state_.pg;
    view->state = core::shown_state(state_);
    view->role = core::shown_role(state_);
    const bool current = state_.dcs && !state_.dcs_down;
    if (current) view->snapshot = state_.dcs;
    view->settings = state_.settings;
    view->tags = state_.self.tags;
    if (state_.dcs_seen)
        view->dcs_last_seen = wall() - std::chrono::duration_cast<std::chrono::microseconds>(
                                           now() - *state_.dcs_seen);
    view->leading = state_.lead.has_value();
    // In doubt is not in force: what the API promises ends where the fence begins.
    view->lead_until = core::serves_until(state_);
    view->keeps_clients_out = core::keeps_clients_out(state_);
    view->admission = state_.admission.why;
    view->lowered_commits = state_.commits.lowered;
    view->scheduled_restart = state_.self.scheduled_restart;
    view->next_look = state_.next_look;
    const bool unlocked = !state_.dcs || state_.dcs_down || !state_.dcs->leader;
    view->failsafe_active = core::failsafe_until(state_) > now() ||
                            (unlocked && core::failsafe_leader(state_, now()).has_value());
    view->watchdog_failed = core::watchdog_failed(state_);
    view->sealed = core::sealed_at(state_);
    view->suspects = core::suspects_term(state_, now());
    view->suspects_until = core::suspects_until(state_);
    view->term = state_.lead ? state_.lead->term : 0;
    if (const auto held = core::holds_poolers(state_))
        view->hold = cluster::PoolerHold{
            held->id, std::chrono::duration_cast<std::chrono::milliseconds>(held->drain)};
    if (state_.tail) view->tail = state_.tail->wal;
    view->disk = disks_.report();
    view->copy = copy_;
    view->archive = archive_watch_.status();
    view->backups = backup_jobs_.newest();
    view->proofs = backup_jobs_.seen_proofs();
    view->corruption = corruptions_.report();
    view_ = std::move(view);
    backup_jobs_.see(*view_);
    backups_.see(*view_);
    restores_.see(*view_);
    archive_watch_.see(*view_);
    amchecks_.see();
    if (parts_.shown) parts_.shown();
    wake_watchers();
}

Disks::Parts Agent::disk_parts() {
    auto& conf = parts_.configuration;
    return {.clock = parts_.clock,
            .where =
                [this, &conf] {
                    const auto& local = conf.local();
                    const bool ours = local.backup.present && local.backup.config.empty();
                    return DiskAsk{.data_dir = conf.postgres().data_dir,
                                   .spool = ours ? config::backup_directory(local) + "/spool" : "",
                                   .in_detail = false,
                                   .ours = data_is_ours(),
                                   .settings = {}};
                },
            .settings = [this] { return state_.settings.disk; },
            .wal_keep_size =
                [&conf] {
                    const auto& base = conf.postgres().parameters.base;
                    const auto at = base.find("wal_keep_size");
                    return at == base.end() ? std::string() : at->second;
                },
            .view = [this] { return view_; },
            .measured = [this] { show_measured(); },
            .changed =
                [this](core::DiskSeen seen) {
                    if (!exit_code_) feed(std::move(seen));
                }};
}

// Numbers alone are nothing that a stream waits for.
void Agent::show_measured() {
    auto view = std::make_shared<ports::View>(*view_);
    view->disk = disks_.report();
    view->corruption = corruptions_.report();
    view_ = std::move(view);
}

ArchiveWatch::Parts Agent::archive_parts() {
    backup_jobs_.on_ended([this] {
        backups_.repository_changed();
        archive_watch_.look_soon();
    });
    return {.clock = parts_.clock,
            .backup = parts_.backup,
            .archiver = [this] { return parts_.postgres.archiver(); },
            .hole = [this](auto hole) { backup_jobs_.archive_has(std::move(hole)); },
            .changed =
                [this](core::ArchiveSeen seen) {
                    if (!exit_code_) feed(std::move(seen));
                },
            .answers = [this] { backups_.repository_answers(); }};
}

Corruptions::Parts Agent::corruption_parts() {
    return {.look =
                [this](cluster::CorruptionNews news) {
                    return parts_.postgres.look_for_corruption(std::move(news));
                },
            .forget = [this] { return parts_.postgres.forget_corruption(); },
            .scope = parts_.configuration.local().scope,
            .name = parts_.configuration.local().name,
            .last_backup = [this] { return backup_jobs_.made_here(); },
            .repository = [this] { return backups_.list(); },
            .amcheck = [this] { return amchecks_.state(); },
            .looked =
                [this] {
                    show_measured();
                    // That nothing was found is no change, but the core waits for a first look.
                    const bool news = !state_.corruption_known && !exit_code_;
                    if (news && !corruptions_.report()->mark.corrupted())
                        feed(core::CorruptionSeen{});
                },
            .changed =
                [this](core::CorruptionSeen seen) {
                    if (!exit_code_) feed(std::move(seen));
                }};
}

Amchecks::Parts Agent::amcheck_parts() {
    return {.clock = parts_.clock,
            .view = [this] { return view_; },
            .run = [this](auto plan) { return parts_.postgres.amcheck(std::move(plan)); },
            .found = [this](auto found) { corruptions_.found(std::move(found)); },
            .changed = [this] { corruptions_.look_soon(); },
            .zone = [this]() -> cluster::Zone {
                auto zone = config::load_zone(parts_.backup.config().timezone);
                if (zone) return *std::move(zone);
                log::error("backup.schedule.timezone: {}; corruption.amcheck is taken to be in UTC",
                           zone.error().message);
                return {};
            }};
}

void Agent::wake_watchers() {
    for (auto* watcher : watchers_) watcher->cancel();
}

Task<bool> Agent::view_changed(Duration at_most) {
    if (last_view_) co_return false;
    asio::steady_timer timer(io_);
    timer.expires_after(std::chrono::duration_cast<std::chrono::milliseconds>(at_most));
    const auto at = watchers_.insert(watchers_.end(), &timer);
    co_await timer.async_wait(quietly);
    watchers_.erase(at);
    co_return !last_view_;
}

}  // namespace relevo::agent
