"""A crashed primary whose disk still reads loses nothing, with asynchronous replication (docs/adr/0009)."""
import json
import statistics
import time

from registry import FAST, check, log_of, logged, run, scenario, verify
from lab import Lab, Writers

ASYNC = {**FAST, "primary_start_timeout": 0}


def crash(lab, primary):
    primary.kill_postmaster()
    return lab.wait_primary(20, other_than=primary)


@scenario
def crashed_primaries_lose_nothing():
    """Ten times in a row, whoever leads."""
    with Lab(dynamic=ASYNC) as lab:
        lab.start()
        gaps = []
        for _ in range(10):
            primary = lab.primary()
            writers = Writers(lab, table=f"acked_{len(gaps)}").start()
            time.sleep(1)
            crash(lab, primary)
            time.sleep(1)
            now = lab.wait_healthy(60)
            writers.stop()
            lost = writers.missing(now)
            check(not lost, f"{len(lost)} acknowledged rows are lost: {lost[:5]}")
            check(writers.count() > 0, "the writers wrote nothing")
            logged(now, "replayed", "the new primary says what it replayed")
            gaps.append(writers.gap() * 1000)
        print(f"  10 failovers, 0 rows lost, gap {min(gaps):.0f} to {max(gaps):.0f} ms, "
              f"median {statistics.median(gaps):.0f} ms")


@scenario
def a_tail_that_is_not_given_is_told_of_and_not_waited_for():
    """The agents' passwords for replication differ: the proof does not convince."""
    with Lab(dynamic=ASYNC) as lab:
        primary = lab.start().primary()
        account = primary.config["postgresql"]["authentication"]["replication"]
        right, account["password"] = account["password"], "another"
        primary.write_config()
        check(primary.api("/reload", "POST", {})[0] == 202, "reload")  # which is over with its answer
        writers = Writers(lab).start()
        time.sleep(1)
        now = crash(lab, primary)
        told = [line for line in log_of(now).splitlines() if "may have acknowledged are lost" in line]
        check(len(told) == 1 and "403" in told[0], f"the loss is told once, with its reason: {told}")
        account["password"] = right
        primary.write_config()
        primary.api("/reload", "POST", {})
        verify(lab, writers, 100)
        check(writers.gap() < 2, f"a gap of {writers.gap():.1f} s")
        print("  " + told[0])


@scenario
def wal_is_not_given_to_strangers():
    with Lab(dynamic=ASYNC) as lab:
        primary = lab.start().primary()
        other = next(m for m in lab if m is not primary)
        shown = json.loads(primary.api("/patroni")[1])
        ask = {"from": other.name, "system_id": shown["database_system_identifier"], "timeline": shown["timeline"],
               "lsn": "0/3000000", "proof": "ab" * 32}
        for bad, code in ((ask, 403), ({**ask, "system_id": "71"}, 409), ({**ask, "lsn": "x"}, 400),
                          ({**ask, "timeline": -1}, 400), ({"from": other.name}, 400)):
            status, text = primary.api("/wal", "POST", bad)
            check(status == code, f"{bad}: {status} {text}")
        crash(lab, primary)
        status, text = primary.api("/wal", "POST", ask)
        check(status == 403 and "password" in str(text), f"with WAL to give: {status} {text}")
        check("wal_tail" not in other.api("/patroni")[1], "a member that did not crash offers nothing")
        verify(lab)
        check("wal_tail" not in primary.api("/patroni")[1], "nor does one that runs again")


@scenario
def explain_tells_of_the_tail():
    with Lab(dynamic=ASYNC) as lab:
        primary = lab.start().primary()
        writers = Writers(lab).start()
        time.sleep(1)
        crash(lab, primary)
        time.sleep(1)
        verify(lab, writers)
        said = lab.ctl("explain", check=True).stdout
        for words in ("WAL on disk ends before", f"asking {primary.name} for what it wrote last",
                      f"bytes of {primary.name}'s WAL", f"replayed {primary.name}'s WAL to"):
            check(words in said, f"'{words}' is missing in\n{said}")


if __name__ == "__main__":
    run()
