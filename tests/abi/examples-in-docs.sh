# examples-in-docs.sh - the examples of the documentation compile without a
# warning, and run.
#
# An example is a fence that opens with ```c in README.md, or in a header's
# first comment a block of lines indented by three or more, without an empty
# one, if a line of it ends in `;` (a diagram's does not). There, what follows a
# `;` and two spaces is a remark. It may be
#
#   a program with a main(), which runs and ends with 0;
#   functions, with their braces in the first column, of which get(url, &why)
#   runs if it is there; or
#   statements, which are a function's body, run often and must leak nothing.
#
# The last two find in prelude.h what they name and do not declare; it knows by
# IN_breaker and the like whose example it is.
set -u
B=${B:-build}
CC=${CC:-cc}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
libs=$(cd "$B" && pwd) || exit 1
status=0

cat >"$work/extract.awk" <<'AWK'
function end_of_block() {
	if (code)
		printf "%s", block >(work "/" ++count ".example")
	block = ""
	code = 0
}
function line_of_block(text) {
	if (block == "")
		block = "#line " FNR " \"" FILENAME "\"\n"
	block = block text "\n"
}
FNR == 1 { end_of_block(); part = "before" }
FILENAME ~ /\.md$/ {
	if (part == "before" && /^```c *$/) {
		part = "inside"
		code = 1
	} else if (part == "inside" && /^```/) {
		part = "before"
		end_of_block()
	} else if (part == "inside")
		line_of_block($0)
	next
}
part == "before" && /^\/\*/ { part = "inside" }
part == "inside" && /\*\// { end_of_block(); part = "after" }
part != "inside" { next }
!/^ \*   / { end_of_block(); next }
{
	text = substr($0, 6)
	if (sub(/;(  .*)?$/, ";", text))
		code = 1
	line_of_block(text)
}
END { end_of_block() }
AWK

# Functions, and what calls the one that can be called.
surround() {
	echo '#include "prelude.h"'
	cat "$1"
	echo 'int example(void) {'
	grep -q '^int get(' "$1" && echo 'must(!get("/", &why), why.text);'
	echo 'return 0; }'
}

# A body, in a function, after what it includes.
wrap() {
	echo '#include "prelude.h"'
	grep '^ *#include' "$1"
	echo 'int example(void) {'
	sed 's/^ *#include.*//' "$1"
	echo 'return 0; }'
}

build() { # FLAG...
	$CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror "$@" \
		-Iinclude -Itests/abi -o "$work/it" "$work/it.c" \
		-L"$libs" -Wl,-rpath,"$libs" -lpipemaze -pthread >"$work/said" 2>&1
}

try() { # EXAMPLE
	calls=
	name=$(sed -n '1s|.*/\(.*\)\.h"|IN_\1|p' "$1")
	grep -qE '(attempt|call_backend|http_429)\(' "$1" && calls=-DCALLS_OUT
	if grep -q '^int main(' "$1"; then
		cp "$1" "$work/it.c"
		build
	elif grep -q '^{' "$1"; then
		surround "$1" >"$work/it.c"
		build -Wno-unused-function
	else
		wrap "$1" >"$work/it.c"
		build $calls -D"${name:-IN_README}"
	fi || return
	timeout 20 "$work/it" >"$work/said" 2>&1 && return
	[ -s "$work/said" ] || echo "does not end, or not well" >"$work/said"
	return 1
}

readme=
[ -e README.md ] && readme=README.md
awk -v work="$work" -f "$work/extract.awk" include/pipemaze/*.h $readme
for example in "$work"/*.example; do
	[ -e "$example" ] || { echo "examples: found none"; exit 1; }
	try "$example" && continue
	where=$(sed -n '1s/#line \([0-9]*\) "\(.*\)"/\2:\1/p' "$example")
	echo "examples: $where: $(grep -m 1 -E 'error|undefined' "$work/said" ||
		head -n 1 "$work/said")"
	status=1
done
exit $status
