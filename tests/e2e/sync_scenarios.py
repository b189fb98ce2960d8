"""Synchronous replication on real etcd and real PostgreSQL: whatever fails, no acknowledged row is lost.

  tests/e2e/sync_scenarios.py NAME ...   run some      tests/e2e/sync_scenarios.py --list   their names
"""
import json
import os
import signal
import subprocess
import threading
import time

import psycopg2

from registry import FAST, check, log_of, logged, run, scenario, verify
from lab import SUPERUSER_PASSWORD, Lab, Writers, pg_bin, signal_all, wait_for

QUORUM = {**FAST, "synchronous_mode": "quorum"}


def key(lab):
    return json.loads(lab.etcd.keys("lab").get("sync", "{}") or "{}")


def voters(lab):
    names = key(lab).get("sync_standby") or ""
    return sorted(filter(None, names.split(",")))


def names(member):
    return member.sql("show synchronous_standby_names")[0][0]


def others(lab, member):
    return [m for m in lab if m is not member]


def wait_votes(lab, count, seconds=20):
    wait_for(f"{count} voters in the sync key", seconds, lambda: len(voters(lab)) == count)


def quorum_lab(**more):
    return Lab(dynamic={**QUORUM, **more})


@scenario
def sync_quorum_is_set_up_and_shown():
    with quorum_lab() as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        check(key(lab)["leader"] == primary.name and key(lab)["quorum"] == 1, str(key(lab)))
        wait_for("commits wait for any one of both", 10, lambda: names(primary).startswith("ANY 1 ("))
        replica = others(lab, primary)[0]
        check(replica.api("/quorum")[0] == 200 and replica.api("/sync")[0] == 503, "health checks of a quorum standby")
        check("Quorum Standby" in lab.ctl("list").stdout, lab.ctl("list").stdout)
        states = primary.sql("select application_name, sync_state from pg_stat_replication order by 1")
        check(states == [(m.name, "quorum") for m in others(lab, primary)], str(states))
        verify(lab, Writers(lab).start())


@scenario
def sync_quorum_power_loss_of_the_primary():
    with quorum_lab() as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        writers = Writers(lab).start()
        time.sleep(1)
        primary.lose_power()
        successor = lab.wait_primary(30, other_than=primary)
        check(successor.name in (key(lab)["leader"],), "the sync key names the new leader")
        time.sleep(1)
        primary.start()
        verify(lab, writers, 0)
        wait_votes(lab, 2)


@scenario
def sync_quorum_postmaster_killed_fails_over():
    with quorum_lab(primary_start_timeout=0) as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        writers = Writers(lab).start()
        for _ in range(3):
            time.sleep(1)
            primary.kill_postmaster()
            primary = lab.wait_primary(20, other_than=primary)
            lab.wait_healthy(30)
            wait_votes(lab, 2)
        verify(lab, writers, 0)


@scenario
def sync_quorum_frozen_primary_awakes():
    """Frozen longer than its lease, it is replaced; awake, it acknowledges nothing that its successor lacks."""
    with quorum_lab() as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        writers = Writers(lab).start()
        time.sleep(1)
        # PostgreSQL awakes first: its agent cannot stop it in time.
        tree = primary.postgres_tree()
        signal_all([primary.agent.pid] + tree, signal.SIGSTOP)
        lab.wait_primary(30, other_than=primary)
        signal_all(tree, signal.SIGCONT)
        time.sleep(2)
        os.kill(primary.agent.pid, signal.SIGCONT)
        time.sleep(1)
        verify(lab, writers, 0)


@scenario
def sync_quorum_switchover():
    with quorum_lab() as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        writers = Writers(lab).start()
        time.sleep(1)
        done = lab.ctl("switchover", "--force")
        check(done.returncode == 0, done.stdout + done.stderr)
        lab.wait_primary(20, other_than=primary)
        time.sleep(1)
        verify(lab, writers, 0)


@scenario
def sync_quorum_a_replica_is_lost_and_returns():
    with quorum_lab() as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        replica = others(lab, primary)[0]
        writers = Writers(lab).start()
        time.sleep(0.5)
        replica.lose_power()
        wait_votes(lab, 1)
        check(replica.name not in names(primary), names(primary))
        replica.start()
        wait_votes(lab, 2, 40)
        check(verify(lab, writers, 0) is primary, "no failover")


@scenario
def sync_both_votes_are_needed():
    """Leader and one of two voters are gone at once: the other one alone may lack what was acknowledged."""
    with quorum_lab() as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        one, other = others(lab, primary)
        writers = Writers(lab).start()
        time.sleep(1)
        one.lose_power()
        primary.lose_power()
        time.sleep(FAST["ttl"] + 3)
        check(not any(m.is_primary() for m in (other,)), f"{other.name} leads without the votes")
        one.start()
        successor = lab.wait_primary(30, other_than=primary)
        check(successor in (one, other), successor.name)
        primary.start()
        verify(lab, writers, 0)


@scenario
def sync_mode_on():
    with Lab(dynamic={**FAST, "synchronous_mode": True, "primary_start_timeout": 0}) as lab:
        primary = lab.start().primary()
        wait_votes(lab, 1)
        standby = voters(lab)[0]
        check(names(primary) == f'"{standby}"', names(primary))
        check("Sync Standby" in lab.ctl("list").stdout, lab.ctl("list").stdout)
        writers = Writers(lab).start()
        time.sleep(1)
        primary.kill_postmaster()
        successor = lab.wait_primary(20, other_than=primary)
        check(successor.name == standby, f"{successor.name} leads, {standby} was the synchronous standby")
        time.sleep(1)
        verify(lab, writers, 0)


@scenario
def sync_strict_waits_for_a_standby():
    with quorum_lab(synchronous_mode_strict=True) as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        writers = Writers(lab).start()
        time.sleep(0.5)
        for replica in others(lab, primary):
            replica.lose_power()
        wait_votes(lab, 0)
        time.sleep(1)
        before = writers.count()
        time.sleep(2)
        check(writers.count() == before, "a commit was acknowledged with no standby there")
        check(names(primary) != "", "synchronous_standby_names is empty in strict mode")
        for replica in others(lab, primary):
            replica.start()
        wait_for("acknowledgements again", 20, lambda: writers.count() > before)
        check(verify(lab, writers, 0) is primary, "no failover")


@scenario
def sync_switched_on_and_off():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        check(key(lab) == {}, "no sync key without synchronous_mode")
        writers = Writers(lab).start()
        for setting, count, text in (("quorum", 2, "ANY 1 ("), ("on", 1, '"'), ("off", 0, "")):
            done = lab.ctl("edit-config", "--force", "-s", f"synchronous_mode={setting}")
            check(done.returncode == 0, done.stdout + done.stderr)
            wait_votes(lab, count)
            wait_for(f"the names of mode {setting}", 10,
                     lambda text=text: names(primary).startswith(text) and bool(names(primary)) == bool(text))
        wait_for("no sync key", 10, lambda: not key(lab))
        check(verify(lab, writers, 0) is primary, "no failover")


@scenario
def sync_names_outlive_the_agent():
    """The agent is killed and comes back: at no moment does a commit wait for nobody."""
    # Nobody is to take over meanwhile, however long the agent needs to come back.
    with quorum_lab(ttl=20, loop_wait=2, retry_timeout=3, suspect_after="20s") as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        seen = set()

        def look(seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                try:
                    seen.add(names(primary))
                except psycopg2.Error:
                    pass
                time.sleep(0.05)

        primary.kill_agent()
        look(1)
        primary.start()
        look(5)
        check("" not in seen and seen, f"synchronous_standby_names was {seen}")
        primary.kill_agent()
        primary.kill_postmaster()
        time.sleep(0.5)
        seen.clear()
        primary.start()
        wait_for("the primary again", 30, primary.is_primary)
        look(3)
        check("" not in seen and seen, f"after a crash synchronous_standby_names was {seen}")
        verify(lab, Writers(lab).start(), 0)


def app_sees(member):
    """What a client that is no superuser reads; None: it is not let in."""
    try:
        connection = member.connect(user="app", password="app", connect_timeout=2)
    except psycopg2.OperationalError:
        return None
    try:
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from seen")
            return cursor.fetchone()[0]
    finally:
        connection.close()


def superuser_sees(member):
    try:
        return member.sql("select count(*) from seen")[0][0]
    except psycopg2.Error:
        return None


def insert(connection):
    try:
        with connection.cursor() as cursor:
            cursor.execute("insert into seen values (1)")
        connection.commit()
    except psycopg2.Error:
        pass


def leave_a_commit_unconfirmed(primary, replicas):
    for replica in replicas:
        signal_all(replica.postgres_tree(), signal.SIGSTOP)
    waiting = primary.connect(user="app", password="app")
    sender = threading.Thread(target=insert, args=(waiting,), daemon=True)
    sender.start()
    wait_for("a commit that waits", 10, lambda: primary.sql(
        "select count(*) from pg_stat_activity where wait_event = 'SyncRep' and usename = 'app'")[0][0] == 1)
    primary.kill_postmaster()
    sender.join(10)


@scenario
def sync_a_crashed_primary_is_not_read_before_it_is_confirmed():
    """What it holds beyond what was acknowledged nobody sees before its standbys have it."""
    with quorum_lab(ttl=20, loop_wait=2, retry_timeout=3, primary_start_timeout=300) as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        replicas = others(lab, primary)
        primary.sql("create role app login password 'app'")
        primary.sql("create table seen (i int)")
        primary.sql("grant all on seen to app")
        check(primary.sql("show restart_after_crash")[0][0] == "off", "a crash that PostgreSQL repairs by itself")
        path = primary.sql("show hba_file")[0][0]
        with open(path) as file:
            rules = file.read()
        for agent_dies in (False, True):
            before = app_sees(primary)
            check(before is not None, "the client can read")
            leave_a_commit_unconfirmed(primary, replicas)
            wait_for("PostgreSQL again", 30, lambda: superuser_sees(primary) is not None)
            check(superuser_sees(primary) == before + 1, "the commit that nobody confirmed is there")
            check(app_sees(primary) is None, "a client reads what nobody has confirmed")
            check(primary.api("/primary")[0] == 503, "/primary of a primary that is not confirmed")
            primary.sql("select pg_reload_conf()")
            time.sleep(0.7)
            check(app_sees(primary) is None, "a reload lets clients in")
            check("lets no client in" in lab.ctl("list").stdout, lab.ctl("list").stdout)
            if agent_dies:
                primary.kill_agent()
            for replica in replicas:
                signal_all(replica.postgres_tree(), signal.SIGCONT)
            if agent_dies:
                time.sleep(1)
                check(app_sees(primary) is None, "clients come in without the agent")
                primary.start()
            wait_for("clients are let in", 20, lambda: app_sees(primary) == before + 1)
            wait_for("/primary", 5, lambda: primary.api("/primary")[0] == 200)
            with open(path) as file:
                check(file.read() == rules, "pg_hba.conf is as it was")
            check(not os.path.exists(path + ".relevo"), "nothing is left beside pg_hba.conf")
            lab.wait_healthy()
            wait_votes(lab, 2)
        verify(lab, Writers(lab).start(), 0)


def lsn(member, function):
    return member.sql(f"select {function}() - '0/0'::pg_lsn")[0][0]


def get_ahead(primary, standby):
    """WAL that only these two have, and that nobody was promised."""
    primary.sql("select pg_logical_emit_message(false, 'ahead', repeat('x', 1000)) from generate_series(1, 2000)")
    primary.sql("select pg_logical_emit_message(true, 'ahead', 'the last')")
    end = lsn(primary, "pg_current_wal_flush_lsn")
    wait_for(f"{standby.name} has it", 10, lambda: lsn(standby, "pg_last_wal_replay_lsn") >= end)
    return end


@scenario
def sync_an_ahead_standby_acknowledges_nothing():
    """It has more of the old timeline than its new leader had; PostgreSQL would count what it reports (R16)."""
    with quorum_lab() as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        behind, ahead = others(lab, primary)
        primary.sql("create table told (i int)")
        wait_for("the table there", 10, lambda: behind.sql("select to_regclass('told') is not null")[0][0])
        behind.lose_power()
        wait_votes(lab, 1)
        end = get_ahead(primary, ahead)
        for member in (ahead, primary):
            member.lose_power()
        behind.start()
        wait_for("nobody leads", 30, lambda: "leader" not in lab.etcd.keys("lab"))
        done = lab.ctl("failover", "--candidate", behind.name, "--force")
        check(done.returncode == 0, done.stdout + done.stderr)
        check(lab.wait_primary(30) is behind, "whom the operator named leads")
        # A commit that waits for whoever streams, and so for this standby alone.
        behind.sql("alter system set synchronous_standby_names = '*'")
        behind.sql("select pg_reload_conf()")
        wait_for("commits wait", 5, lambda: behind.sql("show synchronous_standby_names")[0][0] == "*")
        waits = behind.connect()
        sender = threading.Thread(target=insert_told, args=(waits,), daemon=True)
        sender.start()
        wait_for("the commit waits", 10, lambda: behind.sql(
            "select count(*) from pg_stat_activity where wait_event = 'SyncRep'")[0][0] >= 1)
        check(lsn(behind, "pg_current_wal_lsn") < end, "the standby that comes back is ahead")
        began = time.monotonic()
        ahead.start()
        sender.join(40)
        check(not sender.is_alive(), "the commit is confirmed in the end: " + ahead.agent.tail(20))
        took = time.monotonic() - began
        behind.lose_power()
        wait_for("the row is on the standby that confirmed it", 10,
                 lambda: (3,) in ahead.sql("select i from told"))
        logged(ahead, "rewinding to", "it gave up what its leader lacks: " + ahead.agent.tail(20))
        print(f"  confirmed {took:.2f} s after the agent was started")


def insert_told(connection):
    with connection, connection.cursor() as cursor:
        cursor.execute("insert into told values (3)")


@scenario
def sync_lowered_synchronous_commit_is_told_and_taken_back():
    """Who lowers it is named everywhere; below the floor it is taken back, and what cannot be is said."""
    with quorum_lab() as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)

        def metric():
            line = [one for one in primary.api("/metrics")[1].splitlines()
                    if one.startswith("relevo_lowered_synchronous_commit")]
            return line[0].split()[-1]

        def told():
            return primary.status().get("lowered_synchronous_commit", "")

        check(metric() == "0" and "lowered_synchronous_commit" not in primary.status(), "nothing yet")
        primary.sql('create role "App er"')
        primary.sql("create database shop")
        for text in ('alter role "App er" set synchronous_commit to off',
                     "alter database shop set synchronous_commit to local",
                     'alter role "App er" in database shop set synchronous_commit to remote_write',
                     "alter role all set synchronous_commit to remote_apply",
                     "alter system set synchronous_commit to off"):
            primary.sql(text)
        wait_for("the status names them", 15, lambda: "auto.conf" in told() and "shop" in told())
        for words in ('off for role "App er"', "local for database shop", "off in ", "postgresql.auto.conf",
                      'remote_write for role "App er" in database shop'):
            check(words in told(), f"{words}: {told()}")
        check("remote_apply" not in told() and metric() == "4", f"{told()} {metric()}")
        wait_for("the list has it", 10, lambda: "synchronous_commit is off in" in lab.ctl("list").stdout)
        time.sleep(3)
        said = log_of(primary).count("synchronous_commit is local for database shop")
        check(said == 1, f"the log says it once, not {said} times")
        check(primary.sql("select count(*) from pg_db_role_setting")[0][0] == 4, "nothing was taken back")

        lab.ctl("edit-config", "--force", "-s", "synchronous_commit_floor=remote_write", check=True)
        wait_for("what is below is taken back", 20,
                 lambda: told() == 'remote_write for role "App er" in database shop')
        left = primary.sql("select setconfig::text from pg_db_role_setting order by 1")
        check([one[0] for one in sorted(left)] == ["{synchronous_commit=remote_apply}",
                                                   "{synchronous_commit=remote_write}"], str(left))
        fresh = primary.connect(dbname="postgres", options="-c client_min_messages=error")
        with fresh, fresh.cursor() as cursor:
            cursor.execute("select reset_val from pg_settings where name = 'synchronous_commit'")
            check(cursor.fetchone()[0] == "remote_apply", "a new session has what is left")
        fresh.close()
        check(primary.sql("select count(*) from pg_file_settings where name = 'synchronous_commit' "
                          "and sourcefile like '%auto.conf'")[0][0] == 0, "ALTER SYSTEM too")
        text = log_of(primary)
        check("for database shop was taken back: synchronous_commit_floor is remote_write" in text, text[-2000:])
        # Again, after a switchover, by the next primary.
        done = lab.ctl("switchover", "--force", "--leader", primary.name, "--candidate", others(lab, primary)[0].name)
        check(done.returncode == 0, done.stdout + done.stderr)
        successor = lab.wait_primary(20, other_than=primary)
        wait_for("it is writable", 10, successor.writable)
        successor.sql("alter database shop set synchronous_commit to off")
        wait_for("taken back once more", 20, lambda: "for database shop was taken back" in log_of(successor))
        verify(lab, Writers(lab).start(), 0)


@scenario
def sync_a_voter_is_let_go_before_it_is_made_anew():
    with quorum_lab() as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        writers = Writers(lab).start()
        voter, other = others(lab, primary)
        began = time.monotonic()
        code, text = voter.api("/reinitialize", "POST", {})
        print(f"  let go after {time.monotonic() - began:.2f} s: {code} {text}")
        check(code == 200, f"{code} {text}")
        check(voters(lab) == [other.name], f"it was let go before anybody says that it is made anew: {voters(lab)}")
        wait_votes(lab, 2, 60)
        # The last one that could take over is not.
        other.agent.stop()
        wait_votes(lab, 1)
        data = os.stat(voter.data).st_ino
        code, text = voter.api("/reinitialize", "POST", {})
        check(code == 503 and "no other standby could take over" in text, f"{code} {text}")
        check(os.stat(voter.data).st_ino == data and voters(lab) == [voter.name], "nothing was removed")
        code, text = voter.api("/reinitialize", "POST", {"force": True})
        check(code == 200, f"{code} {text}")
        other.start()
        wait_votes(lab, 2, 60)
        verify(lab, writers, 0)


@scenario
def sync_a_slot_that_an_old_connection_holds_is_given_back():
    """What is left of a standby's last life, here a program that receives in its name, stands in nobody's way."""
    with quorum_lab() as lab:
        primary = lab.start().primary()
        wait_votes(lab, 2)
        standby = others(lab, primary)[0]
        standby.lose_power()
        slot = standby.name.replace("-", "_")
        wait_for("its slot is free", 20, lambda: not primary.sql(
            "select active from pg_replication_slots where slot_name = %s", slot)[0][0])
        into = os.path.join(lab.directory, "received")
        os.mkdir(into)
        os.chmod(into, 0o777)
        old = subprocess.Popen(
            [f"{pg_bin()}/pg_receivewal", "-D", into, "-S", slot, "--no-loop", "-d",
             f"host={primary.address} port={primary.port} user=postgres password={SUPERUSER_PASSWORD} "
             f"application_name={standby.name}"], stderr=subprocess.DEVNULL)
        try:
            wait_for("it has the slot", 20, lambda: primary.sql(
                "select active from pg_replication_slots where slot_name = %s", slot)[0][0])
            standby.start()
            wait_for("PostgreSQL is back", 30, lambda: standby.postmaster() is not None)
            began = time.monotonic()
            # A receiver that has connected shows "streaming" until its slot is refused: the log first.
            wait_for("the old connection is ended", 30, lambda:
                     "ending the replication connection that " + standby.name in log_of(primary))
            wait_for("the standby streams", 30, standby.streaming)
            print(f"  streaming {time.monotonic() - began:.2f} s after its start")
            time.sleep(3)
            check(log_of(primary).count("ending the replication connection") == 1 and standby.streaming(), "once")
        finally:
            old.kill()
            old.wait()
        verify(lab, Writers(lab).start(), 0)


if __name__ == "__main__":
    run()
