# symbols.sh - the ABI. The .so exports the functions of the public headers and
# of pipemaze.map, no more and no less, each in its version; the .a leaks no
# name that is not ours; and the functions, the layout of every public struct
# and the value of every constant are as in golden.txt.
#
#   sh tests/abi/symbols.sh [--update]      --update: write golden.txt anew
#
# A line that goes from golden.txt breaks programs that run; new ones do not.
set -u
export LC_ALL=C
B=${B:-build}
CC=${CC:-cc}
golden=tests/abi/golden.txt
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
status=0

# Each line that only one of two sorted files has, as a sentence.
compare() { # FILE ITS-LINE-IS-ONLY FILE ITS-LINE-IS-ONLY
	{
		comm -23 "$1" "$3" | sed "s|.*|symbols: & is $2|"
		comm -13 "$1" "$3" | sed "s|.*|symbols: & is $4|"
	} >"$work/differ"
	cat "$work/differ"
	[ -s "$work/differ" ] && status=1
}

for header in include/pipemaze/*.h; do
	echo "#include <${header#include/}>"
done >"$work/all.h"
cat >"$work/print.c" <<'C'
#include <stdio.h>
#include "all.h"
#define FUNCTION(name) printf("symbol " #name "\n");
#define ENUM(name) printf("enum " #name " %d\n", (int)name);
#define SIZE(type) printf("sizeof " #type " %zu\n", sizeof(type));
#define FIELD(type, field) \
	printf("offset " #type "." #field " %zu\n", offsetof(type, field));
int main(void)
{
#include "surface.h"
	return 0;
}
C
$CC -E -P -Iinclude -x c "$work/all.h" >"$work/expanded" &&
	awk -f tests/abi/surface.awk "$work/expanded" >"$work/surface.h" &&
	$CC -Iinclude -o "$work/print" "$work/print.c" &&
	"$work/print" | sort >"$work/surface" || exit 1

if [ "${1:-}" = --update ]; then
	cp "$work/surface" $golden
	exit
fi

sed -n 's/^symbol //p' "$work/surface" >"$work/headers"
awk '/^PIPEMAZE_/ { node = $1 }
     /^\tpmz_/ { print substr($1, 1, length($1) - 1) "@@" node }' \
	lib/pipemaze.map | sort >"$work/map"
readelf -W --dyn-syms $B/libpipemaze.so |
	awk '$7 ~ /^([0-9]+|ABS)$/ && $8 !~ /^PIPEMAZE_[0-9.]+$/ { print $8 }' |
	sort >"$work/so"
sed 's/@.*//' "$work/map" >"$work/map-names"

compare "$work/headers" "in a header, but not in pipemaze.map" \
	"$work/map-names" "in pipemaze.map, but PMZ_API in no header"
compare "$work/map" "in pipemaze.map, but not exported by the .so" \
	"$work/so" "exported by the .so, but not so in pipemaze.map"
nm -g --defined-only $B/libpipemaze.a |
	awk 'NF == 3 && $3 !~ /^pmz_/ {
		print "symbols: " $3 " leaks from the .a"
		wrong = 1
	}
	END { exit wrong }' || status=1

# The layouts are those of LP64; a constant is the same everywhere.
kinds='^(symbol|enum|sizeof|offset) '
[ "$(getconf LONG_BIT)" = 64 ] || kinds='^(symbol|enum) '
grep -E "$kinds" $golden >"$work/golden"
grep -E "$kinds" "$work/surface" >"$work/now"
compare "$work/golden" "in golden.txt, but no longer so in the headers" \
	"$work/now" "in the headers, but not in golden.txt: see --update"
exit $status
