"""One round: writers, faults, healing, and what must be true afterwards."""
import heapq
import itertools
import os
import random
import time

import psycopg2

from faults import FAULTS, Scene, plan, wait_asked
from lab import wait_for
from traffic import Traffic

WRITERS = 8
HEALTHY_WITHIN = 90  # after everything is healed


class Result:
    def __init__(self, number, steps):
        self.number, self.steps = number, steps
        self.problems, self.gap, self.healed, self.seconds = [], None, None, None
        self.acknowledged = self.lost = self.twice = self.late = 0

    @property
    def kind(self):
        return self.steps[0].kind if len(self.steps) == 1 else "several at once"


class Timeline(Scene):
    """Runs the steps' beginnings and ends in their order."""

    def __init__(self, lab, traffic, say):
        super().__init__(lab, traffic, say)
        self.queue, self.order = [], itertools.count()
        self.began = time.monotonic()

    def later(self, seconds, action):
        heapq.heappush(self.queue, (time.monotonic() + seconds, next(self.order), action))

    def begin(self, step):
        self.say(f"{step}")
        end = FAULTS[step.kind][0](self, step)
        if end:
            self.later(step.seconds, end)

    def run(self, steps):
        for step in steps:
            self.later(step.at, lambda s=step: self.begin(s))
        while self.queue:
            at, _, action = heapq.heappop(self.queue)
            time.sleep(max(0.0, at - time.monotonic()))
            action()


def contents(member, table):
    return member.sql(f"select count(*), coalesce(sum(id), 0)::text, coalesce(sum(hashint8(id)::bigint), 0)::text "
                      f"from {table}")[0]


def same_contents(lab, primary, table):
    """What the primary has, on every member; AssertionError names who differs."""
    end = primary.sql("select pg_current_wal_flush_lsn()")[0][0]
    wanted = contents(primary, table)
    for member in lab:
        if member is not primary:
            wait_for(f"{member.name} has replayed {end}", 30, lambda m=member: m.sql(
                "select pg_last_wal_replay_lsn() >= %s::pg_lsn", end)[0][0])
            if contents(member, table) != wanted:
                raise AssertionError(f"{member.name} has other rows in {table} than {primary.name}: "
                                     f"{contents(member, table)}, not {wanted}")
    return wanted


def look(lab, traffic):
    """The rows. A fault may have its consequence after the healing, a leader that goes while it is asked."""
    for last in (False, False, True):
        primary = lab.wait_settled(HEALTHY_WITHIN)
        try:
            found = traffic.check(primary)
            return found, (same_contents(lab, primary, traffic.table) if not found.problems() else None)
        except psycopg2.OperationalError:
            if last:
                raise
    return None


def steps_of(seed, number, members, long, kinds):
    """`long`: the seconds that a long fault outlasts, a lease's if that is short enough to wait for."""
    return plan(random.Random(f"{seed}/{number}"), members, long, kinds)


def run_round(lab, number, steps, say, tamper=None):
    """`tamper(primary, table)`: what a test of the checks does to the rows before they are looked at."""
    result = Result(number, steps)
    began = time.monotonic()
    traffic = None
    try:
        lab.wait_settled(HEALTHY_WITHIN)
        traffic = Traffic(lab, f"round_{number}", WRITERS - len(lab.members), stuck=True, pause=0.005).start()
        struck = time.monotonic()
        timeline = Timeline(lab, traffic, say)
        timeline.run(steps)
        healed = time.monotonic()
        lab.heal()
        wait_asked(timeline)
        primary = lab.wait_settled(HEALTHY_WITHIN)
        result.healed = time.monotonic() - healed
        traffic.wait_acks(30, 20)
        book = traffic.stop()
        result.gap = book.gap(struck)
        if tamper:
            tamper(primary, traffic.table)
        found, result.contents = look(lab, traffic)
        result.acknowledged, result.lost, result.twice = found.acknowledged, len(found.lost), len(found.twice)
        result.problems += found.problems()
    except Exception as e:  # of the cluster's or the laboratory's: both are looked into
        result.problems.append(f"{type(e).__name__}: {e}".split("\n---")[0])
        if traffic:
            traffic.stop()
            keep_going = traffic.book()
            result.acknowledged = len(keep_going.acks)
    result.seconds = time.monotonic() - began
    return result


def evidence(lab, result, directory, notes):
    target = os.path.join(directory, f"round-{result.number}")
    lab.keep_evidence(target)
    with open(os.path.join(target, "round.txt"), "w") as f:
        f.write("\n".join([*map(str, result.steps), "", *result.problems, "", *notes]) + "\n")
    return target
