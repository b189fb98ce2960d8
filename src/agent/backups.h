// What a member does for the repository by itself (docs/adr/0015-backups.md): renders pgBackRest's
// configuration, makes and checks the stanza where it is the primary, and says whether a standby's
// recovery may wait for the repository. The core knows nothing of it, and nobody waits for it but
// who asks through the API.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/group.h"
#include "base/result.h"
#include "ports/backup.h"
#include "ports/clock.h"
#include "ports/control.h"

namespace relevo::agent {

class Backups {
public:
    // ready: called when this primary's stanza is there and WAL reaches it; may be empty.
    Backups(boost::asio::io_context& io, ports::Clock& clock, ports::Backup& backup,
            std::function<void()> ready = {});

    // The view was replaced; cheap. Also begins what has to be begun.
    void see(const ports::View& view);
    void reloaded();  // the configuration may be another one
    // It does again: what waits to be tried is tried now.
    void repository_answers();
    // Ends what runs, and awaits it.
    Task<void> stop();

    // Asked at most once in a few seconds, however many ask.
    Task<Result<cluster::Repository>> list();
    // A job has ended, and it has another: an answer from before that is nobody's.
    void repository_changed();
    // On the primary whether a segment arrives in the repository, and whether any is missing since
    // the oldest backup; elsewhere whether it can be read.
    Task<ports::Reply> check();

private:
    void see_gate(const ports::View& view, Instant now);
    void see_stanza(const ports::View& view, Instant now);
    Task<void> keep_gate();
    Task<void> keep_stanza();
    Task<Status> prepare();
    Task<Status> usable();
    Task<Result<std::string>> look_for_gaps();
    Task<Result<std::string>> check_all();
    Task<void> render();
    Task<void> wait_until_rendered();

    ports::Clock& clock_;
    ports::Backup& backup_;
    std::function<void()> ready_;
    Group tasks_;
    bool stopping_ = false;
    bool rendered_ = false, rendering_ = false;

    // The gate: what is wanted (nothing: shut), and what the disk has, once that is known.
    using Gate = std::optional<std::vector<cluster::HistoryLine>>;
    Gate gate_wanted_, gate_;
    bool gate_known_ = false, keeping_gate_ = false;
    bool gate_is_right() const { return gate_known_ && gate_ == gate_wanted_; }
    cluster::Revision gate_term_ = 0;     // under which leader; 0: under none
    std::optional<Instant> stuck_since_;  // a standby that lacks something has stayed where it is
    cluster::Lsn stuck_at_;

    // The stanza: the term under which this member is the primary, and that for which all is well.
    cluster::Revision serves_ = 0, prepared_ = 0;
    cluster::Timeline timeline_ = 0;
    std::string system_id_;
    std::vector<cluster::HistoryLine> history_;
    bool keeping_stanza_ = false, answers_ = false;
    boost::asio::steady_timer again_;
    std::string complained_;

    struct Asked {
        Instant at;
        Result<cluster::Repository> answer;
    };
    std::optional<Asked> asked_;
    bool asking_ = false;
    int changes_ = 0;
    boost::asio::steady_timer answered_;
};

}  // namespace relevo::agent
