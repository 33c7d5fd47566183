# Runs each program or script named, all of them even when one fails.
failed=
for test; do
	echo "== $test"
	case $test in
	*.sh) sh "$test" ;;
	*) "$test" ;;
	esac || failed="$failed $test"
done
[ -z "$failed" ] && exit 0
echo "failed:$failed" >&2
exit 1
