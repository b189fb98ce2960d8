"""`relevoctl explain`: a change of leader on real servers, told afterwards from the members' journals.

  tests/e2e/explain_scenarios.py NAME ...   run some      tests/e2e/explain_scenarios.py --list   their names
"""
import json
import os
import time

from registry import check, run, scenario, verify
from lab import Writers, wait_for
from pulse_scenarios import quorum_lab
from sync_scenarios import others


def explain(lab, *words):
    return json.loads(lab.ctl("explain", *words, "-f", "json", check=True).stdout)


def journal(member):
    code, body = member.api("/journal")
    check(code == 200, f"/journal of {member.name}: {code}")
    return json.loads(body)["entries"]


def in_order(events, *wanted):
    """Each of (kind, member or None) after the one before it."""
    at = -1
    for kind, member in wanted:
        found = [i for i, e in enumerate(events) if i > at and e["kind"] == kind and member in (None, e["member"])]
        check(found, f"{kind} of {member or 'anybody'} after entry {at} in\n" +
              "\n".join(f"{e['offset_ms']} {e['member']} {e['kind']}: {e['text']}" for e in events))
        at = found[0]


@scenario
def explain_tells_a_takeover_after_a_power_loss():
    with quorum_lab() as lab:
        old = lab.primary()
        check(explain(lab)["count"] == 0, "nothing has changed yet")
        check("No change of leader" in lab.ctl("explain", check=True).stdout, "and it says so")
        writers = Writers(lab).start()
        time.sleep(1)
        old.lose_power()
        new = lab.wait_primary(20, other_than=old)
        wait_for("a journal that has it all", 10, lambda: any(
            e["kind"] == "serves" for e in explain(lab).get("events", [])))
        told = explain(lab)
        check(told["before"]["member"] == old.name and told["after"]["member"] == new.name, str(told))
        check(told["after"]["term"] > told["before"]["term"] > 0, str(told))
        check(told["after"]["timeline"] == new.status()["timeline"], str(told["after"]))
        check(told["cause"].startswith(f"{old.name} was silent"), told["cause"])
        check(old.name in [one["member"] for one in told["not_asked"]], f"who is gone is named: {told['not_asked']}")
        in_order(told["events"], ("suspects", None), ("deposed", None), ("sealed", new.name), ("counted", new.name),
                 ("took", new.name), ("promotes", new.name), ("promoted", new.name))
        shares = told["shares_ms"]
        parts = sum(shares[name] for name in ("detect", "seal", "take", "promote"))
        check(abs(parts - shares["total"]) <= 5, f"the shares make the whole: {shares}")
        check(450 <= shares["detect"] < 5000, f"suspect_after is 500 ms: {shares}")
        text = lab.ctl("explain", "last", check=True).stdout
        print("\n".join("  " + line for line in text.splitlines()))
        for line in (f"{old.name} -> {new.name}", f"hears {old.name} for the last time", "is sealed at", "Cause:"):
            check(line in text, f"{line!r} in {text}")
        old.start()
        verify(lab, writers, 0)
        again = explain(lab, "1")
        check(again["count"] == 1 and again["after"] == told["after"], "its return is no change of leader")
        check(not again["not_asked"], "everybody can be asked now")


@scenario
def explain_outlives_the_agents_and_numbers_the_changes():
    with quorum_lab() as lab:
        first = lab.primary()
        second = others(lab, first)[0]
        words = ("switchover", "--force", "--leader", first.name, "--candidate", second.name)
        wait_for("a switchover", 20, lambda: "Successfully" in lab.ctl(*words, check=True).stdout)
        lab.wait_primary(20, other_than=first)
        wait_for("it is told", 10, lambda: explain(lab)["count"] == 1)
        told = explain(lab)
        check("switchover" in told["cause"], told["cause"])
        check((told["before"]["member"], told["after"]["member"]) == (first.name, second.name), str(told))
        in_order(told["events"], ("ordered", first.name), ("handover", first.name), ("released", first.name),
                 ("took", second.name), ("promoted", second.name))
        for member in lab:
            path = member.data + ".journal"
            check(os.path.exists(path), f"{path}, beside the data directory")
            member.kill_agent()
        replica = others(lab, second)[0]
        with open(replica.data + ".journal", "a") as f:
            f.write('{"seq":9999,"time":"2026-')  # as a power loss leaves it
        for member in lab:
            member.start()
        verify(lab)
        check(explain(lab, "1")["events"][:3] == told["events"][:3], "the files are read again")
        check(os.path.exists(replica.data + ".journal.damaged"), "the damaged file was set aside")
        before = len(journal(replica))
        time.sleep(5)
        check(len(journal(replica)) == before, "a cluster at rest records nothing")


if __name__ == "__main__":
    run()
