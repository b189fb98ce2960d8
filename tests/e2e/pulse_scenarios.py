"""Takeover before the lease ends (docs/adr/0007): voters that hear nothing of their leader take its key away, and a
leader that its voters follow needs no lease.

  tests/e2e/pulse_scenarios.py NAME ...   run some      tests/e2e/pulse_scenarios.py --list   their names
"""
import json
import signal
import time

from registry import FAST, check, run, scenario, verify
from lab import Lab, Writers, signal_all, wait_for
from sync_scenarios import QUORUM, key, others, voters, wait_votes

# A lease that would be felt: whoever waits for it waits half a minute.
LONG = {**QUORUM, "ttl": 30, "loop_wait": 2, "retry_timeout": 5, "primary_start_timeout": 0}


def deposed(lab):
    return json.loads(lab.etcd.keys("lab").get("deposed", "{}"))


def quorum_lab(members=3, **more):
    lab = Lab(members=members, dynamic={**LONG, **more})
    lab.start()
    wait_votes(lab, members - 1)
    return lab


def freeze(pids):
    signal_all(pids, signal.SIGSTOP)


def thaw(pids):
    signal_all(pids, signal.SIGCONT)


@scenario
def pulse_power_loss_does_not_wait_for_the_lease():
    with quorum_lab() as lab:
        primary = lab.primary()
        writers = Writers(lab).start()
        time.sleep(1)
        primary.lose_power()
        successor = lab.wait_primary(20, other_than=primary)
        check(deposed(lab).get("leader") == primary.name, f"its voters took the key away: {deposed(lab)}")
        check(key(lab)["leader"] == successor.name, str(key(lab)))
        primary.start()
        verify(lab, writers, 0)
        wait_votes(lab, 2)
        status = successor.status()
        check(not status.get("pending_restart"), f"a promotion leaves nothing to restart for: {status}")
        check("contains errors" not in successor.agent.tail(2000), "PostgreSQL takes its configuration")


@scenario
def pulse_frozen_host_is_replaced_and_acknowledges_nothing_more():
    with quorum_lab() as lab:
        primary = lab.primary()
        writers = Writers(lab).start()
        time.sleep(1)
        host = [primary.agent.pid] + primary.postgres_tree()
        freeze(host)
        lab.wait_primary(20, other_than=primary)
        check(deposed(lab).get("leader") == primary.name, str(deposed(lab)))
        time.sleep(1)
        thaw(host)
        verify(lab, writers, 0)


@scenario
def pulse_an_agent_that_dies_over_a_living_postgres_is_no_dead_leader():
    with quorum_lab() as lab:
        primary = lab.primary()
        writers = Writers(lab).start()
        postmaster = primary.postmaster()
        primary.kill_agent()
        time.sleep(5)
        check(not deposed(lab), f"nobody took its key away: {deposed(lab)}")
        check(primary.postmaster() == postmaster and primary.writable(), "it goes on serving")
        primary.start()
        check(verify(lab, writers, 0) is primary, "and its agent leads it again")
        check(primary.postmaster() == postmaster, "without a restart")


@scenario
def pulse_the_dcs_may_be_away_for_longer_than_the_lease():
    with quorum_lab(**FAST) as lab:
        primary = lab.primary()
        postmaster = primary.postmaster()
        writers = Writers(lab).start()
        time.sleep(1)
        lab.etcd.stop()
        time.sleep(3 * FAST["ttl"])
        check(primary.api("/primary")[0] == 200, "/primary is 200: its voters follow it")
        replica = others(lab, primary)[0]
        check(replica.api("/replica")[0] == 200, "a standby serves reads")
        lab.etcd.start()
        check(verify(lab, writers, 0) is primary, "the same member leads")
        check(primary.postmaster() == postmaster and primary.status()["timeline"] == 1, "and was never stopped")


@scenario
def pulse_without_dcs_and_without_voters_it_stops():
    with quorum_lab(**FAST) as lab:
        primary = lab.primary()
        lab.etcd.stop()
        replicas = others(lab, primary)
        hosts = [pid for r in replicas for pid in [r.agent.pid] + r.postgres_tree()]
        freeze(hosts)
        try:
            wait_for("the primary stops by itself", 20, lambda: not primary.writable())
            check(not primary.is_primary(), "/primary is not 200")
        finally:
            thaw(hosts)
        lab.etcd.start()
        verify(lab, Writers(lab).start(), 0)


@scenario
def pulse_one_voter_alone_asks_the_dcs_too():
    """Two members: the only voter is enough, so the leader shows its life in the DCS, and must be silent there too."""
    with quorum_lab(members=2) as lab:
        primary = lab.primary()
        wait_for("signs of life in the DCS", 10, lambda: "pulse" in lab.etcd.keys("lab"))
        first = json.loads(lab.etcd.keys("lab")["pulse"])
        wait_for("another one", 5, lambda: json.loads(lab.etcd.keys("lab")["pulse"])["count"] > first["count"])
        writers = Writers(lab).start()
        time.sleep(1)
        primary.lose_power()
        lab.wait_primary(20, other_than=primary)
        check(deposed(lab).get("leader") == primary.name, str(deposed(lab)))
        primary.start()
        verify(lab, writers, 0)
        wait_votes(lab, 1)


@scenario
def pulse_of_strangers_is_refused():
    with quorum_lab() as lab:
        primary, replica = lab.primary(), others(lab, lab.primary())[0]
        mine = primary.sql("select system_identifier::text from pg_control_system()")[0][0]

        def post(body):
            return primary.api("/pulse", "POST", body)

        check(post({"from": replica.name, "system_id": mine, "follows": 1})[0] == 200, "a member's")
        for body in ({"from": replica.name, "system_id": "1234567890123456789"}, {"from": ""}, {"from": 7},
                     {"from": replica.name, "follows": -1}, {"from": replica.name, "follows": "9"}):
            code = post(body)[0]
            check(code in (400, 409), f"{body} is refused, not {code}")
        check(voters(lab) == sorted(m.name for m in others(lab, primary)) and not deposed(lab), "and changes nothing")


@scenario
def pulse_suspect_after_is_the_operators():
    with quorum_lab() as lab:
        before = json.loads(lab.primary().api("/config")[1])
        for value, why in ((100, "below the minimum of 200ms"), ("31s", "longer than ttl"), ("soon", "must be")):
            for member in lab:
                code, text = member.api("/config", "PATCH", {"suspect_after": value})
                check(code == 400 and why in str(text), f"PATCH of {value} is refused: {code} {text}")
            done = lab.ctl("edit-config", "--force", "-s", f"suspect_after={value}")
            check(done.returncode == 1 and why in done.stderr, f"{done.returncode} {done.stderr}")
        code, text = lab.primary().api("/config", "PUT", {**before, "suspect_after": 199})
        check(code == 400 and "below the minimum" in str(text), f"PUT: {code} {text}")
        check(json.loads(lab.primary().api("/config")[1]) == before, "and nothing was written")
        lab.ctl("edit-config", "--force", "-s", "suspect_after=1500ms", check=True)
        shown = lab.ctl("show-config", check=True).stdout
        check("1500ms" in shown, f"show-config shows it: {shown}")
        primary = lab.primary()
        writers = Writers(lab).start()
        wait_for("the replicas have read it", 10,
                 lambda: all("suspect_after" in str(m.api("/config")[1]) for m in lab))
        time.sleep(2)  # and its listeners go by it
        primary.lose_power()
        lab.wait_primary(20, other_than=primary)
        primary.start()
        verify(lab, writers, 0)
        check(writers.gap() > 1.3, f"nobody took over before: {writers.gap():.2f} s")


def failsafe_lab():
    lab = Lab(dynamic={**FAST, "failsafe_mode": True})
    lab.start()
    wait_for("every member in the failsafe key", 20, lambda: len(failsafe(lab)) == 3)
    return lab


def failsafe(lab):
    return json.loads(lab.etcd.keys("lab").get("failsafe", "{}"))


@scenario
def failsafe_keeps_the_leader_while_every_member_agrees():
    with failsafe_lab() as lab:
        primary = lab.primary()
        postmaster = primary.postmaster()
        check(primary.api("/failsafe")[0] == 200, "GET /failsafe shows the members")
        # Whoever leads another cluster is not agreed with; Patroni's leaders do not say which they lead.
        replica = others(lab, primary)[0]
        word = {"name": primary.name}
        code, text = replica.api("/failsafe", "POST", {**word, "system_id": "1234567890123456789"})
        check(code == 409 and "another cluster" in str(text), f"{code} {text}")
        check(replica.api("/failsafe", "POST", word) == (200, "Accepted"), "without an identifier")
        writers = Writers(lab).start()
        time.sleep(1)
        lab.etcd.stop()
        time.sleep(3 * FAST["ttl"])
        check(primary.api("/primary")[0] == 200, "/primary is 200 in failsafe mode")
        check(primary.status().get("failsafe_mode_is_active") is True, str(primary.status()))
        lab.etcd.start()
        check(verify(lab, writers, 0) is primary and primary.postmaster() == postmaster, "nothing has changed")


@scenario
def failsafe_needs_every_member():
    with failsafe_lab() as lab:
        primary = lab.primary()
        others(lab, primary)[0].kill_agent()
        lab.etcd.stop()
        wait_for("the primary stops by itself", 20, lambda: not primary.writable())
        check(not primary.is_primary(), "/primary is not 200")
        others(lab, primary)[0].start()
        lab.etcd.start()
        verify(lab, Writers(lab).start(), 0)


if __name__ == "__main__":
    run()
