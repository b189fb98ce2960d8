#!/usr/bin/env python3
"""The rules of the house that a compiler does not know, as a test.

Run by CTest (label unit) and by `make lint`; prints one line a problem, as
path:line: what is wrong, and exits 1 if there is any. `--self-test` shows each
rule a file that breaks it and checks that it is noticed.

The rules:
  - A room includes only the rooms below it (ALLOWED): a design that is not
    checked turns into a ball within a year.
  - The pure rooms know no thread, clock, environment, socket or file: what they
    decide is a function of what they are told. docs/adr/0001-pure-core.md.
  - #pragma once; no `using namespace` in a header; no tabs, no blanks at the end
    of a line, a newline at the end of a file.
  - Lines of at most 100 columns, files of at most 800 lines.
  - No paths of one machine, no conflict markers.

An exception is a line in one of the tables below, with its reason.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

COLUMNS_MAX = 100
PYTHON_COLUMNS_MAX = 120  # clang-format does not wrap Python
LINES_MAX = 800

# Room -> rooms it may include besides itself. The map is in ARCHITECTURE.md.
ALLOWED = {
    "base": set(),
    "cluster": {"base"},
    "core": {"base", "cluster"},
    "backup": {"base", "cluster"},
    "ports": {"base", "cluster"},
    "config": {"base", "cluster", "ports"},
    "os": {"base"},
    "net": {"base", "os"},
    "etcd": {"base", "cluster", "ports", "net", "os"},
    "postgres": {"base", "cluster", "ports", "net", "os"},
    "pgbouncer": {"base", "cluster", "ports", "net", "os"},
    "pgbackrest": {"base", "cluster", "ports", "net", "os"},
    "dns": {"base", "cluster", "ports", "net", "os"},
    "rest": {"base", "cluster", "ports", "net", "os"},
    "ctl": {"base", "cluster", "ports", "config", "net", "etcd"},
    "agent": {"base", "cluster", "backup", "core", "ports", "config", "os", "net"},
    "sim": {"base", "cluster", "core", "ports", "agent"},
    "gateway": {"base", "cluster", "ports", "net", "os", "config"},
    "client": set(),
}
EVERYTHING = {"bin"}  # only the programs know all

# (room, header): why this one include is right although the table above says no.
INCLUDES_EXEMPT = {
    ("sim", "etcd/memory_dcs.h"): "the DCS port's twin in memory; it knows no gRPC",
}

PURE = {"base", "cluster", "core", "backup"}
IMPURE_HEADERS = re.compile(
    r"^(boost/.*|grpcpp/.*|thread|mutex|shared_mutex|condition_variable|future|stop_token|"
    r"semaphore|latch|barrier|coroutine|fstream|filesystem|iostream|random|ctime|time\.h|"
    r"unistd\.h|fcntl\.h|poll\.h|signal\.h|csignal|pthread\.h|sys/.*|netinet/.*|arpa/.*|netdb\.h)$"
)
IMPURE_WORDS = re.compile(
    r"::now\s*\(|\b(getenv|setenv|secure_getenv|gettimeofday|clock_gettime|sleep_for|"
    r"sleep_until|random_device|fopen|std::time)\b"
)
# (file, header or word): why a pure room may have it.
PURE_EXEMPT = {
    ("src/base/log.cpp", "mutex"): "lines of the thread pool's workers must not interleave",
}

LONG_FILES = {}  # file: why it is longer than LINES_MAX and better so

MACHINE_PATHS = re.compile(r"(?<![\w./-])/(work|home/\w+|Users/\w+|root)/\w")
CONFLICT = re.compile(r"^(<<<<<<<|>>>>>>>) ")
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')

CODE = {".h", ".cpp"}
TEXT = CODE | {".py", ".txt", ".md", ".cmake", ".json", ".yml", ".yaml", ".sh", ".proto", ""}


def without_comment(line):
    """Good enough for the rules here: a // inside a string hides the line's rest."""
    return line.split("//", 1)[0]


def check_include(room, path, quote, header):
    if quote == '"':
        target = header.split("/", 1)[0] if "/" in header else None
        if target not in ALLOWED and target not in EVERYTHING:
            return None  # generated code, or a file beside it
        if room is None or room in EVERYTHING or target == room:
            return None
        if target in ALLOWED.get(room, set()) or (room, header) in INCLUDES_EXEMPT:
            return None
        return f"{room} may not include {target} (tools/tidy.py, ALLOWED)"
    if room in PURE and IMPURE_HEADERS.match(header):
        if (path, header) not in PURE_EXEMPT:
            return f"<{header}> in {room}, a pure room (docs/adr/0001-pure-core.md)"
    return None


def check_code_line(room, path, line):
    include = INCLUDE.match(line)
    if include:
        problem = check_include(room, path, *include.groups())
        if problem:
            yield problem
    elif room in PURE and not path.endswith("_test.cpp"):
        impure = IMPURE_WORDS.search(without_comment(line))
        if impure and (path, impure.group(0)) not in PURE_EXEMPT:
            yield f"{impure.group(0)} in {room}, a pure room (docs/adr/0001-pure-core.md)"
    if path.endswith(".h") and re.match(r"\s*using namespace\b", line):
        yield "`using namespace` in a header reaches everyone who includes it"


def check_text(path, text):
    """Yields (line number, problem). path is relative to the repository's root."""
    name = pathlib.PurePosixPath(path)
    parts = name.parts
    room = parts[1] if len(parts) > 2 and parts[0] == "src" else None
    is_code = name.suffix in CODE
    if room and is_code and room not in ALLOWED and room not in EVERYTHING:
        yield 1, f"room {room} is not in tools/tidy.py's table, nor perhaps in ARCHITECTURE.md"

    lines = text.split("\n")
    if text and lines[-1] != "":
        yield len(lines), "no newline at the end"
    if name.suffix == ".h" and "#pragma once" not in lines:
        yield 1, "no #pragma once"
    if is_code and len(lines) - 1 > LINES_MAX and path not in LONG_FILES:
        yield LINES_MAX, f"{len(lines) - 1} lines, of at most {LINES_MAX}: is this two files?"

    for number, line in enumerate(lines, 1):
        if is_code:
            for problem in check_code_line(room, path, line):
                yield number, problem
        if is_code or name.suffix == ".py":
            limit = COLUMNS_MAX if is_code else PYTHON_COLUMNS_MAX
            if len(line) > limit:
                yield number, f"{len(line)} columns, of at most {limit}"
            if "\t" in line:
                yield number, "a tab"
        if name.suffix != ".md" and line != line.rstrip() and name.suffix in TEXT:
            yield number, "blanks at the end of the line"
        if MACHINE_PATHS.search(line) and path != "tools/tidy.py":
            yield number, "a path of somebody's machine"
        if CONFLICT.match(line):
            yield number, "a conflict marker"


def tracked_files(root):
    """What git knows or could know; all files where there is no git (a tarball)."""
    git = shutil.which("git")
    if git:
        listed = subprocess.run(
            [git, "-C", str(root), "-c", "safe.directory=*", "ls-files", "-z",
             "--cached", "--others", "--exclude-standard"],
            capture_output=True, check=False)
        if listed.returncode == 0:
            return sorted(name for name in listed.stdout.decode().split("\0") if name)
    return sorted(
        str(path.relative_to(root)) for path in root.rglob("*")
        if path.is_file() and not path.relative_to(root).parts[0] in ("build", ".git"))


def check_tree(root):
    problems = []
    for name in tracked_files(root):
        path = root / name
        if not path.is_file() or path.is_symlink():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # not text
        if path.suffix in (".txt",) and name.startswith("tests/"):
            continue  # recorded output keeps its own shape
        problems += [f"{name}:{number}: {what}" for number, what in check_text(name, text)]
    return problems


BROKEN = [  # (path, text, what the message must contain)
    ("src/core/a.cpp", '#include "ports/dcs.h"\n', "may not include ports"),
    ("src/etcd/a.cpp", '#include "postgres/p.h"\n', "may not include postgres"),
    ("src/base/a.cpp", "#include <thread>\n", "pure room"),
    ("src/core/a.cpp", "#include <boost/asio.hpp>\n", "pure room"),
    ("src/core/a.cpp", "auto t = std::chrono::steady_clock::now();\n", "::now("),
    ("src/cluster/a.cpp", 'auto home = std::getenv("HOME");\n', "getenv"),
    ("src/attic/a.cpp", "int a;\n", "room attic"),
    ("src/base/a.h", "int a;\n", "#pragma once"),
    ("src/base/a.h", "#pragma once\nusing namespace std;\n", "using namespace"),
    ("src/base/a.cpp", "//" + "a" * COLUMNS_MAX + "\n", "columns"),
    ("src/base/a.cpp", "\n" * (LINES_MAX + 1), "lines, of at most"),
    ("src/base/a.cpp", "int a;", "no newline"),
    ("src/base/a.cpp", "\tint a;\n", "a tab"),
    ("tools/a.py", "a = 1 \n", "blanks"),
    ("tools/a.sh", "cd /home/anna/pgrelevo\n", "somebody's machine"),
    ("README.md", "<<<<<<< HEAD\n", "conflict"),
]
FINE = [
    ("src/core/a.cpp", '#include "cluster/lsn.h"\n#include <chrono>\n// never clock::now()\n'),
    ("src/bin/a.cpp", '#include "etcd/dcs.h"\n#include "postgres/p.h"\n'),
    ("src/net/a.cpp", "#include <boost/asio.hpp>\n"),
    ("src/base/log.cpp", "#include <mutex>\n"),
    ("docs/a.md", "under /etc/patroni and ~/.pgpass\n"),
]


def self_test():
    failures = 0
    for path, text, wanted in BROKEN:
        found = [what for _, what in check_text(path, text)]
        if not any(wanted in what for what in found):
            failures += 1
            print(f"self-test: {path}: {text[:60]!r}: wanted {wanted!r}, found {found}")
    for path, text in FINE:
        found = [what for _, what in check_text(path, text)]
        if found:
            failures += 1
            print(f"self-test: {path}: {text[:60]!r}: should pass, found {found}")
    with tempfile.TemporaryDirectory() as folder:
        room = pathlib.Path(folder) / "src" / "base"
        room.mkdir(parents=True)
        (room / "a.h").write_text("int a;\n")
        if check_tree(pathlib.Path(folder)) != ["src/base/a.h:1: no #pragma once"]:
            failures += 1
            print("self-test: a tree outside git is not checked")
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    problems = check_tree(pathlib.Path(__file__).resolve().parent.parent)
    print("\n".join(problems) if problems else "tidy")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
