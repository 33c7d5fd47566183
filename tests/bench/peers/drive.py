"""drive.py - measures ours and the peers in turn, and says how they compare.

    drive.py PAGE VERSIONS COMMAND...

Each command is a harness; harness.c says what that is, and is the first. They
all run, and wait, while one of them at a time is told to make a slice of calls
of one row, on the same CPU. A round is eight slices of about 1.5 ms:

    our clock, ours, theirs, their clock, their clock, theirs, ours, our clock

so that what the machine does to one of them it does to both. The ratio is the
median of the rounds' ratios. It is printed as

    peer ROW OURS THEIRS RATIO NAME

in ns a call, or pair, and so for how ours grows, by the smallest N:

    growth ROW N NS RATIO

A clock is one reading of it, the way that the language has: `in clocks` on the
page says how many of these a call costs, which may be compared elsewhere too.
"""
import contextlib
import os
import shlex
import statistics
import subprocess
import sys
import time

import page

OURS = "libpipemaze"
ROUNDS = 41
SLICE_NS = 1.5e6
WARM_UP_S = 0.3
SMALLEST = 16
END_S = 5


class Ended(Exception):
    """A harness did, in its first argument."""


class Row:
    def __init__(self, harness, index, name, peer, note):
        self.harness, self.index = harness, index
        self.name, self.peer, self.note = name, peer, note
        self.calls = None

    def run(self, calls):
        """ns a call."""
        return self.harness.ask(self.index, calls) / calls

    def slice(self):
        return self.run(self.calls)

    def warm_up(self):
        """Until compilers and caches have done their work; finds what fits."""
        self.run(1)  # makes what it needs
        calls, end = SMALLEST, time.monotonic() + WARM_UP_S
        while time.monotonic() < end:
            ns = self.run(calls)
            if ns * calls < SLICE_NS:
                calls *= 2
        self.calls = max(1, round(SLICE_NS / ns))


class Harness:
    def __init__(self, command, cpus):
        self.command = command
        self.process = subprocess.Popen(
            shlex.split(command) + [str(cpu) for cpu in cpus], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.rows = []
        self.greet()
        # Its first thread alone; what else it has stays on both.
        os.sched_setaffinity(self.process.pid, {cpus[0]})

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise Ended(self, f"`{self.command}` has ended")
        return line.rstrip("\n")

    def greet(self):
        while (line := self.hear()) != "ready":
            name, peer, note = line.split("\t")
            if name == "skip":
                print(f"skip {peer}: {note}", flush=True)
            elif name == "redis":
                os.environ["REDIS_PORT"] = peer
            else:
                self.rows.append(Row(self, len(self.rows), name, peer, note))
        self.clock = next(row for row in self.rows if row.name == "clock")

    def ask(self, index, calls):
        # Who has ended says nothing more either.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{index} {calls}\n")
            self.process.stdin.flush()
        return float(self.hear())

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def take_turns(rows):
    """A list of rounds, each of the ns of every row, there and back."""
    rounds = []
    for row in rows:
        if not row.calls:
            row.warm_up()
    for _ in range(ROUNDS):
        there = [row.slice() for row in rows]
        back = [row.slice() for row in reversed(rows)]
        rounds.append([(a + b) / 2 for a, b in zip(there, reversed(back))])
    return rounds


class Comparison:
    def __init__(self, ours, theirs):
        self.row, self.peer, self.note = ours.name, theirs.peer, theirs.note
        self.sum_up(take_turns(
            [ours.harness.clock, ours, theirs, theirs.harness.clock]))

    def sum_up(self, rounds):
        def median(value):
            return statistics.median(value(*r) for r in rounds)

        self.ours = median(lambda oc, o, t, tc: o)
        self.theirs = median(lambda oc, o, t, tc: t)
        self.ratio = median(lambda oc, o, t, tc: t / o)
        self.ours_in_clocks = median(lambda oc, o, t, tc: o / oc)
        self.theirs_in_clocks = median(lambda oc, o, t, tc: t / tc)
        low, _, high = statistics.quantiles(t / o for _, o, t, _ in rounds)
        self.spread = (high - low) / self.ratio / 2

    def __str__(self):
        return (f"peer {self.row} {self.ours:.1f} {self.theirs:.1f} "
                f"{self.ratio:.2f} {self.peer}")


WANTED = os.environ.get("ROW", "")


def start(commands, cpus):
    harnesses = []
    for command in commands:
        try:
            harnesses.append(Harness(command, cpus))
        except (Ended, OSError) as error:
            print(f"skip {command}: {error.args[-1]}", flush=True)
    return harnesses


def pairs_of(harnesses, is_skipped):
    """Row by row of ours, each with all who have it as well."""
    rows = [row for harness in harnesses for row in harness.rows
            if WANTED in row.name and not is_skipped(row.name)]
    return [(ours, theirs) for ours in rows if ours.peer == OURS
            for theirs in rows
            if theirs.name == ours.name and theirs.peer != OURS]


def compare(pairs):
    """A harness that ends takes no further part, unless it is ours."""
    results, ended = [], set()
    for ours, theirs in pairs:
        if theirs.harness in ended:
            continue
        try:
            results.append(Comparison(ours, theirs))
            print(results[-1], flush=True)
        except Ended as error:
            if error.args[0] is ours.harness:
                raise
            ended.add(theirs.harness)
            print(f"skip {theirs.peer}: {error.args[1]}", flush=True)
    return results


def compare_with_itself(ours, command, cpus):
    """The same in another process: how far from 1 is chance."""
    twin = Harness(command, cpus)
    theirs = next(row for row in twin.rows if row.name == "bucket_take")
    theirs.peer = "itself"
    mine = next(row for row in ours.rows if row.name == "bucket_take")
    result = Comparison(mine, theirs)
    twin.end()
    print(result, flush=True)
    return result


def grow(ours, is_skipped):
    """[(ROW, N, NS, RATIO)]: the sizes of a row take turns."""
    families = {}
    for row in ours.rows:
        if "@" in row.name and WANTED in row.name and not is_skipped(row.name):
            families.setdefault(row.name.split("@")[0], []).append(row)
    results = []
    for family, rows in families.items():
        rounds = take_turns(rows)
        for row, *ns in zip(rows, *rounds):
            size = int(row.name.split("@")[1])
            ratio = statistics.median(n / r[0] for n, r in zip(ns, rounds))
            results.append((family, size, statistics.median(ns), ratio))
            print("growth {} {} {:.1f} {:.2f}".format(*results[-1]),
                  flush=True)
    return results


def main(page_path, versions_path, *commands):
    cpus = sorted(os.sched_getaffinity(0))[:2]
    has_one = len(cpus) == 1
    if has_one:
        print("skip two threads: one CPU", flush=True)
    cpus = [cpus[0], cpus[-1]]

    def is_skipped(name):
        return has_one and (name.endswith("_2t") or name.startswith("threads"))

    harnesses = start(commands, cpus)
    itself = compare_with_itself(harnesses[0], commands[0], cpus)
    results = compare(pairs_of(harnesses, is_skipped))
    growth = grow(harnesses[0], is_skipped)
    for harness in reversed(harnesses):
        harness.end()
    with open(versions_path) as versions, open(page_path, "w") as out:
        out.write(page.page(results, growth, itself, versions.read(),
                            ROUNDS, WARM_UP_S))
    print(f"see {page_path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
