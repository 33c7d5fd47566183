"""aio.py - pipemaze in asyncio by its header alone: ctypes, and no binding.

A pipe comes from a line of text and a call is plain bytes, so pmz_why is the
only struct to mirror. C never waits: that is asyncio's part.
"""
import asyncio
import ctypes
import ctypes.util
import os
import sys

WAIT, DONE = 2, 3  # of pmz_step
SUCCESS, FAILURE = 1, 2  # of pmz_outcome
NEVER = 2**64 - 1
NS, INT, POINTER = ctypes.c_uint64, ctypes.c_int, ctypes.c_void_p


class Why(ctypes.Structure):
    _fields_ = [("ready_at", NS), ("column", ctypes.c_uint32),
                ("index", ctypes.c_uint32), ("field", ctypes.c_char * 48),
                ("text", ctypes.c_char * 192)]


built = os.path.join(os.path.dirname(__file__), "../build/libpipemaze.so")
pmz = ctypes.CDLL(os.environ.get("PIPEMAZE_LIB")
                  or (built if os.path.exists(built) else None)
                  or ctypes.util.find_library("pipemaze"))
for name, result, *args in [
        ("now", NS),
        ("pipe_from", INT, POINTER, ctypes.c_char_p, POINTER, POINTER),
        ("pipe_free", None, POINTER),
        ("call_size", ctypes.c_size_t),
        ("call_begin", INT, POINTER, POINTER, POINTER, NS),
        ("call_settle", INT, POINTER, INT, NS),
        ("call_resume", INT, POINTER, NS),
        ("call_cancel", None, POINTER, NS),
        ("call_due", NS, POINTER),
        ("call_status", INT, POINTER)]:
    function = getattr(pmz, "pmz_" + name)
    function.restype, function.argtypes = result, args


async def run(pipe, attempt):
    """What pmz_run() does, for a coroutine function: the call's status."""
    call = ctypes.create_string_buffer(pmz.pmz_call_size())
    step = pmz.pmz_call_begin(call, pipe, None, pmz.pmz_now())
    try:
        while step != DONE:
            due = pmz.pmz_call_due(call)
            left = None if due == NEVER else (due - pmz.pmz_now()) / 1e9
            if step == WAIT:
                await asyncio.sleep(left)
                step = pmz.pmz_call_resume(call, pmz.pmz_now())
                continue
            try:
                await asyncio.wait_for(attempt(), left)
                how = SUCCESS
            except (OSError, asyncio.TimeoutError):
                how = FAILURE
            step = pmz.pmz_call_settle(call, how, pmz.pmz_now())
    finally:  # where the coroutine is cancelled, its slot goes back
        pmz.pmz_call_cancel(call, pmz.pmz_now())
    return pmz.pmz_call_status(call)


class Backend:
    """Loses the first request of every 10th caller and resets others."""
    now = most = 0

    async def answer(self, caller, attempt):
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(60 if attempt + caller % 10 == 0 else 0.002)
            if attempt + caller % 7 == 0:
                raise ConnectionResetError
        finally:
            self.now -= 1


async def main():
    pipe, why, backend = POINTER(), Why(), Backend()
    for line in (b"bulkhead 8 | tries 4 bakoff 1ms..9ms",
                 b"bulkhead 8 | tries 4 backoff 1ms..9ms | try 99ms | wait 9s"):
        if pmz.pmz_pipe_from(ctypes.byref(pipe), line, None, ctypes.byref(why)):
            print(f"column {why.column}: {why.text.decode()}")

    def one(caller):
        attempts = iter(range(4))
        return run(pipe, lambda: backend.answer(caller, next(attempts)))

    statuses = await asyncio.gather(*(one(caller) for caller in range(200)))
    pmz.pmz_pipe_free(pipe)
    print(f"{statuses.count(0)} of 200 coroutines ok, {backend.most} at once")
    return statuses == [0] * 200 and backend.most == 8 and why.column == 22


sys.exit(not asyncio.run(main()))
