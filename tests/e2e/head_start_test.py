#!/usr/bin/python3
"""Two candidates that cannot hear each other: the one with more, by its key in the DCS, goes first, and what only
it had is not lost. Needs namespaces (root)."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))
import sandbox  # noqa: E402
from host_lab import HostLab  # noqa: E402
from lab import wait_for  # noqa: E402
from registry import check, logged  # noqa: E402

DYNAMIC = {"ttl": 5, "loop_wait": 1, "retry_timeout": 2, "primary_start_timeout": 0,
           "maximum_lag_on_failover": 1 << 30}
ROWS = 200


def position(lab, member):
    return json.loads(lab.etcd.keys(lab.scope)[f"members/{member.name}"]).get("xlog_location", 0)


def one_has_more(lab, behind, ahead):
    """What is written now reaches one of the two only, and the DCS tells so."""
    primary = lab.primary()
    primary.sql("create table only_ahead (n int)")
    for m in (behind, ahead):
        wait_for(f"the table on {m.name}", 20, lambda m=m: m.sql("select to_regclass('only_ahead') is not null")[0][0])
    lab.network.cut(primary.host, behind.host)
    primary.sql(f"insert into only_ahead select generate_series(1, {ROWS})")
    wait_for("the rows", 20, lambda: ahead.sql("select count(*) from only_ahead")[0][0] == ROWS)
    wait_for("its key shows it", 20, lambda: position(lab, ahead) > position(lab, behind))


def main(directory):
    lab = HostLab(os.path.join(directory, "lab"), 3, 3, dynamic=DYNAMIC, keep=False)
    try:
        lab.start(wait=120)
        primary = lab.wait_settled()
        behind, ahead = (m for m in lab if m is not primary)
        one_has_more(lab, behind, ahead)
        lab.network.cut(behind.host, ahead.host)
        began = time.monotonic()
        lab.power_off(primary)
        wait_for("one of the two leads", 40, lambda: any(m.writable() for m in (behind, ahead)))
        print(f"  led after {time.monotonic() - began:.1f} s")
        check(ahead.writable() and not behind.writable(), "the one with more leads, and it alone")
        first = f"{ahead.name} has more by its key and does not answer: it goes first"
        logged(behind, first, "the other one waited for it: " + behind.agent.tail(20))
        lab.heal()
        lab.wait_settled(60)
        for m in lab:
            wait_for(f"the rows on {m.name}", 20, lambda m=m: m.sql("select count(*) from only_ahead")[0][0] == ROWS)
        return 0
    except BaseException:
        print(lab.logs(40))
        raise
    finally:
        lab.stop()


if __name__ == "__main__":
    sandbox.run_test(main, "relevo-head-start-")
