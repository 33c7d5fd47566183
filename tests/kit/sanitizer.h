/*
 * sanitizer.h - what a test cannot do under a sanitizer.
 *
 * A thread sanitizer takes no fork of a process with threads, and hands on a
 * signal no sooner than a call of the C library is made. The allocator of an
 * address sanitizer may be locked in the child of such a fork.
 */
#ifndef KIT_SANITIZER_H
#define KIT_SANITIZER_H

#if defined(__SANITIZE_THREAD__)
#define KIT_HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KIT_HAS_TSAN 1
#endif
#endif

#ifndef KIT_HAS_TSAN
#define KIT_HAS_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define KIT_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KIT_HAS_ASAN 1
#endif
#endif

#ifndef KIT_HAS_ASAN
#define KIT_HAS_ASAN 0
#endif

#endif
