// The directory in which a proof of restore is made: judged before, marked as ours before anything
// stands in it, and removed afterwards with the server that runs on it, also after a crash of the
// agent. Nothing without the mark of this very member is ever removed. Everything here blocks.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace relevo::agent {

struct ProofSite {
    std::string directory;  // all of it; no server but ours ever runs there
    std::string owner;      // what its mark says
    std::string note;       // a file beside this member's data that tells where a proof is made

    std::string data() const { return directory + "/data"; }
    std::string tablespaces() const { return directory + "/tablespaces"; }
    std::string sockets() const { return directory + "/s"; }
    std::string file(const char* name) const { return directory + "/" + name; }
};

// under: as configured, a directory that is there; empty: beside the data directory.
ProofSite proof_site(const std::string& under, const std::string& scope, const std::string& member,
                     const std::string& data_dir);

// Ready to be restored into. conflict: something of somebody else's is there; not_found: the
// directory above is missing; failed: there is not enough room. Nothing was changed then, but for
// what an earlier proof of ours had left, which is removed.
Status begin_proof(const ProofSite& site, std::uint64_t database_bytes);

// What runs there is dead afterwards, and the directory gone. Ok when there is none.
Status clear_proof(const ProofSite& site);

// What an earlier life of this member left, wherever it was made. Empty: nothing. Else where.
Result<std::string> clear_left_proof(const ProofSite& site);

}  // namespace relevo::agent
