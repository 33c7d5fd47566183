/*
 * scripts.c - the part of the protocol that runs inside the server.
 *
 * Each script answers one line of text, so that a client needs to know no more
 * of a reply than its bytes. All keys of a call share their cluster slot. A
 * number of 16 digits is written by %.0f, since Lua's own form has 14. What a
 * foreign client left under a key may have any type: pcall turns the error of a
 * GET into a table, which is no token and no number; to MGET it is not there.
 */
#include "lock/scripts.h"

#include <stddef.h>

/* KEYS lock tomb [fence]; ARGV token ttl_ms [keep_ms]. "CODE FENCE PTTL", CODE
 * 1 granted, 2 already this token's, 0 another's, -1 abandoned before, -2 no
 * string. The SET comes first: without contention it is the whole answer. */
static const char acquire[] =
	"local call=redis.call\n"
	"if call('SET',KEYS[1],ARGV[1],'NX','PX',ARGV[2]) then\n"
	" local m=call('MGET',KEYS[2],KEYS[3] or KEYS[2])\n"
	" if m[1] then\n"
	"  call('DEL',KEYS[1])\n"
	"  return '-1 0 0'\n"
	" end\n"
	" if not KEYS[3] then return '1 0 0' end\n"
	" local t=call('TIME')\n"
	" local f=t[1]*1000000+t[2]\n"
	" local last=tonumber(m[2] or 0) or 0\n"
	" if f<=last then f=last+1 end\n"
	" f=string.format('%.0f',f)\n"
	" call('SET',KEYS[3],f,'PX',ARGV[3])\n"
	" return '1 '..f..' 0'\n"
	"end\n"
	"local v=redis.pcall('GET',KEYS[1])\n"
	"if type(v)=='table' then return '-2 0 0' end\n"
	"local left=call('PTTL',KEYS[1])\n"
	"if v~=ARGV[1] then return '0 0 '..left end\n"
	"if left>=0 and left<tonumber(ARGV[2]) then\n"
	" call('PEXPIRE',KEYS[1],ARGV[2])\n"
	"end\n"
	"local f=KEYS[3] and tonumber(redis.pcall('GET',KEYS[3])) or 0\n"
	"return '2 '..string.format('%.0f',f)..' 0'\n";

/* KEYS lock fence; ARGV token fence keep_ms. 1, or 0 if it is not held. */
static const char raise[] =
	"if redis.pcall('GET',KEYS[1])~=ARGV[1] then return '0' end\n"
	"local last=tonumber(redis.pcall('GET',KEYS[2])) or 0\n"
	"if last<tonumber(ARGV[2]) then\n"
	" redis.call('SET',KEYS[2],ARGV[2],'PX',ARGV[3])\n"
	"end\n"
	"return '1'\n";

/* KEYS lock; ARGV token ttl_ms. 1, 0 if it is gone, -1 if it is another's. */
static const char extend[] =
	"local v=redis.pcall('GET',KEYS[1])\n"
	"if v~=ARGV[1] then return v and '-1' or '0' end\n"
	"if redis.call('PTTL',KEYS[1])<tonumber(ARGV[2]) then\n"
	" redis.call('PEXPIRE',KEYS[1],ARGV[2])\n"
	"end\n"
	"return '1'\n";

/* KEYS lock [tomb]; ARGV token [tomb_ms]. As extend. A server without memory
 * for the tombstone still lets go of the lock. */
static const char release[] =
	"if KEYS[2] then redis.pcall('SET',KEYS[2],'1','PX',ARGV[2]) end\n"
	"local v=redis.pcall('GET',KEYS[1])\n"
	"if v~=ARGV[1] then return v and '-1' or '0' end\n"
	"redis.call('DEL',KEYS[1])\n"
	"return '1'\n";

/* KEYS lock fence. "CODE PTTL FENCE TOKEN", CODE 1, 0 for none, -2. */
static const char peek[] =
	"local v=redis.pcall('GET',KEYS[1])\n"
	"if not v then return '0 0 0 ' end\n"
	"if type(v)=='table' then return '-2 0 0 ' end\n"
	"local f=tonumber(redis.pcall('GET',KEYS[2])) or 0\n"
	"return '1 '..redis.call('PTTL',KEYS[1])\n"
	" ..string.format(' %.0f ',f)..v\n";

static const struct {
	const char *text, *sha;
} scripts[] = {
	[PMZ_LOCK_ACQUIRE] = { acquire, "a41c892ddd27af45e5801000a51e9927a307b3b4" },
	[PMZ_LOCK_RAISE] = { raise, "1b85339b3a3bb8bad669b2b7668812509cca7b3f" },
	[PMZ_LOCK_EXTEND] = { extend, "8cfc33f45193edae4ba99c890477acc6838a8828" },
	[PMZ_LOCK_RELEASE] = { release, "3d9d813b68bec613ff857b942ede30e884a2ee95" },
	[PMZ_LOCK_ABANDON] = { release, "3d9d813b68bec613ff857b942ede30e884a2ee95" },
	[PMZ_LOCK_PEEK] = { peek, "e1713fe116afde9212504573c73b22a26dde23ea" },
};

const char *pmz_lock_script(uint32_t verb)
{
	return verb <= PMZ_LOCK_PEEK ? scripts[verb].text : NULL;
}

const char *pmz_lock_script_sha(uint32_t verb)
{
	return verb <= PMZ_LOCK_PEEK ? scripts[verb].sha : NULL;
}
