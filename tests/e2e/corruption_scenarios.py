"""A page that rots (docs/adr/0022) on real servers.

  python3 tests/e2e/corruption_scenarios.py NAME ...   run some
"""
import json
import os
import time

import psycopg2

from registry import FAST, check, log_of, logged, run, scenario, synchronous, verify, wait_until_votes_count
from lab import Lab, Writers, wait_for


def others(lab, member):
    return [m for m in lab if m is not member]


def rot(lab, member):
    """Bytes of a table that no cache holds: it was written before the last checkpoint, and nobody has read it since."""
    primary = lab.primary()
    primary.sql("create table if not exists t (n int) with (autovacuum_enabled = false)")
    primary.sql("insert into t select generate_series(1, 1000)")
    primary.sql("vacuum freeze t")
    primary.sql("checkpoint")
    end = primary.sql("select pg_current_wal_flush_lsn()::text")[0][0]
    if member is not primary:
        wait_for(f"{member.name} to have all of it", 30,
                 lambda: member.sql("select pg_last_wal_replay_lsn() >= %s::pg_lsn", end)[0][0])
    done = lab.ctl("restart", lab.scope, member.name, "--force")
    check(done.returncode == 0, done.stdout + done.stderr)
    lab.wait_healthy(60)
    path = os.path.join(member.data, member.sql("select pg_relation_filepath('t')")[0][0])
    with open(path, "r+b") as f:
        f.seek(4000)
        f.write(b"rotten")


def read(member):
    try:
        member.sql("select count(*) from t")
    except psycopg2.Error as e:
        return e.pgcode
    return None


def found(member):
    return member.status().get("corruption", {}).get("found", [])


def key(lab, member):
    return json.loads(lab.etcd.keys(lab.scope)[f"members/{member.name}"])


@scenario
def a_page_that_rots_on_a_standby_is_told_of_until_its_data_is_copied_anew():
    with Lab(dynamic=FAST) as lab:
        lab.start()
        primary = lab.primary()
        standby = others(lab, primary)[0]
        rot(lab, standby)
        check(not found(standby), "nobody has read it")
        check(read(standby) == "XX001", "data_corrupted")
        wait_for("it to be found", 60, lambda: found(standby))
        check(found(standby)[0]["what"] == "checksum_failures" and found(standby)[0]["where"] == "postgres",
              found(standby))
        wait_for("its log to say so once", 30,
                 lambda: log_of(standby).count("this member's data is damaged") == 1)
        wait_for("its key to say so", 30, lambda: key(lab, standby).get("corrupted"))
        check(f"{standby.name}: its data is damaged: " in lab.ctl("list", lab.scope).stdout, "relevoctl list")
        metrics = standby.api("/metrics")[1]
        check(f'relevo_data_corrupted{{scope="{lab.scope}",name="{standby.name}"}} 1' in metrics and
              f'relevo_checksum_failures_total{{scope="{lab.scope}",name="{standby.name}",database="postgres"}} '
              in metrics, metrics)
        check(not found(primary), "the primary's page is good")

        # The server's counters are gone after this; the agent's memory too.
        standby.lose_power()
        standby.start()
        lab.wait_healthy(60)
        wait_for("it to be known again", 30, lambda: found(standby))

        done = lab.ctl("reinit", lab.scope, standby.name, "--force", "--wait", timeout=120)
        check(done.returncode == 0, done.stdout + done.stderr)
        lab.wait_healthy(60)
        wait_for("the mark to be gone", 30, lambda: not found(standby))
        check(not os.path.exists(standby.data + ".corruption"), "from the disk, too")
        wait_for("its key to say so", 30, lambda: not key(lab, standby).get("corrupted"))
        check(standby.sql("select count(*) from t")[0][0] == 1000, "all rows")
        verify(lab)


@scenario
def a_primary_whose_page_rots_hands_over_to_a_member_whose_data_is_good_until_it_is_flushed():
    mode = synchronous("off")
    with Lab(dynamic={**FAST, **mode}) as lab:
        lab.start()
        primary = lab.primary()
        wait_until_votes_count(lab, mode)
        rot(lab, primary)
        writers = Writers(lab, clients=2, pause=0.005).start()
        wait_for("rows", 30, lambda: writers.count() > 50)
        check(read(primary) == "XX001", "data_corrupted")
        then = lab.wait_primary(90, other_than=primary)
        logged(primary, "the data here is damaged: handing over to", "the handover is explained")
        check(read(then) is None, "the new primary's page is good")
        now = time.monotonic()
        wait_for("writes on the new primary", 30, lambda: any(a and a[-1][1] > now for a in writers.acked))
        verify(lab, writers)
        check(lab.primary() is then and found(primary), "nobody hands back, and the old one stays damaged")
        refused = lab.ctl("switchover", lab.scope, "--leader", then.name, "--candidate", primary.name, "--force")
        check("data is damaged" in refused.stdout + refused.stderr, refused.stdout + refused.stderr)
        check(lab.primary() is then, "an operator's switchover to it is refused")

        # An operator's word is taken, until one more says that it was wrong.
        done = lab.ctl("flush", lab.scope, primary.name, "corruption", "--force")
        check(done.returncode == 0 and not found(primary), done.stdout + done.stderr)
        again = lab.ctl("flush", lab.scope, primary.name, "corruption", "--force")
        check("Nothing was found" in again.stdout, again.stdout)
        check(read(primary) == "XX001", "it is as it was")
        wait_for("it to be found again", 60, lambda: found(primary))


def zero_an_index(lab, member):
    """A page of zeros, as a lost write leaves it: its checksum is none, which is right."""
    primary = lab.primary()
    primary.sql("create extension amcheck")
    primary.sql("create table t (n int) with (autovacuum_enabled = false)")
    primary.sql("create index t_n on t (n)")
    primary.sql("insert into t select generate_series(1, 1000)")
    primary.sql("checkpoint")
    end = primary.sql("select pg_current_wal_flush_lsn()::text")[0][0]
    if member is not primary:
        wait_for(f"{member.name} to have all of it", 30,
                 lambda: member.sql("select pg_last_wal_replay_lsn() >= %s::pg_lsn", end)[0][0])
    done = lab.ctl("restart", lab.scope, member.name, "--force")
    check(done.returncode == 0, done.stdout + done.stderr)
    lab.wait_healthy(60)
    path = os.path.join(member.data, member.sql("select pg_relation_filepath('t_n')")[0][0])
    with open(path, "r+b") as f:
        f.seek(8192)
        f.write(bytes(8192))


def amcheck(member):
    return member.status().get("amcheck", {})


@scenario
def a_standby_looks_through_its_data_and_finds_what_no_checksum_shows():
    with Lab(dynamic={**FAST, "corruption": {"amcheck": "0 3 1 1 *"}}) as lab:
        lab.start()
        primary = lab.primary()
        standby, other = others(lab, primary)
        zero_an_index(lab, standby)
        refused = lab.ctl("amcheck", lab.scope, primary.name, "--strict")
        check(refused.returncode == 1 and "this member leads" in refused.stdout, refused.stdout + refused.stderr)
        done = lab.ctl("amcheck", lab.scope)
        check(done.returncode == 0 and done.stdout.count("looks through its tables") == 2, done.stdout + done.stderr)
        wait_for("it to be found", 60, lambda: found(standby))
        check(found(standby)[0]["what"] == "amcheck" and found(standby)[0]["where"] == "postgres.public.t_n",
              found(standby))
        wait_for("its key to say so", 30, lambda: key(lab, standby).get("corrupted"))
        for member in (standby, other):
            wait_for(f"{member.name}'s look to end", 60, lambda m=member: "ended" in amcheck(m))
        seen = amcheck(other)
        check(seen["relations"] > 100 and not seen["damaged"] and not seen["left_out"], seen)
        check(not found(other) and not found(primary), "theirs is good")
        logged(other, "nothing found", "the end of a look")
        metrics = other.api("/metrics")[1]
        check("relevo_amcheck_last_run_timestamp_seconds{" in metrics, metrics)
        listed = lab.ctl("list", lab.scope).stdout
        check(f"{standby.name}: its data is damaged: amcheck made 1 report on postgres.public.t_n" in listed, listed)
        print("\n".join(f"  {line}" for line in log_of(standby).splitlines() if "amcheck" in line))

        # One that goes on is ended by a word.
        check(lab.ctl("amcheck", lab.scope, other.name).returncode == 0, "it begins")
        ended = lab.ctl("amcheck", lab.scope, other.name, "--cancel")
        check(ended.returncode == 0 and "Success" in ended.stdout, ended.stdout + ended.stderr)
        wait_for("it to have ended", 10, lambda: amcheck(other).get("given_up"))
        verify(lab)


@scenario
def what_the_server_log_says_of_damage_is_told_and_is_no_ground_for_anything():
    with Lab(dynamic=FAST) as lab:
        for member in lab:
            member.config["postgresql"]["parameters"].update({"logging_collector": "on", "log_line_prefix": "%m %u "})
        lab.start()
        primary = lab.primary()
        standby, other = others(lab, primary)
        zero_an_index(lab, standby)
        connection = standby.connect()
        with connection.cursor() as cursor:
            cursor.execute("set enable_seqscan = off")
            cursor.execute("set enable_bitmapscan = off")
            try:
                cursor.execute("select n from t where n = 5")
                check(False, "the index page is there")
            except psycopg2.Error as e:
                check(e.pgcode == "XX002", e)
        connection.close()
        said = 'index "t_n" contains unexpected zero page at block 1'
        wait_for("it to be told", 30, lambda: key(lab, standby).get("corruption_note"))
        check(not key(lab, standby).get("corrupted") and not standby.status()["corrupted"], "it is no damage yet")
        check(standby.status()["corruption"]["log"][0]["where"] == said, standby.status()["corruption"])
        listed = lab.ctl("list", lab.scope).stdout
        check(f"{standby.name}: its data may be damaged: " in listed and said in listed, listed)
        print("\n".join(f"  {line}" for line in listed.splitlines() if "may be damaged" in line))

        # Somebody who cannot even log in writes a line of his own: it is told, and moves nobody.
        forged = "x\n2026-11-26 20:00:00 ERROR:  invalid page in block 0 "
        try:
            psycopg2.connect(host=primary.address, port=primary.port, user=forged, password="x", dbname="postgres")
        except psycopg2.OperationalError:
            pass
        wait_for("it to be told", 30, lambda: primary.status().get("corruption"))
        check(not primary.status()["corrupted"], "a line is no damage")

        # What looks for it finds it.
        check(lab.ctl("amcheck", lab.scope, standby.name).returncode == 0, "it begins")
        wait_for("it to be found", 60, lambda: found(standby))
        done = lab.ctl("flush", lab.scope, primary.name, "corruption", "--force")
        check(done.returncode == 0 and "corruption" not in primary.status(), done.stdout + done.stderr)
        check(verify(lab) is primary and "the data here is damaged" not in log_of(primary), "nobody hands over")


def kept(member):
    """What is beside its data directory of an earlier one."""
    above, name = os.path.split(member.data)
    return [os.path.join(above, one) for one in os.listdir(above)
            if one.startswith(name + ".damaged-") and os.path.isdir(os.path.join(above, one))]


def turn(lab):
    return json.loads(lab.etcd.keys(lab.scope).get("rebuild", "{}"))


@scenario
def a_replica_whose_page_rots_is_made_anew_by_itself_once_and_its_old_directory_is_kept():
    with Lab(dynamic={**FAST, "corruption": {"rebuild_replica": True}}) as lab:
        lab.start()
        primary = lab.primary()
        standby = others(lab, primary)[0]
        rot(lab, standby)
        writers = Writers(lab, clients=2, pause=0.005).start()
        wait_for("rows", 30, lambda: writers.count() > 50)
        directory = os.stat(standby.data).st_ino
        check(read(standby) == "XX001", "data_corrupted")
        wait_for("it to be made anew", 60, lambda: turn(lab).get("phase") == "done")
        lab.wait_healthy(60)
        check(turn(lab)["member"] == standby.name, turn(lab))
        check(standby.status().get("rebuild", {}).get("phase") == "done", standby.status())
        old = kept(standby)
        check(len(old) == 1 and old[0] == standby.data + turn(lab)["kept"], f"{old} {turn(lab)}")
        check(os.stat(old[0]).st_ino == directory, "the old directory itself is kept")
        check(os.path.exists(old[0] + ".corruption"), "and what was found in it")
        wait_for("the mark to be gone", 30, lambda: not found(standby))
        check(not os.path.exists(standby.data + ".corruption"), "from the disk, too")
        check(not os.path.exists(standby.data + ".rebuild"), "nor is anything under way")
        check(standby.sql("select count(*) from t")[0][0] == 1000, "all rows")
        logged(standby, "this member is made anew; its old, damaged directory is kept as", "it says so")
        shown = lab.ctl("list", lab.scope).stdout
        check(f"{standby.name} was made anew, since its data was damaged" in shown, shown)
        verify(lab, writers)

        # What rots again within a day is no page.
        rot(lab, standby)
        check(read(standby) == "XX001", "data_corrupted")
        wait_for("it to say that it is not made anew again", 60,
                 lambda: "it was made anew at " in log_of(standby))
        check(kept(standby) == old, "nothing was moved")
        check(lab.primary() is primary, "nobody else took over meanwhile")


if __name__ == "__main__":
    run()
