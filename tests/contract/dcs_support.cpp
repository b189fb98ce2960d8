#include "tests/contract/dcs_support.h"

#include <utility>

namespace relevo::tests {

using cluster::Compare;
using cluster::Write;

Write put(std::string key, std::string value, bool with_lease) {
    return {.what = Write::What::put,
            .key = std::move(key),
            .value = std::move(value),
            .with_lease = with_lease};
}
Write remove(std::string key) {
    return {.what = Write::What::remove, .key = std::move(key), .value = {}};
}
Write remove_prefix(std::string key) {
    return {.what = Write::What::remove_prefix, .key = std::move(key), .value = {}};
}
Compare absent(std::string key) {
    return {
        .key = std::move(key), .what = Compare::What::create_revision, .revision = 0, .value = {}};
}
Compare unchanged(std::string key, cluster::Revision mod_revision) {
    return {.key = std::move(key),
            .what = Compare::What::mod_revision,
            .revision = mod_revision,
            .value = {}};
}
Compare holds(std::string key, std::string value) {
    return {.key = std::move(key),
            .what = Compare::What::value,
            .revision = 0,
            .value = std::move(value)};
}

ports::Dcs::ChangeHandler Seen::handler() {
    return [this](Result<cluster::KeyTreePtr> tree) {
        if (tree)
            trees.push_back(*tree);
        else
            errors.push_back(tree.error());
    };
}

std::string Seen::value(const std::string& key) const {
    if (last() == nullptr || !last()->keys.contains(key)) return "";
    return last()->keys.at(key).value;
}

}  // namespace relevo::tests
