// What the two ways of restoring share: internal to this room.
#pragma once

#include <string>

#include "ctl/access.h"
#include "ctl/restore.h"

namespace relevo::ctl {

// The first member that can say something about the repository, with its answer to the order.
// dry_run: asked for whatever the command says.
Result<Answered> ask_to_restore(Context& context, const Loaded& loaded,
                                const RestoreCommand& command, bool dry_run);
// Its plan, for people; empty: there is none in the answer.
std::string plan_text(const Loaded& loaded, const config::Node& shown);
// Why it cannot be, out of an answer that refuses.
std::string restore_problem(const HttpAnswer& answer);
// GET /restore of a member.
Result<config::Node> restore_state(Context& context, const cluster::MemberRecord& member);

// restore_in_place.cpp
Outcome restore_in_place(Context& context, Loaded& loaded, const RestoreCommand& command);
// One line on the one that goes on, or was the last; empty: there was none.
std::string in_place_text(const cluster::Snapshot& snapshot);
// The one in place is called off. nullopt: there is none that could be.
std::optional<Outcome> cancel_in_place(Context& context, Loaded& loaded,
                                       const RestoreCommand& command);

}  // namespace relevo::ctl
