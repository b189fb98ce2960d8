"""Applications that find the primary without a gateway: behind a real HAProxy that asks the members' health checks, and
with libpq's lists of hosts as `relevoctl dsn --all` prints them.

  tests/e2e/connect_scenarios.py NAME ...   run some      tests/e2e/connect_scenarios.py --list   their names
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time

import psycopg2

from registry import FAST, check, run, scenario, verify
from gateway import PoolWriters
from lab import ROOT, SUPERUSER_PASSWORD, Lab, Process, wait_for

DYNAMIC = {**FAST, "primary_start_timeout": 0}


class HAProxy:
    """Debian's, with examples/haproxy.cfg in which only addresses and ports are others."""

    process = None

    def __init__(self, lab):
        self.lab, self.address = lab, lab.address(100)
        self.ports = {"workflow": lab.port(self.address, 5000), "workflow_ro": lab.port(self.address, 5001)}
        with open(os.path.join(ROOT, "examples", "haproxy.cfg")) as f:
            text = f.read()
        for usual, port in (("*:5000", self.ports["workflow"]), ("*:5001", self.ports["workflow_ro"])):
            check(text.count(f"bind {usual}\n") == 1, f"the example listens on {usual}")
            text = text.replace(f"bind {usual}\n", f"bind {self.address}:{port}\n")
        for member in lab:
            line = re.compile(rf"{member.name}\.internal:5432 (.*) check port 8008$", re.M)
            text, changed = line.subn(rf"{member.address}:{member.port} \1 check port {member.rest_port}", text)
            check(changed == 2, f"{member.name} is in both of the example's backends")
        check(".internal" not in re.sub(r"#.*", "", text), "every address of the example was replaced")
        self.path = os.path.join(lab.directory, "haproxy.cfg")
        with open(self.path, "w") as f:
            f.write(text)

    def start(self):
        # Not every user's PATH has the directory.
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        self.process = Process(self.lab, "haproxy", [program, "-db", "-f", self.path], as_postgres=True)
        return self

    def connect(self, dbname="workflow", **more):
        options = dict(host=self.address, port=self.ports[dbname], user="postgres", password=SUPERUSER_PASSWORD,
                       dbname="postgres", connect_timeout=5)
        options.update(more)
        return psycopg2.connect(**options)

    def server(self, dbname="workflow"):
        """Where a new session ends up: (address and port, whether it is a standby)."""
        connection = self.connect(dbname)
        try:
            with connection.cursor() as cursor:
                cursor.execute("select host(inet_server_addr()), inet_server_port(), pg_is_in_recovery()")
                address, port, standby = cursor.fetchone()
                return (address, port), standby
        finally:
            connection.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is not None:
            print(f"--- haproxy\n{self.process.tail(40)}", flush=True)
        self.process.stop()


def voters(lab):
    sync = json.loads(lab.etcd.keys(lab.scope).get("sync") or "{}")
    return len([n for n in (sync.get("sync_standby") or "").split(",") if n])


def switch_over(lab):
    """A standby that has just been named has no vote yet, and the switchover is refused before anything is stopped."""
    old, said = lab.wait_healthy(40), []

    def asked():
        code, text = old.api("/switchover", "POST", {"leader": old.name})
        said.append(text)
        return code == 200
    try:
        wait_for("a switchover", 20, asked, every=0.2)
    except AssertionError as e:
        raise AssertionError(f"{e}: {said[-1]}") from None
    return old


def place(member):
    return member.address, member.port


def leads_to(proxy, member, seconds=10):
    wait_for(f"HAProxy leads to {member.name}", seconds, lambda: proxy.server() == (place(member), False))


@scenario
def haproxy_follows_a_switchover_and_a_failover():
    with Lab(members=3, dynamic={**DYNAMIC, "synchronous_mode": "quorum"}) as lab:
        lab.start()
        with HAProxy(lab) as proxy:
            leads_to(proxy, lab.primary())
            writers = PoolWriters(proxy, 4).start()
            wait_for("all clients write", 10, lambda: all(len(a) > 20 for a in writers.acked))
            for what in ("switchover", "failover"):
                old = lab.wait_healthy(40)
                wait_for("two synchronous standbys", 20, lambda: voters(lab) == 2)
                began = time.monotonic()
                if what == "switchover":
                    switch_over(lab)
                else:
                    old.kill_postmaster()
                new = lab.wait_primary(20, other_than=old)
                writers.all_go_on()
                leads_to(proxy, new)
                # A session that stayed with the old primary would get this for as long as it lives.
                late = [e for e in writers.failures(time.monotonic() - 0.5) if "read-only" in e[1]]
                check(not late, f"a session stayed with a server that is no primary: {late[:3]}")
                print(f"  {what}: gap {writers.gap(began) * 1000:.0f} ms, {len(writers.failures(began))} errors")
                check(writers.gap(began) < 5, "clients waited for long")
            verify(lab, writers, 0)


@scenario
def haproxy_reads_from_replicas_and_in_need_from_the_primary():
    with Lab(members=3, dynamic=DYNAMIC) as lab:
        lab.start()
        with HAProxy(lab) as proxy:
            primary = lab.primary()
            leads_to(proxy, primary)
            replicas = {place(m) for m in lab if m is not primary}

            def read(times=8):
                return {proxy.server("workflow_ro") for _ in range(times)}
            wait_for("reads go to both replicas", 15, lambda: read() == {(r, True) for r in replicas})
            # One that says itself that it shall not be read from is left out.
            one = next(m for m in lab if m is not primary)
            one.config["tags"] = {"noloadbalance": True}
            one.write_config()
            check(one.api("/reload", "POST")[0] == 202, "reload")
            wait_for("only the other replica is read from", 10,
                     lambda: read() == {(r, True) for r in replicas - {place(one)}})
            for member in lab:
                if member is not primary:
                    member.agent.stop()
            wait_for("the primary reads", 10, lambda: read(2) == {(place(primary), False)})
            check(proxy.server() == (place(primary), False), "and writes")


def dsn(lab, *words):
    done = lab.ctl("dsn", "--all", *words)
    check(done.returncode == 0, done.stderr)
    return f"{done.stdout.strip()} user=postgres password={SUPERUSER_PASSWORD} dbname=postgres connect_timeout=2"


def ask(conninfo, text):
    """With psql, as the word for libpq itself."""
    done = subprocess.run(["psql", "-qXAt", conninfo, "-c", text], capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout.strip()


WHO = "select host(inet_server_addr()) || ' ' || inet_server_port() || ' ' || pg_is_in_recovery()"


@scenario
def libpq_finds_the_primary_in_the_list_of_all():
    with Lab(members=3, dynamic=DYNAMIC) as lab:
        lab.start()
        writes, reads = dsn(lab), dsn(lab, "-r", "replica")
        check("target_session_attrs=read-write" in writes, writes)
        check("target_session_attrs=prefer-standby" in reads, reads)

        def finds(member):
            return ask(writes, WHO) == f"{member.address} {member.port} false"
        primary = lab.primary()
        check(finds(primary), "the primary is found")
        check(ask(reads, WHO).endswith("true"), "a replica is found")
        switch_over(lab)
        wait_for("the new primary is found", 10, lambda: finds(lab.wait_primary(20, other_than=primary)))
        lab.wait_healthy(40)
        # One that is gone for good is passed over: the same string, written down before.
        gone = lab.primary()
        gone.lose_power()
        new = lab.wait_primary(30, other_than=gone)
        wait_for("the next primary is found", 10, lambda: finds(new))
        ask(writes, "create table found (n int)")
        check(ask(reads, WHO).endswith("true"), "a replica is found still")
        verify(lab, without=(gone,))


if __name__ == "__main__":
    if not shutil.which("haproxy") and not os.path.exists("/usr/sbin/haproxy"):
        print("SKIPPED: haproxy not installed (make deps installs it)")
        sys.exit(77)
    run()
