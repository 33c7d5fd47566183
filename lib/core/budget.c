/*
 * budget.c - retries as a share of the calls.
 *
 * Deposits are the events of a window of ttl_ns and withdrawals its marks, so
 * both are forgotten after the same time, and a withdrawal is one compare-and-
 * swap of the word that holds them all: it is exact. The window's start is read
 * before that word, which then is not older. A refund takes the last withdrawal
 * back, from the total and from the starts of the buckets since.
 *
 * Beside it stands the floor: so many in each second of the caller's clock, in a
 * word that names the second and what was taken in it. It is asked first, as
 * what is not used of it is gone when the second is over.
 */
#include "core/budget.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "core/place.h"
#include "core/window.h"

#define RETRY_PCT 20
#define TTL_NS PMZ_S(10)
#define PER_SECOND_MIN 10

#define LOW_HALF ((uint64_t)UINT32_MAX)
#define HALF ((uint64_t)1 << 31) /* rounds the marks away, below 0 too */

struct pmz_budget {
	pmz__a64 identity;
	pmz__a64 retry_pct; /* the rules: never 0, PMZ_NEVER for none */
	pmz__a64 ttl_ns;
	pmz__a64 bucket_ns;
	pmz__a64 per_second_min;
	pmz__a64 second; /* number << 32 | taken in it */
	uint64_t spare[2];
	pmz__window calls;
};

static int read_config(pmz_budget_config *c, const pmz_budget_config *cfg,
                       pmz_why *why)
{
	int status = pmz__config_read(c, sizeof(*c), cfg, why);

	if (status)
		return status;
	c->size = 0;
	c->retry_pct = pmz__or(c->retry_pct, RETRY_PCT);
	c->ttl_ns = pmz__or_ns(c->ttl_ns, TTL_NS);
	c->per_second_min = pmz__or(c->per_second_min, PER_SECOND_MIN);
	if (c->retry_pct > 100 && c->retry_pct != PMZ_OFF)
		return pmz__bad(why, "retry_pct",
		                "retry_pct is %u, not 1..100 or PMZ_OFF",
		                (unsigned)c->retry_pct);
	if (c->ttl_ns < PMZ__WINDOW_MIN)
		return pmz__bad(why, "ttl_ns", "ttl_ns is under 1 ms");
	if (c->reserved)
		return pmz__bad(why, "reserved", "reserved is not 0");
	return PMZ_OK;
}

static uint64_t or_never(uint32_t value)
{
	return value == PMZ_OFF ? PMZ_NEVER : value;
}

int pmz__budget_check(const pmz_budget_config *cfg, pmz_why *why)
{
	pmz_budget_config c;

	return read_config(&c, cfg, why);
}

size_t pmz_budget_size(const pmz_budget_config *cfg)
{
	return pmz__budget_check(cfg, NULL) ? 0 : sizeof(pmz_budget);
}

int pmz_budget_place(pmz_budget **out, void *mem, size_t len,
                     const pmz_budget_config *cfg, pmz_why *why)
{
	pmz_budget_config c;
	pmz_budget *b = (pmz_budget *)mem;
	int status;

	PMZ__ASSERT(out);
	*out = NULL;
	status = read_config(&c, cfg, why);
	if (status)
		return status;
	status = pmz__place(mem, len, sizeof(*b),
	                    pmz__identity("budget", &c, sizeof(c), sizeof(*b)),
	                    why);
	if (status)
		return status;
	pmz__once(&b->retry_pct, or_never(c.retry_pct));
	pmz__once(&b->ttl_ns, c.ttl_ns);
	pmz__once(&b->bucket_ns, pmz__bucket_of(c.ttl_ns));
	pmz__once(&b->per_second_min, or_never(c.per_second_min));
	*out = b;
	return PMZ_OK;
}

int pmz_budget_new(pmz_budget **out, const pmz_budget_config *cfg, pmz_why *why)
{
	int status;
	void *mem;

	PMZ__ASSERT(out);
	*out = NULL;
	status = pmz__budget_check(cfg, why);
	if (status)
		return status;
	mem = pmz__alloc(sizeof(pmz_budget));
	if (!mem)
		return pmz__why(why, PMZ_E_NOMEM);
	return pmz_budget_place(out, mem, sizeof(pmz_budget), cfg, why);
}

void pmz_budget_free(pmz_budget *b)
{
	pmz__free(b);
}

void pmz__budget_set(pmz_budget *b, const pmz_budget_config *cfg, pmz_ns now)
{
	uint64_t ttl = pmz__load(&b->ttl_ns, PMZ__RELAXED);
	pmz_budget_config c;

	if (read_config(&c, cfg, NULL))
		return;
	pmz__store(&b->retry_pct, or_never(c.retry_pct), PMZ__RELAXED);
	pmz__store(&b->per_second_min, or_never(c.per_second_min),
	           PMZ__RELAXED);
	if (ttl == c.ttl_ns)
		return;
	/* The window first: who goes by a shorter one before would find all of
	 * what there is too old. */
	pmz__window_restart(&b->calls, pmz__bucket_of(ttl), now);
	pmz__store(&b->ttl_ns, c.ttl_ns, PMZ__RELAXED);
	/* Release: pairs with bucket_ns(). */
	pmz__store(&b->bucket_ns, pmz__bucket_of(c.ttl_ns), PMZ__RELEASE);
}

static uint64_t bucket_ns(const pmz_budget *b)
{
	/* Acquire: whoever knows the rule finds the window that goes with it. */
	return pmz__load(&b->bucket_ns, PMZ__ACQUIRE);
}

void pmz_budget_deposit(pmz_budget *b, pmz_ns now)
{
	PMZ__ASSERT(b);
	pmz__window_reach(&b->calls, bucket_ns(b), now);
	pmz__window_add(&b->calls, PMZ__EVENT);
}

/* From what this second always allows. A second that is over stays over. */
static int take_floor(pmz_budget *b, pmz_ns now)
{
	uint64_t least = pmz__load(&b->per_second_min, PMZ__RELAXED);
	uint64_t begin = now / PMZ_S(1) << 32;
	uint64_t second = pmz__load(&b->second, PMZ__RELAXED), next;

	if (least == PMZ_NEVER)
		return 0;
	do {
		next = second < begin ? begin : second;
		if ((next & LOW_HALF) >= least)
			return 0;
		next++;
	} while (!pmz__cas(&b->second, &second, next, PMZ__RELAXED));
	return 1;
}

/* Those in the window: none while a refund is under way that goes below. */
static uint64_t withdrawn(uint64_t held)
{
	int32_t net = (int32_t)held;

	return net > 0 ? (uint64_t)net : 0;
}

static int take_share(pmz_budget *b, pmz_ns now)
{
	uint64_t pct = pmz__load(&b->retry_pct, PMZ__RELAXED);
	uint64_t start, total;

	if (pct == PMZ_NEVER)
		return 0;
	start = pmz__window_start(&b->calls, bucket_ns(b), now);
	total = pmz__load(&b->calls.total, PMZ__RELAXED);
	do {
		uint64_t withdrawals = withdrawn(total - start);
		uint64_t deposits = (total - start + HALF) >> 32;

		if ((withdrawals + 1) * 100 > deposits * pct)
			return 0;
	} while (!pmz__cas(&b->calls.total, &total, total + PMZ__MARKED,
	                   PMZ__RELAXED));
	return 1;
}

int pmz_budget_withdraw(pmz_budget *b, pmz_ns now)
{
	PMZ__ASSERT(b);
	return take_floor(b, now) || take_share(b, now) ? PMZ_OK :
	                                                  PMZ_REFUSED_BUDGET;
}

/* No bucket may begin with more withdrawals than there are: those that do had
 * theirs before, and the one put back was the last of these. A start that was
 * read before the refund and is written after this look is left one too high,
 * and may let one retry through too many. */
static void lower_starts(pmz_budget *b)
{
	uint64_t head, total, start;
	int i;

	do {
		head = pmz__load(&b->calls.head, PMZ__ACQUIRE);
		for (i = 0; i < PMZ__SLOTS; i++) {
			pmz__a64 *word = &b->calls.start[i];

			start = pmz__load(word, PMZ__ACQUIRE);
			total = pmz__load(&b->calls.total, PMZ__RELAXED);
			if ((int32_t)(total - start) < 0)
				pmz__cas(word, &start, start - PMZ__MARKED,
				         PMZ__RELEASE);
		}
	} while (pmz__load(&b->calls.head, PMZ__RELAXED) != head);
}

/* A withdrawal that the window has forgotten is not there to be put back. */
static int give_share_back(pmz_budget *b)
{
	uint64_t head = pmz__load(&b->calls.head, PMZ__ACQUIRE);
	uint64_t start = pmz__load(
		&b->calls.start[pmz__slot(head - (PMZ__BUCKETS - 1))],
		PMZ__ACQUIRE);
	uint64_t total = pmz__load(&b->calls.total, PMZ__RELAXED);

	do {
		if (!withdrawn(total - start))
			return 0;
	} while (!pmz__cas(&b->calls.total, &total, total - PMZ__MARKED,
	                   PMZ__RELAXED));
	lower_starts(b);
	return 1;
}

void pmz_budget_refund(pmz_budget *b)
{
	uint64_t second;

	PMZ__ASSERT(b);
	if (give_share_back(b))
		return;
	second = pmz__load(&b->second, PMZ__RELAXED);
	while (second & LOW_HALF &&
	       !pmz__cas(&b->second, &second, second - 1, PMZ__RELAXED))
		;
}
