// The shared secret that signs updates (TSIG, RFC 8945), as name servers write it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace relevo::dns {

struct Key {
    std::string name;       // "relevo-key."
    std::string algorithm;  // "hmac-sha256."
    std::string secret;     // base64; never in a message
};

// What `tsig-keygen` (BIND) prints, what `keymgr -t` (Knot) prints, or algorithm:name:secret as dig
// and kdig take it. invalid: what is missing or wrong, without the secret.
Result<Key> parse_key(std::string_view text);

}  // namespace relevo::dns
