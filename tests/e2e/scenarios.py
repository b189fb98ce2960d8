"""What a cluster must survive, on real etcd and real PostgreSQL. Each scenario ends in the same two
questions: is every acknowledged row there (lease rules: up to the lag that was allowed), and is exactly one
member writable?

  python3 tests/e2e/scenarios.py NAME ...   run some      tests/e2e/scenarios.py --list   their names
"""
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from registry import FAST, check, initdb, run, run_as_postgres, scenario, start_by_hand, verify
from lab import BIN, Lab, Writers, belonging_to, pg_bin, wait_for

# An asynchronous failover may lose what was acknowledged but not yet sent: 4 writers, one row each at a
# time, a few milliseconds of backends outliving the walsenders (failover.md, measured: 12-26 ms).
LOST_ASYNC = 100


@scenario
def bootstrap_of_three_from_nothing():
    with Lab(dynamic=FAST) as lab:
        began = time.monotonic()
        lab.start()
        print(f"  healthy after {time.monotonic() - began:.1f} s")
        verify(lab, Writers(lab).start())
        keys = lab.etcd.keys("lab")
        check(keys["initialize"].isdigit(), "initialize holds the system identifier")
        check(json.loads(keys["config"])["ttl"] == 5, "config holds bootstrap.dcs")
        members = {k for k in keys if k.startswith("members/")}
        check(members == {f"members/pg-node-{i}" for i in (1, 2, 3)}, str(keys))
        slots = {r[0] for r in lab.primary().sql("select slot_name from pg_replication_slots where active")}
        check(slots == {m.name.replace("-", "_") for m in lab if m is not lab.primary()}, f"member slots: {slots}")


@scenario
def postmaster_killed_restarts_in_place():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        writers = Writers(lab).start()
        time.sleep(1)
        primary.kill_postmaster()
        wait_for("the same primary again", 20, lambda: primary.is_primary() and primary.writable())
        time.sleep(1)
        after = verify(lab, writers)
        check(after is primary, "the leader restarts in place while primary_start_timeout allows it")
        check(after.sql("select timeline_id from pg_control_checkpoint()")[0][0] == 1, "no new timeline")


@scenario
def postmaster_killed_fails_over():
    with Lab(dynamic={**FAST, "primary_start_timeout": 0}) as lab:
        primary = lab.start().primary()
        writers = Writers(lab).start()
        time.sleep(1)
        primary.kill_postmaster()
        lab.wait_primary(20, other_than=primary)
        time.sleep(1)
        verify(lab, writers, LOST_ASYNC)


@scenario
def agent_killed_and_back():
    """A dead agent over a living primary that returns within the lease changes nothing."""
    with Lab(dynamic={"ttl": 20, "loop_wait": 2, "retry_timeout": 3}) as lab:
        primary = lab.start().primary()
        postmaster = primary.postmaster()
        writers = Writers(lab).start()
        time.sleep(1)
        primary.kill_agent()
        time.sleep(2)
        primary.start()
        wait_for("the primary's agent leads again", 20, primary.is_primary)
        check(primary.postmaster() == postmaster, "PostgreSQL was adopted, not restarted")
        after = verify(lab, writers)
        check(after is primary, "no failover")


@scenario
def agent_killed_for_longer_than_the_lease():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        time.sleep(1)
        primary.kill_agent()
        successor = lab.wait_primary(30, other_than=primary)
        primary.start()
        after = verify(lab)
        check(after is successor, "the returned member follows")
        writers = Writers(lab).start()
        time.sleep(1)
        verify(lab, writers)


@scenario
def power_loss_of_the_primary():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        writers = Writers(lab).start()
        time.sleep(1)
        primary.lose_power()
        lab.wait_primary(30, other_than=primary)
        time.sleep(1)
        primary.start()
        verify(lab, writers, LOST_ASYNC)


@scenario
def power_loss_of_a_replica():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        replica = next(m for m in lab if m is not primary)
        writers = Writers(lab).start()
        time.sleep(0.5)
        replica.lose_power()
        time.sleep(2)
        replica.start()
        after = verify(lab, writers)
        check(after is primary, "no failover")


@scenario
def switchover_without_loss():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        writers = Writers(lab).start()
        time.sleep(1)
        done = lab.ctl("switchover", "--force")
        print("  " + done.stdout.strip().splitlines()[0] if done.stdout else done.stderr)
        lab.wait_primary(20, other_than=primary)
        time.sleep(1)
        verify(lab, writers, 0)


@scenario
def failover_to_a_named_member():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        chosen = [m for m in lab if m is not primary][-1]
        writers = Writers(lab).start()
        time.sleep(1)
        code, text = primary.api("/failover", "POST", {"candidate": chosen.name})
        check(code == 200 and chosen.name in text, f"{code} {text}")
        after = verify(lab, writers, 0)
        check(after is chosen, f"{after.name} leads, {chosen.name} was named")


@scenario
def rejoin_with_divergence_by_rewind():
    """The old primary has rows that nobody else has: they must go, and nothing else."""
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        primary.sql("create table mark (t text)")
        others = [m for m in lab if m is not primary]
        for m in others:
            wait_for(f"the table on {m.name}", 20, lambda m=m: m.sql("select to_regclass('mark') is not null")[0][0])
        # With both replicas gone the primary writes on, then goes too: its last rows never left it.
        for m in others:
            m.lose_power()
        primary.sql("insert into mark values ('only on the old primary')")
        primary.lose_power()
        for m in others:
            m.start()
        successor = lab.wait_primary(40, other_than=primary)
        successor.sql("insert into mark values ('on the new one')")
        primary.start()
        lab.wait_healthy(60)
        rows = {r[0] for r in primary.sql("select t from mark")}
        check(rows == {"on the new one"}, f"the returned member shows {rows}")
        with open(primary.agent.log, errors="replace") as f:
            check("rewind" in f.read(), "it came back by pg_rewind")
        verify(lab)


@scenario
def dcs_lost_and_back():
    """Asynchronous, without failsafe: no DCS, no primary; when it is back, one leader and nothing lost."""
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        writers = Writers(lab).start()
        time.sleep(1)
        lab.etcd.stop()
        wait_for("the primary stops by itself", 15, lambda: not primary.writable())
        check(not primary.is_primary(), "/primary is not 200 without the lease")
        lab.etcd.start()
        lab.wait_primary(30)
        time.sleep(1)
        verify(lab, writers, LOST_ASYNC)


@scenario
def dcs_blinks():
    """Shorter than the lease: nobody notices."""
    with Lab(dynamic={"ttl": 20, "loop_wait": 2, "retry_timeout": 3}) as lab:
        primary = lab.start().primary()
        postmaster = primary.postmaster()
        writers = Writers(lab).start()
        time.sleep(1)
        lab.etcd.stop()
        time.sleep(4)
        lab.etcd.start()
        time.sleep(4)
        after = verify(lab, writers)
        check(after is primary and primary.postmaster() == postmaster, "no failover, no restart")
        check(writers.gap() < 2, f"writes went on, the longest gap was {writers.gap():.1f} s")


@scenario
def two_members_start_in_an_empty_dcs_at_once():
    with Lab(members=2, dynamic=FAST) as lab:
        lab.start()
        verify(lab, Writers(lab).start())
        ids = {m.sql("select system_identifier from pg_control_system()")[0][0] for m in lab}
        check(len(ids) == 1, f"one cluster, not two: {ids}")


@scenario
def wrong_system_identifier_is_refused():
    with Lab(members=2, dynamic=FAST) as lab:
        lab.start()
        stranger = lab.add_member("stranger", 3)
        initdb(lab, stranger)
        before = sorted(os.listdir(stranger.data))
        stranger.start()
        wait_for("the stranger's agent leaves", 20, lambda: not stranger.agent.alive())
        check(stranger.agent.process.returncode == 1, "exit code 1")
        check("system identifier" in stranger.agent.tail(), "it says why: " + stranger.agent.tail(5))
        check(sorted(os.listdir(stranger.data)) == before, "nothing of its data was touched")
        del lab.members["stranger"]
        verify(lab)


DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "demo")


def start_demo(env):
    return subprocess.Popen([sys.executable, DEMO], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, start_new_session=True)


def demo_state(env):
    try:
        with open(env["RELEVO_DEMO_STATE"]) as f:
            return json.load(f)
    except (OSError, ValueError):
        return {}


def shared_memory(directory):
    """The files in /dev/shm that servers under this directory have mapped."""
    found = set()
    for pid in belonging_to(directory):
        try:
            with open(f"/proc/{pid}/maps") as f:
                found |= {line.split()[5] for line in f if " /dev/shm/" in line}
        except OSError:
            pass
    return found


def ends_without_a_trace(running, env, directory):
    mapped = shared_memory(directory)
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=60)[0]
    check(running.returncode == 0 and "stopping what was started" in said, said)
    check(not belonging_to(directory), "nothing of the demo runs on")
    check(not os.path.exists(directory), f"{directory} is still there")
    check(not [m for m in mapped if os.path.exists(m)], f"shared memory is still there, of {mapped}")
    check(not os.path.exists(env["RELEVO_DEMO_STATE"]), "its state file is still there")
    return said


def full_backups_of_demo(directory):
    yaml = glob.glob(os.path.join(directory, "*", "patroni.yml"))[0]
    argv = [f"{BIN}/relevoctl", "-c", yaml, "backup", "list"]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    return said.returncode == 0 and any("| full" in line for line in said.stdout.splitlines())


@scenario
def the_demo_and_its_failover():
    """What the README begins with, as two terminals run it."""
    with tempfile.TemporaryDirectory(prefix="relevo-lab-") as place:
        env = {**os.environ, "RELEVO_DEMO_STATE": os.path.join(place, "state.json")}
        running = start_demo(env)
        try:
            wait_for("the demo is up", 60, lambda: "members" in demo_state(env))
            directory = demo_state(env)["directory"]
            wait_for("the first backup, within the demo's first minute", 60, lambda: full_backups_of_demo(directory))
            out = subprocess.run([sys.executable, DEMO, "failover"], env=env, capture_output=True, text=True,
                                 timeout=90)
            check(out.returncode == 0, out.stdout + out.stderr)
            check("longest gap" in out.stdout and "new primary" in out.stdout, out.stdout)
            second = subprocess.run([sys.executable, DEMO], env=env, capture_output=True, text=True, timeout=30)
            check(second.returncode == 1 and "already runs" in second.stderr, second.stdout + second.stderr)
        finally:
            said = ends_without_a_trace(running, env, directory)
        check("make demo-failover" in said, said)


@scenario
def the_demo_leaves_nothing_behind():
    """Ctrl-C while initdb runs; kill -9, after which the next demo clears up what the killed one could not."""
    with tempfile.TemporaryDirectory(prefix="relevo-lab-") as place:
        env = {**os.environ, "RELEVO_DEMO_STATE": os.path.join(place, "state.json")}
        running = start_demo(env)
        directory = wait_for("the first demo's directory", 30, lambda: demo_state(env).get("directory"))
        data = os.path.join(directory, "pg-node-{}", "data")
        wait_for("a member's initdb", 30, lambda: any(os.path.exists(data.format(i)) for i in (1, 2, 3)), every=0.005)
        ends_without_a_trace(running, env, directory)

        killed = start_demo(env)
        wait_for("the second demo", 60, lambda: "members" in demo_state(env))
        directory = demo_state(env)["directory"]
        mapped = shared_memory(directory)
        check(mapped, "PostgreSQL maps what is in /dev/shm")
        killed.kill()
        killed.communicate(timeout=30)
        check(len(belonging_to(directory)) > 6, "etcd, the agents and their servers outlive it")
        out = subprocess.run([sys.executable, DEMO, "failover"], env=env, capture_output=True, text=True, timeout=30)
        check(out.returncode == 1 and "no demo of this user is running" in out.stderr, out.stdout + out.stderr)

        again = start_demo(env)
        try:
            wait_for("the third demo", 60, lambda: demo_state(env).get("directory") not in (None, directory)
                     and "members" in demo_state(env))
            check(not belonging_to(directory) and not os.path.exists(directory), "the killed demo's things are gone")
            check(not [m for m in mapped if os.path.exists(m)], f"and its shared memory, of {mapped}")
            directory = demo_state(env)["directory"]
        finally:
            said = ends_without_a_trace(again, env, directory)
        check("the last demo was killed" in said, said)


@scenario
def a_running_stranger_is_left_running():
    """A wrong scope in the file of some other production server: it must not be stopped for it."""
    with Lab(members=2, dynamic=FAST) as lab:
        lab.start()
        stranger = lab.add_member("stranger", 3)
        start_by_hand(lab, stranger)
        postmaster = stranger.postmaster()
        stranger.start()
        wait_for("the stranger's agent leaves", 20, lambda: not stranger.agent.alive())
        check(stranger.agent.process.returncode == 1, "exit code 1")
        check("system identifier" in stranger.agent.tail(), "it says why: " + stranger.agent.tail(5))
        check(stranger.postmaster() == postmaster, "its PostgreSQL goes on as it was")
        check(stranger.writable(), "and accepts writes")
        run_as_postgres([f"{pg_bin()}/pg_ctl", "-D", stranger.data, "-w", "-m", "immediate", "stop"])
        del lab.members["stranger"]
        verify(lab)


@scenario
def a_running_single_server_is_adopted():
    """The ADR's road from its Phase 0: a single PostgreSQL with data becomes the first member as it stands."""
    with Lab(members=3, dynamic=FAST) as lab:
        first = lab.members["pg-node-1"]
        start_by_hand(lab, first)
        first.sql("create role replicator login replication password 'lab-repl'")
        first.sql("create table old (n int); insert into old select generate_series(1, 1000)")
        postmaster = first.postmaster()
        first.start()
        wait_for("the running server becomes the leader", 20, first.is_primary)
        check(first.postmaster() == postmaster, "it was adopted without a restart")
        for name in ("pg-node-2", "pg-node-3"):
            lab.members[name].start()
        lab.wait_healthy(60)
        check(all(m.sql("select count(*) from old")[0][0] == 1000 for m in lab), "its data is on all")
        verify(lab, Writers(lab).start())


@scenario
def agent_stopped_hands_over():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        writers = Writers(lab).start()
        time.sleep(1)
        primary.agent.stop(signal.SIGTERM)
        check(primary.agent.process.returncode == 0, "exit code 0 on SIGTERM")
        check(primary.postmaster() is None, "PostgreSQL stopped with it")
        lab.wait_primary(20, other_than=primary)
        time.sleep(1)
        primary.start()
        verify(lab, writers, 0)


@scenario
def pause_keeps_hands_off():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        check(lab.ctl("pause", "--wait").returncode == 0, "pause")
        replica = next(m for m in lab if m is not primary)
        primary.kill_postmaster()
        time.sleep(4)
        check(not any(m.postmaster() and m.writable() for m in lab), "nobody was promoted or started in pause")
        check(replica.postmaster(), "the replica runs on")
        check(lab.ctl("resume", "--wait").returncode == 0, "resume")
        verify(lab)


@scenario
def an_operator_moves_the_lead_also_in_maintenance_mode():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        writers = Writers(lab).start()
        check(lab.ctl("pause", "--wait").returncode == 0, "pause")
        then = next(m for m in lab if m is not primary)
        done = lab.ctl("switchover", "--candidate", then.name, "--force")
        check(done.returncode == 0 and f'Successfully switched over to "{then.name}"' in done.stdout,
              done.stdout + done.stderr)
        check(lab.wait_primary(10) is then, "who was named leads")
        wait_for("the old leader to stream", 20, lambda: primary.status().get("replication_state") == "streaming")
        check(lab.ctl("resume", "--wait").returncode == 0, "resume")
        verify(lab, writers)
        check(lab.primary() is then, "it leads on")


@scenario
def settings_change_through_the_api():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        code, text = primary.api("/config", "PATCH", {"postgresql": {"parameters": {"work_mem": "7MB",
                                                                                    "max_connections": 123}}})
        check(code == 200, text)
        for m in lab:
            wait_for(f"work_mem on {m.name}", 15, lambda m=m: m.sql("show work_mem")[0][0] == "7MB")
            wait_for(f"pending restart on {m.name}", 15, lambda m=m: m.status().get("pending_restart"))
        for m in [primary] + [m for m in lab if m is not primary]:
            code, text = m.api("/restart", "POST", {})
            check(code == 200, f"{m.name}: {code} {text}")
        lab.wait_healthy()
        for m in lab:
            check(m.sql("show max_connections")[0][0] == "123", "max_connections after the restart")
        check(primary.is_primary(), "a restart does not move the leader")
        verify(lab)


@scenario
def reinit_of_a_replica():
    with Lab(dynamic=FAST) as lab:
        primary = lab.start().primary()
        replica = next(m for m in lab if m is not primary)
        code, text = primary.api("/reinitialize", "POST", {})
        check(code == 503, f"the leader refuses: {code} {text}")
        code, text = replica.api("/reinitialize", "POST", {})
        check(code == 200, text)
        wait_for("the replica is made anew", 30, lambda: not replica.streaming())
        verify(lab, Writers(lab).start())


@scenario
def postmaster_frozen_is_noticed():
    """SIGSTOP: alive for the kernel, dead for clients. A new connection tells."""
    with Lab(dynamic={**FAST, "primary_start_timeout": 0}) as lab:
        primary = lab.start().primary()
        os.kill(primary.postmaster(), signal.SIGSTOP)
        lab.wait_primary(20, other_than=primary)
        verify(lab)


if __name__ == "__main__":
    run()
