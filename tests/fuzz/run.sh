# run.sh FOLDER SECONDS TARGET - lets one fuzz target of a build look for new
# input. What it finds stays in FOLDER/corpus, its log in FOLDER/fuzz-TARGET.log,
# and an input that fails in FOLDER/bad-TARGET-*.
#
# A failure is 255, on which xargs starts no more of them.
set -u
folder=$1 seconds=$2 target=$3
found=$folder/corpus/$target log=$folder/fuzz-$target.log

mkdir -p "$found"
rm -f "$folder/bad-$target-"*
if "$folder/tests/fuzz/$target" -max_total_time="$seconds" -timeout=10 \
	-max_len=400 -print_final_stats=1 \
	-artifact_prefix="$folder/bad-$target-" \
	"$found" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
	echo "$target: $(sed -n 's/^Done //p' "$log")"
	exit 0
fi
# In one piece, as another target may be speaking too.
said=$(tail -n 60 "$log")
echo "$said
fuzz: $target failed: see $log, and the input" "$folder/bad-$target-"* >&2
exit 255
