/*
 * search.cc - the lock-free sources of lib/core under Relacy, which runs the
 * threads of a check as fibers and decides at each atomic access who goes on,
 * and which of the values that the C11 order allows a load returns.
 *
 * How the mapping works
 *
 * The C sources are compiled as they are. atomic.h stands in front of each and
 * sends its accesses here, with their orders. A word keeps its 8 or 4 bytes in
 * its struct, so that sizes, opaque[] words and placement are those of the
 * library; what it holds is in a rl::atomic<uint64_t> beside it, which a word
 * gets at its first access. All of these exist, at zero, before the threads
 * start, as does all memory: pmz__alloc() is here too, and hands out one block
 * after the other of an arena, never one twice. So each word must be zero in
 * memory when it is first seen, which is what the library promises of its
 * objects, and a word of a freed block is known for what it is.
 *
 * Relacy sees no accesses but these. Where plain memory is ordered by words, a
 * check says so by read_plain() and write_plain(). It does not move accesses
 * past each other; a weak order shows in loads that return an older value: one
 * step older in a full search, up to two in a random one.
 *
 * A full search tries everything. A bounded one tries everything with so many
 * preemptions, where each load returns the newest value. A random one tries as
 * many as its line says, seeded by number, so that each run is the same; how
 * often threads change is drawn anew for each. A failure prints its history.
 *
 * Exit status: 0, all claims hold; 1, one does not; 2, the search itself broke.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <streambuf>

#include <relacy/relacy.hpp>

#include "atomic.h"
#include "search.h"

extern "C" {
#include "base/alloc.h"
}

namespace
{

const size_t ARENA_SIZE = 1 << 18;
const size_t WORD_SIZE = sizeof(uint32_t); /* the least there is */
const unsigned ATOMS_MAX = 2048;
const unsigned STEPS_MAX = 8000; /* of one interleaving: it goes on for ever */
const uint16_t UNSEEN = 0, DEAD = UINT16_MAX;

typedef rl::atomic<uint64_t> atom;
typedef rl::var<unsigned> plain;

struct block {
	alignas(PMZ__CACHE_LINE) size_t size;
};

alignas(PMZ__CACHE_LINE) unsigned char arena[ARENA_SIZE];
size_t arena_used;
uint16_t atom_at[ARENA_SIZE / WORD_SIZE]; /* 1 + its number */
alignas(atom) unsigned char atom_memory[ATOMS_MAX * sizeof(atom)];
atom *const atoms = reinterpret_cast<atom *>(atom_memory);
alignas(plain) unsigned char plain_memory[PLAIN_MAX * sizeof(plain)];
plain *const plains = reinterpret_cast<plain *>(plain_memory);
unsigned words_used;
unsigned stay; /* so many accesses, on average */
const struct check *current;

[[noreturn]] void broken(const char *why)
{
	std::fprintf(stderr, "search.cc: %s\n", why);
	std::_Exit(2);
}

rl::debug_info info_of(relacy_site at)
{
	return rl::debug_info(at.function, at.file, at.line);
}

void fail(const char *what, relacy_site at)
{
	rl::ctx().fail_test(what, rl::test_result_user_assert_failed,
	                    info_of(at));
}

rl::memory_order order_of(int order)
{
	switch (order) {
	case PMZ__RELAXED:
		return rl::mo_relaxed;
	case PMZ__ACQUIRE:
		return rl::mo_acquire;
	case PMZ__RELEASE:
		return rl::mo_release;
	case PMZ__ACQ_REL:
		return rl::mo_acq_rel;
	default:
		broken("an order that atomic.h does not have");
	}
}

atom &atom_of(const void *word, relacy_site at)
{
	size_t offset = static_cast<size_t>(
		static_cast<const unsigned char *>(word) - arena);

	if (offset >= arena_used)
		broken("a word outside of what pmz__alloc() gave");
	uint16_t &number = atom_at[offset / WORD_SIZE];
	if (number == DEAD)
		fail("a word of freed memory", at);
	if (number == UNSEEN) {
		uint32_t held;

		std::memcpy(&held, word, sizeof(held));
		if (held)
			broken("a word that is not zero at first");
		if (words_used == words_max)
			broken("more words than words_max");
		number = static_cast<uint16_t>(++words_used);
	}
	return atoms[number - 1];
}

/* While it lives no other thread may go on: of an access, which would otherwise
 * begin with a choice. In a random search that would be a new choice each time,
 * and no thread would ever fall far behind. */
struct run_on {
	const bool is_on;

	run_on() : is_on(current->search == RANDOM && rl::rand(stay))
	{
		if (is_on)
			rl::ctx().disable_preemption();
	}

	~run_on()
	{
		if (is_on)
			rl::ctx().enable_preemption();
	}
};

template <int THREADS> struct suite : rl::test_suite<suite<THREADS>, THREADS> {
	void before()
	{
		unsigned i;

		std::memset(atom_at, 0,
		            arena_used / WORD_SIZE * sizeof(*atom_at));
		arena_used = 0;
		words_used = 0;
		for (i = 0; i < words_max; i++)
			new (&atoms[i]) atom(0);
		for (i = 0; i < PLAIN_MAX; i++)
			new (&plains[i]) plain(0);
		stay = 1;
		if (current->search == RANDOM)
			stay <<= 2 * rl::rand(4);
		current->before();
	}

	void thread(unsigned number)
	{
		current->thread(number);
	}

	void after()
	{
		unsigned i;

		current->after();
		for (i = 0; i < words_max; i++)
			atoms[i].~atom();
		for (i = 0; i < PLAIN_MAX; i++)
			plains[i].~plain();
	}
};

/* A stream that keeps what fits, and allocates nothing: within an interleaving
 * the allocator is Relacy's. */
struct memo : std::streambuf {
	char text[1 << 20];

	void begin()
	{
		setp(text, text + sizeof(text));
	}

	int overflow(int c)
	{
		return c;
	}

	/* What the threads did, in order; Relacy then repeats it by thread. */
	void print()
	{
		*(pptr() < epptr() ? pptr() : epptr() - 1) = '\0';
		char *begin = std::strstr(text, "[BEFORE END]");
		char *end = std::strstr(text, "\nthread 0:");

		if (end)
			*end = '\0';
		std::puts(begin ? std::strchr(begin, '\n') : text);
	}
};

rl::scheduler_type_e scheduler_of(enum search search)
{
	switch (search) {
	case FULL:
		return rl::sched_full;
	case BOUND:
		return rl::sched_bound;
	default:
		return rl::sched_random;
	}
}

void say(const struct check *c, const rl::test_params &params)
{
	unsigned long tried = static_cast<unsigned long>(params.stop_iteration);

	std::printf("%s: ", c->claim);
	if (params.test_result != rl::test_result_success)
		std::printf("FAILED at interleaving %lu\n", tried);
	else if (c->search == FULL)
		std::printf("in all %lu interleavings\n", tried);
	else if (c->search == BOUND)
		std::printf(
			"in all %lu with %lu preemptions, all loads fresh\n",
			tried, c->limit);
	else
		std::printf("in %lu at random, seeds 1 to %lu\n", tried, tried);
	std::fflush(stdout);
}

/* Whether the claim holds. */
int holds(const struct check *c)
{
	static memo progress, history;
	std::ostream progress_stream(&progress), history_stream(&history);
	rl::test_params params;
	int success;

	current = c;
	progress.begin();
	history.begin();
	params.search_type = scheduler_of(c->search);
	params.context_bound = static_cast<unsigned>(c->limit);
	params.iteration_count = c->limit;
	params.execution_depth_limit = STEPS_MAX;
	params.progress_stream = &progress_stream;
	params.output_stream = &history_stream;
	success = c->threads == 2 ? rl::simulate<suite<2>>(params)
	                          : rl::simulate<suite<3>>(params);
	say(c, params);
	if (!success)
		history.print();
	return success;
}

} // namespace

uint64_t relacy_load(const void *word, int order, relacy_site at)
{
	const run_on access;

	if (current->search == BOUND)
		return atom_of(word, at).rmw(rl::rmw_type_t<rl::rmw_type_add>(),
		                             0, order_of(order), info_of(at));
	return atom_of(word, at).load(order_of(order), info_of(at));
}

void relacy_store(void *word, uint64_t value, int order, relacy_site at)
{
	const run_on access;

	atom_of(word, at).store(value, order_of(order), info_of(at));
}

uint64_t relacy_add(void *word, uint64_t value, int order, relacy_site at)
{
	const run_on access;

	return atom_of(word, at).rmw(rl::rmw_type_t<rl::rmw_type_add>(), value,
	                             order_of(order), info_of(at));
}

uint64_t relacy_swap(void *word, uint64_t value, int order, relacy_site at)
{
	const run_on access;

	return atom_of(word, at).rmw(rl::rmw_type_t<rl::rmw_type_swap>(), value,
	                             order_of(order), info_of(at));
}

uint64_t relacy_cas(void *word, uint64_t expected, uint64_t desired, int order,
                    int on_failure, relacy_site at)
{
	const run_on access;

	atom_of(word, at).compare_exchange(rl::bool_t<false>(), expected,
	                                   desired, order_of(order),
	                                   order_of(on_failure), info_of(at));
	return expected;
}

void relacy_yield(relacy_site at)
{
	rl::yield(1, info_of(at));
}

void must(int holds, const char *what)
{
	const relacy_site at = { "", "", 0 };

	if (!holds)
		fail(what, at);
}

void read_plain(unsigned number)
{
	(void)plains[number](rl::debug_info("read_plain")).load();
}

void write_plain(unsigned number)
{
	plains[number](rl::debug_info("write_plain")).store(0);
}

void *pmz__alloc(size_t size)
{
	block *b = reinterpret_cast<block *>(arena + arena_used);

	size = (size + PMZ__CACHE_LINE - 1) / PMZ__CACHE_LINE * PMZ__CACHE_LINE;
	if (size > ARENA_SIZE || ARENA_SIZE - size < arena_used + sizeof(*b))
		broken("more memory than ARENA_SIZE");
	arena_used += sizeof(*b) + size;
	std::memset(static_cast<void *>(b), 0, sizeof(*b) + size);
	b->size = size;
	return b + 1;
}

void pmz__free(void *memory)
{
	if (!memory)
		return;
	block *b = static_cast<block *>(memory) - 1;
	size_t first = static_cast<size_t>(
			       static_cast<unsigned char *>(memory) - arena) /
	               WORD_SIZE;
	size_t i;

	for (i = 0; i < b->size / WORD_SIZE; i++)
		atom_at[first + i] = DEAD;
}

/* With an argument, of a mutant: up to the first claim that does not hold. */
int main(int argc, char **)
{
	size_t i;
	int status = 0;

	for (i = 0; i < checks_count && (argc == 1 || !status); i++)
		if (!holds(&checks[i]))
			status = 1;
	return status;
}
