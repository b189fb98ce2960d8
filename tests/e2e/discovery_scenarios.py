"""How the parts find each other when the direct way is closed: etcd through SRV records of a real name server, and
an operator's orders through etcd when no agent's API answers.

  python3 tests/e2e/discovery_scenarios.py NAME ...   run some
"""
import json
import shutil
import subprocess

from registry import FAST, check, log_of, run, scenario, verify
from own_network import NAME_SERVER, in_own_network
from lab import Lab, Process, wait_for
from ports import free_port


class Names:
    """A name server: host names, and SRV records {"_etcd-client._tcp.etcd.test": [("n1.etcd.test", port)]}."""

    def __init__(self, lab):
        self.lab, self.process = lab, None

    def serve(self, hosts, records):
        self.stop()
        argv = [shutil.which("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                "--bind-interfaces", f"--listen-address={NAME_SERVER}", "--pid-file=", "--user=root", "--local=/test/",
                "--log-facility=-", "--log-queries"]
        argv += [f"--host-record={name},{address}" for name, address in hosts.items()]
        argv += [f"--srv-host={name},{target},{port},0,{100 - i}" for name, targets in records.items()
                 for i, (target, port) in enumerate(targets)]
        self.process = Process(self.lab, "dnsmasq", argv)
        wait_for("the name server", 10, lambda: subprocess.run(
            ["getent", "hosts", next(iter(hosts))], capture_output=True).returncode == 0)

    def stop(self):
        if self.process:
            self.process.kill()

    def asked(self):
        with open(self.process.log) as f:
            return f.read()


def place(client):
    address, port = client.rsplit(":", 1)
    return address, int(port)


def by_srv(lab, **more):
    for m in lab:
        m.config["etcd3"] = {"srv": "etcd.test", **more}
        m.write_config()


@in_own_network("dnsmasq")
@scenario
def srv_records_lead_to_etcd():
    with Lab(members=2, etcd=3, dynamic=FAST) as lab:
        names = Names(lab)
        try:
            hosts = {f"n{i}.etcd.test": place(c)[0] for i, c in enumerate(lab.etcd.clients, 1)}
            ports = [place(c)[1] for c in lab.etcd.clients]
            record = "_etcd-client-orders._tcp.etcd.test"
            # The suffix counts: without it there is a record too, of a port where nobody is.
            wrong = {"_etcd-client._tcp.etcd.test": [("n1.etcd.test", free_port(hosts["n1.etcd.test"]))]}
            names.serve(hosts, {record: [("n1.etcd.test", ports[0])], **wrong})
            by_srv(lab, srv_suffix="orders")
            primary = lab.start().primary()
            rows = json.loads(lab.ctl("list", "-f", "json").stdout)
            check({r["Member"] for r in rows} == set(lab.members), str(rows))
            check(record in names.asked() and "_etcd-client-ssl-orders._tcp.etcd.test" in names.asked(),
                  "https was asked for first")
            # The others were never in DNS: they come from etcd's own list of members.
            third = f"http://{lab.etcd.clients[2]}"
            wait_for("the members' addresses", 20, lambda: all(third in log_of(m) for m in lab))
            postmaster = primary.postmaster()
            lab.etcd.nodes[0].kill()
            wait_for("the lease lives on without the node in DNS", 10, primary.is_primary)
            lab.wait_healthy(20)
            check(lab.primary() is primary and primary.postmaster() == postmaster, "nobody noticed")
            # A command that starts now has nothing but DNS, which is told of the others.
            check(lab.ctl("list").returncode == 1, "DNS names one dead node only")
            names.serve(hosts, {record: [("n2.etcd.test", ports[1]), ("n3.etcd.test", ports[2])], **wrong})
            check(primary.name in lab.ctl("list").stdout, lab.ctl("list").stderr)
            # Behind the peers' names the clients' addresses are asked for.
            peers = [a for n in lab.etcd.argv.values() for k, a in zip(n, n[1:]) if k == "--listen-peer-urls"]
            names.serve(hosts, {"_etcd-server._tcp.etcd.test":
                                [("n2.etcd.test", place(peers[1].removeprefix("http://"))[1])]})
            for m in lab:
                m.config["etcd3"] = {"srv": "etcd.test"}
                m.write_config()
            check(primary.name in lab.ctl("list").stdout, "by the peers: " + lab.ctl("list").stderr)
            verify(lab)
        finally:
            names.stop()


def move(etcd):
    """The same etcd, at another port."""
    etcd.stop()
    for name, argv in etcd.argv.items():
        index = list(etcd.argv).index(name)
        old = etcd.clients[index]
        new = f"{place(old)[0]}:{free_port(place(old)[0])}"
        etcd.argv[name] = [a.replace(old, new) for a in argv]
        etcd.clients[index] = new
    etcd.start()


@in_own_network("dnsmasq")
@scenario
def etcd_that_moved_is_found_again_by_srv():
    """Nothing that the agents know answers any more: only DNS can tell where etcd is now. With TLS, whose
    certificate is checked against the name in the record."""
    with Lab(members=2, dynamic=FAST, etcd_tls=True) as lab:
        names = Names(lab)
        try:
            cert, key = lab.authority.sign("agents")
            record = "_etcd-client-ssl._tcp.etcd.test"
            hosts = {"n1.etcd.test": place(lab.etcd.clients[0])[0]}
            names.serve(hosts, {record: [("n1.etcd.test", place(lab.etcd.clients[0])[1])]})
            by_srv(lab, cacert=lab.authority.file, cert=cert, key=key)
            lab.start()
            check("Leader" in lab.ctl("list").stdout, lab.ctl("list").stderr)
            old = place(lab.etcd.clients[0])[1]
            move(lab.etcd)
            names.serve(hosts, {record: [("n1.etcd.test", place(lab.etcd.clients[0])[1])]})
            lab.wait_primary(40)
            check("Leader" in lab.ctl("list").stdout, lab.ctl("list").stderr)
            gone = f"etcd endpoint https://n1.etcd.test:{old} is gone"
            wait_for("the old place is forgotten", 20, lambda: all(gone in log_of(m) for m in lab))
            verify(lab)
        finally:
            names.stop()


# ------------------------------------------------------------------------------------- orders through the DCS

def unreachable(member):
    """What its key says of its API is nobody's address; itself it is well."""
    member.config["restapi"]["connect_address"] = f"{member.address}:{free_port(member.address)}"


def ctl(lab, *words):
    done = lab.ctl(*words)
    check(done.returncode == 0, f"{words}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


@scenario
def orders_reach_a_leader_whose_api_does_not_answer():
    with Lab(members=3, dynamic=FAST) as lab:
        first, second, third = lab
        unreachable(first)
        first.start()
        lab.wait_primary(40)
        second.start()
        third.start()
        lab.wait_healthy(60)
        check(lab.primary() is first, "the first one leads")
        # What any member takes goes round the one that does not answer.
        ctl(lab, "pause", "--wait")
        check(json.loads(lab.etcd.keys("lab")["config"])["pause"] is True, "paused")
        ctl(lab, "resume", "--wait")
        out = ctl(lab, "switchover", "--leader", first.name, "--candidate", second.name, "--force")
        check("written to the DCS" in out, out)
        check(lab.wait_primary(40, other_than=first) is second, "the one that was named leads")
        lab.wait_healthy(40)
        wait_for("the order is carried out", 20, lambda: lab.etcd.keys("lab").get("failover", "") in ("", "{}"))
        out = ctl(lab, "switchover", "--leader", second.name, "--candidate", third.name, "--force")
        check("Successfully" in out, "where there is an API it takes the order: " + out)
        lab.wait_healthy(40)
        verify(lab)


@scenario
def failover_without_a_leader_through_the_dcs():
    """Nobody leads and the candidate's API cannot be reached: the key reaches it."""
    with Lab(members=3, dynamic=FAST) as lab:
        first, second, third = lab
        first.start()
        lab.wait_primary(40)
        unreachable(third)
        second.start()
        third.start()
        lab.wait_healthy(60)
        # In pause nobody takes the key by itself.
        ctl(lab, "pause", "--wait")
        first.lose_power()
        wait_for("nobody leads", 20, lambda: "leader" not in lab.etcd.keys("lab"))
        out = ctl(lab, "failover", "--candidate", third.name, "--force")
        check("written to the DCS" in out, out)
        check(lab.wait_primary(40) is third, "the one that was named leads")
        ctl(lab, "resume")
        first.start()
        verify(lab)


@scenario
def a_schedule_is_flushed_without_any_api():
    with Lab(members=2, dynamic=FAST) as lab:
        for m in lab:
            unreachable(m)
        lab.start()
        out = ctl(lab, "switchover", "--scheduled", "2099-01-01T00:00:00+00:00", "--force")
        check("written to the DCS" in out, out)
        wait_for("list shows it", 10, lambda: "Switchover scheduled at" in ctl(lab, "list"))
        ctl(lab, "flush", "lab", "switchover", "--force")
        check("Switchover scheduled at" not in ctl(lab, "list"), "it is gone")
        verify(lab)


if __name__ == "__main__":
    run()
