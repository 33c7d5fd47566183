# headers.sh - each public header alone is C99, C11, C17, C++11 and C++17, has
# no hidden padding, and speaks only what every FFI understands; and the core is
# C++ as well. What a compiler that is not here would check is skipped aloud.
set -u
CC=${CC:-cc}
CXX=${CXX:-g++}
headers="include/pipemaze.h include/pipemaze/*.h"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
status=0

have() { command -v "${1%% *}" >/dev/null 2>&1; }

# The names of the compilers that are here, and each program only once.
present() {
	seen=
	for name; do
		if ! have "$name"; then
			echo "headers: skip $name: not here" >&2
			continue
		fi
		path=$(readlink -f "$(command -v "${name%% *}")")
		case " $seen " in *" $path "*) continue ;; esac
		seen="$seen $path"
		echo "$name"
	done
}

# The first line of what the compiler has to say names the file and place.
quietly() { # CLAIM COMMAND...
	claim=$1
	shift
	"$@" >"$work/said" 2>&1 && return
	echo "headers: $claim: $(grep -m 1 -E 'error|warning' "$work/said" ||
		head -n 1 "$work/said")"
	status=1
}

compile() { # COMPILER LANGUAGE STANDARD [FLAG...] FILE...
	compiler=$1 language=$2 standard=$3
	shift 3
	quietly "no $standard for $compiler" $compiler -x "$language" \
		-std="$standard" -Wall -Wextra -Wpedantic -Werror \
		-fsyntax-only -Iinclude "$@"
}

for header in $headers; do
	echo "#include <${header#include/}>"
done >"$work/all.h"

# Each alone for the first compiler; for others, slow to start, all in one.
present "$CC" gcc clang >"$work/cc" 2>"$work/skipped"
present "$CXX" g++ clang++ >"$work/cxx" 2>>"$work/skipped"
sort -u "$work/skipped"

files=$headers
while read -r compiler; do
	for standard in c99 c11 c17; do
		compile "$compiler" c $standard -Wpadded $files
	done
	files=$work/all.h
done <"$work/cc"
files=$headers
while read -r compiler; do
	for standard in c++11 c++17; do
		compile "$compiler" c++ $standard $files
	done
	[ "$files" = "$headers" ] &&
		quietly "the core is no C++17" $compiler -x c++ -std=c++17 \
			-fsyntax-only -Iinclude -Ilib lib/base/*.c lib/core/*.c
	files=$work/all.h
done <"$work/cxx"

# 32 bits without that system's headers: freestanding brings all we include. Of
# its two ABIs one aligns 64-bit words to 4 bytes, and the other, as ARM, to 8.
: >"$work/empty.h"
for align in "" -malign-double; do
	narrow="$CC -m32 $align -ffreestanding"
	if $narrow -x c -fsyntax-only "$work/empty.h" 2>/dev/null; then
		compile "$narrow" c c11 -Wpadded "$work/all.h"
	else
		echo "headers: skip 32 bits: no $narrow here"
	fi
done

cat >"$work/words.awk" <<'AWK'
function bad(what) {
	print "headers: " FILENAME ":" FNR ": " what
	wrong = 1
}
FNR == 1 { inside = 0 }
{
	gsub(/"([^"\\]|\\.)*"/, "\"\"")
	code = ""
	rest = $0
	while (rest != "") {
		at = index(rest, inside ? "*/" : "/*")
		if (!inside)
			code = code (at ? substr(rest, 1, at - 1) " " : rest)
		if (!at)
			break
		rest = substr(rest, at + 2)
		inside = !inside
	}
	words = " " code " "
	gsub(/[^A-Za-z0-9_]+/, " ", words)
	n = split("long bool _Bool _Atomic inline static va_list __int128 " \
		  "float double", banned, " ")
	for (i = 1; i <= n; i++)
		if (index(words, " " banned[i] " "))
			bad(banned[i])
	if (code ~ /\.\.\./)
		bad("varargs")
	if (code ~ /[A-Za-z0-9_][ \t]*:[ \t]*[0-9A-Z_]+[ \t]*[;,]/)
		bad("bit-field")
}
END { exit wrong }
AWK
awk -f "$work/words.awk" $headers || status=1
exit $status
