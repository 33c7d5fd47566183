# run.sh PROGRAM-OR-SCRIPT... - runs all of them, even when one fails: as many at
# a time as there are processors, and then, one by one, those of tests/wire,
# which wait on the real clock, and the scripts. What each one prints comes out
# when it ends.
set -u

if [ "$1" = --one ]; then # FAILED-LIST PROGRAM
	said=$(mktemp) || exit 1
	echo "== $3" >"$said"
	case $3 in
	*.sh) sh "$3" ;;
	*) "$3" ;;
	esac >>"$said" 2>&1 || echo "$3" >>"$2"
	cat "$said"
	rm -f "$said"
	exit 0
fi

failed=$(mktemp) || exit 1
trap 'rm -f "$failed"' EXIT
together= alone=
for test; do
	case $test in
	*/wire/* | *.sh) alone="$alone $test" ;;
	*) together="$together $test" ;;
	esac
done
at_once=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
run() { xargs -n 1 -P "$1" sh tests/kit/run.sh --one "$failed"; }
[ -z "$together" ] || echo "$together" | run "$at_once"
[ -z "$alone" ] || echo "$alone" | run 1
[ -s "$failed" ] || exit 0
echo "failed: $(tr '\n' ' ' <"$failed")" >&2
exit 1
