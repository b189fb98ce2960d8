// The member's own record of changes of leader: the newest entries in memory, for GET /journal, and
// all of them in a file beside the data directory, which outlives the agent and the data.
//
// Nothing waits for the file: lines are handed to the thread pool, one write at a time, and while a
// disk hangs or is full only memory grows, up to a limit. They are not flushed to disk one by one,
// since that would cost a failover time: a power loss may take the last of them on this host, and
// the other members have theirs. One thread, as the agent.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "agent/group.h"
#include "cluster/journal.h"
#include "os/blocking.h"

namespace relevo::agent {

struct JournalLimits {
    std::size_t entries = 2000, bytes = 512UL << 10U;  // in memory
    std::size_t file_bytes = 1UL << 20U;  // then <path>.1 takes its place, one before is forgotten
};

class Journal {
public:
    Journal(boost::asio::io_context& io, os::Blocking blocking, cluster::MemberName member,
            JournalLimits limits = {});

    // Reads what earlier agents left at the path and goes on writing there. A file that is cut
    // short, or that another program or member wrote, is set aside under <path>.damaged; what can
    // be read of it stays. Without it, or where it cannot be written, the journal is in memory.
    Task<void> open(std::string path);
    Task<void> stop();  // awaits what is being written

    void add(cluster::JournalEntry entry);  // which gets its sequence here

    // The newest `limit` of those after `since`, oldest first, as GET /journal answers.
    std::string answer(WallTime wall, Instant mono, std::uint64_t since, std::size_t limit) const;
    std::size_t size() const { return lines_.size(); }

private:
    struct Line {
        std::uint64_t sequence = 0;
        std::string json;
    };
    void keep(Line line);
    Task<void> write();
    void complain(const std::string& what);

    os::Blocking blocking_;
    cluster::MemberName member_;
    JournalLimits limits_;
    Group tasks_;
    std::deque<Line> lines_;
    std::size_t bytes_ = 0;
    std::uint64_t last_ = 0;
    std::string path_;     // empty: memory alone
    std::string pending_;  // for the file
    bool writing_ = false, dropped_ = false;
    std::string complained_;
};

// What is in such files, for open() and its tests. Blocks.
struct JournalFile {
    std::vector<cluster::JournalEntry> entries;  // this member's, oldest first
    std::string damage;                          // empty: none; else what is wrong with the file
};
Result<JournalFile> read_journal_file(const std::string& path, const cluster::MemberName& member,
                                      std::size_t bytes_max);
JournalFile parse_journal_file(std::string_view text, const cluster::MemberName& member);

}  // namespace relevo::agent
