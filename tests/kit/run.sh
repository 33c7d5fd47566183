# run.sh PROGRAM-OR-SCRIPT... - runs all of them, even when one fails: as many at
# a time as there are processors, and then, one by one, those of tests/wire,
# which wait on the real clock, and the scripts. What each one prints comes out
# when it ends, and the end of what failed once more at the end of all.
set -u

if [ "$1" = --one ]; then # FOLDER PROGRAM
	said=$(mktemp "$2/XXXXXX") || exit 1
	echo "== $3" >"$said"
	case $3 in
	*.sh) sh "$3" ;;
	*) "$3" ;;
	esac >>"$said" 2>&1 || {
		echo "$3" >>"$2/failed"
		echo "== $3 failed" >>"$2/once-more"
		sed '1d; /^\[ *\(RUN\|OK\) *\]/d' "$said" | tail -n 12 \
			>>"$2/once-more"
	}
	cat "$said"
	rm -f "$said"
	exit 0
fi

mine=$(mktemp -d) || exit 1
trap 'rm -rf "$mine"' EXIT
together= alone=
for test; do
	case $test in
	*/wire/* | *.sh) alone="$alone $test" ;;
	*) together="$together $test" ;;
	esac
done
# libcheck's own time-outs are for a machine that has nothing else to do.
export CK_TIMEOUT_MULTIPLIER=5
at_once=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
run() { xargs -n 1 -P "$1" sh tests/kit/run.sh --one "$mine"; }
[ -z "$together" ] || echo "$together" | run "$at_once"
[ -z "$alone" ] || echo "$alone" | run 1
[ -e "$mine/failed" ] || exit 0
cat "$mine/once-more"
echo "failed: $(tr '\n' ' ' <"$mine/failed")" >&2
exit 1
