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
run "$B/examples/workers"
DEMO_SECONDS=4 run "$B/examples/fleet/fleet" "$B/fleet.html" >"$B/fleet.txt"
run python3 examples/aio.py
run python3 tests/ffi/binding.py

# It is there where libevent is, and wants a server.
if [ -x "$B/examples/libevent/libevent" ]; then
	port=$(python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
	redis-server --port "$port" --bind 127.0.0.1 --save '' >/dev/null &
	server=$!
	trap 'kill $server' EXIT
	for try in 1 2 3 4 5 6 7 8 9 10; do
		redis-cli -p "$port" ping >/dev/null 2>&1 && break
		sleep 0.2
	done
	run "$B/examples/libevent/libevent" 127.0.0.1 "$port"
fi
exit $status
