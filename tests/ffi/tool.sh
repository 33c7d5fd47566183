# tool.sh - the pipemaze command, as its user meets it: each function below is a
# claim. It starts a Redis of its own, on a free port of this machine.
set -u
[ "${1-}" = bounded ] || exec timeout -k 5 120 sh "$0" bounded
B=${B:-build}
tool=$(cd "$B" && pwd)/pipemaze
work=$(mktemp -d) || exit 1
server=
unset REDIS_URL PIPEMAZE_FENCE

clean_up() {
	[ -n "$server" ] && kill -KILL "$server" && wait "$server" 2>/dev/null
	rm -rf "$work"
}
trap clean_up EXIT
claim=
trap 'echo "tool: ended early, at: $claim" >&2; exit 1' INT TERM HUP

# STATUS WORD...: the tool exits with STATUS; its words are in out and err.
expect() {
	wanted=$1
	shift
	"$tool" "$@" >out 2>err
	got=$?
	[ "$got" = "$wanted" ] || complain "status $got, not $wanted: $*"
}

# STATUS PID: a process that was started in the background ends with STATUS.
expect_end() {
	wait "$2"
	got=$?
	[ "$got" = "$1" ] || complain "status $got, not $1"
}

complain() {
	echo "$*"
	return 1
}

says() { grep -qF -- "$1" err || complain "err is without: $1"; }
prints() { [ "$(cat out)" = "$1" ] || complain "out is not: $1"; }

until_there() { while [ ! -s "$1" ]; do sleep 0.02; done; }

# A zombie that nobody has reaped yet does not count.
runs() {
	state=$(cat "/proc/$1/stat" 2>/dev/null) || return
	case $state in *') Z '*) return 1 ;; esac
}
is_gone() { ! runs "$1" || complain "process $1 is still there"; }

# Far sooner than it would end by itself.
until_gone() {
	tries=100
	while runs "$1"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || is_gone "$1" || return
		sleep 0.1
	done
}

# PATTERN OPTION... for the usage errors below, all before a name and a command
wrong() {
	pattern=$1
	shift
	expect 64 "$@" && says "$pattern" && prints ""
}

version_and_help_go_to_standard_output() {
	expect 0 --version && grep -qx 'pipemaze [0-9][0-9.]*' out &&
		expect 0 --help && grep -q retry out &&
		expect 0 lock --help && grep -q PIPEMAZE_FENCE out &&
		expect 0 retry --help && grep -q backoff out &&
		[ ! -s err ]
}

help_that_cannot_be_written_is_an_error() {
	"$tool" --help >/dev/full 2>err
	[ $? = 74 ] && says "standard output"
}

a_wrong_word_is_named() {
	wrong "expected lock or retry" &&
		wrong "not 'unlock'" unlock a -- true &&
		wrong "no option '--tll'" lock --tll 1s a -- true &&
		wrong "not '5'" lock --ttl 5 a -- true &&
		wrong "not '1s|try'" lock "--ttl=1s|try" a -- true &&
		wrong "--wait: expected a span" lock --wait -- true &&
		wrong "not 'soon'" lock a --wait=soon -- true &&
		wrong "'--keep=1'" lock --keep=1 a -- true &&
		wrong "--grace" lock --ttl 1s --grace 1s a -- true &&
		wrong "'ftp://a'" lock --redis ftp://a a -- true &&
		wrong "not '3,x'" retry --final 3,x 'tries 2' -- true &&
		wrong "not '256'" retry --final 256 'tries 2' -- true
}

more_servers_than_a_lock_can_have_are_wrong_usage() {
	for i in $(seq 40); do
		set -- "$@" --redis "redis://127.0.0.1:$i"
	done
	wrong "--redis" lock "$@" a -- true
}

a_line_with_endpoints_is_wrong_usage() {
	wrong "endpoints" retry 'balance least' -- touch ran && [ ! -e ran ]
}

a_missing_word_is_named() {
	wrong "expected a NAME" lock &&
		wrong "expected a NAME" lock -- true &&
		wrong "a command after 'a'" lock a &&
		wrong "not 'true'" lock a true &&
		wrong "a command after --" lock a -- &&
		wrong "the NAME is empty" lock '' -- true &&
		wrong "expected a LINE" retry -- true
}

a_name_that_no_lock_can_have_is_wrong_usage() {
	wrong "'a{b}'" lock --redis memory: 'a{b}' -- true
}

a_password_is_not_shown() {
	export REDIS_URL=redis://u:secret@a:b
	wrong REDIS_URL lock a -- true && ! grep secret err &&
		wrong "@a:b'" lock --redis "$REDIS_URL" a -- true &&
		! grep secret err
}

a_wrong_line_has_a_caret_under_the_word() {
	expect 64 retry 'try 2s | tires 3' -- true
	says 'column 10' && tail -n 2 err >caret && cat >wanted <<-'TXT' &&
	  try 2s | tires 3
	           ^
	TXT
	cmp -s caret wanted
}

a_success_is_the_end() {
	expect 0 retry 'tries 5 backoff 1ms..2ms' -- \
		sh -c 'echo x >>tries; [ "$(wc -l <tries)" = 3 ]' &&
		[ "$(wc -l <tries)" = 3 ] && [ ! -s err ]
}

the_status_is_that_of_the_last_attempt() {
	expect 9 retry 'tries 3 backoff 1ms..2ms' -- \
		sh -c 'echo x >>tries; exit "$((6 + $(wc -l <tries)))"' &&
		says "3 attempts, the last with status 9" &&
		expect 137 retry --quiet 'tries 1' -- sh -c 'kill -KILL $$' &&
		[ ! -s err ]
}

a_final_status_is_not_tried_again() {
	expect 65 retry --final 2,65 'tries 5 backoff 1ms..2ms' -- \
		sh -c 'echo x >>tries; exit 65' &&
		[ "$(wc -l <tries)" = 1 ]
}

what_cannot_be_run_is_not_tried_again() {
	echo text >file
	expect 127 retry 'tries 5' -- ./nothing && [ "$(wc -l <err)" = 1 ] &&
		says "'./nothing'" &&
		expect 126 retry 'tries 5' -- ./file &&
		[ "$(wc -l <err)" = 1 ] && says "'./file'"
}

# Its own status is what the command makes of TERM: not to be trusted.
an_attempt_that_takes_too_long_has_failed() {
	expect 124 retry 'tries 2 backoff 1ms..2ms | try 1s' -- \
		sh -c 'trap "exit 0" TERM; echo x >>tries; sleep 30 & wait' &&
		[ "$(wc -l <tries)" = 2 ]
}

its_whole_group_ends_with_it() {
	expect 124 retry 'try 1s' -- \
		sh -c '(trap "" TERM; sleep 30) & echo $! >pid; wait' &&
		until_gone "$(cat pid)"
}

what_does_not_heed_TERM_is_killed() {
	expect 124 retry --grace 100ms 'try 1s' -- \
		sh -c 'trap "" TERM; echo $$ >pid; sleep 30; sleep 30' &&
		is_gone "$(cat pid)"
}

a_signal_between_attempts_is_the_end() {
	"$tool" retry 'tries 9 backoff 1h..1h jitter none' -- \
		sh -c 'echo x >tries; exit 1' 2>err &
	until_there tries
	sleep 0.2
	kill -TERM $!
	expect_end 143 $!
}

after_a_signal_there_is_no_other_attempt() {
	"$tool" retry 'tries 9 backoff 1ms..2ms' -- \
		sh -c 'trap "exit 3" TERM; echo x >>tries; sleep 30 & wait' \
		2>err &
	until_there tries
	kill -TERM $!
	expect_end 3 $! && [ "$(wc -l <tries)" = 1 ]
}

signals_that_do_not_end_it_are_passed_on() {
	"$tool" retry 'tries 1' -- sh -c 'trap "echo USR1 >usr1" USR1
		trap "exit 4" USR2; echo x >ready
		while :; do sleep 0.05; done' &
	until_there ready
	kill -USR1 $!
	until_there usr1
	kill -USR2 $!
	expect_end 4 $!
}

# LETTER PID: as ps(1) calls the states
until_state() {
	tries=100
	until case $(cat "/proc/$2/stat") in *") $1 "*) ;; *) false ;; esac do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || complain "process $2 is not $1" || return
		sleep 0.1
	done
}

# It forks nothing: a shell that is stopped in a vfork is not seen to be.
a_stopped_tool_has_a_stopped_command() {
	mkfifo door
	"$tool" retry --quiet 'tries 1' -- \
		sh -c 'echo $$ >pid; read word <door; exit 6' &
	until_there pid
	kill -TSTP $!
	until_state T $! && until_state T "$(cat pid)"
	result=$?
	kill -CONT $!
	echo word >door
	expect_end 6 $! && return $result
}

a_tool_that_waits_can_be_stopped() {
	"$tool" retry 'tries 9 backoff 1h..1h jitter none' -- \
		sh -c 'echo x >tries; exit 1' 2>err &
	until_there tries
	sleep 0.2
	kill -TSTP $!
	until_state T $!
	result=$?
	kill -CONT $!
	kill -TERM $!
	expect_end 143 $! && return $result
}

an_ignored_signal_stays_ignored() {
	(
		trap '' HUP
		exec "$tool" retry 'tries 1' -- \
			sh -c 'kill -HUP $PPID $$; sleep 0.2; exit 5'
	)
	[ $? = 5 ]
}

no_descriptor_leaks_to_the_command() {
	sh -c 'ls /proc/self/fd' >wanted 2>err
	expect 0 retry 'tries 1' -- sh -c 'ls /proc/self/fd' &&
		cmp out wanted &&
		expect 0 lock --redis memory: --keep a -- \
			sh -c 'ls /proc/self/fd' &&
		cmp out wanted
}

a_command_does_not_outlive_the_tool() {
	"$tool" retry 'tries 1' -- sh -c 'echo $$ >pid; exec sleep 30' &
	until_there pid
	kill -KILL $!
	wait $!
	until_gone "$(cat pid)"
}

# In front of a terminal, which sends its signals to both of them.
control_C_reaches_the_command_once() {
	cat >count.py <<-'PY'
	import signal, sys, time
	seen = []
	signal.signal(signal.SIGINT, lambda *_: seen.append(1))
	print("ready", flush=True)
	end = time.monotonic() + 20
	while not seen and time.monotonic() < end:
	    time.sleep(0.05)
	time.sleep(0.3)
	sys.exit(40 + len(seen))
	PY
	cat >terminal.py <<-'PY'
	import os, pty, sys
	try:
	    pid, terminal = pty.fork()
	except OSError:
	    sys.exit(77)
	if pid == 0:
	    os.execv(sys.argv[1], sys.argv[1:])
	seen = b""
	while b"ready" not in seen:
	    seen += os.read(terminal, 100)
	os.write(terminal, b"\x03")
	sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	PY
	python3 terminal.py "$tool" retry 'tries 3' -- python3 count.py
	got=$?
	[ $got = 77 ] && echo "tool: skip Control-C: no terminal here" >&3
	[ $got = 41 ] || [ $got = 77 ]
}

the_status_of_the_command_is_that_of_lock() {
	expect 0 lock --redis memory: a -- true &&
		expect 7 lock --redis memory: a -- sh -c 'exit 7' &&
		expect 137 lock --redis memory: a -- sh -c 'kill -KILL $$' &&
		expect 127 lock --redis memory: a -- ./nothing &&
		says "'./nothing'"
}

the_command_knows_its_fence() {
	expect 0 lock --redis memory: a -- sh -c 'echo $PIPEMAZE_FENCE' &&
		[ "$(cat out)" -gt 0 ]
}

words_of_the_command_are_its_own() {
	expect 0 lock a --redis memory: -- echo --ttl -- x &&
		prints "--ttl -- x"
}

a_command_ends_with_its_lease() {
	expect 76 lock --redis memory: --ttl 2s a -- \
		sh -c 'trap "echo TERM; exit 0" TERM; sleep 30 & wait' &&
		prints TERM && says "'sh' has to end"
}

a_command_that_ignores_TERM_is_killed_when_its_lease_ends() {
	expect 76 lock --redis memory: --ttl 2s a -- \
		sh -c 'trap "" TERM; echo $$ >pid; sleep 30; sleep 30' &&
		is_gone "$(cat pid)"
}

a_kept_lease_lasts_as_long_as_the_command() {
	expect 3 lock --redis memory: --ttl 1s --keep a -- \
		sh -c 'sleep 2.5; exit 3' && [ ! -s err ]
}

redis() { redis-cli -p "$port" "$@"; }

# It dies with this script, however that ends.
start_redis() {
	with=
	command -v setpriv >/dev/null && with="setpriv --pdeathsig KILL"
	port=$(python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
	$with redis-server --port "$port" --bind 127.0.0.1 --save '' \
		--appendonly no --dir "$work" >"$work/redis.log" 2>&1 &
	server=$!
	REDIS_URL=redis://127.0.0.1:$port
	export REDIS_URL
	for i in 1 2 3 4 5 6 7 8 9 10; do
		[ "$(redis ping 2>/dev/null)" = PONG ] && return
		sleep 0.2
	done
	echo "tool: redis-server does not answer (make deps installs it)" >&2
	cat "$work/redis.log" >&2
	exit 1
}

# NAME: held in the background until the file `leave` is there.
hold() {
	"$tool" lock "$1" -- sh -c 'echo $PIPEMAZE_FENCE >held
		until [ -e leave ]; do sleep 0.02; done' &
	holder=$!
	until_there held
}

who_comes_second_is_told_so() {
	hold a
	expect 75 lock a -- touch ran && says "another holds 'a'" &&
		expect 75 lock --quiet a -- touch ran && [ ! -s err ] &&
		expect 0 lock b -- true && [ ! -e ran ]
	result=$?
	touch leave
	expect_end 0 $holder && return $result
}

a_wait_ends_with_the_release() {
	hold a
	"$tool" lock --wait forever a -- sh -c 'echo $PIPEMAZE_FENCE >second' &
	sleep 0.3
	[ ! -e second ] && touch leave && expect_end 0 $! &&
		[ "$(cat second)" -gt "$(cat held)" ]
}

a_wait_has_an_end() {
	hold a
	expect 75 lock --wait 300ms a -- true
	result=$?
	touch leave
	expect_end 0 $holder && return $result
}

a_fence_grows_with_each_holder() {
	for i in 1 2 3 4 5; do
		"$tool" lock a -- sh -c 'echo $PIPEMAZE_FENCE' || return 1
	done >fences
	[ "$(wc -l <fences)" = 5 ] && sort -nuc fences
}

a_lock_is_free_once_the_command_has_ended() {
	expect 0 lock a -- redis-cli -p "$port" exists lock:a && prints 1 &&
		[ "$(redis exists lock:a)" = 0 ]
}

TERM_reaches_the_command_and_the_lock_is_released() {
	"$tool" lock a -- sh -c 'trap "echo TERM >got; exit 9" TERM
		echo x >ready; sleep 30 & wait' &
	until_there ready
	kill -TERM $!
	expect_end 9 $! && [ -e got ] && [ "$(redis exists lock:a)" = 0 ]
}

a_signal_ends_a_wait_and_leaves_no_lock() {
	hold a
	"$tool" lock --wait forever a -- touch ran &
	sleep 0.3
	kill -TERM $!
	expect_end 143 $!
	result=$?
	touch leave
	expect_end 0 $holder && [ ! -e ran ] &&
		[ "$(redis exists lock:a)" = 0 ] && return $result
}

a_kept_lock_that_is_deleted_ends_the_command() {
	"$tool" lock --keep --ttl 1s a -- sh -c 'echo x >ready; exec sleep 30' \
		2>err &
	until_there ready
	redis del lock:a >/dev/null
	expect_end 76 $! && says "'a' cannot be kept"
}

a_kept_lock_on_a_server_that_hangs_ends_the_command() {
	"$tool" lock --keep --ttl 1s a -- sh -c 'echo x >ready; exec sleep 30' \
		2>err &
	until_there ready
	kill -STOP $server
	wait $!
	got=$?
	kill -CONT $server
	[ $got = 76 ] && says "'a' cannot be kept"
}

a_signal_ends_the_tool_before_a_server_that_hangs() {
	kill -STOP $server
	"$tool" lock --ttl 100s a -- touch ran &
	sleep 0.3
	kill -TERM $!
	kill -CONT $!
	sleep 1.5
	kill -0 $! 2>/dev/null
	hung=$?
	kill -CONT $server
	expect_end 143 $! && [ $hung != 0 ] && [ ! -e ran ]
}

a_lock_found_lost_in_the_end_is_not_a_success() {
	expect 76 lock a -- redis-cli -p "$port" del lock:a &&
		says "'a' was lost before 'redis-cli' had ended"
}

many_increments_under_one_lock_lose_none() {
	echo 0 >n
	for i in 1 2 3 4; do
		sh -c 'for i in 1 2 3 4 5; do
			"$0" lock --wait 20s n -- sh -c "read n <n
				sleep 0.01; echo \$((n + 1)) >n" || exit 1
		done' "$tool" &
		workers="${workers-} $!"
	done
	for worker in $workers; do
		expect_end 0 "$worker" || return 1
	done
	[ "$(cat n)" = 20 ]
}

a_dead_server_means_not_acquired() {
	expect 75 lock --redis redis://127.0.0.1:1 a -- touch ran &&
		[ ! -e ran ] && says "'a' is not acquired"
}

# Each in a folder and a process of its own.
status=0
exec 3>&2
run() {
	for claim; do
		mkdir "$work/$claim" && cd "$work/$claim" || exit 1
		("$claim") >"$work/said" 2>&1 && continue
		echo "tool: not so: $claim" >&2
		cat "$work/said" err >&2 2>/dev/null
		status=1
	done
}

run version_and_help_go_to_standard_output \
	help_that_cannot_be_written_is_an_error \
	a_wrong_word_is_named \
	more_servers_than_a_lock_can_have_are_wrong_usage \
	a_line_with_endpoints_is_wrong_usage \
	a_missing_word_is_named \
	a_name_that_no_lock_can_have_is_wrong_usage \
	a_password_is_not_shown \
	a_wrong_line_has_a_caret_under_the_word \
	a_success_is_the_end \
	the_status_is_that_of_the_last_attempt \
	a_final_status_is_not_tried_again \
	what_cannot_be_run_is_not_tried_again \
	an_attempt_that_takes_too_long_has_failed \
	its_whole_group_ends_with_it \
	what_does_not_heed_TERM_is_killed \
	a_signal_between_attempts_is_the_end \
	after_a_signal_there_is_no_other_attempt \
	signals_that_do_not_end_it_are_passed_on \
	a_stopped_tool_has_a_stopped_command \
	a_tool_that_waits_can_be_stopped \
	an_ignored_signal_stays_ignored \
	no_descriptor_leaks_to_the_command \
	a_command_does_not_outlive_the_tool \
	control_C_reaches_the_command_once \
	the_status_of_the_command_is_that_of_lock \
	the_command_knows_its_fence \
	words_of_the_command_are_its_own \
	a_command_ends_with_its_lease \
	a_command_that_ignores_TERM_is_killed_when_its_lease_ends \
	a_kept_lease_lasts_as_long_as_the_command
start_redis
run who_comes_second_is_told_so \
	a_wait_ends_with_the_release \
	a_wait_has_an_end \
	a_fence_grows_with_each_holder \
	a_lock_is_free_once_the_command_has_ended \
	TERM_reaches_the_command_and_the_lock_is_released \
	a_signal_ends_a_wait_and_leaves_no_lock \
	a_kept_lock_that_is_deleted_ends_the_command \
	a_kept_lock_on_a_server_that_hangs_ends_the_command \
	a_signal_ends_the_tool_before_a_server_that_hangs \
	a_lock_found_lost_in_the_end_is_not_a_success \
	many_increments_under_one_lock_lose_none \
	a_dead_server_means_not_acquired
exit $status
