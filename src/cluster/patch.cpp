#include "cluster/json.h"
#include "cluster/settings.h"

namespace relevo::cluster {
namespace {

using json::Ordered;

bool same_text(const Ordered& a, const Ordered& b) {
    if (a.is_primitive() && b.is_primitive()) return json::scalar_text(a) == json::scalar_text(b);
    return a == b;
}

// Recursion is as deep as the patch, which parsing has bounded.
void patch_map(Ordered& target, const Ordered& patch) {
    for (const auto& [key, value] : patch.items()) {
        const auto found = target.find(key);
        if (value.is_null()) {
            if (found != target.end()) target.erase(found);
        } else if (found == target.end()) {
            target[key] = value;  // verbatim, with the nulls inside it (contract 3.3)
        } else if (found->is_object() && value.is_object()) {
            patch_map(*found, value);
        } else if (!same_text(*found, value)) {
            *found = value;
        }
    }
}

}  // namespace

Result<std::string> patch_json(std::string_view text, std::string_view patch_text) {
    auto target = json::parse_ordered_object(text);
    if (!target) return within("the stored configuration", target.error());
    const auto patch = json::parse_ordered_object(patch_text);
    if (!patch) return within("the patch", patch.error());
    patch_map(*target, *patch);
    return json::compact(*target);
}

}  // namespace relevo::cluster
