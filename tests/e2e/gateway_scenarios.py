"""Applications behind relevo-gateway and a real PgBouncer: what a switchover and a failover cost them.

  tests/e2e/gateway_scenarios.py NAME ...   run some      tests/e2e/gateway_scenarios.py --list   their names
"""
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time

import psycopg2

from registry import FAST, check, log_of, run, scenario, verify
from gateway import Gateway, PoolWriters, Unit
from lab import Authority, Lab, signal_all, wait_for
from ports import free_port

DYNAMIC = {**FAST, "primary_start_timeout": 0}


class OnePortLab(Lab):
    """Every server on the same port, as on hosts of their own: the hosts of a database share one in PgBouncer."""

    shared = None

    def port(self, address, usual):
        if usual != 5432:
            return super().port(address, usual)
        self.shared = self.shared or free_port("0.0.0.0")
        return self.shared


def gateway_lab(kind=Lab, **more):
    lab = kind(members=3, dynamic={**DYNAMIC, **more})
    lab.start()
    return lab


def switch(lab, to=None):
    leader = lab.wait_healthy(40)
    candidate = to or next(m for m in lab if m is not leader)
    return candidate, leader.api("/switchover", "POST", {"leader": leader.name, "candidate": candidate.name})


def may_take_over(lab, member):
    """It votes by the sync key, and says of itself that it runs and has its vote."""
    sync = json.loads(lab.etcd.keys("lab").get("sync") or "{}")
    said = json.loads(member.api("/patroni")[1])
    return (member.name in (sync.get("sync_standby") or "").split(",") and said.get("state") == "running"
            and not said.get("voteless"))


def one_may_take_over(lab):
    """Where nobody may yet, PostgreSQL is started in place."""
    primary = lab.primary()
    wait_for("the standbys may take over", 20, lambda: all(may_take_over(lab, m) for m in lab if m is not primary))


def nobody_is_turned_away_once_held(gateway):
    """Until the hold whoever comes back is; how long that is, is the machine's."""
    log, pause = gateway.pooler_log(), "LOG PAUSE 'workflow' command issued"
    check(pause in log, f"no hold: {log[-500:]}")
    refused = [line for line in log.split(pause)[1].splitlines() if "pooler error" in line
               and "is not paused" not in line and "server conn crashed?" not in line]
    check(not refused, f"turned away while held: {refused[:5]}")


@scenario
def gateway_switchover_costs_no_error():
    with gateway_lab() as lab, Gateway(lab) as gw:
        writers = PoolWriters(gw).start()
        time.sleep(1)
        gaps = []
        for _ in range(3):
            began = time.monotonic()
            candidate, (code, text) = switch(lab)
            check(code == 200, text)
            wait_for("the gateway follows", 10, lambda: gw.status()["leader"] == candidate.name and gw.healthy())
            writers.all_go_on()
            gaps.append(writers.gap(began))
            lab.wait_healthy(40)
        check(not writers.failures(), f"errors at a planned switchover: {writers.failures()[:3]}")
        print(f"  gaps {[f'{g * 1000:.0f} ms' for g in gaps]}")
        check(max(gaps) < 3, "clients waited for long")
        verify(lab, writers, 0)


@scenario
def gateway_two_gateways_hold_together():
    with gateway_lab() as lab, Gateway(lab) as one, Gateway(lab, "gw-2", 101, processes=2) as two:
        check(len(two.poolers()) == 2, "two processes share a port")
        first, second = PoolWriters(one, 4, "acked").start(), PoolWriters(two, 4, "acked_too").start()
        time.sleep(1)
        code, text = switch(lab)[1]
        check(code == 200, text)
        first.all_go_on()
        second.all_go_on()
        check(not first.failures() + second.failures(), f"{first.failures()[:3]} {second.failures()[:3]}")
        verify(lab, first, 0)
        verify(lab, second, 0)


# Stopped or restarted on purpose, the primary lets its clients be held before.
@scenario
def gateway_a_restart_and_an_agents_stop_cost_no_error():
    with gateway_lab() as lab, Gateway(lab) as gw:
        writers = PoolWriters(gw).start()
        time.sleep(1)
        primary = lab.primary()
        began = time.monotonic()
        code, text = primary.api("/restart", "POST", {})
        check(code == 200, text)
        writers.all_go_on()
        check(not writers.failures(), f"a restart cost {writers.failures()[:3]}")
        print(f"  restart: gap {writers.gap(began) * 1000:.0f} ms")
        lab.wait_healthy(40)
        began = time.monotonic()
        primary.agent.stop()
        lab.wait_primary(20, other_than=primary)
        writers.all_go_on()
        check(not writers.failures(), f"an agent's stop cost {writers.failures()[:3]}")
        print(f"  stop: gap {writers.gap(began) * 1000:.0f} ms")
        primary.start()
        verify(lab, writers, 0)


# S33
@scenario
def gateway_a_long_transaction_calls_the_switchover_off_and_is_named():
    with gateway_lab() as lab, Gateway(lab) as gw:
        leader = lab.primary()
        writers = PoolWriters(gw, 4).start()
        connection = gw.connect()
        with connection.cursor() as cursor:
            cursor.execute("select 'the long one', pg_backend_pid()")
            pid = cursor.fetchone()[1]
            began = time.monotonic()
            code, text = switch(lab)[1]
            took = time.monotonic() - began
            check(code == 503, f"{code} {text}")
            for word in (f"pid {pid}", "user postgres", "the long one"):
                check(word in text, f"{word} is not named: {text}")
            check(took < 6, f"it took {took:.1f} s")
            writers.all_go_on()
            check(lab.primary() is leader, "the leader went on")
            check(writers.gap(began) < 3, f"clients waited {writers.gap(began):.1f} s")
            cursor.execute("select 1")  # the transaction lives
        connection.commit()
        connection.close()
        check(not writers.failures(), f"{writers.failures()[:3]}")
        code, text = switch(lab)[1]
        check(code == 200, text)
        verify(lab, writers, 0)


@scenario
def gateway_a_long_transaction_is_let_through_by_choice():
    with gateway_lab() as lab:
        gw = Gateway(lab)
        gw.config["switchover"] = {"after_drain": "let_through", "drain": "500ms"}
        with gw:
            connection = gw.connect()
            connection.cursor().execute("select 1")
            code, text = switch(lab)[1]
            check(code == 200, text)
            check("breaks it off" in gw.log(), "the log names it")
            check(gw.sql("select 1") == [(1,)], "others go on")


@scenario
def gateway_kill_of_the_postmaster_costs_what_was_in_flight():
    with gateway_lab(synchronous_mode="quorum") as lab, Gateway(lab) as gw:
        writers = PoolWriters(gw).start()
        time.sleep(1)
        primary = lab.primary()
        one_may_take_over(lab)
        killed = time.monotonic()
        primary.kill_postmaster()
        lab.wait_primary(20, other_than=primary)
        writers.all_go_on()
        print(f"  gap {writers.gap(killed) * 1000:.0f} ms, {len(writers.failures())} errors, "
              f"{writers.worst()} at most for one client")
        nobody_is_turned_away_once_held(gw)
        check(not any("read-only" in e[1] for e in writers.failures()), "25006 reached a client")
        verify(lab, writers, 0)


# S30: the old primary is back, as a standby, while the new one is slow to come up.
@scenario
def gateway_never_leads_writes_back_to_the_old_primary():
    with gateway_lab(synchronous_mode="quorum") as lab, Gateway(lab) as gw:
        writers = PoolWriters(gw).start()
        time.sleep(1)
        old = lab.primary()
        standbys = [m for m in lab if m is not old]
        one_may_take_over(lab)
        old.kill_postmaster()
        new = wait_for("somebody promotes", 20, every=0.001, question=lambda: next(
            (m for m in standbys if "promoting: the leader key is ours" in log_of(m)), None))
        frozen = new.postgres_tree()
        signal_all(frozen, signal.SIGSTOP)
        try:
            # It serves where it may know that it has nothing that the new one lacks; else it waits for the promotion.
            # A few seconds either way: as long as the promotion shall take.
            served, until = False, time.monotonic() + 6
            while time.monotonic() < until:
                try:
                    recovering = old.sql("select pg_is_in_recovery()")
                    check(recovering == [(True,)], "the old primary is writable")
                    served = True
                except psycopg2.Error:
                    pass
                time.sleep(0.1)
            print(f"  the old primary {'served reads' if served else 'waited'} while the new one was slow")
        finally:
            signal_all(frozen, signal.SIGCONT)
        writers.all_go_on(20)
        check(not any("read-only" in e[1] for e in writers.failures()), f"25006 reached a client: {writers.failures()}")
        nobody_is_turned_away_once_held(gw)
        verify(lab, writers, 0)


# The gateway dies at each point of a switchover, and comes back: clients go on.
@scenario
def gateway_killed_at_any_point_releases_when_it_is_back():
    with gateway_lab() as lab, Gateway(lab) as gw:
        writers = PoolWriters(gw, 4).start()
        time.sleep(0.5)
        for after in (0.0, 0.03, 0.08, 0.15, 0.3):
            thread = threading.Thread(target=switch, args=(lab,), daemon=True)
            thread.start()
            time.sleep(after)
            gw.kill()
            thread.join(30)
            lab.wait_healthy(40)
            began = time.monotonic()
            gw.start(wait=0)
            writers.all_go_on(10)
            took = time.monotonic() - began
            print(f"  killed after {after * 1000:.0f} ms: on again {took:.2f} s after its start")
            check(took < 3, f"clients waited {took:.1f} s for the gateway that came back")
            check("is taken over" in gw.log(), "PgBouncer lived on with its clients")
        verify(lab, writers, 0)


@scenario
def gateway_starts_a_pooler_again_that_dies():
    with gateway_lab() as lab, Gateway(lab) as gw:
        before = gw.poolers()
        os.kill(before[0], signal.SIGKILL)
        wait_for("the gateway says that nobody is served", 2, every=0.001,
                 question=lambda: not gw.healthy() or gw.log().count("listens on") > 1)
        # A process is not yet one that clients reach: health says when it is.
        wait_for("another PgBouncer", 10, gw.healthy, every=0.001)
        check(gw.sql("select 1") == [(1,)], "it serves")
        check(gw.poolers() != before, "by another process")
        check("ended: starting it again" in gw.log(), gw.log()[-500:])


# The test is systemd here: it starts PgBouncer, and starts it again.
@scenario
def gateway_leads_a_pooler_that_systemd_runs():
    with gateway_lab() as lab:
        gw = Gateway(lab)
        gw.config["pgbouncer"]["unit"] = "pgbouncer-lab@"
        with Unit(gw) as unit, gw.start(wait=0):
            wait_for("what to type", 20, lambda: "systemctl start pgbouncer-lab@0" in gw.log())
            check(not gw.poolers() and not gw.healthy(), "it started none itself")
            check("systemctl start pgbouncer-lab@0" in gw.status()["pooler"]["problem"], str(gw.status()))
            unit.start()
            wait_for("the one that was started is led", 20, gw.healthy)
            first = gw.poolers()
            check(gw.sql("select pg_is_in_recovery()") == [(False,)], "to the primary")
            writers = PoolWriters(gw, 4).start()
            time.sleep(0.5)
            code, text = switch(lab)[1]
            check(code == 200, text)
            writers.all_go_on()
            check(not writers.failures(), f"errors at a planned switchover: {writers.failures()[:3]}")
            writers.stop()
            verify(lab, writers, 0)

            unit.kill()
            wait_for("its end is noticed", 10, lambda: "waiting for pgbouncer-lab@0 to start it again" in gw.log())
            wait_for("nobody is served", 10, lambda: not gw.healthy())
            check(not gw.poolers(), "it is systemd's to start")
            unit.start()
            wait_for("it is led again", 20, gw.healthy)
            check(gw.sql("select pg_is_in_recovery()") == [(False,)], "to the primary")

            second = gw.poolers()
            check(len(second) == 1 and second != first, f"{first} {second}")
            gw.process.stop()
            check(gw.poolers() == second, "it lives on when the gateway ends")
            check(gw.sql("select 1") == [(1,)], "and serves")
            gw.start(wait=20)
            check(gw.poolers() == second, "the next gateway leads it")
            code, text = switch(lab)[1]
            check(code == 200, text)
            wait_for("it follows", 20, lambda: gw.healthy() and gw.sql("select pg_is_in_recovery()") == [(False,)])

            # One that reads another file answers at the same place.
            unit.kill()
            other = os.path.join(gw.home, "other.ini")
            shutil.copy(unit.ini, other)
            lab.give(other)
            unit.ini = other
            unit.start()
            wait_for("that it is not the one", 20, lambda: f"reads {other}, not" in gw.log())
            check(not gw.healthy(), "it is not led")


@scenario
def gateway_says_what_is_wrong_and_keeps_what_it_has():
    with gateway_lab() as lab:
        gw = Gateway(lab)
        good = json.loads(json.dumps(gw.config))
        gw.config["pgbounce"] = {}
        bad = gw.validate()
        check(bad.returncode == 1 and "pgbounce: there is no such setting" in bad.stderr, bad.stderr)
        gw.config = dict(good, members=[])
        check("members: is empty" in gw.validate().stderr, "an empty list is said")
        gw.config = json.loads(json.dumps(good))
        check(gw.validate().returncode == 0, "the good one is good")
        # The port is taken: said, tried again, and had once it is free.
        with socket.socket() as taken:
            taken.bind((gw.address, gw.port))
            taken.listen(1)
            gw.start(wait=0)
            wait_for("the reason", 20, lambda: "PgBouncer cannot listen on" in gw.log())
        wait_for("it serves", 20, gw.healthy)
        with gw:
            ini = os.path.join(gw.home, "own.ini")
            with open(ini, "w") as f:
                f.write("[pgbouncer]\nserver_login_retry = 15\ndefault_pool_size = 7\n")
            gw.config["pgbouncer"]["include"] = ini
            gw.write_config()
            gw.process.send(signal.SIGHUP)
            wait_for("the reload", 10, lambda: "the configuration was read again" in gw.log())
            check("server_login_retry = 15 is not taken" in gw.log(), gw.log()[-1000:])
            # PgBouncer answers RELOAD with success, and takes no other route either.
            gw.config["pgbouncer"]["settings"]["pool_mode"] = "bogus"
            gw.write_config()
            gw.process.send(signal.SIGHUP)
            wait_for("the refusal", 10, lambda: "bogus" in gw.log() and "the one before stays in force" in gw.log())
            del gw.config["pgbouncer"]["settings"]["pool_mode"]
            code, text = switch(lab)[1]
            check(code == 200, text)
            wait_for("it leads elsewhere all the same", 20, lambda: gw.healthy() and
                     gw.sql("select pg_is_in_recovery()") == [(False,)])
            lab.wait_healthy(40)
            said = gw.log().count("the one before stays in force")
            gw.config["databases"] = {}
            gw.write_config()
            gw.process.send(signal.SIGHUP)
            wait_for("the refusal", 10, lambda: gw.log().count("the one before stays in force") > said)
            check(gw.sql("select 1") == [(1,)], "it serves")
            code, metrics = gw.get("/metrics")
            check(code == 200 and "relevo_gateway_writes_held" in metrics, metrics[:200])
            gw.config = good
            for member in lab:
                member.kill_agent()
            wait_for("every member is silent", 5, lambda: not any(m["heard"] for m in gw.status()["members"]))
            check(gw.sql("select 1") == [(1,)], "the last routing stays")
            for member in lab:
                member.start()
            lab.wait_healthy(40)


@scenario
def gateway_reads_go_to_replicas():
    with gateway_lab(OnePortLab) as lab, Gateway(lab) as gw:
        wait_for("two replicas", 10, lambda: gw.status()["reads"]["replicas"] == 2)
        check(gw.sql("select pg_is_in_recovery()", "workflow_ro") == [(True,)], "reads go to a replica")
        check(gw.sql("select pg_is_in_recovery()") == [(False,)], "writes go to the primary")
        replicas = [m for m in lab if m is not lab.primary()]
        for member in replicas:
            member.sql("select pg_wal_replay_pause()")
        lab.primary().sql("create table far as select repeat('x', 1000) from generate_series(1, 40000)")
        wait_for("no replica is near", 15, lambda: gw.status()["reads"]["replicas"] == 0)
        wait_for("the primary serves reads", 10,
                 lambda: gw.sql("select pg_is_in_recovery()", "workflow_ro") == [(False,)])
        gw.config["reads"] = {"policy": "replica-only"}
        gw.write_config()
        gw.process.send(signal.SIGHUP)
        wait_for("with replica-only reads wait", 10, lambda: gw.status()["reads"]["held"])
        waits = threading.Thread(target=lambda: answers.append(gw.sql("select pg_is_in_recovery()", "workflow_ro")))
        answers = []
        waits.start()
        for member in replicas:
            member.sql("select pg_wal_replay_resume()")
        waits.join(20)
        check(answers == [[(True,)]], f"the one that waited got {answers}")
        wait_for("two replicas again", 15, lambda: gw.status()["reads"]["replicas"] == 2)
        # One that streams from another replica is as good; one that shall not be read from is not.
        for member, tags in zip(replicas, ({"noloadbalance": True}, {"replicatefrom": replicas[0].name})):
            member.config["tags"] = tags
            member.write_config()
            member.agent.send(signal.SIGHUP)
        wait_for("the second streams from the first", 20, lambda: replicas[0].sql(
            "select 1 from pg_stat_replication where application_name = %s and state = 'streaming'", replicas[1].name))
        wait_for("reads go to the second alone", 20, lambda: gw.status()["reads"]["to"] ==
                 [f"{replicas[1].address}:{replicas[1].port}"])
        check(gw.sql("select pg_is_in_recovery()", "workflow_ro") == [(True,)], "and are served")


# TLS on both sides, and secrets that PgBouncer cannot turn into a password.
@scenario
def gateway_passes_scram_secrets_through_and_speaks_tls():
    lab = Lab(members=2, dynamic=DYNAMIC)
    authority = Authority(lab)
    for member in lab:
        cert, key = authority.sign(member.name, member.address)
        member.config["postgresql"]["parameters"].update(ssl="on", ssl_cert_file=cert, ssl_key_file=key)
    gw = Gateway(lab)
    cert, key = authority.sign("gateway", gw.address)
    gw.config["pgbouncer"]["settings"].update(
        client_tls_sslmode="require", client_tls_cert_file=cert, client_tls_key_file=key,
        server_tls_sslmode="verify-full", server_tls_ca_file=authority.file)
    with lab:
        lab.start()
        secret = lab.primary().sql("select rolpassword from pg_authid where rolname = 'postgres'")[0][0]
        check(secret.startswith("SCRAM-SHA-256$"), secret)
        with open(gw.users, "w") as f:
            f.write(f'"postgres" "{secret}"\n')
        with gw:
            connection = gw.connect(sslmode="verify-full", sslrootcert=authority.file)
            with connection.cursor() as cursor:
                cursor.execute("select ssl from pg_stat_ssl where pid = pg_backend_pid()")
                check(cursor.fetchone() == (True,), "the server's side is TLS")
            connection.close()
            try:
                gw.connect(sslmode="disable").close()
                check(False, "a client without TLS was let in")
            except psycopg2.OperationalError:
                pass
            code, text = switch(lab)[1]
            check(code == 200, text)
            connection = gw.connect(sslmode="require")
            connection.cursor().execute("select 1")
            connection.close()


# Secrets come from the cluster, through a function that only the pooler's user may call, and follow it to the next
# primary.
@scenario
def gateway_asks_the_cluster_for_secrets():
    with gateway_lab() as lab:
        primary = lab.primary()
        for text in ("create role pooler login password 'lab-pooler'", "create role app login password 'lab-app'",
                     """create function secret_of(inout name text, out secret text) language sql security definer
                        set search_path = pg_catalog as $$select rolname::text, rolpassword::text from pg_authid
                        where rolname = $1$$""",
                     "revoke execute on function secret_of from public",
                     "grant execute on function secret_of to pooler"):
            primary.sql(text)
        gw = Gateway(lab)
        with open(gw.users, "w") as f:
            f.write('"pooler" "lab-pooler"\n')
        gw.config["pgbouncer"]["settings"].update(auth_user="pooler",
                                                  auth_query="select name, secret from secret_of($1)")
        with gw:
            def as_app(password):
                connection = gw.connect(user="app", password=password)
                with connection.cursor() as cursor:
                    cursor.execute("select current_user")
                    found = cursor.fetchone()[0]
                connection.close()
                return found
            check(as_app("lab-app") == "app", "the user is let in")
            try:
                as_app("wrong")
                check(False, "a wrong password was let in")
            except psycopg2.OperationalError:
                pass
            code, text = switch(lab)[1]
            check(code == 200, text)
            wait_for("it serves", 10, gw.healthy)
            lab.wait_primary(20).sql("alter role app password 'lab-other'")
            wait_for("the new password holds", 10, lambda: as_app("lab-other") == "app")
            check("lab-pooler" not in gw.log(), "a password is in the log")


@scenario
def gateway_without_credentials_only_looks():
    lab = Lab(members=2, dynamic=DYNAMIC)
    for member in lab:
        member.config["restapi"]["authentication"] = {"username": "app", "password": "lab-rest"}
        member.credentials = "app:lab-rest"
    gw = Gateway(lab)
    with lab:
        lab.start()
        with gw:
            wait_for("it is told", 10, lambda: "does not let this gateway take part" in gw.log())
            began = time.monotonic()
            code, text = switch(lab)[1]
            check(code == 200, text)
            check(time.monotonic() - began < 10, "nobody waited for it")
            wait_for("it follows all the same", 10, gw.healthy)
            gw.config["restapi"] = {"username": "app", "password": "lab-rest"}
            gw.write_config()
            gw.process.send(signal.SIGHUP)
            wait_for("the leader knows it", 10,
                     lambda: "gateway gw-1 listens" in log_of(lab.wait_primary()))
            check("lab-rest" not in gw.log(), "a password is in the log")
            lab.wait_healthy(40)
            writers = PoolWriters(gw, 4).start()
            time.sleep(0.5)
            code, text = switch(lab)[1]
            check(code == 200, text)
            writers.all_go_on()
            writers.stop()
            check(not writers.failures(), f"{writers.failures()[:3]}")


if __name__ == "__main__":
    missing = [p for p in ("pgbouncer",) if not shutil.which(p) and not os.path.exists(f"/usr/sbin/{p}")]
    if missing:
        print(f"SKIPPED: {', '.join(missing)} not installed (make deps installs it)")
        sys.exit(77)
    run()
