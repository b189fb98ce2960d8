// Words for tests of a DCS: writes, guards, and what a watch has told.
#pragma once

#include <string>
#include <vector>

#include "ports/dcs.h"

namespace relevo::tests {

cluster::Write put(std::string key, std::string value, bool with_lease = false);
cluster::Write remove(std::string key);
cluster::Write remove_prefix(std::string key);
cluster::Compare absent(std::string key);
cluster::Compare unchanged(std::string key, cluster::Revision mod_revision);
cluster::Compare holds(std::string key, std::string value);

// What a watch has told, in order.
struct Seen {
    std::vector<cluster::KeyTreePtr> trees;
    std::vector<Error> errors;
    ports::Dcs::ChangeHandler handler();
    const cluster::KeyTree* last() const { return trees.empty() ? nullptr : trees.back().get(); }
    std::string value(const std::string& key) const;  // "" : absent
};

}  // namespace relevo::tests
