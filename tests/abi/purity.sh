# purity.sh - what each room of lib/ may reach: redis -> lock -> edge -> core ->
# base, and sim -> core. base, core and sim import a few pure functions of libc
# besides, allocation stands in one file, and nothing is writable and global.
#
# Looked at twice: in the objects of $B by their symbols, and in the sources by
# their #include lines, which also show what the compiler threw away.
set -u
B=${B:-build}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

cat >"$work/rooms.awk" <<'AWK'
BEGIN {
	reach["base"] = " base "
	reach["core"] = " core base "
	reach["sim"] = " sim core base "
	reach["edge"] = " edge core base "
	reach["lock"] = " lock edge core base "
	reach["redis"] = " redis lock edge core base "
	reach["tool"] = " tool "
}
function pure(room) { return room ~ /^(base|core|sim)$/ }
function room_of(path) { split(path, step, "/"); return step[2] }
function may(from, to) { return index(reach[from], " " to " ") > 0 }
function bad(file, what) { print "purity: " file ": " what; wrong = 1 }
AWK

cat >"$work/symbols.awk" <<'AWK'
BEGIN {
	split("memchr memcmp memcpy memmove memset strchr strcmp strcspn " \
	      "strlen strncmp strnlen strspn snprintf vsnprintf " \
	      "MD5Init MD5Update MD5Final", names, " ")
	for (i in names)
		allowed[names[i]] = 1
	# What compilers call of their own accord; bcmp is memcmp to clang.
	helper = "^(_GLOBAL_OFFSET_TABLE_|__assert_fail|__stack_chk_fail|bcmp|" \
		"__(mem|str)[a-z]*_chk|__v?snprintf_chk|" \
		"__u?(div|mod|divmod|mul)[dt]i[34]|__clz[dt]i2|__ctz[dt]i2)$"
}
{
	file = substr($1, 1, length($1) - 1)
	sub(/^.*lib\//, "lib/", file)
	sub(/\.o$/, ".c", file)
}
$3 != "U" && $2 ~ /^pmz_/ { home[$2] = room_of(file) }
$3 ~ /^[UwvV]$/ { uses[++count] = $2; user[count] = file }
function judge(file, name,   room) {
	room = room_of(file)
	if (name ~ /^pmz_/ && !(name in home))
		bad(file, "uses " name ", which no room defines")
	else if (name ~ /^pmz_/ && !may(room, home[name]))
		bad(file, "uses " name " of lib/" home[name])
	else if (name ~ /^pmz_/ || !pure(room) || name in allowed || name ~ helper)
		return
	else if (file != "lib/base/alloc.c" || name !~ /^(aligned_alloc|free)$/)
		bad(file, "imports " name)
}
END {
	for (i = 1; i <= count; i++)
		judge(user[i], uses[i])
	exit wrong
}
AWK

cat >"$work/includes.awk" <<'AWK'
BEGIN {
	public["base"] = public["version"] = "base"
	public["edge"] = "edge"
	public["sim"] = "sim"
	public["lock"] = public["lock_proto"] = "lock"
	public["lock_hiredis"] = "redis"
	system_ok = "^(assert|inttypes|limits|md5|stdarg|stddef|stdint|stdio|string|xxhash)[.]h$"
}
function room_of_public(header) {
	sub(/^pipemaze\//, "", header)
	sub(/\.h$/, "", header)
	return header in public ? public[header] : "core"
}
/^[ \t]*#[ \t]*include/ {
	room = room_of(FILENAME)
	system_wide = /</
	header = $0
	sub(/^[^<"]*[<"]/, "", header)
	sub(/[>"].*$/, "", header)
	here = FILENAME ":" FNR
	if (system_wide && header ~ /^pipemaze(\/|\.h$)/) {
		if (room != "tool" && !may(room, room_of_public(header)))
			bad(here, "includes " header)
	} else if (!system_wide) {
		if (!may(room, substr(header, 1, index(header, "/") - 1)))
			bad(here, "includes " header)
	} else if (pure(room) && header !~ system_ok &&
		   !(FILENAME == "lib/base/alloc.c" && header == "stdlib.h"))
		bad(here, "includes " header)
}
END { exit wrong }
AWK

cat >"$work/state.awk" <<'AWK'
# objdump -t: value, flags and section, a tab, size and name.
/file format/ {
	file = $1
	sub(/^.*lib\//, "lib/", file)
	sub(/\.o:$/, ".c", file)
}
split($0, half, "\t") == 2 {
	n = split(half[1], left, " ")
	m = split(half[2], right, " ")
	section = left[n]
	if (section ~ /^\.data\.rel\.ro/ || right[1] !~ /[1-9a-f]/)
		next
	if (section ~ /^\.t?(data|bss)(\.|$)/ || section == "*COM*")
		bad(file, "has writable state, " right[m] " in " section)
}
END { exit wrong }
AWK

# Built without Redis, of lib/redis there is the door and the notice that nobody
# is in; built with it, all but that notice.
absent=$B/lib/redis/absent.o
left_out() {
	case $1 in
	lib/redis/absent.c) [ ! -e "$absent" ] ;;
	lib/redis/*) [ -e "$absent" ] ;;
	*) false ;;
	esac
}

objects=
for source in lib/base/*.c lib/core/*.c lib/sim/*.c lib/edge/*.c \
		lib/lock/*.c lib/redis/*.c; do
	[ -e "$source" ] || continue
	object=$B/${source%.c}.o
	if [ -e "$object" ]; then
		objects="$objects $object"
	elif ! left_out "$source"; then
		echo "purity: $source: has no object in $B: build first"
		exit 1
	fi
done

status=0
nm -P -A $objects >"$work/nm" && objdump -t $objects >"$work/objdump" || exit 1
awk -f "$work/rooms.awk" -f "$work/symbols.awk" "$work/nm" || status=1
awk -f "$work/rooms.awk" -f "$work/state.awk" "$work/objdump" || status=1
awk -f "$work/rooms.awk" -f "$work/includes.awk" lib/*/*.[ch] || status=1
exit $status
