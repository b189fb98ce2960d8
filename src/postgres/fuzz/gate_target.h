// What must hold of a gate made of any bytes that stand in a pg_hba.conf. Run by the mutation test
// always, and by libFuzzer where the build says -DRELEVO_FUZZ=ON.
#pragma once

#include <string>
#include <string_view>

#include "base/assert.h"
#include "postgres/gate.h"

namespace relevo::postgres::fuzz {

// Before the mark: comments, rules of those who have a key, and that nobody else gets in.
inline void check_head(std::string_view head) {
    bool locals = false, hosts = false;
    while (!head.empty()) {
        const auto end = head.find('\n');
        RLV_ASSERT(end != std::string_view::npos);
        const auto line = head.substr(0, end);
        head.remove_prefix(end + 1);
        if (line.starts_with('#')) continue;
        if (line == "local all all reject" && !locals) {
            locals = true;
            continue;
        }
        if (line == "host all all all reject" && locals && !hosts) {
            hosts = true;
            continue;
        }
        RLV_ASSERT(!locals);  // nothing but the two after the first of them
        RLV_ASSERT(line.contains("\"postgres\"") || line.contains("\"rewind er\""));
    }
    RLV_ASSERT(locals && hosts);
}

inline void try_gate(std::string_view rules) {
    for (const bool by_socket : {true, false}) {
        const auto gate = gate_text(rules, {"postgres", by_socket, {"rewind er", "postgres"}});
        if (!gate) {
            RLV_ASSERT(!gate.error().message.empty());
            continue;
        }
        RLV_ASSERT(is_gate(*gate));
        RLV_ASSERT(behind_gate(*gate) == rules);  // whoever puts it back loses nothing
        check_head(std::string_view(*gate).substr(0, gate->size() - rules.size()));
        const auto other = gate_before(*gate, "local all all trust\n");
        RLV_ASSERT(is_gate(other) && behind_gate(other) == "local all all trust\n");
    }
    // A file that may be a gate of ours, or look like one.
    RLV_ASSERT(rules.ends_with(behind_gate(rules)));
    (void)gate_before(rules, "x");
}

}  // namespace relevo::postgres::fuzz
