"""binding.py - the library through ctypes: what a binding relies on.

It reads sizes out of the headers, and gives each kind of object one round: by
value, by handle, by one line of text.
"""
import ctypes as c
import os
import pathlib
import re
import sys

PMZ = c.CDLL(os.environ["PIPEMAZE_LIB"])
HEADERS = pathlib.Path(__file__).parents[2] / "include" / "pipemaze"

NS, U32, NEVER = c.c_uint64, c.c_uint32, 2**64 - 1
SECOND = 10**9
OK, OPEN, FULL, RATE, EMPTY = 0, 1, 2, 3, 6  # pmz_status
HELD, GAVE_UP, CONFIG, LOST, STATE = 5, 64, -1, -5, -6
SUCCESS, FAILURE = 1, 2  # pmz_outcome
TRY, DONE = 1, 3  # pmz_step


class Why(c.Structure):
    _fields_ = [("ready_at", NS), ("column", U32), ("index", U32),
                ("field", c.c_char * 48), ("text", c.c_char * 192)]


class BreakerConfig(c.Structure):
    _fields_ = ([("size", U32), ("mode", U32)]
                + [(name, NS) for name in
                   "window_ns open_ns open_max_ns slow_ns probe_lease_ns seed"
                   .split()]
                + [(name, U32) for name in
                   "calls_window calls_min failure_pct slow_pct failures_max "
                   "consecutive_max probes_max probes_to_close open_jitter_pct "
                   "reserved".split()])


class Lease(c.Structure):
    _fields_ = [("name", c.c_char * 128), ("token", c.c_char * 64),
                ("fence", c.c_uint64), ("until", NS), ("ttl", NS),
                ("opaque", c.c_uint64)]


def call(name, *args, result=c.c_int):
    """Integers go as 64 bits wide unless they come with a type of their own."""
    function = getattr(PMZ, name)
    function.restype = result
    return function(*[NS(a) if isinstance(a, int) else a for a in args])


failures = []


def expect(claim, got, want):
    if got != want:
        failures.append(claim)
        print(f"{claim}: {got!r} instead of {want!r}", file=sys.stderr)


def opaque_sizes():
    """Of each plain value in the headers: its name and its size in bytes."""
    for header in sorted(HEADERS.glob("*.h")):
        for name, words in re.findall(
                r"typedef struct (pmz_\w+) \{\s*uint64_t opaque\[(\d+)\];",
                header.read_text()):
            yield name, 8 * int(words)


def size_of(name):
    return dict(opaque_sizes())[name]


def value(name):
    return c.create_string_buffer(size_of(name))


def sizes_are_those_of_the_headers():
    asked = 0
    for name, size in opaque_sizes():
        if hasattr(PMZ, name + "_size"):
            asked += 1
            expect(f"{name}_size() is that of the header",
                   call(name + "_size", result=c.c_size_t), size)
    expect("sizes can be asked for", asked >= 3, True)


def a_bucket_of_zeros_is_fresh_and_refuses_after_its_burst():
    rate, bucket, ready = value("pmz_rate"), value("pmz_bucket"), NS()
    now = 1000 * SECOND
    expect("rate", call("pmz_rate_set", rate, 10, SECOND, 5), OK)
    for _ in range(5):
        expect("take", call("pmz_bucket_take", bucket, rate, 1, now, None), OK)
    expect("one more", call("pmz_bucket_take", bucket, rate, 1, now,
                            c.byref(ready)), RATE)
    expect("ready_at", ready.value, now + SECOND // 10)
    expect("early", call("pmz_bucket_take", bucket, rate, 1,
                         ready.value - 1, None), RATE)
    expect("then", call("pmz_bucket_take", bucket, rate, 1,
                        ready.value, None), OK)


def a_breaker_opens_after_its_failures_in_a_row():
    breaker, why, ready = c.c_void_p(), Why(), NS()
    config = BreakerConfig(size=c.sizeof(BreakerConfig), consecutive_max=3,
                           open_ns=SECOND, open_jitter_pct=2**32 - 1)
    permit, now = value("pmz_permit"), 1000 * SECOND
    expect("new", call("pmz_breaker_new", c.byref(breaker), c.byref(config),
                       c.byref(why)), OK)
    for _ in range(3):
        expect("closed", call("pmz_breaker_acquire", breaker, now, permit,
                              None), OK)
        expect("settle", call("pmz_breaker_settle", breaker, permit,
                              c.c_int(FAILURE), now), OK)
    expect("open", call("pmz_breaker_acquire", breaker, now, permit,
                        c.byref(ready)), OPEN)
    expect("rest", ready.value, now + SECOND)
    expect("probe", call("pmz_breaker_acquire", breaker, ready.value, permit,
                         None), OK)
    expect("settle", call("pmz_breaker_settle", breaker, permit,
                          c.c_int(SUCCESS), ready.value), OK)
    expect("twice", call("pmz_breaker_settle", breaker, permit,
                         c.c_int(SUCCESS), ready.value), STATE)
    call("pmz_breaker_free", breaker, result=None)


def a_wrong_config_names_its_field():
    breaker, why = c.c_void_p(), Why()
    config = BreakerConfig(size=c.sizeof(BreakerConfig), failure_pct=101)
    expect("new", call("pmz_breaker_new", c.byref(breaker), c.byref(config),
                       c.byref(why)), CONFIG)
    expect("field", why.field, b"failure_pct")


def pipe_of(line):
    pipe, why = c.c_void_p(), Why()
    expect(f"{line}", call("pmz_pipe_from", c.byref(pipe), line, None,
                           c.byref(why)), OK)
    return pipe


def a_pipe_needs_no_struct_but_its_calls():
    pipe, now = pipe_of(b"bulkhead 1 | tries 1"), 1000 * SECOND
    first, second = value("pmz_call"), value("pmz_call")
    expect("first", call("pmz_call_begin", first, pipe, None, now), TRY)
    expect("second", call("pmz_call_begin", second, pipe, None, now), DONE)
    expect("full", call("pmz_call_status", second), FULL)
    expect("when", call("pmz_call_due", second, result=NS), NEVER)
    expect("settle", call("pmz_call_settle", first, c.c_int(FAILURE), now),
           DONE)
    expect("gave up", call("pmz_call_status", first), GAVE_UP)
    expect("room", call("pmz_call_begin", second, pipe, None, now), TRY)
    call("pmz_call_cancel", second, now, result=None)
    call("pmz_pipe_free", pipe, result=None)


def work_runs_on_the_callers_thread_and_may_be_wrong():
    pipe, ctx = pipe_of(b"tries 3 backoff 1us..1us"), c.c_int(7)
    ends = [FAILURE, SUCCESS, 0]

    @c.CFUNCTYPE(c.c_int, NS, c.POINTER(c.c_int))
    def work(due, seen):
        expect("due", due, NEVER)
        expect("ctx", seen.contents.value, 7)
        return ends.pop(0)

    expect("run", call("pmz_run", pipe, None, work, c.byref(ctx), None), OK)
    expect("no outcome", call("pmz_run", pipe, None, work, c.byref(ctx), None),
           STATE)
    expect("tries", ends, [])
    call("pmz_pipe_free", pipe, result=None)


def bad_lines_give_their_column():
    # A line names the stage or option that is wrong, a script the word.
    for maker, line, column, field in [
            ("pmz_pipe_from", b"bulkhead 64 | ratte 5/s", 15, b""),
            ("pmz_pipe_from", b"rate 5", 6, b"rate"),
            ("pmz_pipe_from", b"tries 3 backoff 100ms", 17, b"backoff"),
            ("pmz_pipe_from", b"try 2s | try 3s", 10, b"try"),
            ("pmz_pipe_from", b"total ", 7, b"total"),
            ("pmz_script_from", b"5s ok | 4x fail", 9, b"4x"),
            ("pmz_script_from", b"5s ok\nfial", 7, b"fial")]:
        out, why = c.create_string_buffer(size_of("pmz_script")), Why()
        args = [c.byref(why)] if maker == "pmz_script_from" else [
            None, c.byref(why)]
        expect(f"{line} is refused", call(maker, out, line, *args), CONFIG)
        expect(f"{line}: column", why.column, column)
        expect(f"{line}: field", why.field, field)
        expect(f"{line}: text", b"expected" in why.text, True)


def an_outage_is_lived_through_without_waiting():
    script, sim = value("pmz_script"), value("pmz_sim")
    pipe, why = pipe_of(b"breaker 3 consecutive open 2s | try 100ms"), Why()
    expect("script", call("pmz_script_from", script, b"1h hang | ok",
                          c.byref(why)), OK)
    call("pmz_sim_start", sim, 5 * SECOND, 1, result=None)
    ends = [call("pmz_sim_run", sim, script, pipe, None, c.byref(why))
            for _ in range(4)]
    expect("three time out", ends, [GAVE_UP] * 3 + [OPEN])
    expect("in their time", call("pmz_sim_now", sim, result=NS),
           5 * SECOND + 3 * SECOND // 10)
    expect("and tell when to return", why.ready_at > 5 * SECOND, True)
    call("pmz_sim_pass", sim, 3600 * SECOND, result=NS)
    expect("it is over", call("pmz_sim_run", sim, script, pipe, None, None), OK)
    call("pmz_pipe_free", pipe, result=None)


def a_lock_is_one_holders_and_its_loss_is_pulled():
    locks, why, one, two = c.c_void_p(), Why(), Lease(), Lease()
    where = (c.c_char_p * 1)(b"memory:")
    held = lambda lease: call("pmz_lock_acquire", locks, b"x", 30 * SECOND, 0,
                              c.byref(lease), c.byref(why))
    now = lambda: call("pmz_now", result=NS)
    expect("open", call("pmz_locks_open", c.byref(locks), where, 1, None,
                        c.byref(why)), OK)
    expect("one has it", held(one), OK)
    expect("two has not", held(two), HELD)
    expect("and is told until when", why.ready_at > now(), True)
    expect("until then", call("pmz_lock_is_held", c.byref(one), now()), 1)
    first = one.fence
    expect("release", call("pmz_lock_release", locks, c.byref(one)), OK)
    expect("again", call("pmz_lock_release", locks, c.byref(one)), LOST)
    expect("two has it", held(two), OK)
    expect("with a fence that grew", two.fence > first, True)
    expect("keep", call("pmz_lock_keep", locks, c.byref(two), 0), OK)
    expect("nothing is lost", call("pmz_locks_next_lost", locks, c.byref(one),
                                   None), EMPTY)
    expect("a descriptor says so", call("pmz_locks_fd", locks) >= 0, True)
    call("pmz_locks_close", locks, result=None)


for test in [sizes_are_those_of_the_headers,
             a_bucket_of_zeros_is_fresh_and_refuses_after_its_burst,
             a_breaker_opens_after_its_failures_in_a_row,
             a_wrong_config_names_its_field,
             a_pipe_needs_no_struct_but_its_calls,
             work_runs_on_the_callers_thread_and_may_be_wrong,
             bad_lines_give_their_column,
             an_outage_is_lived_through_without_waiting,
             a_lock_is_one_holders_and_its_loss_is_pulled]:
    before = len(failures)
    test()
    print("ok  " if before == len(failures) else "FAIL", test.__name__)
sys.exit(bool(failures))
