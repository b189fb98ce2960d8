// The operator's command line.
#include <cstdio>
#include <string>
#include <vector>

#include "ctl/commands.h"
#include "ctl/real_backend.h"
#include "ctl/terminal.h"

int main(int argc, char** argv) {
    using namespace relevo;
    ctl::abort_on_interrupt();
    ctl::StandardTerminal terminal;
    const std::vector<std::string> args(argv + 1, argv + argc);
    return ctl::run(args, terminal, RELEVO_VERSION, [&](const ctl::GlobalOptions& options) {
        return ctl::connect(terminal, options);
    });
}
