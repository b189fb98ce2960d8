"""Where secrets of a lab must not be seen: other users' eyes reach logs, the REST API, the DCS and the words of a
process, and only what is named here keeps them.

  secrets_of(lab)       what is secret in it: {value: its name}
  Watch(lab, secrets)   looks at all programs of the lab while something runs
  shown(lab, secrets)   every other place, once: a list of sentences, empty when all is kept
"""
import os
import re
import stat
import threading

from lab import parent_of

# What only its owner may read, and what must have them.
KEEPERS = {"patroni.yml", "pgpass", "pgbackrest.conf"}
ENDPOINTS = ("/", "/patroni", "/cluster", "/config", "/history", "/journal", "/metrics", "/restore", "/backup",
             "/backup/schedule", "/backup/proofs", "/failsafe", "/liveness", "/readiness", "/primary", "/replica",
             "/leader", "/health")


def secrets_of(lab, **more):
    found = {value: name for name, value in more.items()}
    environment = lab.agent_environment()
    for member in lab:
        for who, account in member.config["postgresql"]["authentication"].items():
            found[account["password"]] = f"the {who}'s password"
        rest = member.config["restapi"].get("authentication")
        if rest:
            found[rest["password"]] = "the REST API's password"
        for name, value in member.config.get("backup", {}).get("options", {}).items():
            if name.endswith(("-pass", "-key", "-secret")):
                found[environment[value.strip("${}")] if value.startswith("${") else value] = name
    return found


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:  # it ended, or is gone
        return b""


def within(content, secrets):
    return [name for value, name in secrets.items() if value.encode() in content]


def programs(lab):
    """(pid, words, environment) of what was started for this lab: it has the lab's directory among either, or works
    in it (PostgreSQL writes its title over both)."""
    inside = (lab.directory + "/").encode()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        words = read(f"/proc/{pid}/cmdline")
        environment = read(f"/proc/{pid}/environ")
        try:
            at = (os.readlink(f"/proc/{pid}/cwd") + "/").encode()
        except OSError:
            at = b""
        if pid != os.getpid() and (inside in words or lab.directory.encode() in environment or at.startswith(inside)):
            yield pid, words, environment


def in_programs(lab, secrets):
    """What they show, and the commands of pgBackRest among them."""
    agents = {m.agent.pid for m in lab if m.agent}
    found, commands = set(), set()
    for pid, words, environment in programs(lab):
        argv = words.split(b"\0")
        title = argv[0].decode(errors="replace")
        if os.path.basename(title) == "pgbackrest":
            commands |= {word.decode() for word in argv[1:] if re.fullmatch(rb"[a-z]+(-[a-z]+)*(:[a-z]+)?", word)}
        found |= {f"{name} among the words of {title}" for name in within(words, secrets)}
        # The kernel shows what an agent was started with, whatever it takes out for itself.
        if pid not in agents and parent_of(pid) != os.getpid():
            found |= {f"{name} in the environment of {title}" for name in within(environment, secrets)}
    return found, commands


class Watch:
    """with Watch(lab, secrets) as seen: ...; seen.found and seen.commands tell afterwards."""

    def __init__(self, lab, secrets):
        self.lab, self.secrets = lab, secrets
        self.found, self.commands, self.looks = set(), set(), 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.over.wait(0.05):
            found, commands = in_programs(self.lab, self.secrets)
            self.found |= found
            self.commands |= commands
            self.looks += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(20)


def in_files(lab, secrets):
    """Logs, etcd's own directory with all that it ever heard, what is rendered: everything but the keepers. The
    programs' copies and the rows of the tests' own tables are no place where one is put."""
    found = set()
    for folder, folders, files in os.walk(lab.directory):
        folders[:] = [f for f in folders if f not in ("bin", "base", "pg_wal") and not f.endswith(".pki")]
        for name in files:
            path = os.path.join(folder, name)
            if not os.path.isfile(path) or os.path.islink(path):
                continue
            private = stat.S_IMODE(os.stat(path).st_mode) == 0o600
            if name in KEEPERS and private:
                continue
            found |= {f"{what} in {path}" for what in within(read(path), secrets)}
    return found


def in_answers(lab, secrets):
    found = set()
    for member in lab:
        if not (member.agent and member.agent.alive()):
            continue
        for path in ENDPOINTS + (f"/service/{lab.scope}/leader",):
            found |= {f"{what} in {path} of {member.name}"
                      for what in within(member.api(path, timeout=60)[1].encode(), secrets)}
    return found


def in_the_dcs(lab, secrets):
    return {f"{what} in a key of etcd" for what in within(lab.etcd.ctl("get", "--prefix", "").encode(), secrets)}


def shown(lab, secrets):
    found = in_programs(lab, secrets)[0] | in_files(lab, secrets) | in_answers(lab, secrets) | in_the_dcs(lab, secrets)
    return sorted(found)
