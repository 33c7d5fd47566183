# Each test that the table of tests/unit/claims.c names is there and is run, and
# each defect has one.
set -u
table=tests/unit/claims.c
fail() { echo "$table: $1" >&2; exit 1; }

head=$(sed '/^ \*\/$/q' $table)
tests=$(printf '%s\n' "$head" | sed -n 's/^ \*   -> //p')
[ -n "$tests" ] || fail "there is no table"

# Defined once and listed once, comments aside.
is_run() {
	[ "$(grep -v '^ \*' "tests/$1" | grep -cw "$2")" -ge 2 ]
}

printf '%s\n' "$tests" | while read -r file name; do
	[ -f "tests/$file" ] || fail "there is no tests/$file"
	is_run "$file" "$name" || fail "tests/$file does not run $name"
done || exit 1

# A defect begins in the first column of the text, what belongs to it does not.
# Two paragraphs stand before the first.
printf '%s\n' "$head" | awk '
	function close_one() { if (defects && !shown) { print what; bad = 1 } }
	/^ \*$/ { paragraph++ }
	paragraph < 2 { next }
	/^ \* [^ ]/ { close_one(); defects++; shown = 0; what = substr($0, 4) }
	/^ \*   -> / { shown = 1 }
	END { close_one(); exit bad || !defects }' ||
	fail "no test shows the defect above"

# And each test of the file is in the table.
sed -n 's/^	T(\([a-z0-9_]*\)),$/\1/p' $table | while read -r name; do
	printf '%s\n' "$tests" | grep -qx "unit/claims.c $name" ||
		fail "$name is not in the table"
done
