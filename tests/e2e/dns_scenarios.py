"""The names that follow the primary, at real name servers (BIND and Knot) and at the agents' own.

  tests/e2e/dns_scenarios.py NAME ...   run some      tests/e2e/dns_scenarios.py --list   their names
"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

from registry import FAST, check, log_of, logged, run, scenario, verify
from lab import Lab, Process, signal_all, wait_for
from names import Bind, Key, Knot, dig, first_address
from ports import free_port

PRIMARY, REPLICA = "pg-primary.test", "pg-replica.test"
DYNAMIC = {**FAST, "primary_start_timeout": 0}


def section(servers=(), key=None, **more):
    names = {"primary": PRIMARY, "replica": REPLICA, "ttl": 1, **more}
    if servers:
        names["update"] = {"servers": [s.at for s in servers], "key_file": key.path}
    return names


@contextlib.contextmanager
def lab_with_servers(members=3):
    with Lab(members=members, dynamic=DYNAMIC) as lab:
        key = Key(lab)
        servers = [Bind(lab, key, 101), Knot(lab, key, 102)]
        for member in lab:
            member.config["dns"] = section(servers, key)
        try:
            yield lab, servers, key
        finally:
            for server in servers:
                server.stop()


def says(server, member):
    return first_address(server.address, server.port, PRIMARY) == member.address


def replicas(lab, primary):
    return sorted(m.address for m in lab if m is not primary)


def named_everywhere(lab, servers, member, seconds=15):
    for server in servers:
        wait_for(f"{server.program} names {member.name}", seconds, lambda s=server: says(s, member), every=0.005)


def secret_is_kept(lab, key):
    for member in lab:
        check(key.secret not in log_of(member), f"{member.name} logged the key")


@scenario
def dns_follows_the_primary_at_bind_and_knot():
    with lab_with_servers() as (lab, servers, key):
        for server in servers:
            server.start()
        primary = lab.start().primary()
        named_everywhere(lab, servers, primary)
        for server in servers:
            wait_for(f"{server.program} names the replicas", 15,
                     lambda s=server: s.dig(REPLICA) == replicas(lab, primary))
            check("relevo term=" in server.dig(PRIMARY, "TXT")[0], str(server.dig(PRIMARY, "TXT")))
            wait_for("the update's answer is believed", 5, lambda s=server: f"{s.at} says that" in log_of(primary))
        check("not up to date" not in log_of(primary), log_of(primary))
        for _ in range(3):
            old = lab.primary()
            old.kill_postmaster()
            named_everywhere(lab, servers, lab.wait_primary(30, other_than=old), 5)
            lab.wait_healthy(40)
        primary = lab.primary()
        for server in servers:
            wait_for("all replicas are back", 15, lambda s=server: s.dig(REPLICA) == replicas(lab, primary))
        secret_is_kept(lab, key)
        verify(lab)


@scenario
def dns_a_leader_that_was_frozen_does_not_take_the_name_back():
    with lab_with_servers() as (lab, servers, key):
        for server in servers:
            server.start()
        old = lab.start().primary()
        named_everywhere(lab, servers, old)
        frozen = [old.agent.pid] + old.postgres_tree()
        signal_all(frozen, signal.SIGSTOP)
        new = lab.wait_primary(40, other_than=old)
        named_everywhere(lab, servers, new)
        signal_all(frozen, signal.SIGCONT)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for server in servers:
                check(says(server, new), f"{server.program} said {server.dig(PRIMARY)}, {new.name} leads")
        verify(lab)


@scenario
def dns_a_newer_term_is_left_alone_and_an_edited_zone_is_mended():
    with lab_with_servers(members=1) as (lab, servers, key):
        for server in servers:
            server.start()
        primary = lab.start().primary()
        named_everywhere(lab, servers, primary)
        for server in servers:
            done = server.update(f"update delete {PRIMARY} A", f"update add {PRIMARY} 5 A 192.0.2.9")
            check(done.returncode == 0, done.stderr)
        named_everywhere(lab, servers, primary, 15)
        for server in servers:
            done = server.update(f"update delete {PRIMARY} TXT", f"update delete {PRIMARY} A",
                                 f"update add {PRIMARY} 5 TXT \"relevo term=99999999 member=x\"",
                                 f"update add {PRIMARY} 5 A 192.0.2.9")
            check(done.returncode == 0, done.stderr)
        wait_for("the alarm", 15, lambda: log_of(primary).count("already carries term 99999999") >= 2)
        check(all(s.dig(PRIMARY) == ["192.0.2.9"] for s in servers), "a newer term was overwritten")
        for server in servers:
            server.update(f"update delete {PRIMARY} TXT")
        named_everywhere(lab, servers, primary, 15)


@scenario
def dns_servers_that_are_down_or_refuse_are_an_alarm_and_no_more():
    with lab_with_servers(members=1) as (lab, servers, key):
        primary = next(iter(lab))
        other = Key(lab, "other")
        wrong = Bind(lab, other, 103)
        try:
            wrong.start()
            primary.config["dns"]["update"]["servers"].append(wrong.at)
            lab.start()
            wait_for("the alarm for each", 20, lambda: all(f"not up to date at {s.at}" in log_of(primary)
                                                           for s in (*servers, wrong)))
            logged(primary, "does not know the key", log_of(primary))
            check(primary.writable(), "PostgreSQL serves all the same")
            check(log_of(primary).count(f"not up to date at {wrong.at}") == 1, "an alarm is said once a minute")
            for server in servers:
                server.start()
            named_everywhere(lab, servers, primary, 10)
            secret_is_kept(lab, key)
        finally:
            wrong.stop()


@scenario
def dns_the_agents_own_servers_answer_and_say_servfail_in_doubt():
    with Lab(dynamic=DYNAMIC) as lab:
        ports = {}
        for member in lab:
            ports[member.name] = free_port(member.address)
            member.config["dns"] = section(zone="test", responder={"listen": f"{member.address}:{ports[member.name]}"})

        def ask(member, name=PRIMARY, kind="A", *options):
            return dig(member.address, ports[member.name], name, kind, options)

        primary = lab.start().primary()
        for member in lab:
            wait_for(f"{member.name} names the primary", 10, lambda m=member: ask(m) == [primary.address])
            wait_for(f"{member.name} names the replicas", 10,
                     lambda m=member: ask(m, REPLICA, "A", "+tcp") == replicas(lab, primary))
            check(ask(member, "other.test") == ["NXDOMAIN"], str(ask(member, "other.test")))
            check(ask(member, "example.com") == ["REFUSED"], str(ask(member, "example.com")))
        old = primary
        old.kill_postmaster()
        new = lab.wait_primary(30, other_than=old)
        for member in lab:
            wait_for(f"{member.name} names the new primary", 5, lambda m=member: ask(m) == [new.address], every=0.005)
        lab.wait_healthy(40)
        # Without the DCS nobody can know for long.
        lab.etcd.stop()
        for member in lab:
            wait_for(f"{member.name} is in doubt", 20, lambda m=member: ask(m) == ["SERVFAIL"])
        lab.etcd.start()
        new = lab.wait_healthy(60)
        for member in lab:
            wait_for(f"{member.name} knows again", 15, lambda m=member: ask(m) == [new.address])


@scenario
def dns_changes_with_a_reload():
    with Lab(members=1, dynamic=DYNAMIC) as lab:
        key = Key(lab)
        bind = Bind(lab, key, 101)
        bind.start()
        try:
            member = lab.start().primary()
            one, two = free_port(member.address), free_port(member.address)

            def reload(**names):
                member.config["dns"] = names
                member.write_config()
                member.agent.send(signal.SIGHUP)

            def ask(port):
                return dig(member.address, port, PRIMARY, "A", ())

            own = {"zone": "test", "responder": {"listen": f"{member.address}:{one}"}}
            reload(**section([bind], key, **own))
            wait_for("BIND names it", 10, lambda: says(bind, member))
            wait_for("the agent names it", 10, lambda: ask(one) == [member.address])
            own["responder"]["listen"] = f"{member.address}:{two}"
            reload(**section([bind], key, **own, addresses=["192.0.2.7"]))
            wait_for("BIND has the new address", 10,
                     lambda: first_address(bind.address, bind.port, PRIMARY) == "192.0.2.7")
            wait_for("the agent moved to the other port", 10, lambda: ask(two) == ["192.0.2.7"])
            check(ask(one) != ["192.0.2.7"], "and left the first")
            broken = section([bind], key, **own, addresses=["192.0.2.8"])
            broken["update"]["key_file"] = "/nowhere/dns.key"
            reload(**broken)
            wait_for("it is said", 10, lambda: "dns.update stays as it was" in log_of(member))
            check(first_address(bind.address, bind.port, PRIMARY) == "192.0.2.7", "what was there goes on")
            member.config.pop("dns")
            member.write_config()
            member.agent.send(signal.SIGHUP)
            wait_for("the agent answers no more", 10, lambda: ask(two) not in (["192.0.2.7"], ["192.0.2.8"]))
            check(lab.primary() is member, "and PostgreSQL knew nothing of it")
            secret_is_kept(lab, key)
        finally:
            bind.stop()


def in_a_network_of_its_own(name, scenario_itself):
    """Run again where interfaces may be made and addresses put on them; skipped where that is not to be had."""
    if os.environ.get("RELEVO_OWN_NETWORK") == name:
        return scenario_itself()
    probe = ["unshare", "-n", "sh", "-c", "ip link add name vip0 type veth peer name vip1"]
    if not shutil.which("vip-manager") or subprocess.run(probe, capture_output=True).returncode != 0:
        print(f"SKIPPED: {name}: no vip-manager, or no right to make network namespaces (root has)", flush=True)
        sys.exit(77)
    done = subprocess.run(["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable,
                           os.path.abspath(__file__), name], env={**os.environ, "RELEVO_OWN_NETWORK": name})
    check(done.returncode == 0, f"in its own network: exit code {done.returncode}")


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@scenario
def dns_a_virtual_address_follows_the_leader_by_vip_manager():
    in_a_network_of_its_own("dns_a_virtual_address_follows_the_leader_by_vip_manager", virtual_address)


def virtual_address():
    with Lab(members=2, dynamic=DYNAMIC) as lab:
        address = "10.99.0.100"
        managers = {}
        for i, member in enumerate(lab):
            # A host's interface each; both ends are here, but each manager looks at its own only.
            ip("link", "add", "name", f"eth{i}", "type", "veth", "peer", "name", f"peer{i}")
            for end in ("eth", "peer"):
                ip("link", "set", f"{end}{i}", "up")
            ip("addr", "add", f"10.99.0.{i + 1}/24", "dev", f"eth{i}")  # vip-manager needs one there
            managers[member.name] = f"eth{i}"

        def holders():
            return [name for name, interface in managers.items() if address in ip("addr", "show", interface)]

        primary = lab.start().primary()
        started = [Process(lab, f"{m.name}.vip", [
            "vip-manager", "--ip", address, "--netmask", "32", "--interface", managers[m.name], "--dcs-type", "etcd",
            "--dcs-endpoints", f"http://{m.address}:{m.rest_port}", "--trigger-key", f"/service/{lab.scope}/leader",
            "--trigger-value", m.name, "--interval", "100"]) for m in lab]
        try:
            wait_for("the leader has the address", 15, lambda: holders() == [primary.name])
            primary.kill_postmaster()
            new = lab.wait_primary(30, other_than=primary)
            wait_for("the new leader has it, and nobody else", 15, lambda: holders() == [new.name])
            lab.wait_healthy(40)
            # Without the DCS a leader steps down, and lets go of the address.
            lab.etcd.stop()
            wait_for("nobody has it", 30, lambda: holders() == [])
            lab.etcd.start()
            new = lab.wait_healthy(60)
            wait_for("it is back", 15, lambda: holders() == [new.name])
        finally:
            for process in started:
                process.stop()


if __name__ == "__main__":
    absent = [p for p in ("named", "knotd", "dig", "nsupdate", "tsig-keygen")
              if not shutil.which(p, path=os.environ.get("PATH", "") + ":/usr/sbin")]
    if absent:
        print(f"SKIPPED: {', '.join(absent)} not installed (make deps installs them)")
        sys.exit(77)
    os.environ["PATH"] += ":/usr/sbin"
    run()
