# examples.sh - the small examples come out as they claim, and the library is
# whole through ctypes.
set -u
B=${B:-build}
PIPEMAZE_LIB=$(cd "$B" && pwd)/libpipemaze.so || exit 1
export PIPEMAZE_LIB
status=0

run() {
	echo "-- $*"
	"$@" && return
	echo "examples: $* failed" >&2
	status=1
}

run "$B/examples/sync"
run "$B/examples/evloop"
DEMO_SECONDS=4 run "$B/examples/fleet/fleet" "$B/fleet.html" >"$B/fleet.txt"
run python3 examples/aio.py
run python3 tests/ffi/binding.py
exit $status
