// What a crashed primary wrote last, fetched by its successor over the network, as the agents do
// it.
#include <algorithm>
#include <memory>
#include <utility>

#include "sim/member.h"

namespace relevo::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// One question, one answer; what the old leader's agent gives is given under the same conditions as
// by a real one: it is dead, and nothing has begun to work on its data.
void Member::do_take_tail(core::EffectId id, const core::TakeTail& take) {
    if (has_bug(Bug::tail_ignored))
        return later(milliseconds(1),
                     [this, id, end = take.tail.end] { finish(id, core::TailTaken{end}); });
    auto& world = parts_.world;
    auto settled = std::make_shared<bool>(false);
    const auto close = [this, id, settled](Error why) {
        if (!std::exchange(*settled, true)) finish(id, {}, std::move(why));
    };
    later(take.deadline, [close] { close(Error{ErrorCode::unavailable, "no answer in time"}); });
    const int other = world.index_of(take.member.name);
    if (other < 0 || !world.linked(index_, other)) return;
    const auto there =
        world.plain_latency() + world.dice.between(microseconds(500), milliseconds(8));
    world.on_host(
        other, there, [this, other, id, take, close, settled, incarnation = incarnation_] {
            Member& old = *parts_.members[static_cast<std::size_t>(other)];
            if (!parts_.world.linked(other, index_) || !old.decides()) return;
            const auto offered = old.state().tail;
            const bool fits = offered && offered->wal.timeline == take.tail.timeline;
            const auto& there_pg = parts_.postgres.at(other);
            if (fits && there_pg.outlived())
                parts_.postgres.on_impossible(parts_.world.name(other) +
                                              " gives WAL away that still grows");
            WalEnd upto = there_pg.data().end;
            // Pieces are asked for one after the other: the last may not come.
            const bool cut = parts_.world.faults_on && parts_.world.dice.chance(0.05);
            if (cut) upto.lsn.value -= cluster::distance(upto.lsn, take.at) / 2;
            parts_.world.on_host(
                index_, parts_.world.plain_latency(),
                [this, id, fits, cut, upto, close, settled, incarnation] {
                    if (incarnation != incarnation_ || *settled) return;
                    if (!fits) return close(Error{ErrorCode::not_found, "it has none for us"});
                    *settled = true;
                    pg().take_tail(upto, [this, id, cut, upto, incarnation](const Status& status) {
                        if (incarnation != incarnation_) return;
                        if (!status) return finish(id, {}, status.error());
                        finish(id, core::TailTaken{upto.lsn},
                               cut ? std::optional(Error{ErrorCode::unavailable, "it broke off"})
                                   : std::nullopt);
                    });
                });
        });
}

}  // namespace relevo::sim
