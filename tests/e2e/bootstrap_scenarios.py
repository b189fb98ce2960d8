"""How a cluster begins, on real etcd and real PostgreSQL: from a backup, after a failure, after an agent that did
not live to see the end.

  python3 tests/e2e/bootstrap_scenarios.py NAME ...   run some
"""
import os

from registry import FAST, check, logged, ours, run, run_as_postgres, scenario, script, start_by_hand, verify
from lab import Lab, pg_bin, wait_for


def lines_of(path):
    try:
        with open(path) as f:
            return f.read().splitlines()
    except FileNotFoundError:
        return []


def ended(member, text, seconds=40):
    wait_for(f"{member.name}'s agent ends", seconds, lambda: not member.agent.alive())
    check(member.agent.process.returncode == 1, f"exit code {member.agent.process.returncode}")
    check(text in member.agent.tail(), f"'{text}' is not in: {member.agent.tail(10)}")


class Source:
    """A server of its own, with an archive and a base backup, and rows from before and after the backup, and from
    after the restore point 'good'."""

    def __init__(self, lab):
        self.archive, self.backup = ours(lab, "archive"), os.path.join(ours(lab, "backups"), "base")
        source = lab.add_member("source", 9)
        del lab.members["source"]
        start_by_hand(lab, source)
        source.sql(f"alter system set archive_command = 'test ! -e {self.archive}/%f && cp %p {self.archive}/%f'")
        source.sql("alter system set archive_mode = on")
        self.ctl(source, "restart")
        self.system = str(source.sql("select system_identifier from pg_control_system()")[0][0])
        source.sql("create table kept (t text)")
        source.sql("insert into kept values ('in the backup')")
        run_as_postgres([f"{pg_bin()}/pg_basebackup", "-D", self.backup, "-h", source.address, "-p",
                         str(source.port), "-U", "postgres", "-X", "none", "-c", "fast"])
        source.sql("insert into kept values ('in the archive')")
        source.sql("select pg_create_restore_point('good')")
        source.sql("insert into kept values ('after the restore point')")
        source.sql("select pg_switch_wal()")
        wait_for("the archive has it all", 20, lambda: source.sql(
            "select last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) from pg_stat_archiver")[0][0])
        self.ctl(source, "stop")

    @staticmethod
    def ctl(member, action):
        log = os.path.join(member.home, "pg.log")
        run_as_postgres([f"{pg_bin()}/pg_ctl", "-D", member.data, "-w", "-m", "fast", "-l", log, action])

    def check_restored(self, lab):
        primary = lab.wait_healthy(60)
        check(lab.etcd.keys("lab")["initialize"] == self.system, "the cluster is the one that was backed up")
        for m in lab:
            rows = [r[0] for r in m.sql("select t from kept")]
            check(rows == ["in the backup", "in the archive"], f"{m.name} has {rows}")
        check(primary.sql("select timeline_id from pg_control_checkpoint()")[0][0] == 2, "recovery began timeline 2")
        check(primary.sql("show hot_standby")[0][0] == "on", "hot_standby is on again")
        check(not primary.status().get("pending_restart"), f"nothing is left to restart for: {primary.status()}")
        check(not os.path.exists(os.path.join(primary.data, "recovery.signal")), "recovery is over")
        hba = lines_of(os.path.join(primary.data, "pg_hba.conf"))
        check("host replication replicator 127.0.0.0/8 scram-sha-256" in hba, f"bootstrap.pg_hba is in force: {hba}")
        check("local all all trust" not in hba, f"what only the recovery needed is gone: {hba}")
        return primary


@scenario
def custom_bootstrap_recovers_to_where_it_is_told():
    """bootstrap.<method> with command, a key of its own and recovery_conf: the agent says how to recover."""
    with Lab(members=2, dynamic=FAST) as lab:
        source = Source(lab)
        calls = os.path.join(ours(lab, "calls"), "restore")
        command = script(lab, "restore.sh", f'echo "$@" >> {calls}\n'
                         'for w in "$@"; do case $w in --datadir=*) to=${w#*=};; --from=*) from=${w#*=};; esac; done\n'
                         'cp -a "$from/." "$to/" && touch "$to/recovery.signal" "$to/promote"\n')
        for m in lab:
            m.config["bootstrap"].update(method="restore", restore={
                "command": command, "from": source.backup, "recovery_conf": {
                    "restore_command": f"cp {source.archive}/%f %p", "recovery_target_name": "good",
                    "recovery_target_timeline": "latest", "recovery_target_action": "promote"}})
        first, second = lab
        first.start()
        wait_for("the restored server recovers or runs", 40, first.postmaster)
        lab.wait_primary(40)
        second.start()
        primary = source.check_restored(lab)
        check(primary is first, "the one that restored leads")
        words = lines_of(calls)
        check(len(words) == 1, f"the method ran once, the other member copied: {words}")
        check(sorted(words[0].split()) == sorted(["--scope=lab", f"--datadir={first.data}", f"--from={source.backup}"]),
              words[0])
        verify(lab)


@scenario
def custom_bootstrap_with_a_recovery_of_its_own():
    """no_params and keep_existing_recovery_conf: the command knows everything, as pgBackRest's restore does."""
    with Lab(members=2, dynamic=FAST) as lab:
        source = Source(lab)
        calls = os.path.join(ours(lab, "calls"), "restore")
        first, second = lab
        settings = "".join(f"{name} = '{value}'\n" for name, value in {
            "restore_command": f"cp {source.archive}/%f %p", "recovery_target_name": "good",
            "recovery_target_action": "promote"}.items())
        command = script(lab, "restore.sh", f'echo "$#" >> {calls}\ncp -a {source.backup}/. {first.data}/ &&\n'
                         f'touch {first.data}/recovery.signal && cat >> {first.data}/postgresql.auto.conf <<END\n'
                         f'{settings}END\n')
        first.config["bootstrap"].update(method="all_by_itself", all_by_itself={
            "command": command, "no_params": True, "keep_existing_recovery_conf": True})
        first.start()
        lab.wait_primary(40)
        second.start()
        primary = source.check_restored(lab)
        check(primary is first, "the one that restored leads")
        check(lines_of(calls) == ["0"], f"once, without arguments: {lines_of(calls)}")
        # As a standby it must not stop at the target that was meant for the restore.
        done = lab.ctl("switchover", "--force")
        check(done.returncode == 0, done.stdout + done.stderr)
        primary = lab.wait_healthy(40)
        primary.sql("insert into kept values ('later')")
        wait_for("the first one has it", 20, lambda: first.sql("select count(*) from kept")[0][0] == 3)
        verify(lab)


@scenario
def failed_bootstrap_leaves_room_for_another():
    with Lab(members=2, dynamic=FAST) as lab:
        first, second = lab
        failed, wal = first.data + ".failed", os.path.join(first.home, "wal")
        first.config["bootstrap"]["initdb"].append({"waldir": wal})
        first.config["bootstrap"]["post_bootstrap"] = "/bin/false"

        def nothing_is_left(of):
            check("initialize" not in lab.etcd.keys("lab") and "leader" not in lab.etcd.keys("lab"),
                  f"{of}: {lab.etcd.keys('lab')}")
            check(not first.postmaster(), f"{of}: no server is left")
            check(not os.path.exists(first.data) or not os.listdir(first.data), f"{of}: its data has another name")

        first.start()
        ended(first, "post_bootstrap")
        nothing_is_left("post_bootstrap")
        check(os.path.exists(os.path.join(failed, "PG_VERSION")), "what was made is kept")
        check(not os.path.exists(wal) and os.path.isdir(wal + ".failed"), f"its WAL too: {os.listdir(first.home)}")
        # Once more: the earlier one goes.
        with open(os.path.join(failed, "of the first try"), "w"):
            pass
        first.start()
        ended(first, "post_bootstrap")
        nothing_is_left("the second time")
        check(not os.path.exists(os.path.join(failed, "of the first try")), "only the last failure is kept")
        # A method that fails, one that makes nothing, and a forbidden option of initdb's.
        for method in ({"command": script(lab, "fails.sh", "echo no backup there >&2; exit 3\n")},
                       {"command": "/bin/true"}):
            first.config["bootstrap"].update(method="restore", restore=method)
            first.start()
            ended(first, "bootstrap method restore")
            nothing_is_left(str(method))
        logged(first, "no backup there", "what the method said is in the log")
        first.config["bootstrap"].update(method="initdb", initdb=[{"pgdata": "/elsewhere"}])
        first.start()
        ended(first, "pgdata")
        nothing_is_left("pgdata")
        # Another one makes the cluster, and the one that could not joins it.
        second.start()
        check(lab.wait_primary(40) is second, "the other member makes the cluster")
        first.start()
        verify(lab)


class Hook:
    """A script that tells when it was reached and does not go on until it may; `then`: what it does in the end."""

    def __init__(self, lab, name, then="true"):
        self.path = os.path.join(ours(lab, name), "x")
        self.script = script(lab, f"{name}.sh", f'echo $$ >> {self.path}.reached\n'
                             f'while [ ! -e {self.path}.go ]; do sleep 0.02; done\n'
                             f'{then} && echo >> {self.path}.done\n')

    def wait_reached(self, times=1):
        wait_for("the hook is reached", 40, lambda: len(lines_of(self.path + ".reached")) >= times)

    def go(self):
        with open(self.path + ".go", "w"):
            pass

    def times_done(self):
        return len(lines_of(self.path + ".done"))


@scenario
def bootstrap_whose_agent_died_before_the_roles():
    """initdb is done and the server runs, but nobody made the roles: what stands there is no cluster yet."""
    with Lab(members=2, dynamic=FAST) as lab:
        first, second = lab
        hook = Hook(lab, "post", then=f'{pg_bin()}/psql -X "$1" -c "create table by_hook ()"')
        first.config["bootstrap"]["post_bootstrap"] = hook.script
        first.start()
        hook.wait_reached()
        first.kill_agent()
        check(first.postmaster(), "the server of the unfinished cluster outlives the agent")
        check(lab.etcd.keys("lab").get("initialize") == "", "the claim stands")
        hook.go()
        first.start()
        check(lab.wait_primary(40) is first, "the same member comes to lead")
        second.start()
        primary = lab.wait_healthy(40)
        check(primary.sql("select to_regclass('by_hook') is not null")[0][0], "post_bootstrap was done on what leads")
        check(lab.etcd.keys("lab")["initialize"].isdigit(), str(lab.etcd.keys("lab")))
        verify(lab)


@scenario
def bootstrap_that_another_member_does_instead():
    """The agent dies on the way and stays away: its claim ends with its lease, and the other member begins anew.
    The one that comes back has nothing that anybody was promised, and joins."""
    with Lab(members=2, dynamic=FAST) as lab:
        first, second = lab
        hook = Hook(lab, "post")
        first.config["bootstrap"]["post_bootstrap"] = hook.script
        first.start()
        hook.wait_reached()
        first.kill_agent()
        second.start()
        check(lab.wait_primary(40) is second, "the other member makes a cluster")
        second.sql("create table t as select 'of the cluster' as t")
        first.start()
        verify(lab)
        check(first.sql("select t from t") == [("of the cluster",)], "the first one has what the cluster has")


@scenario
def bootstrap_whose_command_outlives_its_agent():
    """A restore that goes on alone would write into the next one."""
    with Lab(members=2, dynamic=FAST) as lab:
        first, second = lab
        hook = Hook(lab, "method", then=f'shift; {pg_bin()}/initdb -k -U postgres -A scram-sha-256 '
                    f'--pwfile={lab.directory}/pw -D {first.data}')
        with open(os.path.join(lab.directory, "pw"), "w") as f:
            f.write("lab-super\n")
        first.config["bootstrap"].update(method="slow", slow={"command": hook.script})
        first.start()
        hook.wait_reached()
        orphan = int(lines_of(hook.path + ".reached")[0])
        first.kill_agent()
        wait_for("the command ends with its agent", 10, lambda: not os.path.exists(f"/proc/{orphan}"))
        hook.go()
        first.start()
        check(lab.wait_primary(40) is first, "the same member makes the cluster")
        second.start()
        lab.wait_healthy(40)
        check(hook.times_done() == 1, f"the method was done {hook.times_done()} times")
        verify(lab)


if __name__ == "__main__":
    run()
