# version.h, the symbol map, pipemaze.pc and CHANGELOG.md name one version.
set -u
number() { sed -n "s/^#define PMZ_VERSION_$1 \([0-9]*\)$/\1/p" include/pipemaze/version.h; }
fail() { echo "versions disagree: $1" >&2; exit 1; }

version=$(number MAJOR).$(number MINOR).$(number PATCH)
grep -q "^#define PMZ_VERSION \"$version\"" include/pipemaze/version.h ||
	fail "version.h: PMZ_VERSION is not $version"
newest=$(sed -n 's/^## \[\([0-9.]*\)\].*/\1/p' CHANGELOG.md | head -n 1)
[ "$newest" = "$version" ] ||
	fail "version.h has $version, the newest entry of CHANGELOG.md is $newest"
node=$(sed -n 's/^\(PIPEMAZE_[0-9.]*\) {$/\1/p' lib/pipemaze.map | tail -n 1)
[ "$node" = "PIPEMAZE_$(number MAJOR).$(number MINOR)" ] ||
	fail "version.h has $version, the last node of lib/pipemaze.map is $node"
grep -q '^Version: @VERSION@$' pkgconfig/pipemaze.pc.in ||
	fail "pipemaze.pc.in does not take its version from version.h"
