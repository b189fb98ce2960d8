"""What eight clients behind a PgBouncer see of a switchover, a crash and a loss of power; in a HostLab, whose host
`client` runs the pooler. For tools/bench-gateway and the power loss test.
"""
import os
import subprocess
import threading
import time

import psycopg2

from gateway import Gateway, PoolWriters
from lab import SUPERUSER_PASSWORD, Process, wait_for
from phases import Phases, one_line

CLIENTS = 8


class ByHand:
    """PgBouncer as the ADR has it, and what a careful operator adds: a script that asks every member half-secondly who
    the primary is, writes its address and says RELOAD. Everything else as Debian's package has it."""

    process = None

    def __init__(self, lab, host):
        self.lab, self.host, self.address, self.port = lab, host, host.address, 6433
        self.directory = os.path.join(lab.directory, "by-hand")
        os.makedirs(self.directory, exist_ok=True)
        lab.give(self.directory)
        self.users = os.path.join(self.directory, "userlist.txt")
        with open(self.users, "w") as f:
            f.write(f'"postgres" "{SUPERUSER_PASSWORD}"\n')
        lab.give(self.users)
        self.leads_to, self.ending, self.thread = None, False, None

    def write(self, address):
        path = os.path.join(self.directory, "pgbouncer.ini")
        with open(path, "w") as f:
            f.write(f"""[databases]
workflow = host={address} port=5432 dbname=postgres
[pgbouncer]
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 25
listen_addr = {self.address}
listen_port = {self.port}
auth_type = scram-sha-256
auth_file = {self.users}
unix_socket_dir = {self.directory}
admin_users = postgres
logfile = {self.directory}/pgbouncer.log
pidfile = {self.directory}/pgbouncer.pid
""")
        self.lab.give(path)
        self.leads_to = address
        return path

    def start(self):
        path = self.write(self.lab.wait_primary().address)
        self.process = Process(self.lab, "by-hand.pgbouncer", ["pgbouncer", "-q", path], as_postgres=True,
                               cwd=self.directory, host=self.host)
        wait_for("PgBouncer", 10, lambda: self.connect().close() is None)
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def console(self, statement):
        connection = self.connect("pgbouncer")
        try:
            connection.autocommit = True
            connection.cursor().execute(statement)
        finally:
            connection.close()

    def watch(self):
        while not self.ending:
            time.sleep(0.5)
            primary = self.lab.primary()
            if primary and primary.address != self.leads_to:
                self.write(primary.address)
                self.console("RELOAD")

    def switch(self, leader, candidate):
        """As an expert scripts it."""
        self.console("PAUSE workflow")
        try:
            answer = leader.api("/switchover", "POST", {"leader": leader.name, "candidate": candidate.name})
            wait_for("the new primary", 20, candidate.is_primary)
            self.write(candidate.address)
            self.console("RELOAD")
        finally:
            self.console("RESUME workflow")
        return answer

    def connect(self, dbname="workflow", **more):
        options = dict(host=self.address, port=self.port, user="postgres", password=SUPERUSER_PASSWORD, dbname=dbname,
                       connect_timeout=10)
        options.update(more)
        return psycopg2.connect(**options)

    def poolers(self):
        return [self.process.pid] if self.process and self.process.alive() else []

    def stop(self):
        self.ending = True
        if self.thread:
            self.thread.join(10)
        if self.process:
            self.process.kill()


class Led(Gateway):
    """The gateway, seen as ByHand is."""

    def switch(self, leader, candidate):
        return leader.api("/switchover", "POST", {"leader": leader.name, "candidate": candidate.name})


class Outage:
    lost, steps, timeline = 0, [], ""

    def __init__(self, gap, errors, worst, hung):
        self.gap, self.errors, self.worst, self.hung = gap, errors, worst, hung


def hung(writers, at):
    """Clients without an answer of any kind since then."""
    return sum(1 for acked, errors in zip(writers.acked, writers.errors)
               if not any(t >= at for _, t in acked[-1:]) and not any(t >= at for t, _ in errors[-1:]))


def measure(lab, pooler, fault, number, patience=60):
    """One fault: switchover, postmaster or power. Healed afterwards."""
    lab.wait_settled(patience)
    primary = lab.primary()
    writers = PoolWriters(pooler, CLIENTS, table=f"bench_{number}").start()
    try:
        wait_for("all clients write", 20, lambda: all(len(a) > 20 for a in writers.acked))
        phases = Phases(lab, pooler)
        at = time.monotonic()
        if fault == "switchover":
            candidate = next(m for m in lab if m is not primary)
            code, text = pooler.switch(primary, candidate)
            if code != 200:
                raise AssertionError(f"switchover: {code} {text}")
        elif fault == "postmaster":
            primary.kill_postmaster()
        else:
            lab.power_off(primary)
        successor = lab.wait_primary(patience, other_than=primary)
        promoted = time.monotonic()
        time.sleep(max(0.0, promoted + 5 - time.monotonic()))  # what hangs at +5 s hangs
        stuck = hung(writers, promoted + 1)
        end = time.monotonic()
        if stuck == 0:
            writers.all_go_on(patience)
        first = [min((t for _, t in a if t > at), default=end) for a in writers.acked]
        gap = max(writers.gap(at - 1), max(first) - at if stuck else 0.0)
        outage = Outage(gap, len(writers.failures(at)), writers.worst(at), stuck)
        outage.steps, outage.timeline = phases.told(primary.name, successor.name, writers.gap_at(at - 1))
    finally:
        writers.stopping = True
        lab.heal()
        if fault == "power":
            for member in lab:
                if not member.agent.alive():
                    member.start()
    writers.stop()
    survivor = lab.wait_settled(patience)
    outage.lost = len(writers.missing(survivor))
    return outage


def describe(outage):
    return (f"{outage.gap * 1000:.0f} ms, {outage.errors} errors ({outage.worst} at most for one client), "
            f"{outage.hung} hung at +5 s, {outage.lost} lost\n    {one_line(outage.steps)}")


def version():
    return subprocess.run(["pgbouncer", "--version"], capture_output=True, text=True).stdout.split("\n")[0]
