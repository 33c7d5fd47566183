"""page.py - what drive.py found, as one HTML page that needs nothing else.

A bar begins at what ours takes and ends at what the peer takes, on a scale
whose lines are ten times apart: to the right it is ours that is quicker.
"""
import math
import os
import platform
from html import escape

LEVEL = 0.05  # so near to 1 is no difference

ROWS = {
    "bucket_take": "One token of a bucket that has some; the time is given.",
    "bucket_refused": "An empty bucket says no; the time is given.",
    "bucket_take_2t": "The same as bucket_take by two threads on one bucket.",
    "bucket_take_timed": "One token, and the clock is read for it: ours by "
                         "pmz_now_fast(), as in all that is timed.",
    "bucket_refused_timed": "An empty bucket says no, by its own clock.",
    "bucket_take_timed_2t": "Two threads on one bucket, and the clock read.",
    "keyed_take_timed": "One token of one of 1000 clients, by name; own clock.",
    "keyed_refused_timed": "One of 1000 clients without a token is told so.",
    "breaker_pair_timed": "A call that succeeds, past a closed breaker with a "
                          "window of 10 s; ours reads the clock twice.",
    "breaker_refused_timed": "An open breaker says no.",
    "bulkhead_pair": "In and out of a place with room for 64.",
    "bulkhead_refused": "A full bulkhead says no.",
    "bulkhead_pair_2t": "Two threads in and out of one place for 64.",
    "backoff_next": "The next wait, drawn between none and 100 ms, doubled up "
                    "to 5 s; four waits to a call.",
    "ring_find_10": "Which of 10 nodes has a key of 12 bytes: hash and search.",
    "ring_find_100": "The same among 100 nodes.",
    "ring_find_1000": "The same among 1000 nodes.",
    "ketama_find_10": "The node of a key among 10, where libmemcached has it.",
    "ketama_find_100": "The same among 100.",
    "jump_10": "The shard of a number among 10, by jump hash.",
    "jump_100": "The same among 100.",
    "jump_1000": "The same among 1000.",
    "pick_settle": "Which of 32 endpoints gets the call, the better of two, "
                   "and that it has ended.",
    "lock_cycle": "A lock and its release on a redis-server of this machine. "
                  "Ours has a fence and knows an acquire that comes late.",
    "threads_bucket": "Threads that take from one bucket.",
    "threads_breaker": "Threads that pass one closed breaker.",
    "threads_bulkhead": "Threads in and out of one bulkhead.",
    "keys": "Keys in a table of buckets, one token of each in turn.",
    "nodes": "Nodes of a ring of 160 points each, any place of it.",
    "window": "Calls that the window of a breaker counts.",
}

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>libpipemaze beside its peers</title>
<style>
:root { color-scheme: light dark; --ink: #1d2430; --dim: #5f6b7a;
  --paper: #fff; --line: #e3e7ec; --ahead: #2a78c2; --behind: #c8641b }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --dim: #98a3b3;
  --paper: #14181f; --line: #2b323d; --ahead: #5aa2e6; --behind: #e58c45 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem }
h1 { font-size: 1.7rem; line-height: 1.2 } h2 { margin-top: 2.5rem }
small, .dim { color: var(--dim) } small { display: block; line-height: 1.3 }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; min-width: 44rem }
th, td { padding: .2rem .6rem .2rem 0; text-align: left;
  vertical-align: top; font-weight: normal }
tbody th { padding-top: 1.3rem } tbody th b { font-size: 1.05rem }
.n { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums }
.bar { width: 40%; padding: 0; position: relative; height: 1.6rem }
.bar i { position: absolute; top: .4rem; height: .9rem; border-radius: 2px }
.bar span { position: absolute; bottom: 0 }
.ahead { background: var(--ahead) } .behind { background: var(--behind) }
tr.behind { background: none } .behind b { color: var(--behind) }
pre { color: var(--dim); white-space: pre-wrap; columns: 2 }
</style></head><body>
"""

METHOD = """<h2>How it was measured</h2>
<p>A harness in each peer's own language runs its peers, warm, in the quickest
way that they document; one in C runs ours, through the shared library, and the
peers in C. They are told by pipes to make slices of 1.5 ms in turn, on the same
CPU: our clock, ours, theirs, their clock, and all of that back again. That is a
round; there are {rounds} for each line, after {warm} s for compilers and caches
to warm up. A ratio is the median of the rounds' ratios, which may differ a
little from that of the two medians beside it. Threads are pinned; of two, each
has a CPU of its own, and what counts is the time between two calls of one of
them. “In clocks” is how many readings of the clock, as that language reads it,
one call costs: this is what may be compared with other machines. Each status is
looked at: a call that ends otherwise than its row claims ends its harness.</p>
<p>The same code against itself, in two processes: {itself:.2f}, and half of its
rounds within {spread:.1%} of that. Less than {level:.0%} is no difference.</p>
"""


class Scale:
    """From a whole power of ten to another; 1 is where ours is."""

    def __init__(self, ratios):
        logs = [math.log10(r) for r in ratios] + [-0.1, 0.1]
        self.low, self.high = math.floor(min(logs)), math.ceil(max(logs))

    def at(self, ratio):
        return 100 * (math.log10(ratio) - self.low) / (self.high - self.low)

    def bar(self, ratio):
        left, right = sorted((self.at(1), self.at(ratio)))
        side = "ahead" if ratio >= 1 else "behind"
        return (f'<td class="bar" style="{self.lines()}"><i class="{side}" '
                f'style="left:{left:.2f}%;width:{max(right - left, .3):.2f}%">'
                '</i></td>')

    def lines(self):
        step = 100 / (self.high - self.low)
        return ("background:repeating-linear-gradient(to right,"
                f"var(--line) 0 1px,transparent 1px {step:.3f}%)")

    def head(self):
        labels = "".join(
            f'<span class="dim" style="left:{self.at(10.0 ** e):.2f}%">'
            f"{10.0 ** e:g}×</span>" for e in range(self.low, self.high))
        return f'<th class="bar">{labels}</th>'


def ns(value):
    return f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def title(name, more):
    return (f'<tbody><tr><th colspan="2"><b>{escape(name)}</b> '
            f"<small>{escape(ROWS.get(name, ''))}</small></th>{more}</tr>")


def peer_line(result, scale):
    side = ' class="behind"' if result.ratio < 1 - LEVEL else ""
    return (f"<tr{side}><td>{escape(result.peer)}"
            f"<small>{escape(result.note)}</small></td>"
            f"{scale.bar(result.ratio)}<td class=n>{ns(result.theirs)}</td>"
            f"<td class=n><b>{result.ratio:.2f}×</b></td>"
            f"<td class=n>{result.theirs_in_clocks:,.2f}</td></tr>")


def peers_table(results):
    scale = Scale(r.ratio for r in results)
    lines = [f"<thead><tr><th></th>{scale.head()}<th class=n>ns</th>"
             "<th class=n>of ours</th><th class=n>in clocks</th></tr></thead>"]
    for name in dict.fromkeys(r.row for r in results):
        row = sorted((r for r in results if r.row == name),
                     key=lambda r: r.ratio)
        ours = row[len(row) // 2]
        lines.append(title(
            name, f"<td class=n><br>ours {ns(ours.ours)}</td><td></td>"
                  f"<td class=n><br>{ours.ours_in_clocks:,.2f}</td>"))
        lines += [peer_line(r, scale) for r in row]
        lines.append("</tbody>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def growth_table(growth):
    scale = Scale(ratio for _, _, _, ratio in growth)
    lines = [f"<thead><tr><th></th>{scale.head()}<th class=n>ns</th>"
             "<th class=n>of the first</th></tr></thead>"]
    for name in dict.fromkeys(family for family, _, _, _ in growth):
        lines.append(title(name, "<td></td><td></td>"))
        lines += [f"<tr><td>{size:,}</td>{scale.bar(ratio)}<td class=n>"
                  f"{ns(took)}</td><td class=n>{ratio:.2f}×</td></tr>"
                  for family, size, took, ratio in growth if family == name]
        lines.append("</tbody>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def list_behind(results, ratio):
    behind = [f"{escape(r.row)} to {escape(r.peer)} ({ratio(r):.2f}×)"
              for r in results if ratio(r) < 1 - LEVEL]
    return f"{len(behind)}{': ' if behind else ''}{'; '.join(behind)}"


def verdict(results):
    ahead = sum(r.ratio > 1 + LEVEL for r in results)
    level = sum(abs(r.ratio - 1) <= LEVEL for r in results)
    behind = list_behind(results, lambda r: r.ratio)
    by_clocks = list_behind(
        results, lambda r: r.theirs_in_clocks / r.ours_in_clocks)
    return (f"<p>Of {len(results)} comparisons libpipemaze is quicker in "
            f"{ahead}, level in {level}, and slower in {behind}.</p>"
            "<p class=dim>Counted not in ns but in readings of the clock, "
            "which cost more in most languages than in C, it is slower in "
            f"{by_clocks}.</p>")


def machine():
    model = "of some kind"
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as cpus:
            model = next((line.split(":")[1].strip() for line in cpus
                          if line.startswith("model name")), model)
    return (f"{os.cpu_count()} CPUs, {model}, {platform.machine()}; "
            f"{platform.system()} {platform.release()}")


def page(results, growth, itself, versions, rounds, warm):
    return "".join((
        HEAD, "<h1>libpipemaze beside its peers</h1>", verdict(results),
        "<p class=dim>A bar begins at what ours takes. To the right, in blue, "
        "the peer takes longer; to the left it is quicker. Each line is ten "
        "times the one before.</p>", peers_table(results) if results else "",
        "<h2>How ours grows</h2>", growth_table(growth) if growth else "",
        METHOD.format(rounds=rounds, warm=warm, itself=itself.ratio,
                      spread=itself.spread, level=LEVEL),
        f"<h2>Machine and versions</h2><p>{escape(machine())}</p>",
        f"<pre>{escape(versions)}</pre></body></html>\n"))
