"""Who may lead after several timelines, and what pg_rewind needs of the archive, on real etcd and real PostgreSQL.

  python3 tests/e2e/rejoin_scenarios.py NAME ...   run some
"""
import json
import os
import signal
import time

from registry import FAST, check, log_of, logged, ours, run, run_as_postgres, scenario, script, verify
from lab import Lab, pg_bin, wait_for


def others(lab, member):
    return [m for m in lab if m is not member]


def archiving_lab():
    """Three members with an archive that everybody reaches, and that can be closed for writing."""
    lab = Lab(members=3, dynamic={**FAST, "maximum_lag_on_failover": 1 << 30})
    try:
        archive = ours(lab, "archive")
        put = script(lab, "put.sh", f'[ ! -e {archive}/closed ] || exit 1\ncmp -s "$1" {archive}/$2 && exit 0\n'
                                    f'[ ! -e {archive}/$2 ] && cp "$1" {archive}/$2\n')
        get = script(lab, "get.sh", f'[ ! -e {archive}/not-for-$1 ] || exit 1\necho $2 >> {archive}/asked-by-$1\n'
                                    f'exec cp {archive}/$2 "$3"\n')
        for m in lab:
            m.config["bootstrap"]["dcs"]["postgresql"]["parameters"] = {
                "archive_mode": "on", "archive_command": f"{put} %p %f"}
            m.config["postgresql"]["recovery_conf"] = {"restore_command": f"{get} {m.name} %f %p"}
        lab.archive = archive
        return lab
    except BaseException:
        lab.stop()
        raise


def flag(lab, name):
    path = os.path.join(lab.archive, name)
    with open(path, "w"):
        pass
    return path


def in_archive(lab):
    return {n for n in os.listdir(lab.archive) if len(n) == 24}


def own_segments(member):
    return sorted(n for n in os.listdir(os.path.join(member.data, "pg_wal")) if len(n) == 24)


def diverge(lab, segments):
    """The primary alone writes on, over so many segments, and goes. The names of its segments meanwhile."""
    primary = lab.primary()
    primary.sql("create table mark (t text)")
    for m in others(lab, primary):
        wait_for(f"the table on {m.name}", 20, lambda m=m: m.sql("select to_regclass('mark') is not null")[0][0])
    for m in others(lab, primary):
        m.lose_power()
    # The replicas' slots would hold the segments that are to be missing.
    wait_for("no walsender is left", 30, lambda: primary.sql("select count(*) from pg_stat_replication")[0][0] == 0)
    written = []
    for _ in range(segments):
        primary.sql("insert into mark values ('only on the old primary')")
        written.append(primary.sql("select pg_walfile_name(pg_current_wal_lsn())")[0][0])
        primary.sql("select pg_switch_wal()")
    return primary, written


def rewound(lab, primary):
    """The others go on without it; it comes back by pg_rewind."""
    for m in others(lab, primary):
        m.start()
    successor = lab.wait_primary(40, other_than=primary)
    successor.sql("insert into mark values ('on the new one')")
    primary.start()
    lab.wait_healthy(60)
    rows = {r[0] for r in primary.sql("select t from mark")}
    check(rows == {"on the new one"}, f"the returned member shows {rows}")
    logged(primary, "rewinding to", "it came back by pg_rewind: " + primary.agent.tail(20))
    check("cloning" not in log_of(primary), "and by nothing else: " + primary.agent.tail(20))


@scenario
def rewind_fetches_missing_wal_from_the_archive():
    """pg_rewind reads the old primary's own WAL back to where both were one; what checkpoints removed is fetched."""
    with archiving_lab() as lab:
        lab.start()
        primary, written = diverge(lab, 4)
        for m in others(lab, primary):  # or they would have what the primary had, and nothing to rewind
            flag(lab, f"not-for-{m.name}")
        wait_for("the archive has them", 30, lambda: set(written) <= in_archive(lab))
        primary.sql("checkpoint")
        primary.lose_power()
        # As a checkpoint would without slots: all before the last one, which the archive has.
        gone = [n for n in own_segments(primary) if n <= written[-1]]
        check(set(written) <= set(gone) <= in_archive(lab), f"{gone} are in the archive")
        for name in gone:
            os.remove(os.path.join(primary.data, "pg_wal", name))
        rewound(lab, primary)
        with open(os.path.join(lab.archive, f"asked-by-{primary.name}")) as f:
            asked = set(f.read().split())
        check(written[0] in asked, f"the missing segment {written[0]} was asked for: {sorted(asked)}")
        verify(lab)


@scenario
def rewind_archives_what_only_the_old_primary_has():
    """A segment that was not archived when the primary died is of the past that was acknowledged: a rewind would
    remove it."""
    with archiving_lab() as lab:
        lab.start()
        archive_closed = flag(lab, "closed")
        primary, written = diverge(lab, 2)
        status = os.path.join(primary.data, "pg_wal", "archive_status")
        check(set(f"{n}.ready" for n in written) <= set(os.listdir(status)), f"ready: {os.listdir(status)}")
        check(not set(written) & in_archive(lab), "none of them is in the archive yet")
        primary.lose_power()
        os.remove(archive_closed)
        rewound(lab, primary)
        check(set(written) <= in_archive(lab), f"{written} are in the archive: {in_archive(lab)}")
        verify(lab)


@scenario
def member_left_behind_on_an_old_timeline_does_not_win():
    """It has more bytes, but of the line that the cluster left."""
    with Lab(members=4, dynamic={**FAST, "maximum_lag_on_failover": 1 << 30}) as lab:
        first, keeps_up, falls_behind, follows = lab
        for m in lab:
            m.start()
            lab.wait_primary(40)
        lab.wait_healthy(60)
        check(lab.primary() is first, "the first one leads")
        first.sql("create table mark (t text)")
        for m in (keeps_up, follows):
            wait_for("the table", 20, lambda m=m: m.sql("select to_regclass('mark') is not null")[0][0])
        # Only one gets what comes now, then that one and the primary go.
        for m in (keeps_up, follows):
            m.lose_power()
        for _ in range(8):
            first.sql("insert into mark values ('of the old timeline')")
            first.sql("select pg_switch_wal()")
        wait_for("the other has it", 20, lambda: falls_behind.sql("select count(*) from mark")[0][0] == 8)
        falls_behind.lose_power()
        first.lose_power()
        keeps_up.start()
        check(lab.wait_primary(40) is keeps_up, "the one that is left leads")
        keeps_up.sql("insert into mark values ('of the new timeline')")
        follows.start()
        lab.wait_healthy(60, without=(first, falls_behind))
        # Replication is asynchronous: streaming is not yet having it.
        wait_for("it has the row of the new timeline", 20, lambda: follows.sql("select count(*) from mark")[0][0] == 1)
        keeps_up.lose_power()
        follows.lose_power()
        # A leader whom nobody knows keeps the key until both candidates are up: it is a race from a standing start.
        wait_for("nobody leads", 20, lambda: "leader" not in lab.etcd.keys("lab"))
        lab.etcd.put("lab", "leader", "nobody")
        for m in (falls_behind, follows):
            m.start()
        for m in (falls_behind, follows):
            wait_for(f"{m.name} is up", 40, lambda m=m: m.sql("select pg_is_in_recovery()")[0][0])
        end = {m.name: m.sql("select pg_wal_lsn_diff(greatest(pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn()), "
                             "'0/0')::bigint")[0][0] for m in (falls_behind, follows)}
        check(end[falls_behind.name] > end[follows.name], f"the one left behind has more bytes: {end}")
        began = time.monotonic()
        lab.etcd.delete("lab", "leader")
        check(lab.wait_primary(40) is follows, "the one on the cluster's timeline leads")
        print(f"  led after {time.monotonic() - began:.1f} s")
        check(not falls_behind.writable(), "the one left behind never did")
        lab.wait_healthy(60, without=(first, keeps_up))
        rows = {r[0] for r in falls_behind.sql("select distinct t from mark")}
        check(rows == {"of the new timeline"}, f"and has what the cluster has: {rows}")
        for m in (first, keeps_up):
            m.start()
        verify(lab)


def led_alone(lab, first, alone, asleep):
    """One is promoted and dies before anybody had anything of it; the other one, which slept, leads after it."""
    asleep.agent.send(signal.SIGSTOP)
    first.lose_power()
    check(lab.wait_primary(40) is alone, "the one that is awake leads")
    alone.sql("insert into mark values ('of a timeline that came to nothing')")
    alone.lose_power()
    asleep.agent.send(signal.SIGCONT)
    check(lab.wait_primary(40) is asleep, "then the other one")
    asleep.sql("insert into mark values ('of the line')")
    wait_for("the line is told", 20, lambda: line_of(lab)["line"] == asleep.status()["timeline"])


def line_of(lab):
    return json.loads(lab.etcd.keys("lab")["timeline"])


@scenario
def data_of_a_timeline_that_came_to_nothing_does_not_lead():
    """It was a primary once, on a timeline that the next leader did not come from: alone it waits for the line, or
    for an operator's word."""
    with Lab(dynamic={**FAST, "maximum_lag_on_failover": 1 << 30}) as lab:
        lab.start()
        first = lab.wait_healthy(60)
        alone, asleep = others(lab, first)
        first.sql("create table mark (t text)")
        for m in (alone, asleep):
            wait_for("the table", 20, lambda m=m: m.sql("select to_regclass('mark') is not null")[0][0])
        led_alone(lab, first, alone, asleep)
        told = line_of(lab)
        check(told["line"] == told["timeline"] == 3, f"the second promotion skipped the first one's number: {told}")
        asleep.lose_power()
        wait_for("nobody leads", 20, lambda: "leader" not in lab.etcd.keys("lab"))
        alone.start()
        refused = "my timeline 2 left the one that the last leader wrote (3)"
        wait_for("it says why it does not lead", 40, lambda: refused in log_of(alone))
        check("leader" not in lab.etcd.keys("lab") and not alone.writable(), "and it does not")
        logged(alone, "relevoctl failover --candidate", "it says how an operator can decide otherwise")
        asleep.start()
        check(lab.wait_primary(40) is asleep, "the one on the line leads as soon as it is back")
        first.start()
        lab.wait_healthy(60)
        rows = {r[0] for r in alone.sql("select t from mark")}
        check(rows == {"of the line"}, f"and the other has what the cluster has: {rows}")
        verify(lab)


@scenario
def a_promotion_that_was_cut_short_is_begun_anew():
    """PostgreSQL removes standby.signal before it begins the new timeline. What ends in between, for want of room say,
    comes up as a primary of the old timeline, which another one has: it must be a standby again first."""
    with Lab(members=1, dynamic={"ttl": 30, "loop_wait": 10, "retry_timeout": 10}) as lab:
        member = lab.start().primary()
        member.sql("create table mark as select 1 as i")
        member.sql("checkpoint")
        member.agent.send(signal.SIGSTOP)  # it holds the leader key, and finds this as a promotion leaves it
        member.kill_postmaster()
        wait_for("PostgreSQL's processes are gone", 20, lambda: not member.postgres_tree())
        # Of the agent's child, that it cannot reap now.
        os.unlink(os.path.join(member.data, "postmaster.pid"))
        os.unlink(os.path.join(member.home, f".s.PGSQL.{member.port}.lock"))
        signal_file = os.path.join(member.data, "standby.signal")
        run_as_postgres(["touch", signal_file])
        by_hand = [f"{pg_bin()}/pg_ctl", "-D", member.data, "-w", "-l", os.path.join(member.home, "pg.log")]
        run_as_postgres([*by_hand, "-o", f"-c listen_addresses={member.address} -c port={member.port}", "start"])
        wait_for("it recovers", 20, lambda: member.sql("select pg_is_in_recovery()")[0][0])
        run_as_postgres([*by_hand, "-m", "immediate", "stop"])
        os.unlink(signal_file)
        member.agent.send(signal.SIGCONT)
        wait_for("the agent sees it", 20, lambda: "PostgreSQL ended unexpectedly" in log_of(member))
        lab.wait_primary(60)
        # pg_control shows it once the checkpoint after the promotion is done.
        wait_for("a timeline of its own", 20,
                 lambda: member.sql("select timeline_id from pg_control_checkpoint()")[0][0] == 2)
        check(member.sql("select i from mark") == [(1,)], "with what there was")


if __name__ == "__main__":
    run()
