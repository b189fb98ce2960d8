"""What the contract with Patroni promises around the edges, on real etcd and real PostgreSQL: bad input, tags,
schedules, reloads, callbacks, slots, the command line, keys that somebody deleted. One cluster serves several
related checks, since making one takes longer than asking it.

  python3 tests/e2e/contract_scenarios.py NAME ...   run some      tests/e2e/contract_scenarios.py --list   their names
"""
import copy
import datetime
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error

import yaml

from registry import FAST, check, log_of, logged, run, scenario, verify
from lab import Authority, Lab, signal_all, wait_for


def others(lab, primary):
    return [m for m in lab if m is not primary]


def agent(lab, *words, as_postgres=True, env=None):
    """Runs relevo to its end: (exit code, standard output, standard error)."""
    argv = [os.path.join(lab.bin, "relevo"), *words]
    if as_postgres and os.geteuid() == 0:
        argv = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] + argv
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, cwd=lab.directory,
                          env={**lab.agent_environment(), **(env or {})})
    return done.returncode, done.stdout, done.stderr


def ctl(lab, *words, code=0, input=None):
    """Runs relevoctl, checks how it ends, and gives both of its outputs together."""
    done = lab.ctl(*words, input=input)
    check(done.returncode == code, f"relevoctl {' '.join(words)} ended with {done.returncode}, not {code}: "
                                   f"{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def rest(member, code, path, method="GET", body=None):
    """Asks the API, checks its answer's code, and gives the text."""
    got, text = member.api(path, method, body)
    check(got == code, f"{method} {path} {body or ''} on {member.name}: {got}, not {code}: {text}")
    return text


def soon(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


def undisturbed(primary, postmaster):
    check(primary.is_primary() and primary.postmaster() == postmaster, f"{primary.name} leads on, not restarted")


# ---------------------------------------------------------------------------------------------- bad input

@scenario
def bad_configuration_ends_with_one_line_and_1():
    with Lab(members=2, dynamic=FAST) as lab:
        first, second = lab
        first.write_config()

        def refused(text, *words, **options):
            code, out, err = agent(lab, *words, **options)
            check(code == 1, f"{words}: exit code {code}: {out}{err}")
            check(text in err, f"{words}: '{text}' is not in: {err}")
            return err

        def file(name, text):
            path = os.path.join(lab.directory, name)
            with open(path, "w") as f:
                f.write(text)
            os.chmod(path, 0o644)
            return path

        one = [refused("empty.yml", file("empty.yml", "")),
               refused("list.yml", file("list.yml", "- a\n- b\n")),
               refused("broken.yml", file("broken.yml", "scope: [unclosed\nname: x\n")),
               refused("PATRONI_", os.path.join(lab.directory, "nowhere.yml"))]
        locked = file("locked.yml", "scope: x\n")
        os.chmod(locked, 0)
        one.append(refused("locked.yml", locked))
        impatient = copy.deepcopy(first.config)
        impatient["bootstrap"]["dcs"]["suspect_after"] = 100
        impatient = file("impatient.yml", json.dumps(impatient))
        one.append(refused("bootstrap.dcs: suspect_after: 100 is below the minimum of 200ms", impatient))
        refused("suspect_after: 100 is below the minimum", "--validate-config", "-i", impatient)
        for err in one:
            check(len(err.strip().splitlines()) == 1, f"one problem, one line: {err}")
        # Every problem has its line, not only the first.
        err = refused("scope", file("short.yml", "name: x\npostgresql: {listen: '127.0.0.1:x'}\n"))
        check("etcd3" in err and "listen" in err and len(err.strip().splitlines()) > 2, err)
        if os.geteuid() == 0:
            refused("root", first.yaml, as_postgres=False)
        check("Traceback" not in err and "terminate" not in err, err)

        code, out, _ = agent(lab, "--version")
        check(code == 0 and out.startswith("relevo ") and "4.1.4" in out, out)
        check(agent(lab, "--help")[0] == 0, "--help")
        check(agent(lab, "--no-such")[0] == 2, "an unknown option")
        check(agent(lab, "--validate-config", "--generate-sample-config")[0] == 2, "modes exclude each other")

        # The lab's addresses are loopback ones, which the validator refuses to publish.
        code, out, err = agent(lab, "--validate-config", first.yaml)
        print("  validate:", code, err.strip().replace("\n", " | "))
        taken = socket.socket()
        with taken:
            taken.bind((first.address, first.rest_port))
            taken.listen()
            err = refused("restapi.listen", "--validate-config", first.yaml)
            code, out, err = agent(lab, "--validate-config", "-i", first.yaml)
            check("restapi.listen" not in err, f"-i forgives ports in use: {err}")
            # The same port at start: the agent says which, and leaves nothing behind.
            first.start()
            wait_for("the agent to leave", 20, lambda: not first.agent.alive())
            check(first.agent.process.returncode == 1, f"exit code {first.agent.process.returncode}")
            check(f"{first.address}:{first.rest_port}" in first.agent.tail(3), first.agent.tail(5))
            check(not os.path.exists(first.data), "no data directory was made")

        # Without etcd: it waits, and SIGTERM ends the waiting.
        lab.etcd.stop()
        first.start()
        wait_for("the agent says that etcd does not answer", 20, lambda: lab.etcd.clients[0] in log_of(first))
        time.sleep(3)
        check(first.agent.alive(), "it keeps trying: " + first.agent.tail(5))
        began = time.monotonic()
        first.agent.stop()
        check(first.agent.process.returncode == 0, f"SIGTERM: exit code {first.agent.process.returncode}")
        check(time.monotonic() - began < 5, f"it took {time.monotonic() - began:.1f} s to stop")
        # And when etcd comes, it goes on.
        first.start()
        time.sleep(1)
        lab.etcd.start()
        wait_for("the cluster is made once etcd is there", 40, first.is_primary)

        # A second agent of the first one's name.
        postmaster = first.postmaster()
        second.config["name"] = first.name
        second.start()
        wait_for("the second of the name leaves", 20, lambda: not second.agent.alive())
        check(second.agent.process.returncode == 1 and first.name in second.agent.tail(3), second.agent.tail(5))
        check(not os.path.exists(second.data), "it made no data directory")
        undisturbed(first, postmaster)

        # etcd that wants a password: a wrong one ends the agent, the right one works. The cluster that is
        # there knows none: its member is stopped first.
        second.config["name"] = second.name
        first.agent.stop()
        for words in (("user", "add", "root:secret"), ("user", "grant-role", "root", "root"), ("auth", "enable")):
            lab.etcd.ctl(*words)
        lab.etcd.user = ("root", "secret")
        first.config["etcd3"].update(username="root", password="not-the-password")
        first.start()
        wait_for("the agent with the wrong password leaves", 20, lambda: not first.agent.alive())
        check(first.agent.process.returncode == 1, f"exit code {first.agent.process.returncode}")
        check("password" in first.agent.tail(3), first.agent.tail(5))
        check("not-the-password" not in log_of(first), "the password is not in the log")
        first.config["etcd3"].update(password="secret")
        first.start()
        wait_for("the right password", 30, first.is_primary)


@scenario
def malformed_keys_disturb_nobody():
    """Somebody writes nonsense into the DCS: nobody demotes or ends, it is said once, and put right it works."""
    with Lab(members=2, dynamic=FAST) as lab:
        primary = lab.start().primary()
        replica = others(lab, primary)[0]
        postmaster, replica_postmaster = primary.postmaster(), replica.postmaster()
        before = lab.etcd.keys("lab")

        def cycles(n=3):
            end = time.monotonic() + n * FAST["loop_wait"] + 0.5
            while time.monotonic() < end:
                check(primary.is_primary(), "the leader leads on")
                time.sleep(0.1)

        # Several keys at once: each round costs some cycles.
        for nonsense in (
                {"config": "{not json", "status": "nonsense", "failover": "{{{", "sync": "][", "history": '{"a":1}',
                 "failsafe": "}", f"members/{replica.name}": "rubbish", "members/": "x", "nobody-knows-me": "\x01"},
                {"config": "[1,2]", "failover": '{"leader":7}', "history": '[["x"]]', "status": "[]",
                 "sync": '{"leader":5,"sync_standby":{}}', f"members/{primary.name}": "{",
                 "members/ghost": '{"api_url":5}', "members/a/b": "{}"},
                {"config": '{"ttl":"soon","loop_wait":{},"postgresql":[]}', "status": '{"optime":"x","slots":[1]}',
                 "failover": "a:b:c", "sync": "7", "failsafe": '{"a":[]}', f"members/{replica.name}": "null"}):
            marks = {m.name: len(log_of(m)) for m in lab}
            for key, value in nonsense.items():
                lab.etcd.put("lab", key, value)
            cycles()
            for m in lab:
                check(m.agent.alive(), f"{m.name} lives with {nonsense}: " + m.agent.tail(5))
                said = {}
                for line in log_of(m)[marks[m.name]:].splitlines():
                    if "DCS key" in line:
                        text = line.split(": ", 1)[-1]
                        said[text] = said.get(text, 0) + 1
                check(said, f"{m.name} says nothing of {nonsense}")
                check(max(said.values()) == 1, f"{m.name} repeats itself with {nonsense}: {said}")
            undisturbed(primary, postmaster)
            check(replica.postmaster() == replica_postmaster, f"the replica runs on with {nonsense}")
            for key in nonsense:
                if key in before:
                    lab.etcd.put("lab", key, before[key])
                else:
                    lab.etcd.delete("lab", key)
        # Put right, everything works again.
        rest(primary, 200, "/config", "PATCH", {"postgresql": {"parameters": {"work_mem": "9MB"}}})
        for m in lab:
            wait_for(f"work_mem on {m.name}", 15, lambda m=m: m.sql("show work_mem")[0][0] == "9MB")
        rest(primary, 200, "/switchover", "POST", {"leader": primary.name, "candidate": replica.name})
        lab.wait_primary(20, other_than=primary)
        verify(lab)


# ------------------------------------------------------------------------------------------ TLS, passwords

@scenario
def tls_and_passwords_everywhere():
    """etcd with TLS, client certificates and users; REST with TLS, client certificates and Basic
    authentication; members, relevoctl and the checks of strangers."""
    with Lab(members=2, dynamic=FAST, etcd_tls=True) as lab:
        ca = lab.authority
        for words in (("user", "add", "root:etcd-secret"), ("user", "grant-role", "root", "root"), ("auth", "enable")):
            lab.etcd.ctl(*words)
        lab.etcd.user = ("root", "etcd-secret")
        client = ca.sign("client")
        for m, verify_client in zip(lab, ("required", "optional")):
            cert, key = ca.sign(m.name, m.address)
            m.config["etcd3"].update(protocol="https", cacert=ca.file, cert=cert, key=key, username="root",
                                     password="etcd-secret")
            m.config["restapi"].update(certfile=cert, keyfile=key, cafile=ca.file, verify_client=verify_client,
                                       authentication={"username": "admin", "password": "rest-secret"})
            m.config["ctl"] = {"certfile": cert, "keyfile": key, "cacert": ca.file}
            m.tls, m.credentials = (ca.file, client), "admin:rest-secret"
        primary = lab.start(wait=90).primary()
        required, optional = lab
        keys = lab.etcd.keys("lab")
        check(json.loads(keys[f"members/{primary.name}"])["api_url"].startswith("https://"), "api_url is https")

        # The one that requires a certificate does not even speak without; the other answers, but takes no orders.
        required.tls = (ca.file, None)
        try:
            required.api("/health")
            raise AssertionError("an answer without a client certificate")
        except (ssl.SSLError, urllib.error.URLError, ConnectionError):
            pass
        optional.tls = (ca.file, None)
        rest(optional, 200, "/health")
        rest(optional, 403, "/reload", "POST", {})
        stranger = Authority(lab, "stranger").sign("stranger")
        optional.tls = (ca.file, stranger)
        try:
            code = optional.api("/reload", "POST", {})[0]
            check(code == 403, f"a stranger's certificate gave {code}")
        except (ssl.SSLError, urllib.error.URLError, ConnectionError):
            pass
        for m in lab:
            m.tls = (ca.file, client)
            for credentials, code in ((None, 401), ("admin:wrong", 401), ("admin:rest-secret", 202)):
                m.credentials = credentials
                rest(m, code, "/reload", "POST", {})
                check(m.api("/health")[0] == 200, "questions need no password")

        # relevoctl, with what the configuration says; members ask each other for the switchover's candidate.
        check("streaming" in ctl(lab, "list"), "list")
        check("Success" in ctl(lab, "restart", "lab", primary.name, "--force"), "restart through the API")
        lab.wait_healthy()
        print("  " + ctl(lab, "switchover", "--force").splitlines()[0])
        after = lab.wait_primary(20, other_than=primary)
        check(ctl(lab, "pause", "--wait") and ctl(lab, "resume", "--wait"), "pause, resume")
        # Failover over the same wires.
        lab.wait_healthy()
        after.lose_power()
        lab.wait_primary(30, other_than=after)
        after.start()
        lab.wait_healthy()
        # A new certificate is taken by a reload.
        m = lab.primary()
        cert, key = ca.sign(m.name, m.address)
        rest(m, 202, "/reload", "POST", {})
        serial = int(subprocess.run(["openssl", "x509", "-serial", "-noout", "-in", cert], capture_output=True,
                                    text=True, check=True).stdout.split("=")[1], 16)

        def served():
            context = ssl.create_default_context(cafile=ca.file)
            context.load_cert_chain(*client)
            with socket.create_connection((m.address, m.rest_port), 3) as s:
                with context.wrap_socket(s, server_hostname=m.address) as t:
                    return int(t.getpeercert()["serialNumber"], 16)
        wait_for("the new certificate is served", 10, lambda: served() == serial)
        for m in lab:
            for secret in ("etcd-secret", "rest-secret", "lab-super", "lab-repl"):
                check(secret not in log_of(m), f"{secret} is in {m.name}'s log")
        verify(lab)


# ------------------------------------------------------------------------------------------------- tags

@scenario
def tags_are_honoured():
    with Lab(members=4, dynamic=FAST) as lab:
        first, never, preferred, plain = lab
        never.config["tags"] = {"nofailover": True, "replicatefrom": preferred.name}
        preferred.config["tags"] = {"failover_priority": 5, "clonefrom": True, "zone": "b"}
        first.start()
        lab.wait_primary(40)
        preferred.start()
        wait_for("the clone source streams", 40, preferred.streaming)
        rest(preferred, 200, "/replica?tag_zone=b")
        rest(preferred, 503, "/replica?tag_zone=a")
        plain.start()
        never.start()
        lab.wait_healthy(60)
        check(f"{preferred.name}" in "".join(l for l in log_of(plain).splitlines() if "clon" in l.lower()),
              f"{plain.name} was cloned from the member with clonefrom: " + plain.agent.tail(40))
        # Cascade: its upstream is the member it names, which has the slot it uses.
        wait_for("the cascade", 15, lambda: preferred.sql(
            "select 1 from pg_stat_replication where application_name = %s", never.name))
        check(preferred.sql("select active from pg_replication_slots where slot_name = 'pg_node_2'") == [(True,)],
              "the cascading member's slot is active on its upstream")
        check("+ " + never.name in ctl(lab, "topology"), "topology")
        # nofailover is refused as a candidate, and never taken.
        text = rest(first, 412, "/switchover", "POST", {"leader": first.name, "candidate": never.name})
        print("  " + text)
        ctl(lab, "failover", "--candidate", never.name, "--force", code=1)
        check(lab.primary() is first, "nothing happened")
        # All equal in position: failover_priority decides.
        wait_for("all have the same", 15, lambda: len({m.sql(
            "select coalesce(pg_last_wal_receive_lsn(), '0/0')")[0][0] for m in (never, preferred, plain)}) == 1)
        rest(first, 200, "/switchover", "POST", {"leader": first.name})
        check(lab.wait_primary(20) is preferred, "the highest failover_priority leads")
        lab.wait_healthy(40)
        # Only the one with nofailover is left: nobody leads, however long.
        for m in (first, plain):
            m.lose_power()
        preferred.lose_power()
        end = time.monotonic() + 2 * FAST["ttl"] + 2
        while time.monotonic() < end:
            check(not never.is_primary() and not never.writable(), "nofailover was promoted")
            time.sleep(0.2)
        # A tag taken away by a reload: now it may.
        never.config["tags"] = {}
        never.write_config()
        rest(never, 202, "/reload", "POST", {})
        lab.wait_primary(20)
        check(never.is_primary(), "without the tag it leads")


@scenario
def a_lagging_member_leads_only_when_told():
    with Lab(members=2, dynamic={**FAST, "maximum_lag_on_failover": 1048576}) as lab:
        primary = lab.start().primary()
        replica = others(lab, primary)[0]
        receiver = replica.sql("select pid from pg_stat_wal_receiver")[0][0]
        os.kill(receiver, signal.SIGSTOP)
        primary.sql("create table big as select repeat('x', 1000) as t from generate_series(1, 60000)")
        written = primary.sql("select pg_current_wal_flush_lsn() - '0/0'")[0][0]
        wait_for("the leader has published its position", 15,
                 lambda: json.loads(lab.etcd.keys("lab")["status"])["optime"] >= written)
        # Alive leader, lagging candidate: refused, and nothing happens.
        postmaster = primary.postmaster()
        rest(primary, 503, "/switchover", "POST", {"leader": primary.name, "candidate": replica.name})
        logged(primary, "maximum_lag_on_failover", "the leader says why: " + primary.agent.tail(3))
        undisturbed(primary, postmaster)
        # The leader is gone: the member stays put and says why and what to do.
        primary.lose_power()
        os.kill(receiver, signal.SIGTERM)
        os.kill(receiver, signal.SIGCONT)
        wait_for("the reason", 20, lambda: "maximum_lag_on_failover" in log_of(replica))
        time.sleep(FAST["ttl"])
        check(not replica.is_primary() and not replica.writable(), "it was promoted with too much lag")
        logged(replica, "relevoctl failover", "it says what to do")
        out = ctl(lab, "failover", "--candidate", replica.name, "--force")
        wait_for("the named member leads", 20, replica.is_primary)
        print("  " + out.strip().splitlines()[0])
        primary.start()
        verify(lab)
        check(primary.sql("select to_regclass('big')")[0][0] is None or
              primary.sql("select count(*) from big") == replica.sql("select count(*) from big"), "one history")


# ------------------------------------------------------------------------- schedules, restarts, maintenance

@scenario
def schedules_filters_and_maintenance():
    with Lab(members=2, dynamic={**FAST, "ttl": 8}) as lab:
        primary = lab.start().primary()
        replica = others(lab, primary)[0]
        postmaster = primary.postmaster()
        # What cannot be is refused, and changes nothing.
        for body, code in (({"leader": replica.name}, 412), ({"leader": "nobody"}, 412),
                           ({"leader": primary.name, "candidate": "nobody"}, 412),
                           ({"leader": primary.name, "candidate": primary.name}, 400), ({}, 400),
                           ({"candidate": replica.name}, 400),
                           ({"leader": primary.name, "scheduled_at": "2030-01-01T00:00:00"}, 400),
                           ({"leader": primary.name, "scheduled_at": "2020-01-01T00:00:00+00:00"}, 422)):
            rest(primary, code, "/switchover", "POST", body)
        rest(primary, 400, "/failover", "POST", {})
        rest(primary, 412, "/failover", "POST", {"candidate": "nobody"})
        check(lab.etcd.keys("lab").get("failover", "{}") in ("{}", ""), "no request was left in the DCS")
        undisturbed(primary, postmaster)
        # Restart filters.
        for body, code in (({"role": "replica"}, 503), ({"postgres_version": "9.6.0"}, 503),
                           ({"restart_pending": True}, 503), ({"nonsense": 1}, 400), ({"timeout": "no"}, 400),
                           ({"role": "king"}, 400), ({"postgres_version": "x"}, 400)):
            rest(primary, code, "/restart", "POST", body)
        undisturbed(primary, postmaster)
        check("Failed" in ctl(lab, "restart", "lab", primary.name, "--pg-version", "9.6.0", "--force"),
              "relevoctl shows the refusal")
        rest(primary, 200, "/restart", "POST", {"role": "primary", "postgres_version": "99.0"})
        check(primary.postmaster() != postmaster, "restarted")
        wait_for("it is still the leader", 5, primary.is_primary)
        # Raised, not lowered: a standby that is restarted before it has replayed its primary's smaller
        # value must keep the larger one (PostgreSQL's rule for hot standby).
        rest(primary, 200, "/config", "PATCH", {"postgresql": {"parameters": {"max_connections": 123}}})
        wait_for("both have published that a restart is pending", 15, lambda: all(
            json.loads(lab.etcd.keys("lab")[f"members/{m.name}"]).get("pending_restart") for m in lab))
        out = ctl(lab, "restart", "lab", "--pending", "--force")
        check(out.count("Success") == 2, out)
        lab.wait_healthy()
        check(all(m.sql("show max_connections")[0][0] == "123" for m in lab), "both have the new value")

        # A scheduled restart: visible, refused twice, deleted; then one that happens.
        far = soon(3600)
        rest(replica, 202, "/restart", "POST", {"schedule": far})
        rest(replica, 409, "/restart", "POST", {"schedule": far})
        wait_for("the schedule is published", 10, lambda: "scheduled_restart" in json.loads(
            lab.etcd.keys("lab")[f"members/{replica.name}"]))
        wait_for("list shows the schedule", 5, lambda: "Scheduled restart" in ctl(lab, "list"))
        rest(replica, 200, "/restart", "DELETE")
        rest(replica, 404, "/restart", "DELETE")
        rest(replica, 400, "/restart", "POST", {"schedule": "2030-01-01T00:00:00"})
        rest(replica, 422, "/restart", "POST", {"schedule": "2020-01-01T00:00:00+00:00"})
        postmaster = replica.postmaster()
        due = time.monotonic() + 3
        rest(replica, 202, "/restart", "POST", {"schedule": soon(3)})
        wait_for("the scheduled restart", 20, lambda: replica.postmaster() not in (None, postmaster))
        check(-0.2 < time.monotonic() - due < 4, f"{time.monotonic() - due:.1f} s after its time")
        lab.wait_healthy()
        # A scheduled switchover: deleted, then one that happens in time.
        rest(primary, 404, "/switchover", "DELETE")
        rest(primary, 202, "/switchover", "POST", {"leader": primary.name, "candidate": replica.name,
                                                   "scheduled_at": far})
        check("Switchover scheduled at" in ctl(lab, "list"), "list shows it")
        rest(primary, 200, "/switchover", "DELETE")
        check("scheduled" not in lab.etcd.keys("lab")["failover"], "it is gone")
        due = time.monotonic() + 4
        rest(primary, 202, "/switchover", "POST", {"leader": primary.name, "scheduled_at": soon(4)})
        time.sleep(2)
        check(primary.is_primary(), "not before its time")
        lab.wait_primary(20, other_than=primary)
        check(-0.2 < time.monotonic() - due < 4, f"{time.monotonic() - due:.1f} s after its time")
        print(f"  scheduled switchover was over {time.monotonic() - due:.1f} s after its time")
        primary, replica = lab.wait_healthy(), primary

        # Maintenance: orders still work, nothing else moves; a restarted agent leaves PostgreSQL alone.
        ctl(lab, "pause", "--wait")
        ctl(lab, "pause", code=1)
        check("Maintenance mode: on" in ctl(lab, "list"), "list says so")
        rest(primary, 400, "/switchover", "POST", {"leader": primary.name})
        rest(primary, 500, "/restart", "POST", {"schedule": far})
        for m in lab:
            postmaster = m.postmaster()
            m.agent.stop()
            check(m.agent.process.returncode == 0 and m.postmaster() == postmaster, "PostgreSQL runs on without agent")
            m.start()
            wait_for(f"{m.name} is back", 20, lambda m=m: m.status()["state"] == "running" and m.status().get("pause"))
            check(m.postmaster() == postmaster, "the agent took it as it was")
        wait_for("the leader leads", 20, primary.is_primary)
        rest(primary, 200, "/failover", "POST", {"candidate": replica.name})
        wait_for("the named member leads", 20, replica.is_primary)
        ctl(lab, "resume", "--wait")
        ctl(lab, "resume", code=1)
        verify(lab)


# ------------------------------------------------------------------------------------ reload, self-healing

@scenario
def reloads_and_deleted_keys():
    with Lab(members=2, dynamic=FAST) as lab:
        primary = lab.start().primary()
        replica = others(lab, primary)[0]
        postmaster = primary.postmaster()

        def hba(m):
            with open(os.path.join(m.data, "pg_hba.conf")) as f:
                return f.read()

        # The local file's pg_hba, by SIGHUP on one and by the API on the other.
        lines = ["host all all 127.0.0.0/8 scram-sha-256", "host replication replicator 127.0.0.0/8 scram-sha-256",
                 "host all marked 127.0.0.0/8 reject"]
        for m in lab:
            m.config["postgresql"]["pg_hba"] = lines
            m.config["postgresql"]["parameters"]["work_mem"] = "6MB"
            m.config["log"] = {"level": "DEBUG"}
            m.write_config()
        primary.agent.send(signal.SIGHUP)
        check("Reload" in ctl(lab, "reload", "lab", replica.name, "--force"), "relevoctl reload")
        for m in lab:
            wait_for(f"pg_hba.conf of {m.name}", 10, lambda m=m: "marked" in hba(m))
            wait_for("the server has read it", 10, lambda m=m: m.sql(
                "select 1 from pg_hba_file_rules where 'marked' = any(user_name)"))
            wait_for("work_mem", 10, lambda m=m: m.sql("show work_mem")[0][0] == "6MB")
            wait_for("the log level", 10, lambda m=m: "DEBUG" in log_of(m))
        # A broken file changes nothing.
        with open(primary.yaml, "w") as f:
            f.write("scope: [\n")
        primary.agent.send(signal.SIGHUP)
        wait_for("the complaint", 10, lambda: "patroni.yml" in log_of(primary))
        undisturbed(primary, postmaster)
        check("marked" in hba(primary), "the old configuration stays")
        primary.config["log"] = {"level": "INFO"}
        primary.write_config()
        primary.agent.send(signal.SIGHUP)
        time.sleep(1.5)
        quiet = log_of(primary).count("DEBUG")
        time.sleep(2)
        check(log_of(primary).count("DEBUG") == quiet, "INFO again")

        # The cache of the dynamic configuration follows it, and brings it back.
        rest(primary, 200, "/config", "PATCH", {"postgresql": {"parameters": {"log_min_duration_statement": 4242}}})
        for m in lab:
            def cached(m=m):
                with open(os.path.join(m.data, "patroni.dynamic.json")) as f:
                    return json.load(f) == json.loads(lab.etcd.keys("lab")["config"])
            wait_for(f"the cache file of {m.name}", 10, cached)
        keys = lab.etcd.keys("lab")
        for key in ("config", "initialize"):
            lab.etcd.delete("lab", key)
            if key == "config":
                wait_for("config is back", 15, lambda: json.loads(lab.etcd.keys("lab")["config"]) ==
                         json.loads(keys["config"]))
            else:
                wait_for("initialize is back", 15, lambda: lab.etcd.keys("lab")["initialize"] == keys["initialize"])
            undisturbed(primary, postmaster)

        # The leader's key is deleted, its lease revoked: it leads on, with not one refused write.
        failed = []

        def writes_for(seconds):
            c = primary.connect()
            c.autocommit = True
            cursor, end = c.cursor(), time.monotonic() + seconds
            cursor.execute("create table if not exists w (n int)")
            while time.monotonic() < end:
                try:
                    cursor.execute("insert into w values (1)")
                except Exception as e:
                    failed.append(str(e))
                    return
            c.close()

        lab.etcd.delete("lab", "leader")
        writes_for(3)
        wait_for("the key is back", 10, lambda: lab.etcd.keys("lab").get("leader") == primary.name)
        undisturbed(primary, postmaster)
        answer = json.loads(lab.etcd.ctl("get", "/service/lab/leader", "-w", "json"))
        lab.etcd.ctl("lease", "revoke", f"{answer['kvs'][0]['lease']:x}")
        writes_for(3)
        wait_for("both keys are back", 10, lambda: lab.etcd.keys("lab").get("leader") == primary.name and
                 f"members/{primary.name}" in lab.etcd.keys("lab"))
        check(not failed, f"writes failed: {failed}")
        undisturbed(primary, postmaster)
        check(primary.sql("select timeline_id from pg_control_checkpoint()")[0][0] == 1, "no promotion")
        for key in (f"members/{replica.name}", "status", "history", "failover"):
            lab.etcd.delete("lab", key)
        wait_for("the rest is back", 15, lambda: {f"members/{replica.name}", "status"} <= set(lab.etcd.keys("lab")))
        verify(lab)


# ------------------------------------------------------------------------------------------- callbacks

@scenario
def callbacks_and_pre_promote():
    with Lab(members=3, dynamic=FAST) as lab:
        calls = os.path.join(lab.directory, "calls")
        script = os.path.join(lab.directory, "callback.sh")
        with open(calls, "w"):
            pass
        os.chmod(calls, 0o666)
        with open(script, "w") as f:
            f.write(f'#!/bin/sh\necho "$*" >> {calls}\n')
        os.chmod(script, 0o755)
        first, refuser, third = lab
        for m in lab:
            m.config["postgresql"]["callbacks"] = {
                f"on_{e}": f"{script} {m.name}" for e in ("start", "stop", "restart", "role_change", "reload")}
        refuser.config["postgresql"]["pre_promote"] = "/bin/false"
        refuser.config["tags"] = {"failover_priority": 9}

        def called():
            with open(calls) as f:
                return f.read().splitlines()

        def expect(m, action, role):
            line = f"{m.name} {action} {role} lab"
            wait_for(f"the call '{line}' among {called()}", 20, lambda: line in called())

        first.start()
        lab.wait_primary(40)
        for m in (refuser, third):
            m.start()
        lab.wait_healthy()
        check(lab.primary() is first, "the first one leads")
        expect(first, "on_start", "primary")
        expect(refuser, "on_start", "replica")
        expect(third, "on_start", "replica")
        check(not [c for c in called() if "role_change" in c or "on_stop" in c], str(called()))
        rest(third, 200, "/restart", "POST", {})
        expect(third, "on_restart", "replica")
        # pre_promote fails on the preferred one: it gives the key back, and the other one leads.
        lab.wait_healthy()
        first.agent.stop()
        check(first.agent.process.returncode == 0, "exit code 0")
        check([c for c in called() if c.startswith(f"{first.name} on_stop ")], f"on_stop: {called()}")
        check(lab.wait_primary(30, other_than=first) is third, "the member with a working pre_promote leads")
        logged(refuser, "pre_promote", "the refusal is in the log: " + refuser.agent.tail(20))
        check(not refuser.writable(), "the refused one stays a replica")
        check(refuser.sql("select pg_is_in_recovery()")[0][0], "and runs")
        expect(third, "on_role_change", "primary")
        first.start()
        lab.wait_healthy()
        # A switchover: both change their roles.
        rest(third, 200, "/switchover", "POST", {"leader": third.name, "candidate": first.name})
        expect(first, "on_role_change", "primary")
        expect(third, "on_role_change", "replica")
        rest(first, 200, "/config", "PATCH", {"postgresql": {"parameters": {"work_mem": "8MB"}}})
        expect(first, "on_reload", "primary")
        verify(lab)


# ------------------------------------------------------------------------------------------- slots

@scenario
def member_slots_follow_membership():
    with Lab(members=3, dynamic={**FAST, "member_slots_ttl": "12s", "postgresql": {"parameters": {
            "max_slot_wal_keep_size": "16MB", "min_wal_size": "32MB", "max_wal_size": "48MB"}}}) as lab:
        primary = lab.start().primary()
        stays, leaves = others(lab, primary)
        name = leaves.name.replace("-", "_")

        def slots(m):
            return {n: (a, s) for n, a, s in m.sql("select slot_name, active, wal_status from pg_replication_slots")}

        wait_for("both slots are used", 15, lambda: {a for a, _ in slots(primary).values()} == {True})
        check(len(slots(primary)) == 2, str(slots(primary)))
        # Replicas hold them ready for the day they lead, never their own.
        wait_for("a replica has the other's slot", 15, lambda: name in slots(stays))
        check(stays.name.replace("-", "_") not in slots(stays), "nobody has a slot of its own name")
        began = time.monotonic()
        leaves.agent.stop()
        wait_for("its key is gone", 20, lambda: f"members/{leaves.name}" not in lab.etcd.keys("lab"))
        time.sleep(1)
        check(slots(primary).get(name, (True, ""))[0] is False, f"the slot is kept, unused: {slots(primary)}")
        check(name in json.loads(lab.etcd.keys("lab")["status"])["retain_slots"], "retain_slots names it")
        # WAL beyond what may be kept: the slot is lost, and made anew.
        for _ in range(5):
            primary.sql("create table if not exists t as select 1")
            primary.sql("select pg_switch_wal()")
        primary.sql("checkpoint")
        wait_for("a usable slot", 15, lambda: slots(primary).get(name, ("", "lost"))[1] in ("reserved", "extended"))
        check(time.monotonic() - began < 12, "the machine is too slow for this check")
        wait_for("the slot goes after member_slots_ttl", 30, lambda: name not in slots(primary))
        held = time.monotonic() - began
        check(held > 8, f"it was kept for {held:.1f} s only")
        print(f"  slot kept for {held:.1f} s")
        leaves.start()
        lab.wait_healthy()
        wait_for("its slot is back and used", 20, lambda: slots(primary).get(name, (False,))[0])
        # Dropped by hand: made again.
        stays_slot = stays.name.replace("-", "_")
        stays.agent.stop()
        primary.sql("select pg_drop_replication_slot(%s)", stays_slot)
        stays.start()
        lab.wait_healthy()
        wait_for("the slot dropped by hand is back", 20, lambda: slots(primary).get(stays_slot, (False,))[0])
        verify(lab)


# ------------------------------------------------------------------------------------------- relevoctl

@scenario
def relevoctl_on_a_living_cluster():
    with Lab(members=2, dynamic=FAST) as lab:
        primary = lab.start().primary()
        replica = others(lab, primary)[0]
        text = ctl(lab, "list")
        check(f"Cluster: lab ({lab.etcd.keys('lab')['initialize']})" in text and "Leader" in text, text)
        rows = json.loads(ctl(lab, "list", "-f", "json"))
        check({r["Member"]: r["Role"] for r in rows} == {primary.name: "Leader", replica.name: "Replica"}, str(rows))
        head, *lines = ctl(lab, "list", "-f", "tsv").splitlines()
        check(head.startswith("Cluster\tMember\tHost\tRole\tState\tTL\tReceive LSN") and len(lines) == 2, head)
        check(len(yaml.safe_load(ctl(lab, "list", "-f", "yaml"))) == 2, "yaml")
        check("Pending restart reason" in ctl(lab, "list", "-e"), "extended")
        check(datetime.datetime.now().strftime("%Y-%m-%d") in ctl(lab, "list", "-t"), "timestamp")
        check("+ " + replica.name in ctl(lab, "topology"), "topology")
        check(ctl(lab, "dsn").strip() == f"host={primary.address} port={primary.port}", "dsn")
        check(replica.address in ctl(lab, "dsn", "-r", "replica"), "dsn of a replica")
        check(replica.address in ctl(lab, "dsn", "-m", replica.name), "dsn of a member")
        ctl(lab, "dsn", "-m", "nobody", code=1)
        ctl(lab, "dsn", "-m", replica.name, "-r", "replica", code=1)
        # query: libpq finds the password in the environment, as a client would.
        os.environ["PGPASSWORD"] = "lab-super"
        try:
            out = ctl(lab, "query", "-c", "select 40 + 2 as answer, pg_is_in_recovery() as r", "-U", "postgres",
                      "-d", "postgres")
            check(out.split() == ["answer", "r", "42", "f"], out)
            out = ctl(lab, "query", "-c", "select pg_is_in_recovery() as r", "-U", "postgres", "-d", "postgres",
                      "-m", replica.name, "--format", "json")
            check(json.loads(out)[0]["r"] in (True, "True", "t"), out)
            out = ctl(lab, "query", "-c", "select nonsense", "-U", "postgres", "-d", "postgres")
            check("42703" in out, out)
        finally:
            del os.environ["PGPASSWORD"]
        out = ctl(lab, "version", "lab")
        check("relevoctl version" in out and f"{primary.name}: " in out and "PostgreSQL 15." in out, out)
        check("relevoctl" in ctl(lab, "version"), "version alone")
        # Configuration.
        check(yaml.safe_load(ctl(lab, "show-config"))["ttl"] == 5, "show-config")
        out = ctl(lab, "edit-config", "-s", "postgresql.parameters.work_mem=7MB", "-p", "log_statement=ddl", "--force")
        check("+" in out and "work_mem" in out, out)
        wait_for("work_mem", 10, lambda: replica.sql("show work_mem")[0][0] == "7MB")
        wait_for("log_statement", 10, lambda: primary.sql("show log_statement")[0][0] == "ddl")
        check("Not changed" in ctl(lab, "edit-config", "-s", "postgresql.parameters.work_mem=7MB", "--force"), "same")
        ctl(lab, "edit-config", "-s", "postgresql.parameters.work_mem=null", "-p", "log_statement=null", "--force")
        check("work_mem" not in lab.etcd.keys("lab")["config"], "null removes")
        check("loop_wait" in ctl(lab, "edit-config", "-s", "loop_wait=2", input="n\n"), "declined")
        check(json.loads(lab.etcd.keys("lab")["config"])["loop_wait"] == 1, "declined means unchanged")
        ctl(lab, "edit-config", "--apply", "-", "--force", input="maximum_lag_on_failover: 12345\n")
        check(json.loads(lab.etcd.keys("lab")["config"])["maximum_lag_on_failover"] == 12345, "applied from stdin")
        ctl(lab, "edit-config", "--apply", "/no/such/file", "--force", code=1)
        # Changes of the cluster.
        check(json.loads(ctl(lab, "history", "-f", "json")) == [], "no history yet")
        ctl(lab, "switchover", "--leader", replica.name, "--force", code=1)
        ctl(lab, "switchover", "--candidate", "nobody", "--force", code=1)
        ctl(lab, "failover", "--force", code=1)
        check("Aborted" in ctl(lab, "switchover", input="", code=1), "end of input is an abort")
        ctl(lab, "switchover", input=f"{primary.name}\n{replica.name}\nnow\nn\n", code=1)
        undisturbed(primary, primary.postmaster())
        out = ctl(lab, "switchover", input=f"{primary.name}\n{replica.name}\nnow\ny\n")
        check("Successfully switched over to" in out, out)
        primary, replica = lab.wait_healthy(), primary
        check(json.loads(ctl(lab, "history", "-f", "json"))[0]["New Leader"] == primary.name, "history")
        check("TL" in ctl(lab, "history"), "history as a table")
        ctl(lab, "restart", "lab", "--scheduled", soon(3600), "--force")
        wait_for("list shows the schedule", 5, lambda: "Scheduled restart" in ctl(lab, "list"))
        ctl(lab, "flush", "lab", "restart", "--force")
        wait_for("the schedule is gone", 5, lambda: "Scheduled restart" not in ctl(lab, "list"))
        ctl(lab, "switchover", "--scheduled", soon(3600), "--force")
        check("Switchover scheduled at" in ctl(lab, "list"), "scheduled")
        ctl(lab, "flush", "lab", "switchover", "--force")
        check("Switchover scheduled at" not in ctl(lab, "list"), "flushed")
        ctl(lab, "reinit", "lab", primary.name, "--force", code=1)
        ctl(lab, "reinit", "lab", replica.name, "--force", "--wait")
        lab.wait_healthy()
        # remove, which must be hard to do by mistake.
        for answers in ("other\n", "lab\nyes\n", "lab\nYes I am aware\nnobody\n", "lab\nYes I am aware\n", ""):
            ctl(lab, "remove", "lab", input=answers, code=1)
            check("initialize" in lab.etcd.keys("lab"), f"removed after {answers!r}")
        # What is no command, no cluster, no configuration.
        ctl(lab, "no-such-command", code=2)
        ctl(lab, "list", "--no-such-option", code=2)
        ctl(lab, "restart", "lab", "nobody", "--force", code=1)
        out = subprocess.run([os.path.join(lab.bin, "relevoctl"), "-c", "/no/such/file.yml", "list"],
                             capture_output=True, text=True, env={"HOME": lab.directory}, timeout=30)
        check(out.returncode == 1 and "/no/such/file.yml" in out.stderr, out.stdout + out.stderr)
        out = subprocess.run([os.path.join(lab.bin, "relevoctl"), "-d", f"etcd3://{lab.etcd.clients[0]}", "list",
                              "lab"], capture_output=True, text=True, env={"HOME": lab.directory}, timeout=30)
        check(out.returncode == 0 and primary.name in out.stdout, out.stdout + out.stderr)
        verify(lab)
        for m in lab:
            m.agent.stop()
        wait_for("no leader is left", 15, lambda: "leader" not in lab.etcd.keys("lab"))
        ctl(lab, "remove", "lab", input="lab\nYes I am aware\n")
        check(lab.etcd.keys("lab") == {}, "all keys are gone")


# ------------------------------------------------------------------------------------- data directories

@scenario
def data_directories_lost_half_made_and_foreign():
    with Lab(members=3, dynamic=FAST) as lab:
        first, second, third = lab
        # A directory that holds somebody's files is not ours to fill.
        os.makedirs(third.data, mode=0o700)
        with open(os.path.join(third.data, "thesis.txt"), "w") as f:
            f.write("years of work")
        lab.give(third.data)
        first.start()
        second.start()
        lab.wait_healthy(60, without=(third,))
        primary = lab.primary()
        third.start()
        wait_for("the refusal", 20, lambda: third.data in log_of(third) and
                 ("not empty" in log_of(third) or not third.agent.alive()))
        time.sleep(3)
        with open(os.path.join(third.data, "thesis.txt")) as f:
            check(f.read() == "years of work", "the foreign file is as it was")
        check(os.listdir(third.data) == ["thesis.txt"], str(os.listdir(third.data)))
        print("  " + third.agent.tail(2).strip().splitlines()[-1])
        # Emptied, it is cloned into; killed halfway, the half is replaced.
        os.remove(os.path.join(third.data, "thesis.txt"))
        if not third.agent.alive():
            third.start()
        primary.sql("create table big as select repeat(md5(n::text), 30) as t from generate_series(1, 100000) n")
        third.config["postgresql"]["basebackup"] = [{"max-rate": "20M"}]
        third.agent.stop(signal.SIGKILL)
        signal_all(third.postgres_tree(), signal.SIGKILL)
        shutil.rmtree(third.data, ignore_errors=True)
        third.start()
        wait_for("a half-made copy", 30, lambda: third.status()["state"] == "creating replica" and
                 os.path.exists(os.path.join(third.data, "base")))
        third.agent.kill()
        check(not os.path.exists(os.path.join(third.data, "global/pg_control")) or third.postmaster() is None,
              "the copy is not complete")
        third.config["postgresql"]["basebackup"] = []
        third.start()
        lab.wait_healthy(60)
        check(third.sql("select count(*) from big")[0][0] == 100000, "the copy is whole")
        # A stopped replica whose directory is gone is made anew.
        replica = others(lab, primary)[0]
        replica.agent.stop()
        shutil.rmtree(replica.data)
        replica.start()
        lab.wait_healthy(60)
        check(replica.sql("select count(*) from big")[0][0] == 100000, "made anew")
        verify(lab)


if __name__ == "__main__":
    run()
