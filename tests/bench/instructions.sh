# instructions.sh [--update] - how many instructions a call takes, held against
# instructions.txt, which has a table for each toolchain that was measured.
#
# They repeat where times do not: a row that takes over 3 % more than in its
# table fails. Without a table for this compiler, libc and CFLAGS it is said and
# passed over. $B: the build; $CC and $CFLAGS: what it was built with.
set -u
B=${B:-build}
table=tests/bench/instructions.txt
cc=${CC:-cc}
kind=$(echo | $cc -dM -E - | awk '/ __clang__ / { clang = 1 } END { print clang ? "clang" : "gcc" }')
name="$kind $($cc -dumpfullversion 2>/dev/null || $cc -dumpversion), $(getconf GNU_LIBC_VERSION), $(uname -m), ${CFLAGS:-}"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# What libc takes for a processor's sake would count otherwise on another.
GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-BMI2,-LZCNT,-RTM,-ERMS,-FSRM
export GLIBC_TUNABLES

calls=$(valgrind --tool=callgrind --callgrind-out-file="$work/out" \
	"$B/tests/bench/instructions" 2>"$work/log") || {
	cat "$work/log" >&2
	exit 1
}
awk -v calls="$calls" '
	/^desc: Trigger: Client Request: / { row = $NF }
	/^(totals|summary): / && row { printf "%s %.1f\n", row, $2 / calls; row = "" }
' $(ls "$work"/out.* | sort -V) >"$work/now"

if [ "${1:-}" = --update ]; then
	{
		awk -v name="$name" '/^\[/ { mine = $0 == "[" name "]" } !mine' \
			"$table" 2>/dev/null
		echo "[$name]"
		cat "$work/now"
	} >"$work/new"
	cp "$work/new" "$table"
	exit
fi

awk -v name="$name" '
	/^\[/ { mine = $0 == "[" name "]"; next }
	mine { print }' "$table" >"$work/golden"
[ -s "$work/golden" ] || {
	echo "instructions: no table for $name in $table: not compared"
	cat "$work/now"
	exit 0
}
awk '
	NR == FNR { golden[$1] = $2; next }
	!($1 in golden) { print "instructions: " $1 " is not in the table"; wrong = 1; next }
	{
		printf "instructions %s %s", $1, $2
		if ($2 > golden[$1] * 1.03) {
			printf ", over 3 %% more than the %s of the table", golden[$1]
			wrong = 1
		} else if ($2 < golden[$1] * 0.97)
			printf ", less than the %s of the table: update it", golden[$1]
		print ""
		delete golden[$1]
	}
	END {
		for (row in golden) { print "instructions: no row is called " row; wrong = 1 }
		exit wrong
	}' "$work/golden" "$work/now"
