#!/usr/bin/python3
"""The checks of the writers' log, each shown a log that breaks it."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab"))
from ledger import Ledger  # noqa: E402


def book(*lines, followers=1):
    with tempfile.NamedTemporaryFile("w", suffix=".writers") as f:
        f.write("".join(line + "\n" for line in lines))
        f.flush()
        return Ledger(f.name, followers)


class Checks(unittest.TestCase):
    whole = book("A 1 1.0 1.1 a 1", "U 2 1.2 1.5 08006 broken", "F 3 2.0 2.1 25006 read-only", "A 4 2.2 2.3 b 2")

    def test_nothing_is_found_where_nothing_is_wrong(self):
        for rows in ([1, 2, 4], [1, 4]):
            self.assertEqual((self.whole.lost(rows), self.whole.twice(rows), self.whole.uncalled(rows)), ([], [], []))
        self.assertEqual(self.whole.overlaps(), [])

    def test_an_acknowledged_row_that_is_missing(self):
        self.assertEqual([a.id for a in self.whole.lost([2, 4])], [1])

    def test_a_row_written_twice(self):
        self.assertEqual(self.whole.twice([1, 4, 4]), [4])

    def test_a_refused_row_that_is_there_and_one_that_nobody_sent(self):
        self.assertEqual(self.whole.uncalled([1, 3, 4, 9]), [3, 9])

    def test_an_old_term_acknowledges_what_was_sent_after_the_new_one_began(self):
        found = book("A 1 1.0 1.1 a 1", "A 2 2.0 2.1 b 2", "A 3 2.2 2.3 a 1").overlaps()
        self.assertEqual([a.id for a, _ in found], [3])
        # Across several terms, the order of the log does not matter.
        found = book("A 3 9.0 9.1 a 1", "A 1 1.0 1.1 a 1", "A 5 3.0 3.1 b 3", "A 2 5.0 5.1 b 5").overlaps()
        self.assertEqual([a.id for a, _ in found], [3])

    def test_an_answer_that_was_only_late_is_no_overlap(self):
        self.assertEqual(book("A 3 1.0 9.0 a 1", "A 2 2.0 2.1 b 2").overlaps(), [])

    def test_two_servers_on_one_timeline(self):
        self.assertEqual(len(book("A 1 1.0 1.1 a 2", "A 2 2.0 2.1 b 2").overlaps()), 1)

    def test_the_gap_is_the_followers_and_begins_before_the_fault(self):
        acks = book("A 1 0.9 1.0 a 1", "A 2 3.9 4.0 a 1", "A 1000000001 2.0 2.1 a 1", "A 3 4.0 4.5 a 1")
        self.assertAlmostEqual(acks.gap(1.5), 3.0)
        self.assertAlmostEqual(acks.gap(4.1, 9.5), 5.0)  # to the end of what was looked at

    def test_a_line_that_is_still_being_written_does_not_count(self):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("A 1 1.0 1.1 a 1\nA 2 1.0 1.")
            f.flush()
            self.assertEqual(len(Ledger(f.name, 1).acks), 1)


if __name__ == "__main__":
    unittest.main()
