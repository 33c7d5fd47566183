# install.sh FOLDER - gets the peers: Debian's by apt, those of npm into
# FOLDER/node. Says what it installs, and does nothing when all is there. What
# cannot be had is no error: run.sh skips it. FOLDER/versions tells what is.
set -u
npm_folder=$1/node
here=$(dirname "$0")

wanted=
missing=
need() { # FOUND PACKAGE, where FOUND is a file's pattern, or a command's name
	wanted="$wanted $2"
	case $1 in
	/*) for file in $1; do [ -e "$file" ] && return; done ;;
	*) command -v "$1" >/dev/null 2>&1 && return ;;
	esac
	missing="$missing $2"
}

python=/usr/lib/python3/dist-packages
need redis-server redis-server
need pkg-config pkg-config
need /usr/include/libmemcached/memcached.h libmemcached-dev
need go golang-go
need /usr/share/gocode/src/golang.org/x/time golang-golang-x-time-dev
need /usr/share/gocode/src/golang.org/x/sync golang-golang-x-sync-dev
need /usr/share/gocode/src/github.com/juju/ratelimit \
	golang-github-juju-ratelimit-dev
need /usr/share/gocode/src/github.com/cenkalti/backoff \
	golang-github-cenkalti-backoff-dev
need /usr/share/gocode/src/github.com/golang/groupcache \
	golang-github-golang-groupcache-dev
need javac default-jdk-headless
need /usr/share/java/guava.jar libguava-java
need cargo cargo
need '/usr/share/cargo/registry/tower-0*' librust-tower-dev
need '/usr/share/cargo/registry/tokio-1*' librust-tokio-dev
need $python/uhashring python3-uhashring
need $python/limits python3-limits
need $python/redis python3-redis
need $python/circuitbreaker.py python3-circuitbreaker
need node nodejs
need npm npm

as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
apt_install() {
	$as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -qq --no-install-recommends "$@" >/dev/null
}

if [ -n "$missing" ]; then
	echo "make bench-peers: installing$missing"
	command -v apt-get >/dev/null && $as_root apt-get update -q >/dev/null
	# One by one if not together, so that one bad name costs no other.
	apt_install $missing 2>/dev/null || for package in $missing; do
		apt_install "$package" || echo "no $package" >&2
	done
fi

mkdir -p "$npm_folder"
if ! cmp -s "$here/package.json" "$npm_folder/package.json" &&
	command -v npm >/dev/null; then
	echo "make bench-peers: installing what $here/package.json names"
	cp "$here/package.json" "$npm_folder" &&
		(cd "$npm_folder" && npm install --silent --no-audit --no-fund \
			--ignore-scripts >/dev/null) ||
		rm -f "$npm_folder/package.json"
fi

say_versions() {
	for tool in 'cc --version' 'go version' 'javac --version' \
		'node --version' 'rustc --version'; do
		echo "${tool%% *}: $($tool | head -n 1)"
	done
	dpkg-query -W -f '${Package} ${Version}\n' libc6 $wanted
	sed -n 's/^    "\(.*\)": "\(.*\)".*/\1 \2/p' "$npm_folder/package.json"
}
# What is not there has none.
say_versions 2>/dev/null | grep -v ' $' >"$1/versions"
exit 0
