# run.sh - the lock-free sources of lib/core in all, or very many, of their
# interleavings (see search.cc), and then mutants of them, each of which one of
# these searches has to catch. A line for each check and for each mutant.
#
#   B=build CC=cc CXX=c++ sh tests/relacy/run.sh [PROTOCOL...]
set -u
B=${B:-build}/relacy
CC=${CC:-cc}
CXX=${CXX:-c++}
SECONDS_MAX=60 # of one program: a mutant may go on for ever
here=tests/relacy
status=0

echo '#include <relacy/relacy.hpp>' | $CXX -E -x c++ - >/dev/null 2>&1 || {
	echo "relacy: no relacy/relacy.hpp; make deps-all installs it" >&2
	exit 1
}
mkdir -p "$B" || exit 1

flags="-O1 -g -Wall -Wextra -Iinclude -D_GNU_SOURCE"
compile() { # LIB SOURCE OBJECT [FLAG]
	$CC -std=gnu11 $flags ${4:-} -include $here/atomic.h -I"$1" \
		-c -o "$3" "$2"
}
compile_check() { # SOURCE OBJECT
	$CXX -std=gnu++17 $flags -I$here -Ilib -c -o "$2" "$1"
}
# At a fixed place, since a balancer draws its first seed from its address.
link() { # PROGRAM OBJECT...
	$CXX -no-pie -o "$@"
}

base="base/config.c base/status.c core/place.c"
sources_of() { # PROTOCOL
	case $1 in
	bucket) echo core/bucket.c ;;
	bulkhead) echo core/bulkhead.c $base ;;
	breaker | modes) echo core/breaker.c core/breaker_rules.c core/window.c $base ;;
	budget) echo core/budget.c core/window.c $base ;;
	keyed | turns) echo core/keyed.c core/bucket.c $base ;;
	window) echo core/window.c ;;
	tables | rosters | rests | detect)
		echo core/tables.c core/pick.c core/balance.c \
			core/balance_rules.c core/members.c core/eject.c \
			core/health.c core/average.c core/detect.c \
			core/turns.c $base
		;;
	esac
}

# Where a protocol's sources are: those of `turns` lose patience at once,
# and those of `detect` tell four times apart.
lib_of() { # PROTOCOL
	case $1 in
	turns)
		rm -rf "$B/hasty"
		mkdir -p "$B/hasty" && cp -R lib "$B/hasty/lib" &&
			sed 's/\(#define TURN_PAUSES\) .*/\1 1u/' \
				lib/core/keyed.c >"$B/hasty/lib/core/keyed.c"
		echo "$B/hasty/lib"
		;;
	detect)
		rm -rf "$B/brief"
		mkdir -p "$B/brief" && cp -R lib "$B/brief/lib" &&
			sed 's/\(#define PMZ__TIMES\) .*/\1 4/' \
				lib/core/balance.h \
				>"$B/brief/lib/core/balance.h"
		echo "$B/brief/lib"
		;;
	*) echo lib ;;
	esac
}

object_of() { # FOLDER SOURCE
	echo "$1/$(basename "$2" .c).o"
}

failed() { # WHAT
	echo "relacy: $1" >&2
	status=1
}

check() { # PROTOCOL
	objects=
	mkdir -p "$B/$1"
	lib=$(lib_of "$1")
	for source in $(sources_of "$1"); do
		object=$(object_of "$B/$1" "$source")
		compile "$lib" "$lib/$source" "$object" || exit 1
		objects="$objects $object"
	done
	compile_check $here/"$1".cc "$B/$1/check.o" || exit 1
	link "$B/$1/check" "$B/$1/check.o" "$B/search.o" $objects || exit 1
	timeout $SECONDS_MAX "$B/$1/check" >"$B/said" ||
		failed "$1: a claim does not hold, or the search broke"
	sed "s/^\([^[].*: .*\)/$1: \1/" "$B/said"
}

# Of a source that changes, only itself is compiled anew; of a header, all.
mutant() { # PROTOCOL NAME FILE SED
	case " $protocols " in *" $1 "*) ;; *) return ;; esac
	mutated=$B/mutant
	lib=$(lib_of "$1")
	rm -rf "$mutated"
	mkdir -p "$mutated" && cp -R "$lib" "$mutated/lib" || exit 1
	sed "$4" "$lib/$3" >"$mutated/lib/$3"
	if cmp -s "$lib/$3" "$mutated/lib/$3"; then
		failed "mutant $1: $2: nothing to change in lib/$3"
		return
	fi
	objects=
	for source in $(sources_of "$1"); do
		object=$(object_of "$B/$1" "$source")
		case $3 in
		*.h | "$source")
			object=$(object_of "$mutated" "$source")
			compile "$mutated/lib" "$mutated/lib/$source" \
				"$object" -w || exit 1
			;;
		esac
		objects="$objects $object"
	done
	link "$mutated/check" "$B/$1/check.o" "$B/search.o" $objects || exit 1
	timeout $SECONDS_MAX "$mutated/check" mutant >"$mutated/said"
	if [ $? -eq 1 ]; then
		echo "mutant $1: $2: caught:" \
			"$(sed -n 's/: FAILED at.*//p' "$mutated/said")"
	else
		failed "mutant $1: $2: not caught"
	fi
}

# One text for another, on each line where it stands.
literal() { printf '%s' "$1" | sed 's/[][\\.*^$/&]/\\&/g'; }
instead() { echo "s/$(literal "$1")/$(literal "$2")/"; }

# The same within one function.
within() { echo "/^[a-z].*[ *]$1(/,/^}/$2"; }
torn() { within "$1" 's/pmz__cas(/RELACY_TORN_CAS(/'; }
weaker() { within "$1" "s/PMZ__$2/PMZ__RELAXED/"; }

protocols=${*:-bucket bulkhead window breaker modes budget keyed turns tables \
	rosters rests detect}
compile_check $here/search.cc "$B/search.o" || exit 1
for protocol in $protocols; do
	check "$protocol"
done

mutant bucket "a take loads and stores" core/bucket.h "$(torn pmz__bucket_take)"
mutant bucket "a reservation loads and stores" core/bucket.c \
	"$(torn pmz_bucket_reserve)"
mutant bucket "a refund loads and stores" core/bucket.c \
	"$(torn pmz_bucket_refund)"
mutant bucket "a new rate loads and stores" core/bucket.c \
	"$(torn pmz_bucket_rerate)"

mutant bulkhead "entering loads and stores" core/bulkhead.c \
	"$(torn pmz_bulkhead_acquire)"
mutant bulkhead "entering does not acquire" core/bulkhead.c \
	"$(weaker pmz_bulkhead_acquire ACQUIRE)"
mutant bulkhead "leaving does not release" core/bulkhead.c \
	"$(weaker pmz_bulkhead_settle RELEASE)"
mutant bulkhead "leaving does not look at the generation" core/bulkhead.c \
	"$(instead '(word & GENERATION_MASK) != generation' 0)"
mutant bulkhead "leaving does not look whether anyone is inside" core/bulkhead.c \
	"$(instead '!in_use(word)' 0)"
mutant bulkhead "leaving loads and stores" core/bulkhead.c \
	"$(torn pmz_bulkhead_settle)"
mutant bulkhead "a reset loads and stores" core/bulkhead.c \
	"$(torn pmz_bulkhead_reset)"
mutant bulkhead "setting up stores" core/place.h \
	"$(instead 'pmz__cas_acquire(word, &zero, value, PMZ__ACQ_REL)' \
		'(void)zero, pmz__store(word, value, PMZ__RELEASE)')"

mutant window "a head loads and stores" core/window.c \
	"$(instead 'pmz__cas(&w->head' 'RELACY_TORN_CAS(&w->head')"
mutant window "a roll does not acquire" core/window.c \
	"$(weaker pmz__window_roll ACQUIRE)"
mutant window "a restart's head comes without its starts" core/window.c \
	"$(weaker pmz__window_restart RELEASE)"
mutant window "a restart takes a slow clock's word" core/window.c \
	"$(instead 'pmz__max(pmz__head_start(now), pmz__head_start(head))' \
		'pmz__head_start(now)')"
mutant window "a restart takes what there is for the start" core/window.c \
	"$(within pmz__window_restart "$(instead ', start, PMZ__RELAXED' \
		', pmz__load(&w->total, PMZ__RELAXED), PMZ__RELAXED')")"

mutant breaker "a proposal does not look at the gate" core/breaker.c \
	"$(within pmz__breaker_propose "$(instead 'gate_now(b) != gate' 0)")"
mutant breaker "the gate loads and stores" core/breaker.c "$(torn move)"
mutant breaker "a place loads and stores" core/breaker.c \
	"$(instead 'pmz__cas(&probe->holder, &holder, next' \
		'RELACY_TORN_CAS(&probe->holder, &holder, next')"
mutant breaker "a late result counts" core/breaker.c \
	"$(instead 'epoch_of(word) != epoch_of(gate)' 0)"
mutant breaker "a probe counts without its place" core/breaker.c \
	"$(instead 'if (failed && !own)' 'if (0)')"
mutant breaker "a place is taken whatever the gate is" core/breaker.c \
	"$(within take_place "$(instead 'gate_now(b) != gate' 0)")"
mutant breaker "a lease is made shorter" core/breaker.c \
	"$(instead 'pmz__max(*until, pmz__sat_add(now, lease))' \
		'pmz__sat_add(now, lease)')"
mutant breaker "the marks load and store" core/breaker.c "$(torn add_marks)"

mutant modes "a mode loads and stores" core/breaker.c \
	"$(torn pmz_breaker_force)"
mutant modes "a mode does not look again" core/breaker.c \
	"$(within pmz_breaker_force "$(instead 'while (!moved)' 'while (0)')")"
mutant modes "a mode of its own keeps the epoch" core/breaker.c \
	"$(instead '(gate | bits) & special' 0)"
mutant modes "a change of state loads and stores" core/breaker.c "$(torn move)"
mutant modes "a reset does not look again" core/breaker.c \
	"$(within pmz_breaker_reset \
		"$(instead 'while (!close_from' 'while (0 && !close_from')")"
mutant modes "a late result counts" core/breaker.c \
	"$(instead 'epoch_of(word) != epoch_of(gate)' 0)"
mutant modes "a new length forgets" core/breaker_rules.c \
	"$(within change_window "$(instead 'old_bucket, now)' '1, now)')")"

mutant budget "a share loads and stores" core/budget.c "$(torn take_share)"
mutant budget "a floor loads and stores" core/budget.c "$(torn take_floor)"
mutant budget "a refund loads and stores" core/budget.c \
	"$(torn give_share_back)"
mutant budget "a head comes without its starts" core/window.c \
	"$(instead '&head, next, PMZ__RELEASE' '&head, next, PMZ__RELAXED')"
mutant budget "a start is proposed whatever the head is" core/window.c \
	"$(instead 'pmz__load(&w->head, PMZ__RELAXED) != head' 0)"
mutant budget "an event does not release" core/window.h \
	"$(weaker pmz__window_add RELEASE)"

mutant keyed "a new key does not look again" core/keyed.c \
	"$(instead 'if (!find(k, v->tag))' 'if (1)')"
mutant keyed "a turn loads and stores" core/keyed.c "$(torn enter)"
mutant keyed "a turn does not acquire" core/keyed.c "$(weaker enter ACQUIRE)"
mutant keyed "a claim loads and stores" core/keyed.c "$(torn claim)"
mutant keyed "a take loads and stores" core/keyed.c "$(torn moved)"
mutant keyed "a take does not look at the tag" core/keyed.c \
	"$(instead 'pmz__load(&e->tag, PMZ__RELAXED) == v->tag' 1)"

mutant keyed "an evicted key leaves no floor" core/keyed.c \
	"$(within claim "$(instead 'raise_floor(' '(void)(')")"
mutant keyed "an evicted key publishes no floor" core/keyed.c \
	"$(within claim "$(instead 'PMZ__ACQ_REL' 'PMZ__RELAXED')")"
mutant keyed "who misses a key does not acquire" core/keyed.c \
	"$(weaker find_in_line ACQUIRE)"

mutant turns "a claim loads and stores" core/keyed.c "$(torn claim)"
mutant turns "who lost its turn leaves its claim" core/keyed.c \
	"$(instead 'lasts ? tat : r.tat' 'lasts ? tat : CLAIMED')"

mutant tables "who left is not waited for" core/tables.c \
	"$(instead 'pmz__load(&t->left, PMZ__ACQUIRE) == t->entered' 1)"
mutant tables "the look for who left does not acquire" core/tables.c \
	"$(weaker is_left ACQUIRE)"
mutant tables "a table is published without a release" core/tables.c \
	"$(weaker pmz__table_publish ACQ_REL)"
mutant tables "entering does not acquire" core/pick.c \
	"$(weaker pass_through ACQUIRE)"
mutant tables "leaving does not release" core/pick.c \
	"$(weaker pass_through RELEASE)"

mutant rosters "who finds nobody does not look again" core/pick.c \
	"$(within choose_and_charge \
		"$(instead 'if (pmz__roster_stands(v))' 'if (1)')")"
mutant rosters "a pick does not look whose load it is" core/pick.c \
	"$(instead '!pmz__is_of(load, who)' 0)"
mutant rosters "a pick does not acquire whose load it is" core/pick.c \
	"$(within charge "$(instead 'load(word, PMZ__ACQUIRE)' \
		'load(word, PMZ__RELAXED)')")"
mutant rosters "a pick is put on a load blindly" core/pick.c \
	"$(within charge "$(instead 'pmz__cas_acquire(' 'RELACY_TORN_CAS(')")"
mutant rosters "a pick is taken off a load blindly" core/balance.c \
	"$(torn leave)"
mutant rosters "a number is given on with calls out" core/members.c \
	"$(instead 'seen & PMZ__IN_FLIGHT' 0)"
mutant rosters "a number loads and stores" core/members.c \
	"$(torn claim_number)"
mutant rosters "a roster is in force without a release" core/members.c \
	"$(weaker put_in_force RELEASE)"

mutant rests "a judgement loads and stores" core/eject.c "$(torn pmz__eject)"
mutant rests "a bench loads and stores" core/eject.c "$(torn take_bench)"
mutant rests "a bench names nobody" core/eject.c \
	"$(within pmz__is_ejected "$(instead ') == number + 1' ') != 0')")"
mutant rests "who finds no bench is not put back" core/eject.c \
	"$(instead 'pmz__cas(&e->until, &until, before, PMZ__RELEASE)' \
		'(void)before')"
mutant rests "who is drained takes a bench" core/eject.c \
	"$(instead '!is_still(b, who)' 0)"
mutant rests "a smaller set has as many benches" core/eject.c \
	"$(within pmz__is_ejected "$(instead 'place < benches &&' '')")"

mutant detect "a look begins by a load and a store" core/detect.c \
	"$(torn pmz__look)"
mutant detect "a look does not acquire" core/detect.c \
	"$(weaker pmz__look ACQUIRE)"
mutant detect "a look does not release" core/detect.c \
	"$(weaker pmz__look RELEASE)"
mutant detect "who may look does not look at the time again" core/detect.c \
	"$(within end_interval "$(instead 'now < seen' 0)")"
again='pmz__tag(who) | pmz__calls_of(b, number)'
mutant detect "an interval begins at what is there by then" core/detect.c \
	"$(instead 'begin_times(e);' "begin_times(e), \
		pmz__store(&e->calls_then, $again, PMZ__RELAXED);")"
mutant detect "what is early is forgotten" core/detect.c \
	"$(instead '(old + fresh)' count)"
mutant detect "calls that are counted do not acquire" core/balance.c \
	"$(weaker pmz__calls_of ACQUIRE)"
mutant detect "who leaves does not release" core/balance.c \
	"$(weaker leave RELEASE)"
mutant detect "what is ignored is read before the load" core/balance.c \
	"$(within pmz__calls_of "$(instead 'laps = ' \
		'early = pmz__load(&e->ignored, PMZ__RELAXED), laps = ')")
	$(within pmz__calls_of "$(instead '+ ignored +' '+ early +')")"
mutant detect "nobody asks whose counts those are" core/detect.c \
	"$(within is_judged "$(instead '== who + 1' '!= 0')")"
mutant detect "what another did is taken off" core/balance.h \
	"$(instead 'count >> PMZ__KEPT_SHIFT ? 0 : count' 'count << 8 >> 8')"
mutant detect "nobody asks whose last interval that was" core/balance.c \
	"$(instead 'last && is_gathered(b, number)' last)"
mutant detect "who is gone is sent to rest" core/eject.c \
	"$(within is_still "$(instead 'return pmz__is_of(' \
		'return 1 || pmz__is_of(')")"
mutant detect "whoever has the number is sent to rest" core/eject.c \
	"$(within count_ejection "$(instead 'pmz__tag(who)' seen)")"
mutant detect "a bench loads and stores" core/eject.c "$(torn take_bench)"
mutant detect "all may rest" core/members.c \
	"$(instead ', count - 1)' ', count)')"

exit $status
