# install.sh - what `make install` puts down is enough for a program that knows
# pkg-config alone, and `make uninstall` takes all of it away; and without the
# optional parts the library needs libc and nothing else.
set -u
export LC_ALL=C
built=${B:-build}
CC=${CC:-cc}
MAKE=${MAKE:-make}
# An outer make's flags, and a packager's environment, are not this test's.
unset MAKEFLAGS MAKELEVEL MFLAGS B EXTRA REDIS KETAMA DESTDIR CFLAGS CPPFLAGS \
	LDFLAGS PREFIX prefix exec_prefix libdir includedir datarootdir mandir
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
root=$work/root
prefix=/opt/pipe
lib=$root$prefix/lib

fail() { echo "install: $1"; exit 1; }
run() { # WHAT COMMAND...
	what=$1
	shift
	"$@" >"$work/said" 2>&1 && return
	cat "$work/said"
	fail "$what failed"
}
build() { # TREE VARIABLE-OR-TARGET...
	tree=$1
	shift
	$MAKE CC="$CC" CFLAGS=-O0 B="$work/$tree" "$@"
}
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
packaged() { # PKG-CONFIG-OPTION...
	PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$lib/pkgconfig \
		pkg-config "$@" pipemaze
}

# From the objects that are there, to save time. Built first for one prefix and
# then installed to another, as people do.
mkdir "$work/full"
[ -d "$built/lib" ] && cp -pR "$built/lib" "$work/full"
run "make" build full
run "make install" build full install DESTDIR="$root" prefix=$prefix
named=$(sed -n 's/^prefix=//p' "$lib/pkgconfig/pipemaze.pc")
[ "$named" = "$prefix" ] ||
	fail "pipemaze.pc names $named, installed was to $prefix"

soname=$(readelf -d "$lib/libpipemaze.so" |
	sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
[ "$soname" = libpipemaze.so.0 ] || fail "the SONAME is $soname"

cat >"$work/user.c" <<'C'
#include <pipemaze.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
	pmz_pipe *pipe;
	pmz_why why;
	pmz_call call;

	if (pmz_pipe_from(&pipe, "bulkhead 1 | tries 2", NULL, &why))
		return puts(why.text);
	if (pmz_call_begin(&call, pipe, NULL, 1) != PMZ_TRY)
		return puts("no try");
	pmz_call_cancel(&call, 2);
	pmz_pipe_free(pipe);
	return strcmp(pmz_version(), PMZ_VERSION);
}
C
run "linking by pkg-config" $CC -Wall -Werror -o "$work/dynamic" \
	"$work/user.c" $(packaged --cflags --libs)
run "the program so linked" env LD_LIBRARY_PATH="$lib" "$work/dynamic"
needed "$work/dynamic" | grep -qx libpipemaze.so.0 ||
	fail "a program does not ask for libpipemaze.so.0"

run "linking by pkg-config --static" $CC -static -o "$work/static" \
	"$work/user.c" $(packaged --static --cflags --libs)
run "the program linked statically" "$work/static"
[ -z "$(needed "$work/static")" ] || fail "-static left libraries to load"

run "make uninstall" build full uninstall DESTDIR="$root" prefix=$prefix
left=$(cd "$root" && find . ! -type d -o -name 'pipemaze*' | head -n 1)
[ -z "$left" ] || fail "make uninstall left ${left#.}"

run "make REDIS=0 KETAMA=0" build small REDIS=0 KETAMA=0
for name in $(needed "$work/small/libpipemaze.so"); do
	case $name in
	libc.so.* | libc.musl-* | libpthread.so.* | ld-linux*) ;;
	*) fail "built with REDIS=0 KETAMA=0 it needs $name" ;;
	esac
done
