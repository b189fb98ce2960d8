#include "pgbackrest/failure.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <iterator>

#include "base/text.h"

namespace relevo::pgbackrest {
namespace {

constexpr std::size_t words_max = 500;

bool may_be_secret(std::string_view name) {
    if (name.ends_with("-type") || name.ends_with("-file") || name.ends_with("-path")) return false;
    return name.contains("pass") || name.contains("key") || name.contains("secret") ||
           name.contains("token");
}

void replace_all(std::string& text, const std::string& what, std::string_view by) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
        text.replace(at, what.size(), by);
}

// What to look for in pgBackRest's words, and what it means. The first that matches counts: what is
// more exact comes first. Error numbers are not enough: 039 is whatever went wrong in a protocol.
struct Meaning {
    const char* sign;
    ErrorCode code;
    const char* remedy;
};
constexpr const char* too_slow =
    "the repository does not answer in time: is the object store overloaded, or the way to it "
    "slow? "
    "Nothing is to be done here: it is tried again, and WAL waits in pg_wal meanwhile (io-timeout "
    "in "
    "backup.options lets a command wait longer)";
constexpr const char* store_fails =
    "the object store has an error itself: look at its log or its provider's status. It is tried "
    "again, and WAL waits in pg_wal meanwhile";
constexpr Meaning meanings[] = {
    // The head of what openssl's ciphers write, read as text.
    {"Salted__", ErrorCode::denied,
     "the repository is encrypted, and no cipher is configured: give repo-cipher-type and "
     "repo-cipher-pass in backup.options"},
    // What is decrypted by another passphrase is noise, and pgBackRest tries to understand it.
    {"outside of section", ErrorCode::denied,
     "the repository cannot be read with this passphrase: repo-cipher-pass is not what it was made "
     "with; correct it in backup.options"},
    {"certificate has expired", ErrorCode::denied,
     "the repository's certificate has expired: renew it on the object store"},
    {"unable to verify certificate", ErrorCode::denied,
     "the repository's certificate is not trusted: name its authority with "
     "repo-storage-ca-file, or renew it"},
    {"unable to find hostname", ErrorCode::denied,
     "the certificate of the repository, or of the primary's pgBackRest, is of another host: "
     "correct repo-s3-endpoint, or the certificate (addresses are looked for among its DNS names)"},
    {"CryptoError", ErrorCode::denied,
     "the repository cannot be read with this passphrase: repo-cipher-pass (or repo-cipher-type) "
     "is not what it was made with; correct it in backup.options"},
    {"cipher header invalid", ErrorCode::denied,
     "the repository cannot be read with this passphrase: repo-cipher-pass (or repo-cipher-type) "
     "is not what it was made with; correct it in backup.options"},
    {"RequestTimeTooSkewed", ErrorCode::denied,
     "the object store refuses this host's clock: set it right (chronyc tracking)"},
    {"SignatureDoesNotMatch", ErrorCode::denied,
     "the object store refuses the secret key: correct repo-s3-key-secret in backup.options"},
    {"InvalidAccessKeyId", ErrorCode::denied,
     "the object store does not know the access key: correct repo-s3-key in backup.options"},
    {"NoSuchBucket", ErrorCode::not_found,
     "the bucket does not exist: make it, or correct repo-s3-bucket in backup.options"},
    {"403 (Forbidden)", ErrorCode::denied,
     "the object store does not let this key in: correct repo-s3-key and repo-s3-key-secret, or "
     "the bucket's policy"},
    {"401 (Unauthorized)", ErrorCode::denied,
     "the object store does not let this key in: correct repo-s3-key and repo-s3-key-secret"},
    {"do not match the database", ErrorCode::conflict,
     "the repository belongs to another cluster (its system identifier is another): give this one "
     "a path or stanza of its own, or pgbackrest stanza-upgrade after pg_upgrade"},
    {"does not match system id", ErrorCode::conflict,
     "the repository belongs to another cluster (its system identifier is another): give this one "
     "a path or stanza of its own"},
    {"do not match stanza", ErrorCode::conflict,
     "the repository belongs to another cluster (its system identifier is another): give this one "
     "a path or stanza of its own, or run pgbackrest stanza-upgrade after pg_upgrade"},
    {"archive_mode must be enabled", ErrorCode::failed,
     "archive_mode is off on the server: restart it (relevoctl restart) so that it takes the "
     "setting"},
    {"must contain pgbackrest", ErrorCode::failed,
     "archive_command is not pgBackRest's: take your own out of postgresql.parameters, or let it "
     "call pgbackrest archive-push"},
    {"was not archived before", ErrorCode::failed,
     "WAL does not reach the repository: why is in PostgreSQL's log, at archive_command"},
    {"with a different checksum", ErrorCode::conflict,
     "the repository has another segment of this name: somebody else archives into this stanza, or "
     "a member that had left the cluster's line did"},
    {"because it contains files", ErrorCode::conflict,
     "the directory is not empty: nothing is restored over what is there; name another, or empty "
     "it"},
    {"while PostgreSQL is running", ErrorCode::conflict,
     "a server runs on that directory (its postmaster.pid is there): stop it first, or name "
     "another"},
    {"]: backup set ", ErrorCode::not_found,
     "this backup is not in the repository: `relevoctl backup list` shows those that are"},
    {"no backup set found to restore", ErrorCode::not_found,
     "there is no backup in the repository: make one (relevoctl backup run)"},
    {"unable to find backup set", ErrorCode::not_found,
     "no backup in the repository is old enough for this target: `relevoctl restore --dry-run` "
     "shows what can be reached"},
    {"unable to acquire lock", ErrorCode::conflict,
     "another pgBackRest is at work here: wait for it"},
    {"terminated on signal", ErrorCode::cancelled, "it was ended"},
    {"requires option", ErrorCode::invalid, "an option is missing: add it to backup.options"},
    {"for read: [13] Permission denied", ErrorCode::denied,
     "pgBackRest's user may not read the file that it names, here or on the other member's host "
     "(there Debian's /etc/pgbackrest.conf is for the user postgres alone: name another by "
     "host-config in backup.primary_host)"},
    {"Permission denied", ErrorCode::denied,
     "this agent's user may not write there: make the repository's directory its own"},
    {"Read-only file system", ErrorCode::failed, "the repository's file system is read-only"},
    {"No space left", ErrorCode::failed,
     "the disk is full: make room, or, where it is the repository's, let retention keep less "
     "(relevoctl backup expire)"},
    {"unable to connect to 'dbname", ErrorCode::unavailable,
     "pgBackRest cannot connect to this member's PostgreSQL over its unix socket: pg_hba.conf must "
     "let the superuser in there (local all postgres peer)"},
    {"unable to get address", ErrorCode::unavailable,
     "the repository's name cannot be looked up: correct repo-s3-endpoint (or repo-host), or DNS"},
    {"unable to connect", ErrorCode::unavailable,
     "the repository does not answer: is it up, and the way to it open?"},
    {"imeout", ErrorCode::unavailable, too_slow},
    {"timed out", ErrorCode::unavailable, too_slow},
    {"ServiceError", ErrorCode::unavailable, store_fails},
    {"HTTP request failed with 5", ErrorCode::unavailable, store_fails},
    {": [500] ", ErrorCode::unavailable, store_fails},
    {": [503] ", ErrorCode::unavailable, store_fails},
    // Below the reasons why a repository cannot be read: pgBackRest names it as a hint at all.
    {"does not match expected checksum", ErrorCode::failed,
     "a file of this backup is damaged in the repository: take another backup, and see what "
     "`pgbackrest verify` finds"},
    {"backup.manifest' for read", ErrorCode::not_found,
     "this backup is not in the repository any more: `relevoctl backup list` shows those that are"},
    {"/pg_data/", ErrorCode::not_found,
     "a file of this backup is not in the repository any more: retention or somebody removed it; "
     "take another backup (relevoctl backup list)"},
    {"unable to open missing file", ErrorCode::not_found,
     "the stanza does not exist: the primary's agent makes it, and its log says why not"},
    {"unable to find primary", ErrorCode::unavailable, "pgBackRest finds no primary here"},
};

const Meaning* meaning_of(std::string_view words) {
    const auto* const found = std::ranges::find_if(
        meanings, [&](const Meaning& one) { return words.contains(one.sign); });
    return found == std::end(meanings) ? nullptr : found;
}

// Of noise that was meant to be decrypted one sign is enough.
std::string one_line(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const char shown = byte == '\n' || byte == '\t' || byte == ' ' ? ' '
                           : byte < 0x20 || byte >= 0x7f               ? '?'
                                                                       : c;
        const bool again = !out.empty() && out.back() == shown;
        if ((shown == ' ' && (out.empty() || again)) || (shown == '?' && again)) continue;
        out += shown;
    }
    while (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
}

// A message with what belongs to it, without the hints, which fit every failure, and without the
// whole of an HTTP exchange.
std::string message(std::string_view text) {
    for (const std::string_view end : {"HINT:", "***"}) text = text.substr(0, text.find(end));
    std::string out;
    std::string before;
    for (const auto& line : split(text, '\n')) {
        if (!out.empty() && (line.empty() || line.front() != ' ')) break;  // another message
        const auto more = std::string(trim(line));
        if (more == before) continue;  // the same of the file's copy
        out += (out.empty() ? "" : " ") + more;
        before = more;
    }
    return one_line(out);
}

std::string shortened(std::string text) {
    if (text.size() <= words_max) return text;
    text.resize(words_max);
    return text + "...";
}

}  // namespace

std::string redacted(std::string text, const Settings& settings) {
    const auto hide = [&](const ports::BackupConfig::Options& options) {
        for (const auto& [name, values] : options)
            for (const auto& value : values)
                if (may_be_secret(name) && value.size() >= 3) replace_all(text, value, "***");
    };
    hide(settings.config.options);
    for (const auto& [command, options] : settings.config.command_options) hide(options);
    if (settings.password.size() >= 3) replace_all(text, settings.password, "***");
    return text;
}

std::string first_error(std::string_view output) {
    constexpr std::string_view mark = "ERROR: [";
    const auto at = output.find(mark);
    return at == output.npos ? std::string() : message(output.substr(at + mark.size() - 1));
}

Error explain(std::string_view words, const Settings& settings, std::string_view doing) {
    const auto* meaning = meaning_of(words);
    auto said = first_error(words);
    if (said.empty()) said = message(words);  // `info` has no mark before its errors
    // Why it could not ask the server is in a warning before the error.
    if (const auto at = words.find("[DbConnectError]"); at != words.npos)
        said += " " + one_line(words.substr(at, words.substr(at).find('\n')));
    said = shortened(redacted(std::move(said), settings));
    if (meaning == nullptr)
        return {ErrorCode::failed,
                fmt::format("{}: pgBackRest says: {}", doing, said.empty() ? "nothing" : said)};
    const char* const stop = std::string_view(meaning->remedy).ends_with('?') ? "" : ".";
    return {meaning->code,
            fmt::format("{}: {}{} pgBackRest says: {}", doing, meaning->remedy, stop, said)};
}

Error explain(const os::Finished& finished, const Settings& settings, std::string_view doing) {
    if (finished.timed_out)
        return {ErrorCode::unavailable,
                fmt::format("{}: pgBackRest had no answer from the repository in time and was "
                            "ended; is the repository up, and the way to it open?",
                            doing)};
    if (finished.signal != 0)
        return {finished.signal == SIGTERM ? ErrorCode::cancelled : ErrorCode::failed,
                fmt::format("{}: pgBackRest was ended by signal {}", doing, finished.signal)};
    const auto& words = trim(finished.err).empty() ? finished.out : finished.err;
    if (trim(words).empty())
        return {ErrorCode::failed, fmt::format("{}: pgBackRest ended with code {} and said nothing",
                                               doing, finished.exit_code)};
    return explain(words, settings, doing);
}

}  // namespace relevo::pgbackrest
