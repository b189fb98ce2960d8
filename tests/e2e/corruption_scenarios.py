"""A page that rots (docs/adr/0022) on real servers.

  python3 tests/e2e/corruption_scenarios.py NAME ...   run some
"""
import json
import os
import time

import psycopg2

from registry import FAST, check, log_of, logged, run, scenario, verify
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
    with Lab(dynamic=FAST) as lab:
        lab.start()
        primary = lab.primary()
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


if __name__ == "__main__":
    run()
