"""peers.py - the rows of the peers in Python, run as harness.c says."""
import itertools
import os
import sys
import time
from functools import partial

KEYS = [f"client-{i:05}" for i in range(4096)]
CLIENTS = KEYS[:1000]

rows = []


def add(name, peer, note, run):
    """run(n) makes n calls; returns how many did not end as the row claims."""
    rows.append((name, peer, note, run))


def calling(call, bad):
    """Calls without an argument, of which none may return `bad`."""
    def run(n):
        wrong = 0
        for _ in range(n):
            wrong += call() is bad
        return wrong
    return run


def calling_by_key(call, bad, keys):
    """Calls with one key after the other."""
    keys = itertools.cycle(keys)

    def run(n):
        wrong = 0
        for key in itertools.islice(keys, n):
            wrong += call(key) is bad
        return wrong
    return run


def add_clock():
    add("clock", "Python", "", calling(time.monotonic, None))


def add_circuitbreaker():
    from circuitbreaker import CircuitBreaker, CircuitBreakerError

    closed = CircuitBreaker()(lambda: True)
    add("breaker_pair_timed", "Python circuitbreaker",
        "counts failures in a row, keeps no window", calling(closed, None))

    @CircuitBreaker(failure_threshold=1, recovery_timeout=10**6)
    def opened():
        raise ValueError

    def is_refused():
        try:
            opened()
        except CircuitBreakerError:
            return True
        except ValueError:
            return False

    is_refused()
    add("breaker_refused_timed", "Python circuitbreaker", "raises an error",
        calling(is_refused, False))


def add_limits():
    from limits import RateLimitItemPerHour
    from limits.storage import MemoryStorage
    from limits.strategies import FixedWindowRateLimiter

    storage = MemoryStorage()
    limiter = FixedWindowRateLimiter(storage)
    limiter.keeps = storage  # itself, it only has a weak reference
    free, spent = RateLimitItemPerHour(10**9), RateLimitItemPerHour(1)
    for key in CLIENTS:
        limiter.hit(spent, key)
    note = "fixed windows: twice the rate may pass where two meet"
    add("keyed_take_timed", "Python limits", note,
        calling_by_key(partial(limiter.hit, free), False, CLIENTS))
    add("keyed_refused_timed", "Python limits", note,
        calling_by_key(partial(limiter.hit, spent), True, CLIENTS))


def add_uhashring():
    from uhashring import HashRing

    for nodes in 10, 100, 1000:
        names = [f"10.0.{i // 200}.{i % 200 + 1}:11211" for i in range(nodes)]
        find = HashRing(nodes=names).get_node
        add(f"ring_find_{nodes}", "Python uhashring",
            "ketama by MD5, 160 points a node as ours",
            calling_by_key(find, None, KEYS))


def add_redis():
    import redis

    if "REDIS_PORT" not in os.environ:
        raise ImportError("there is no redis-server")
    client = redis.Redis(port=int(os.environ["REDIS_PORT"]))
    lock = client.lock("lock:python", timeout=30, blocking=False)

    def run(n):
        wrong = 0
        for _ in range(n):
            wrong += not lock.acquire()
            lock.release()
        return wrong
    add("lock_cycle", "Python redis.lock",
        "SET NX PX, and a script to release; no fence", run)


def try_to_add(peer, add_rows):
    """What cannot be had is skipped aloud, and the rest goes on."""
    try:
        add_rows()
    except ImportError as error:
        print("skip", peer, error, sep="\t")


def answer(index, calls):
    name, _, _, run = rows[index]
    begin = time.perf_counter_ns()
    wrong = run(calls)
    took = time.perf_counter_ns() - begin
    if wrong:
        sys.exit(f"{name} ended as it should not")
    print(took, flush=True)


def main():
    add_clock()
    try_to_add("Python circuitbreaker", add_circuitbreaker)
    try_to_add("Python limits", add_limits)
    try_to_add("Python uhashring", add_uhashring)
    try_to_add("Python redis.lock", add_redis)
    for name, peer, note, _ in rows:
        print(name, peer, note, sep="\t")
    print("ready", flush=True)
    for line in sys.stdin:
        answer(*map(int, line.split()))
    os._exit(0)  # python3-limits leaves a timer behind


main()
