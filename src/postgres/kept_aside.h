// A data directory that is set aside for a restore in place of the cluster (docs/adr/0020): it is
// people's only copy of what the restore gives up, so it is renamed, under a name that is the
// restore's own and that nothing here removes, and never over anything. A mark beside the data
// directory (<data_dir>.in_place) says for which restore that was begun or done; it is written
// before the first rename and after the last, so that whoever comes after a crash goes on.
// Blocking; durable when they return.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace relevo::postgres {

struct AsideMark {
    // begun: perhaps nothing was moved yet. returning: the place is free for the old data, or has
    // it.
    enum class State { begun, done, returning };
    std::string id;
    State state = State::begun;
    bool done() const { return state == State::done; }
    bool voteless = false;  // the old data was (voteless.h)
    std::string directory;  // where the data directory really was
};
// nullopt: there is none, or it cannot be read.
std::optional<AsideMark> read_aside_mark(const std::string& data_dir);

// <data_dir><aside_suffix(id)> is the old data then, and data_dir is an empty directory. Nothing
// happens when that is so already. conflict: something else has that name.
Status keep_aside(const std::string& data_dir, const std::string& id);
// The old data in its place again, as it was (its vote, half made or not), and no mark. What stood
// there is removed where it is half made; else it is kept, as <...>_restored. Nothing happens when
// the mark is not of this restore.
Status put_back_kept(const std::string& data_dir, const std::string& id);

}  // namespace relevo::postgres
