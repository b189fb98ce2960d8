#!/usr/bin/python3
"""make chaos: real members, etcd and PostgreSQL on hosts of their own (network namespaces, made and removed here),
eight writers, and faults drawn by a seed. After each round everything is healed, and then it must hold:

  every member streams, no acknowledged row is missing, none is there twice, none that was refused is there, no two
  primaries acknowledged in overlapping terms, and all members have the same rows.

  chaos.py [--rounds N] [--seed S] [--members 3|5] [--only KIND ...]     the same seed, the same faults
  chaos.py --first 17 --rounds 1 --seed S                                one round of them again
  chaos.py --soak MINUTES                                                nuisances that must change no leader
  chaos.py --fixed                                                       the short set of `make test`
  chaos.py --self-test                                                   shows that each check can fail

Needs root. Loss of power takes processes and the network; what the kernel has not written to the disk yet stays.
"""
import argparse
import os
import random
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lab"), HERE]
import sandbox  # noqa: E402

FAST = {"ttl": 5, "loop_wait": 1, "retry_timeout": 2}
SKIPPED = 77
SMALL_DISK_MB = 1024


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, metavar="ROUND", help="begin with this one")
    parser.add_argument("--seed", type=int, default=random.randrange(10000))
    parser.add_argument("--members", type=int, default=3, choices=(3, 5))
    parser.add_argument("--only", nargs="+", metavar="KIND", help="these kinds of fault")
    parser.add_argument("--mode", default="quorum", choices=("quorum", "on", "off"), help="synchronous_mode")
    parser.add_argument("--ttl", type=int, default=5)
    parser.add_argument("--etcd", choices=("apart", "together"), help="on hosts of its own, or on the members'")
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--kinds", action="store_true", help="list the kinds of fault")
    parser.add_argument("--keep-slower", type=float, metavar="SECONDS",
                        help="keep the logs also of a round with a longer gap; it does not fail for that")
    parser.add_argument("--logs", help="where a failing round's logs are kept (default: a new directory in /tmp)")
    return parser.parse_args()


class Chaos:
    def __init__(self, options, directory):
        self.options, self.directory = options, directory
        self.lab, self.labs, self.results, self.notes = None, 0, [], []
        self.logs = options.logs
        self.tables = {}

    def say(self, text, mark="    "):
        line = f"{mark}{text}"
        self.notes.append(f"{time.strftime('%H:%M:%S', time.gmtime())} {time.monotonic():.3f} {text}")
        print(line, flush=True)

    def settings(self):
        mode = {"quorum": {"synchronous_mode": "quorum"}, "on": {"synchronous_mode": True}, "off": {}}
        # Half of the seeds fail over at once when PostgreSQL crashes, half start it again.
        start = {"primary_start_timeout": 0} if self.options.seed % 2 else {}
        fast = {**FAST, "ttl": self.options.ttl}
        # With the usual 1 GB the WAL of a few long rounds fills a small disk by itself.
        fast["postgresql"] = {"parameters": {"max_wal_size": "128MB", "min_wal_size": "64MB"}}
        return {**fast, **mode[self.options.mode], **start}

    def ready(self):
        """The cluster as it stands, or a new one after a round that failed."""
        from host_lab import HostLab
        if self.lab is None:
            self.labs += 1
            together = (self.options.etcd == "together" if self.options.etcd else self.options.seed % 4 >= 2)
            self.lab = HostLab(os.path.join(self.directory, f"lab-{self.labs}"), self.options.members, 3, together,
                               self.settings(), SMALL_DISK_MB)
            if self.lab.no_disks and self.labs == 1:
                print(f"full disks are left out: no loop-mounted file systems here ({self.lab.no_disks})")
            self.lab.start(wait=90)
            self.tables = {}
        else:
            # Each change of leader leaves a segment of its own, and none is removed before the WAL has gone on by
            # wal_keep_size: with what a round writes dozens of them would fill a small disk.
            self.lab.wait_primary(30).sql("select pg_switch_wal()")
        return self.lab

    @staticmethod
    def new_logs():
        return tempfile.mkdtemp(prefix="relevo-failed-chaos-")

    def discard(self):
        if self.lab:
            self.lab.keep = False
            self.lab.stop()
        self.lab = None

    def kinds(self):
        from faults import FAULTS
        wanted = self.options.only or list(FAULTS)
        for kind in wanted:
            if kind not in FAULTS:
                sys.exit(f"'{kind}' is none of: {', '.join(FAULTS)}")
        return [k for k in wanted if k != "disk full" or not self.lab.no_disks]

    def round(self, number, steps, tamper=None):
        from rounds import evidence, run_round
        self.notes = []
        print(f"round {number}", flush=True)
        result = run_round(self.ready(), number, steps, self.say, tamper)
        self.results.append(result)
        if result.problems:
            self.logs = self.logs or self.new_logs()
            for problem in result.problems:
                self.say(problem, "  ! ")
            try:
                self.say(f"logs: {evidence(self.lab, result, self.logs, self.notes)}", "  ! ")
            finally:
                self.discard()
        else:
            self.tables[f"round_{number}"] = result.contents
            print(f"  ok   {result.acknowledged} rows, longest gap {result.gap:.2f} s, healthy "
                  f"{result.healed:.1f} s after healing, {result.seconds:.0f} s", flush=True)
            if self.options.keep_slower and result.gap > self.options.keep_slower:
                self.logs = self.logs or self.new_logs()
                self.say(f"slow; logs: {evidence(self.lab, result, self.logs, self.notes)}")
        return result

    def rounds(self):
        from rounds import steps_of
        self.ready()
        kinds, long = self.kinds(), min(self.options.ttl, 6)
        for number in range(self.options.first, self.options.first + self.options.rounds):
            self.round(number, steps_of(self.options.seed, number, self.options.members, long, kinds))
        self.all_rounds_still_there()

    def fixed(self):
        """What `make test` runs: one of each that matters most, short."""
        from faults import PRIMARY, Step
        ttl = min(self.options.ttl, 6)
        # In a machine under load everything takes longer; these are the durations of faults, not of waiting.
        faults = [("postmaster killed", 0, PRIMARY, 0), ("power loss", ttl + 1, PRIMARY, 0),
                  ("host cut off", ttl + 1, PRIMARY, 0), ("host frozen", ttl + 1, PRIMARY, 3),
                  ("etcd leader killed", 1, PRIMARY, 0), ("switchover", 0, PRIMARY, 0),
                  ("power loss", 1, 1, 0)]
        for number, (kind, seconds, target, dice) in enumerate(faults, 1):
            self.round(number, [Step(kind, 0.0, float(seconds), target, dice)])
        self.all_rounds_still_there()

    def all_rounds_still_there(self):
        """What a round checked must outlive the rounds after it."""
        from rounds import same_contents
        if not self.lab:
            return
        primary = self.lab.wait_settled(90)
        for table, wanted in self.tables.items():
            found = same_contents(self.lab, primary, table)
            if found != wanted:
                self.results[-1].problems.append(f"{table} had {wanted} when it was checked, and has {found}")
                print(f"  ! {self.results[-1].problems[-1]}")

    def summary(self):
        """The table, and the exit code."""
        kinds = {}
        for result in self.results:
            kinds.setdefault(result.kind, []).append(result)
        failed = [r for r in self.results if r.problems]
        if not self.results:
            return 1
        print(f"\n{'fault':22} rounds  failed  longest gap without an acknowledged write (s)   lost  twice")
        print(f"{'':22}                    min   median      max")
        for kind in sorted(kinds):
            rows = kinds[kind]
            gaps = [r.gap for r in rows if r.gap is not None]
            figures = [f"{f(gaps):8.2f}" if gaps else "       -" for f in (min, statistics.median, max)]
            print(f"{kind:22} {len(rows):6}  {sum(bool(r.problems) for r in rows):6} {' '.join(figures)}"
                  f"{sum(r.lost for r in rows):25}  {sum(r.twice for r in rows):5}")
        again = f"--seed {self.options.seed} --members {self.options.members} --mode {self.options.mode}"
        print(f"\n{len(self.results)} rounds, {sum(r.acknowledged for r in self.results)} rows acknowledged, "
              f"{len(failed)} rounds failed ({again})")
        for result in failed:
            print(f"  round {result.number}: {result.problems[0]}")
        if failed and self.logs:
            print(f"logs of what failed: {self.logs}")
        return 1 if failed else 0


def main(directory):
    options = arguments()
    chaos = Chaos(options, directory)
    if options.kinds:
        from faults import FAULTS
        print("\n".join(FAULTS))
        return 0
    print(f"seed {options.seed}, {options.members} members, synchronous_mode {options.mode}, ttl {options.ttl}",
          flush=True)
    try:
        if options.soak:
            from soak import soak
            return soak(chaos)
        if options.self_test:
            from self_test import self_test
            return self_test(chaos)
        chaos.fixed() if options.fixed else chaos.rounds()
    except KeyboardInterrupt:
        print("\nstopped; what there is until now:")
        chaos.summary()
        return 130
    finally:
        chaos.discard()
    return chaos.summary()


if __name__ == "__main__":
    why = sandbox.unavailable()
    if why:
        print(f"SKIPPED, NOT RUN: the chaos laboratory: {why}", flush=True)
        sys.exit(SKIPPED)
    arguments()  # mistakes are told before anything is made
    sys.exit(sandbox.run(main, "relevo-chaos-"))
