// Brings one name server up to date: compare-and-set with the term, so that whoever led before
// can't take the name back.
//
// Beside the addresses the primary's name carries a TXT record, "relevo term=1234 member=pg-1".
// What is there is read; a newer term is left alone; otherwise one signed UPDATE replaces the
// addresses of all names, IPv4 and IPv6, and the TXT record, on the condition that this is still as
// it was read. Then it is asked for, and must be what was written.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "dns/key.h"
#include "dns/link.h"
#include "dns/wire.h"

namespace relevo::dns {

struct Desired {
    std::string zone;
    std::uint32_t ttl_s = 2;
    std::uint64_t term = 0;
    std::string member;
    std::string guard;             // the name with the TXT record
    std::vector<Addresses> names;  // guard is one of them
};

enum class Done { unchanged, changed };

// may_write is asked right before the update is sent: has this member the right at that moment?
// invalid: a newer term is there. cancelled: may_write said no. Others: the server's refusal, or no
// answer. Nothing is ever half done.
// Each phase has a connection of its own: Knot hands the connection of an update to another thread
// and looks at it again half a second later.
using OpenLink = std::function<net::Task<Result<std::unique_ptr<Link>>>()>;
net::Task<Result<Done>> bring_up_to_date(const OpenLink& open, const Desired& desired,
                                         const Key& key, const std::function<bool()>& may_write);

// "relevo term=1234 member=pg-1", also quoted; nullopt: another text. Pure.
std::optional<std::uint64_t> term_of(std::string_view txt);

}  // namespace relevo::dns
