/*
 * must.h - what libcheck's assertions say, for a million times in one test.
 *
 * ck_assert() marks its place with a system call each time that it holds; this
 * costs a comparison.
 */
#ifndef KIT_MUST_H
#define KIT_MUST_H

#include <check.h>

#define must(claim, ...)                           \
	do {                                       \
		if (!(claim))                      \
			ck_abort_msg(__VA_ARGS__); \
	} while (0)

#define must_be(got, want)                                                   \
	do {                                                                 \
		long long got_ = (long long)(got);                           \
		long long want_ = (long long)(want);                         \
		must(got_ == want_, #got " is %lld, not %lld", got_, want_); \
	} while (0)

/* Not more than that, as numbers without a sign. */
#define must_fit(got, most)                                                    \
	do {                                                                   \
		unsigned long long got_ = (got), most_ = (most);               \
		must(got_ <= most_, #got " is %llu, above %llu", got_, most_); \
	} while (0)

#endif
