"""Members of relevo and of Patroni itself (Debian's) in one cluster: same scope, same etcd, same patroni.yml.
Each takes over from the other, and neither loses what it was told.

  tests/e2e/patroni_scenarios.py NAME ...   run some      tests/e2e/patroni_scenarios.py --list   their names
"""
import json
import shutil
import subprocess
import sys

from registry import check, run, scenario, verify
from lab import Lab, Writers, wait_for

PATRONI, PATRONICTL = "/usr/bin/patroni", "/usr/bin/patronictl"
# The smallest that Patroni accepts: a ttl below 20 is not one of them.
PATRONIS_FASTEST = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3}
# What four writers may have acknowledged and not sent when the power goes (scenarios.py).
LOST_ASYNC = 100


class MixedLab(Lab):
    """Members named patroni-N are run by Patroni's agent, relevo-N by ours."""

    def __init__(self, *names):
        super().__init__(members=0, dynamic=PATRONIS_FASTEST)
        for number, name in enumerate(names, 1):
            self.add_member(name, number)
        for member in self:
            member.write_config()  # the command lines read the first one's before it is started

    def agent_argv(self, member):
        return [PATRONI, member.yaml] if theirs(member) else super().agent_argv(member)

    def start_first(self, name):
        """It makes the cluster; the others join it."""
        first = self.members[name].start()
        wait_for(f"{name} leads", 60, lambda: first.is_primary() and first.writable())
        for member in self:
            if member is not first:
                member.start()
        self.wait_healthy(60)
        return first

    def patronictl(self, *words):
        yml = next(iter(self.members.values())).yaml
        done = subprocess.run([PATRONICTL, "-c", yml, *words], text=True, capture_output=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def relevoctl(self, *words):
        done = self.ctl(*words)
        return done.returncode, done.stdout + done.stderr


def theirs(member):
    return member.name.startswith("patroni")


def says(answer, text):
    code, out = answer
    check(code == 0 and text in out, f"exit code {code}, and '{text}' is not in: {out}")


def timeline(member):
    return member.sql("select timeline_id from pg_control_checkpoint()")[0][0]


def listed(lab, leader):
    """Both command lines show the same members, the same leader, and nobody in trouble."""
    for ctl in (lab.patronictl, lab.relevoctl):
        def seen(ctl=ctl):
            code, out = ctl("list", "-f", "json")
            rows = {row["Member"]: row for row in json.loads(out)} if code == 0 else {}
            return (set(rows) == set(lab.members) and rows[leader.name]["Role"] == "Leader"
                    and all(r["State"] in ("running", "streaming") and r["TL"] == rows[leader.name]["TL"]
                            for r in rows.values()))
        wait_for(f"{ctl.__name__} list shows {leader.name} leading all", 20, seen)


def moves(lab, new, asked, rows):
    """Whatever was asked for makes `new` the leader, and everybody follows it."""
    old = lab.primary()
    check(old is not new, f"{new.name} leads already")
    answer = asked()[1]
    check("Successfully" in answer, answer)
    print(f"  {old.name} -> {new.name}")
    wait_for(f"{new.name} leads", 30, lambda: lab.primary() is new)
    lab.wait_healthy(40)
    before = rows.count()
    wait_for("the writers go on", 20, lambda: rows.count() > before + 100)


@scenario
def patroni_leads_relevo_joins_and_they_switch_over():
    with MixedLab("patroni-1", "relevo-2", "relevo-3") as lab:
        patroni = lab.start_first("patroni-1")
        ours, other = lab.members["relevo-2"], lab.members["relevo-3"]
        listed(lab, patroni)
        rows = Writers(lab).start()
        wait_for("the writers write", 20, lambda: rows.count() > 200)

        # Patroni before 4.0 does not tell where the slots are: our standbys must not keep all WAL for it.
        def slot():
            return other.sql("select restart_lsn::text from pg_replication_slots where slot_name = 'relevo_2'")
        made = wait_for("a member slot on a standby", 20, slot)[0][0]
        wait_for("the slot moves on", 30, lambda: other.sql(
            "select restart_lsn > %s::pg_lsn from pg_replication_slots where slot_name = 'relevo_2'", made)[0][0])

        moves(lab, ours, lambda: lab.patronictl("switchover", "--master", patroni.name, "--candidate", ours.name,
                                                "--force"), rows)
        moves(lab, patroni, lambda: lab.relevoctl("switchover", "--candidate", patroni.name, "--force"), rows)
        moves(lab, ours, lambda: other.api("/switchover", "POST",
                                           {"leader": patroni.name, "candidate": ours.name}), rows)
        moves(lab, patroni, lambda: patroni.api("/switchover", "POST",
                                                {"leader": ours.name, "candidate": patroni.name}), rows)
        listed(lab, patroni)
        verify(lab, rows)
        check(timeline(patroni) == 5, "four promotions, four timelines")
        history = json.loads(lab.etcd.keys("lab")["history"])
        check([line[0] for line in history] == [1, 2, 3, 4], f"the history is whole: {history}")


@scenario
def relevo_leads_patroni_joins_and_obeys():
    with MixedLab("relevo-1", "patroni-2") as lab:
        ours = lab.start_first("relevo-1")
        patroni = lab.members["patroni-2"]
        listed(lab, ours)
        for ctl, value in ((lab.patronictl, "7MB"), (lab.relevoctl, "9MB")):
            says(ctl("edit-config", "lab", "--force", "-p", f"work_mem={value}"), "Configuration changed")
            for member in lab:
                wait_for(f"work_mem on {member.name}", 15,
                         lambda m=member, v=value: m.sql("show work_mem")[0][0] == v)
        says(lab.relevoctl("restart", "lab", patroni.name, "--force"), "Success")
        lab.wait_healthy(40)
        says(lab.patronictl("restart", "lab", ours.name, "--force"), "Success")
        lab.wait_healthy(40)
        says(lab.relevoctl("reload", "lab", patroni.name, "--force"), "Reload request received")
        says(lab.patronictl("reload", "lab", ours.name, "--force"), "Reload request received")
        made = patroni.sql("select system_identifier from pg_control_system()")
        began = patroni.status()["postmaster_start_time"]
        says(lab.relevoctl("reinit", "lab", patroni.name, "--force"), "Success")
        wait_for("the replica is made anew", 40, lambda: patroni.status()["postmaster_start_time"] != began)
        lab.wait_healthy(60)
        check(patroni.sql("select system_identifier from pg_control_system()") == made, "the same cluster")

        moves(lab, patroni, lambda: lab.patronictl("failover", "--candidate", patroni.name, "--force"),
              rows := Writers(lab).start())
        began = ours.status()["postmaster_start_time"]
        says(lab.patronictl("reinit", "lab", ours.name, "--force"), "Success")
        wait_for("the replica is made anew", 40, lambda: ours.status()["postmaster_start_time"] != began)
        verify(lab, rows)


def loses_power_and_comes_back(lab, old):
    rows = Writers(lab).start()
    wait_for("the writers write", 20, lambda: rows.count() > 500)
    old.lose_power()
    new = lab.wait_primary(60, other_than=old)
    check(theirs(new) != theirs(old), f"{new.name} takes over from {old.name}")
    before = rows.count()
    wait_for("the writers go on", 20, lambda: rows.count() > before + 500)
    old.start()
    lab.wait_healthy(60)
    listed(lab, new)
    verify(lab, rows, LOST_ASYNC)
    check(timeline(new) == 2, "one promotion")


@scenario
def power_loss_of_a_patroni_leader():
    with MixedLab("patroni-1", "relevo-2", "relevo-3") as lab:
        loses_power_and_comes_back(lab, lab.start_first("patroni-1"))


@scenario
def power_loss_of_a_relevo_leader_beside_patroni():
    with MixedLab("relevo-1", "patroni-2") as lab:
        loses_power_and_comes_back(lab, lab.start_first("relevo-1"))


@scenario
def pause_is_one_for_both():
    with MixedLab("relevo-1", "patroni-2", "relevo-3") as lab:
        ours = lab.start_first("relevo-1")
        patroni = lab.members["patroni-2"]
        for leader, pause, resume in ((ours, lab.patronictl, lab.relevoctl), (patroni, lab.relevoctl, lab.patronictl)):
            if lab.primary() is not leader:
                says(lab.relevoctl("failover", "--candidate", leader.name, "--force"), leader.name)
                wait_for(f"{leader.name} leads", 30, lambda m=leader: lab.primary() is m)
                lab.wait_healthy(40)
            says(pause("pause", "--wait"), "Success")
            check(all(m.status().get("pause") for m in lab), "all members say that they are paused")
            leader.kill_postmaster()
            # Both give the key of a dead server back, and nobody takes it.
            wait_for("the key is given back", 20, lambda: "leader" not in lab.etcd.keys("lab"))
            check(not any(m.postmaster() and m.writable() for m in lab), "nobody is promoted or started in pause")
            says(resume("resume", "--wait"), "Success")
            lab.wait_healthy(60)
        verify(lab)


if __name__ == "__main__":
    if "--list" not in sys.argv and not (shutil.which(PATRONI) and shutil.which(PATRONICTL)):
        print("SKIPPED: patroni is not installed, so nothing was tried beside it (make deps installs it)")
        sys.exit(77)
    run()
