"""Applications that count in one row while the primary is lost again and again: nothing is counted twice, nothing that
was acknowledged is lost, and what nobody can tell is called unknown.

  tests/e2e/client_scenarios.py NAME ...   run some      tests/e2e/client_scenarios.py --list   their names
"""
import json
import os
import re
import signal
import subprocess
import sys
import time

from own_network import NAME_SERVER, in_own_network
from registry import FAST, check, run, scenario
from lab import BIN, ROOT, SUPERUSER_PASSWORD, Lab, Process, wait_for

COUNTER = os.path.join(BIN, "examples", "counter")
RETRY = os.path.join(ROOT, "examples", "client", "retry.py")
SYNCHRONOUS = {**FAST, "synchronous_mode": "quorum", "primary_start_timeout": 0}


def voters(lab):
    sync = json.loads(lab.etcd.keys("lab").get("sync", "{}") or "{}")
    return len([n for n in (sync.get("sync_standby") or "").split(",") if n])


def conninfo(lab):
    return (f"host={','.join(m.address for m in lab)} port={','.join(str(m.port) for m in lab)} user=postgres "
            f"dbname=postgres password={SUPERUSER_PASSWORD}")


def prepare(lab, *tables):
    primary = lab.start().primary()
    wait_for("two voters", 20, lambda: voters(lab) == 2)
    for text in ("create table counter (n bigint)", "insert into counter values (0)", *tables):
        primary.sql(text)
    return primary


def count_through(lab, argv, seconds, faults):
    """Runs the application, and the faults beside it at even distances. Its last line, as numbers."""
    client = Process(lab, "counter", [*argv])
    began = time.monotonic()
    for i, fault in enumerate(faults):
        time.sleep(max(0.0, began + seconds * (i + 1) / (len(faults) + 1) - time.monotonic()))
        fault(lab)
    client.process.wait(seconds + 120)
    out = client.tail(200)
    lines = re.findall(r"^committed (\d+) unknown (\d+).*$", out, re.M)
    check(client.process.returncode == 0 and len(lines) == 1, f"the application: {client.process.returncode}\n{out}")
    print("  " + [line for line in out.splitlines() if line.startswith("committed")][0], flush=True)
    return int(lines[0][0]), int(lines[0][1]), out


def honest(lab, committed, unknown, out):
    primary = lab.wait_healthy(60)
    n = primary.sql("select n from counter")[0][0]
    check(committed > 100, f"it hardly counted: {committed}\n{out}")
    check(committed <= n <= committed + unknown,
          f"the row says {n}, but {committed} were acknowledged and {unknown} unknown\n{out}")
    return n


def kill_postmaster(lab):
    primary = lab.wait_primary(30)
    primary.kill_postmaster()
    lab.wait_primary(40, other_than=primary)


def power_loss(lab):
    primary = lab.wait_primary(30)
    primary.lose_power()
    lab.wait_primary(40, other_than=primary)
    primary.start()
    wait_for("two voters again", 40, lambda: voters(lab) == 2)


def switchover(lab):
    primary = lab.wait_healthy(40)
    primary.api("/switchover", "POST", {"leader": primary.name}, timeout=60)


def kill_backends(lab):
    """One of them is enough: all others go with it, and the server recovers in place, or another takes over."""
    for (pid,) in lab.wait_primary(30).sql("select pid from pg_stat_activity where application_name = 'librelevo'"):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@scenario
def client_counts_once_through_every_loss_of_the_primary():
    with Lab(dynamic=SYNCHRONOUS) as lab:
        table = subprocess.run([COUNTER, "--outcome-table", "outcome"], capture_output=True, text=True).stdout
        prepare(lab, table)
        committed, unknown, out = count_through(
            lab, [COUNTER, conninfo(lab), "8", "40", "outcome"], 40,
            [kill_postmaster, switchover, power_loss, kill_backends])
        honest(lab, committed, unknown, out)
        check(unknown == 0, f"with an outcome table nothing stays unknown: {unknown}\n{out}")
        check(" failed 0 " in out, out)


@scenario
def client_without_a_table_is_never_wrong():
    with Lab(dynamic=SYNCHRONOUS) as lab:
        prepare(lab)
        honest(lab, *count_through(lab, [COUNTER, conninfo(lab), "8", "25"], 25, [kill_postmaster, kill_postmaster]))


@scenario
def client_follows_the_primary_by_the_members_rest():
    """The connection string knows one member only, the one that stops being the primary; one member's REST hangs."""
    with Lab(dynamic=SYNCHRONOUS) as lab:
        first = prepare(lab)
        silent, other = [m for m in lab if m is not first]
        urls = [f"http://{m.address}:{m.rest_port}" for m in lab]
        alone = f"host={first.address} port={first.port} user=postgres dbname=postgres password={SUPERUSER_PASSWORD}"
        os.kill(silent.agent.pid, signal.SIGSTOP)
        # Until then a switchover is refused: its vote is expected.
        wait_for("one voter", 40, lambda: voters(lab) == 1)

        def counts(member):
            before = member.sql("select n from counter")[0][0]
            wait_for(f"the application counts on {member.name}", 30,
                     lambda: member.sql("select n from counter")[0][0] > before + 20)

        client = Process(lab, "counter", [COUNTER, alone, "4", "20", "", *urls])
        counts(first)
        status, text = first.api("/switchover", "POST", {"leader": first.name, "candidate": other.name}, timeout=60)
        check(status == 200, f"the switchover: {status} {text}")
        counts(other)
        client.process.wait(120)
        os.kill(silent.agent.pid, signal.SIGCONT)
        out = client.tail(200)
        lines = re.findall(r"^committed (\d+) unknown (\d+) failed 0 ", out, re.M)
        check(client.process.returncode == 0 and len(lines) == 1, f"{client.process.returncode}\n{out}")
        honest(lab, int(lines[0][0]), int(lines[0][1]), out)


class UsualPorts(Lab):
    """In a network of its own: a name leads to an address, and the port has to be the same everywhere."""

    def port(self, address, usual):
        return usual


@in_own_network()
def client_follows_the_primarys_name():
    """The connection string has nothing but a name; the members' own name servers say where it leads."""
    with UsualPorts(dynamic=SYNCHRONOUS) as lab:
        # One of them stands for all: it is not the one that will stop being the primary.
        members = list(lab)
        members[2].config["dns"] = {"primary": "pg-primary.test", "ttl": 1, "zone": "test",
                                    "responder": {"listen": f"{NAME_SERVER}:53"}}
        first = prepare(lab)
        if first is members[2]:
            first.api("/switchover", "POST", {"leader": first.name, "candidate": members[0].name}, timeout=60)
            first = lab.wait_healthy(40)
        alone = f"host=pg-primary.test user=postgres dbname=postgres password={SUPERUSER_PASSWORD}"
        honest(lab, *count_through(lab, [COUNTER, alone, "4", "12"], 12, [switchover]))
        check(lab.primary() is not first, "somebody else leads")


@scenario
def client_in_python_counts_once():
    with Lab(dynamic=SYNCHRONOUS) as lab:
        prepare(lab, "create table outcome (id uuid primary key, done boolean not null, at timestamptz default now())")
        application = [sys.executable, RETRY, conninfo(lab), "25"]
        honest(lab, *count_through(lab, application, 25, [kill_postmaster, switchover]))


if __name__ == "__main__":
    run()
