// YAML text -> Node. Nothing throws out of here and no input makes it slow or deep: size, depth,
// number of values and what aliases unfold to are bounded, keys may not repeat, unknown tags are
// refused.
//
// Scalars are YAML 1.1 as Patroni reads them (on/yes are booleans, 0600 is octal), with these
// differences:
// - `${NAME}` in a value is replaced by the environment variable NAME. Patroni takes such a value
//   literally; operators of it run envsubst first. A variable that is not set is an error that
//   names it, because a password that silently became "${REPLICATOR_PASSWORD}" is found much later.
//   What a variable gave is always a text (numbers and booleans are understood from texts where one
//   is wanted). Values of keys that end in `_command` are left alone: the shell that runs them
//   expands variables itself.
// - Numbers under backup.options stay as they are written: a passphrase may look like one.
// - The values of name, scope, namespace, username, password and the like stay texts (password:
// 0123).
#pragma once

#include <expected>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/node.h"
#include "config/problem.h"

namespace relevo::config {

using Environment = std::map<std::string, std::string>;

struct YamlOptions {
    const Environment* environment = nullptr;  // for ${NAME}; null: nothing is replaced
    // relevoctl runs without the agent's environment: outside these top-level keys a value whose
    // variable is not set reads as absent, and a warning says so. Empty: an unset variable is a
    // problem everywhere.
    std::vector<std::string> strict_keys = {};
    std::vector<std::string>* warnings = nullptr;
    // Variables that no program which the agent starts is to inherit: they were the repository's
    // keys. May be null.
    std::vector<std::string>* consumed = nullptr;
};

// `source` names the text in messages. An empty document is a null node.
std::expected<Node, std::vector<Problem>> parse_yaml(std::string_view text,
                                                     const std::string& source,
                                                     const YamlOptions& options = {});

// Keys whose values must not be shown: password, token, ...
bool is_secret_key(std::string_view key);

}  // namespace relevo::config
