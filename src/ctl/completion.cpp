#include <fmt/core.h>

#include <algorithm>

#include "base/text.h"
#include "ctl/command_tree.h"

namespace relevo::ctl {
namespace {

// All names of the options that the app itself understands.
std::vector<std::string> option_words(CLI::App& app) {
    std::vector<std::string> words;
    for (const auto* option : app.get_options()) {
        for (const auto& name : option->get_snames()) words.push_back("-" + name);
        for (const auto& name : option->get_lnames()) words.push_back("--" + name);
    }
    return words;
}

// Global options with a value: the word behind one is no command.
std::string options_with_value(CLI::App& app) {
    std::vector<std::string> words;
    for (const auto* option : app.get_options()) {
        if (option->get_type_size() == 0) continue;
        for (const auto& name : option->get_snames()) words.push_back("-" + name);
        for (const auto& name : option->get_lnames()) words.push_back("--" + name);
    }
    return join(words, "|");
}

constexpr const char* script =
    R"(# bash completion for relevoctl: source <(relevoctl completion bash)
_relevoctl() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local command= words= at
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${{COMP_WORDS[at]}} in
            {with_value}) ((at++)) ;;
            -*) ;;
            *) command=${{COMP_WORDS[at]}}; break ;;
        esac
    done
    case $previous in
        --format) words='pretty tsv json yaml yml' ;;
        --role|-r) words='leader primary standby-leader replica standby any' ;;
        --config-file|--apply|--replace|--file)
            COMPREPLY=($(compgen -f -- "$current")); return ;;
        -c) if [[ $command != query ]]; then COMPREPLY=($(compgen -f -- "$current")); return; fi ;;
        -f) if [[ $command == query ]]; then COMPREPLY=($(compgen -f -- "$current")); return; fi
            words='pretty tsv json yaml yml' ;;
    esac
    if [[ -z $words ]]; then
        case $command in
            '') words='{top}' ;;
{cases}        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _relevoctl relevoctl
)";

}  // namespace

std::string bash_completion(CommandTree& tree) {
    std::vector<std::string> top = option_words(tree.app);
    std::string cases;
    for (auto* command : tree.app.get_subcommands([](CLI::App*) { return true; })) {
        const auto& name = command->get_name();
        top.push_back(name);
        auto words = option_words(*command);
        for (auto* below : command->get_subcommands([](CLI::App*) { return true; })) {
            words.push_back(below->get_name());
            for (const auto& word : option_words(*below))
                if (std::ranges::find(words, word) == words.end()) words.push_back(word);
        }
        if (name == "flush") words.insert(words.end(), {"restart", "switchover", "corruption"});
        if (name == "completion") words.emplace_back("bash");
        for (const auto* sub : command->get_subcommands([](CLI::App*) { return true; }))
            words.push_back(sub->get_name());
        cases += fmt::format("            {}) words='{}' ;;\n", name, join(words, " "));
    }
    return fmt::format(script, fmt::arg("with_value", options_with_value(tree.app)),
                       fmt::arg("top", join(top, " ")), fmt::arg("cases", cases));
}

}  // namespace relevo::ctl
