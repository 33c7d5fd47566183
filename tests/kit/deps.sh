# deps.sh build|all - installs what the build and its tests need, or what
# check-all needs besides. Quick and silent when all is there.
set -u

have_command() { command -v "$1" >/dev/null 2>&1; }
have_header() {
	for dir in /usr/include /usr/local/include /opt/homebrew/include; do
		[ -e "$dir/$1" ] && return 0
	done
	return 1
}

# clang's own runtime, which its package only recommends.
have_runtime() {
	have_command clang &&
		[ -e "$(clang -print-file-name="libclang_rt.$1-$(uname -m).a")" ]
}

missing=
need() { # command|header|runtime NAME DEBIAN-PACKAGE
	"have_$1" "$2" || case " $missing " in
	*" $3 "*) ;;
	*) missing="$missing $3" ;;
	esac
}

need command cc gcc
need header stdio.h libc6-dev
need command ar binutils
need command pkg-config pkg-config
need command python3 python3
need header xxhash.h libxxhash-dev
need header md5.h libmd-dev
need header hiredis/hiredis.h libhiredis-dev
need command redis-server redis-server
need header cmocka.h libcmocka-dev
need header check.h check
if [ "$1" = all ]; then
	need command clang clang
	need command g++ g++
	need runtime fuzzer libclang-rt-dev
	need header valgrind/callgrind.h valgrind
	need command gcovr gcovr
	need header relacy/relacy.hpp relacy-dev
	need header event2/event.h libevent-dev
	need header libmemcached/memcached.h libmemcached-dev
fi
[ -z "$missing" ] && exit 0

if ! have_command apt-get; then
	cat >&2 <<-TXT
	make deps installs by apt, which is not here. Missing, by Debian's names:$missing
	Fedora: gcc glibc-devel pkgconf python3 xxhash-devel libmd-devel hiredis-devel redis libcmocka-devel check-devel (all: clang compiler-rt gcc-c++ valgrind-devel libevent-devel libmemcached-devel)
	Alpine: build-base pkgconf python3 xxhash-dev libmd-dev hiredis-dev redis cmocka-dev check-dev (all: clang compiler-rt g++ valgrind-dev libevent-dev libmemcached-dev)
	macOS:  brew install pkgconf xxhash libmd hiredis redis cmocka check (all: Xcode's tools have clang)
	TXT
	exit 1
fi

as_root=
if [ "$(id -u)" != 0 ]; then
	have_command sudo || { echo "make deps needs root or sudo to install:$missing" >&2; exit 1; }
	as_root=sudo
fi
echo "make deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
install() { $as_root apt-get install -y --no-install-recommends $missing; }
$as_root apt-get update -q >/dev/null && install >/dev/null || {
	echo "make deps: apt could not install$missing" >&2
	exit 1
}
