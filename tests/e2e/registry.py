"""What the scenario files share: the registry, the checks every scenario ends in, and the command line."""
import os
import shutil
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))
from lab import pg_bin, wait_for  # noqa: E402

FAST = {"ttl": 5, "loop_wait": 1, "retry_timeout": 2}
SCENARIOS = {}


def synchronous(usual):
    """Where a scenario is the same in each mode: SYNCHRONOUS_MODE=off|on|quorum in the environment chooses another."""
    chosen = os.environ.get("SYNCHRONOUS_MODE", usual)
    return {} if chosen == "off" else {"synchronous_mode": True if chosen == "on" else chosen}


def wait_until_votes_count(lab, mode):
    """A copy's own vote counts once it has seen that it has all that the leader had."""
    if mode.get("synchronous_mode") != "quorum":
        return
    wait_for("both others to be voters", 30, lambda: lab.ctl("list").stdout.count("Quorum Standby") == 2)
    wait_for("their votes to count", 30, lambda: not any(m.status().get("voteless") for m in lab))


class Skipped(Exception):
    """This machine has not what a scenario needs: it is neither good nor bad."""


def scenario(f):
    """Those of the file that is run: what another file has helpers from keeps its own for itself."""
    if f.__module__ == "__main__":
        SCENARIOS[f.__name__] = f
    return f


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def one_writable(lab):
    """Two are a failure at once; none may be a connection that did not come about on a busy machine."""
    end = time.monotonic() + 5
    while True:
        writable = [m.name for m in lab if m.agent and m.postmaster() and m.writable()]
        if writable or time.monotonic() > end:
            break
        time.sleep(0.1)
    check(len(writable) == 1, f"exactly one member must be writable, found {writable}")


def only_the_newest(acked, unknown, lost, who):
    """One failover loses what was acknowledged last before the connection broke, without a hole."""
    at = acked.index(lost[0])
    check(acked[at:at + len(lost)] == lost, f"{who} lost rows with a hole between them: {lost}")
    check(lost[-1] == acked[-1] or lost[-1] + 1 in unknown,
          f"{who} lost {lost}, but {lost[-1] + 1}, written after them on the same connection, is there")


def verify(lab, writers=None, lost_allowed=0, without=()):
    """Heals, then checks what every scenario promises."""
    primary = lab.wait_healthy(40, without)
    one_writable(lab)
    if writers:
        writers.stop()
        lost = writers.missing(primary)
        # Asynchronous replication may lose the newest rows only, and no more than was on its way.
        check(len(lost) <= lost_allowed, f"{len(lost)} acknowledged rows are missing, e.g. {lost[:5]}")
        for client in sorted({c for c, _ in lost}):
            only_the_newest([n for n, _ in writers.acked[client]], set(writers.unknown[client]),
                            [n for c, n in lost if c == client], f"client {client}")
        total = writers.count()
        check(total > 0, "the writers wrote nothing")
        for member in lab:
            if member not in without and member is not primary:
                count = "select count(*) from acked"
                wait_for(f"{member.name} has what {primary.name} has", 20,
                         lambda m=member: m.sql(count) == primary.sql(count))
        print(f"  {total} rows acknowledged, {len(lost)} lost (allowed {lost_allowed}), "
              f"gap {writers.gap() * 1000:.0f} ms")
    return primary


def initdb(lab, member):
    run_as_postgres([f"{pg_bin()}/initdb", "-D", member.data, "-U", "postgres", "-k", "-E", "UTF8", "-A", "trust"])


def run_as_postgres(argv):
    if os.geteuid() == 0:
        argv = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] + argv
    subprocess.run(argv, check=True, capture_output=True, cwd="/tmp")


def start_by_hand(lab, member):
    initdb(lab, member)
    with open(os.path.join(member.data, "postgresql.conf"), "a") as f:
        f.write(f"listen_addresses = '{member.address}'\nport = {member.port}\n"
                f"unix_socket_directories = '{member.home}'\n")
    with open(os.path.join(member.data, "pg_hba.conf"), "a") as f:
        f.write("host all all 127.0.0.0/8 trust\nhost replication all 127.0.0.0/8 trust\n")
    log = os.path.join(member.home, "pg.log")
    run_as_postgres([f"{pg_bin()}/pg_ctl", "-D", member.data, "-w", "-l", log, "start"])


def log_of(member):
    with open(member.agent.log, errors="replace") as f:
        return f.read()


def logged(member, words, why):
    """The agent writes its log in a thread of its own: what its API says may not be there yet."""
    wait_for(f"'{words}' in the log of {member.name}: {why}", 20, lambda: words in log_of(member))


def script(lab, name, text):
    path = os.path.join(lab.directory, name)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


def ours(lab, name):
    """A directory in the lab that the members may write to."""
    path = os.path.join(lab.directory, name)
    os.makedirs(path)
    lab.give(path)
    return path


def main(names):
    if names == ["--list"]:
        print("\n".join(SCENARIOS))
        return 0
    failed, skipped, names = [], [], names or list(SCENARIOS)
    for name in names:
        began = time.monotonic()
        print(f"{name} ...", flush=True)
        try:
            SCENARIOS[name]()
            print(f"  ok in {time.monotonic() - began:.1f} s", flush=True)
        except Skipped as why:
            print(f"  SKIPPED: {why}", flush=True)
            skipped.append(name)
        except Exception:
            traceback.print_exc()
            failed.append(name)
    if skipped:
        print("SKIPPED: " + ", ".join(skipped))
    if failed:
        print("FAILED: " + ", ".join(failed))
    return 1 if failed else 77 if len(skipped) == len(names) else 0


def run():
    missing = [p for p in ("etcd", "etcdctl", "setpriv", "openssl") if not shutil.which(p)]
    if missing:
        print(f"SKIPPED: {', '.join(missing)} not installed (make deps installs them)")
        sys.exit(77)
    sys.exit(main(sys.argv[1:]))
