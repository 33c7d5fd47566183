# run.sh - gets the peers, builds a harness in each language, and measures.
#
# `make bench-peers` sets B, CC and CFLAGS, and ROW for a part of a row's name.
# What is not to be had on this machine is skipped aloud.
set -u
here=tests/bench/peers
lib=$(cd "$B" && pwd)
out=$lib/peers
crates=/usr/share/cargo/registry
guava=/usr/share/java/guava.jar
python=/usr/bin/python3 # Debian's, where Debian's packages are
export CARGO_HOME="$out/cargo" GOCACHE="$out/go-cache"

build_c() {
	memcached=
	[ -e /usr/include/libmemcached/memcached.h ] && memcached=1
	${CC:-cc} -Iinclude -Itests/kit -D_GNU_SOURCE -std=c11 -pthread \
		${CFLAGS:--O2} ${memcached:+-DHAVE_LIBMEMCACHED} \
		-o "$out/harness" $here/*.c tests/bench/calls.c \
		tests/bench/lanes.c tests/kit/redis.c -L"$lib" \
		-Wl,-rpath,"$lib" -lpipemaze ${memcached:+-lmemcached}
	[ "$memcached" ] || echo "skip libmemcached: it is not here" >&3
}

build_go() {
	GO111MODULE=off GOPATH=/usr/share/gocode \
		go build -o "$out/go" $here/peers.go
}

build_java() {
	javac -cp $guava -d "$out/java" $here/Peers.java
}

build_node() {
	node --version && cp $here/peers.mjs "$out/node"
}

# From Debian's folder of crates: nothing is downloaded.
build_rust() {
	cp $here/Cargo.toml $here/peers.rs "$out/rust" && cd "$out/rust" &&
		cargo build --release --offline \
			--config 'source.crates-io.replace-with="debian"' \
			--config "source.debian.directory=\"$crates\""
}

build_python() {
	$python --version
}

# The commands of drive.py become this script's own arguments.
build() { # NAME: 0 if it is there now
	(build_"$1") >"$out/$1.log" 2>&1 && return
	echo "skip the peers in $1: $(tail -n 1 "$out/$1.log")"
	return 1
}

if [ "$(uname)" != Linux ]; then
	echo "skip bench-peers: it pins threads as Linux does"
	exit 0
fi
mkdir -p "$out/java" "$out/rust" "$out/node"
sh $here/install.sh "$out"
exec 3>&1
build c || exit 1
set -- "$out/harness"
build go && set -- "$@" "$out/go"
build java && set -- "$@" "java -cp $guava:$out/java Peers"
build node && set -- "$@" "node $out/node/peers.mjs"
build rust && set -- "$@" "$out/rust/target/release/peers"
build python && set -- "$@" "$python $here/peers.py"
# -B: nothing is to be written here.
exec timeout 500 python3 -B $here/drive.py "$B/bench-peers.html" \
	"$out/versions" "$@"
