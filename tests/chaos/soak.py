"""False alarms: nuisances that no cluster should answer with a new leader, for minutes, and how often one does."""
import base64
import json
import random
import signal
import statistics
import time

from faults import Scene
from lab import wait_for
from rounds import HEALTHY_WITHIN, WRITERS, evidence, same_contents, Result
from traffic import Traffic


def loss_burst(scene, rng):
    """30 % of all packets from and to one host, for a few seconds."""
    member = rng.choice(list(scene.lab))
    scene.lab.network.lossy(member.host, 30)
    time.sleep(rng.uniform(1, 4))
    scene.lab.network.restore(member.host)
    return member.name


def agent_stalls(scene, rng):
    member = rng.choice(list(scene.lab))
    member.agent.send(signal.SIGSTOP)
    time.sleep(1)
    member.agent.send(signal.SIGCONT)
    return member.name


def host_stalls(scene, rng):
    member = rng.choice(list(scene.lab))
    member.host.freeze()
    time.sleep(1)
    member.host.thaw()
    return member.name


def cpu_starved(scene, rng):
    """Busy loops that come before everything else on this machine's processors."""
    host = rng.choice(list(scene.lab)).host
    loops = host.starve()
    time.sleep(rng.uniform(1, 4))
    for loop in loops:
        loop.kill()
        loop.wait()
    return "the machine"


def etcd_leader_killed(scene, rng):
    node = scene.lab.etcd_leader()
    if node:
        node.kill()
    time.sleep(rng.uniform(0, 2))
    scene.lab.start_etcd()
    wait_for("etcd has a leader", 20, scene.lab.etcd_leader)
    return node.name if node else "none led"


NUISANCES = {"30 % packet loss": loss_burst, "agent stalls 1 s": agent_stalls, "host stalls 1 s": host_stalls,
             "processors starved": cpu_starved, "etcd leader killed": etcd_leader_killed}


def term(lab):
    """Who leads, and since which revision: a lease that was lost and won again counts as well."""
    found = json.loads(lab.etcd.ctl("get", f"/service/{lab.scope}/leader", "-w", "json")).get("kvs")
    return (base64.b64decode(found[0]["value"]).decode(), found[0]["create_revision"]) if found else None


def soak(chaos):
    rng = random.Random(f"{chaos.options.seed}/soak")
    lab = chaos.ready()
    lab.wait_settled(HEALTHY_WITHIN)
    result = Result("soak", [])
    met = {kind: [0, 0, []] for kind in NUISANCES}  # times, changes of leader, gaps
    traffic = Traffic(lab, "soak", WRITERS - len(lab.members), stuck=True, pause=0.005).start()
    scene = Scene(lab, traffic, chaos.say)
    began, known = time.monotonic(), term(lab)
    spans = []
    try:
        while time.monotonic() < began + 60 * chaos.options.soak:
            kind = rng.choice(list(NUISANCES))
            struck = time.monotonic()
            whom = NUISANCES[kind](scene, rng)
            lab.wait_healthy(HEALTHY_WITHIN)
            traffic.wait_acks(100, 20)
            now = wait_for("a leader key", 20, lambda: term(lab))
            met[kind][0] += 1
            spans.append((kind, struck, time.monotonic()))
            if now != known:
                met[kind][1] += 1
                chaos.say(f"after {time.monotonic() - began:.0f} s: {kind}, {whom}: {known} -> {now}", "  ! ")
            known = now
        book = traffic.stop()
        primary = lab.wait_settled(HEALTHY_WITHIN)
        result.problems += traffic.check(primary).problems()
        same_contents(lab, primary, "soak")
        for kind, struck, end in spans:
            met[kind][2].append(book.gap(struck, end))
    except (AssertionError, OSError) as e:
        result.problems.append(str(e).split("\n---")[0])
        traffic.stop()
    changes = sum(m[1] for m in met.values())
    if changes:
        result.problems.append(f"{changes} changes of leader; none was wanted")
    print(f"\n{'nuisance':22} times  changes of leader  longest gap without an acknowledged write (s), median and max")
    for kind, (times, moved, gaps) in met.items():
        shown = f"{statistics.median(gaps):.2f} / {max(gaps):.2f}" if gaps else "-"
        print(f"{kind:22} {times:5}  {moved:17}  {shown}")
    if result.problems:
        chaos.logs = chaos.logs or chaos.new_logs()
        print("\n".join(f"! {p}" for p in result.problems))
        print(f"logs: {evidence(lab, result, chaos.logs, chaos.notes)}")
    chaos.discard()
    return 1 if result.problems else 0
