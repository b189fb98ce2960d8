// The gate before a primary that must not be read yet (docs/adr/0014): a pg_hba.conf that lets in
// nobody but some accounts and replication, each by the server's own rules. It holds the server's
// own file as a whole, so that nothing is lost whoever dies when. It stays for as long as clients
// are kept out, since whoever reloads the server has it read again.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace relevo::postgres {

struct GateKeys {
    std::string agent;                // the user as whom the agent connects; must get in
    bool by_socket = true;            // how it does
    std::vector<std::string> others;  // users who get in where a rule surely means them
};

// Pure. failed: whether the agent's user gets in cannot be told from the text (a rule of a group, a
// file or a pattern comes first), or it does not.
Result<std::string> gate_text(std::string_view rules, const GateKeys& keys);
bool is_gate(std::string_view text);
// What the gate was made of; the text itself when it is none.
std::string behind_gate(std::string_view text);
// The same gate before other rules; these rules themselves when there was none.
std::string gate_before(std::string_view gate, const std::string& rules);

// Blocking. Puts the gate in the place of the file, whose own inode waits beside it. What is there
// already is made anew.
Status close_gate(const std::string& hba_file, const GateKeys& keys);
// The server's own file back in its place. Nothing when there is no gate: also when somebody wrote
// another file meanwhile.
Status open_gate(const std::string& hba_file);

// Beside the data directory: that its server may have read a gate, and where. For the agent that
// comes after this one. Not durable: what it tells of ends with the host.
Status note_gate(const std::string& data_dir, const std::string& hba_file);
std::string noted_gate(const std::string& data_dir);  // empty: none
void forget_gate(const std::string& data_dir);

}  // namespace relevo::postgres
