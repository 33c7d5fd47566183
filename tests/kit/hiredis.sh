# hiredis.sh FOLDER - hiredis as Debian 13 has it, newer than Debian 12's, built
# from its source package as FOLDER/hiredis/libhiredis.so. Where it cannot be had
# it says so, and there is none. The machine's own packages stay as they are.
set -u
from=http://deb.debian.org/debian
suite=trixie
keys=/usr/share/keyrings/debian-archive-keyring.gpg

[ -e "$1/hiredis/libhiredis.so" ] && exit 0
mkdir -p "$1/lists/partial" "$1/cache/archives/partial" || exit 1
cd "$1" || exit 1

skip() {
	echo "skip: Debian 13's hiredis: $1"
	exit 0
}

apt() {
	apt-get -qq -o Dir::Etc::SourceList="$PWD/sources" \
		-o Dir::Etc::SourceParts=- -o Dir::State::Lists="$PWD/lists" \
		-o Dir::Cache="$PWD/cache" -o APT::Sandbox::User= \
		-o Acquire::http::Timeout=20 "$@" >said 2>&1
}

command -v apt-get >/dev/null || skip "no apt-get here"
echo "deb-src [signed-by=$keys] $from $suite main" >sources
apt update && apt --download-only source hiredis ||
	skip "$(tail -n 1 said)"

mkdir -p hiredis && tar -xf hiredis_*.orig.tar.gz -C hiredis \
	--strip-components=1 && make -s -C hiredis libhiredis.so CFLAGS=-w || exit 1
soname=$(readelf -d hiredis/libhiredis.so | sed -n 's/.*soname: \[\(.*\)\]/\1/p')
ln -sf libhiredis.so "hiredis/$soname"
echo "built Debian 13's hiredis: $soname"
