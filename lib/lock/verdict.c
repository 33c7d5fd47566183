/*
 * verdict.c - what a reply means.
 */
#include <string.h>

#include "base/scan.h"
#include "base/wide.h"
#include "lock/op.h"

/* Beyond this a script's numbers no longer grow by one. */
#define FENCE_MAX ((uint64_t)1 << 53)

/* The numbers that open an answer, and what follows them. */
typedef struct answer {
	int code;
	uint64_t a, b;
	const char *rest;
	size_t rest_len;
} answer;

/* Reads a number of at most 20 digits; NULL if there is none. A minus, of a
 * PTTL, makes it all ones. */
static const char *read_number(const char *at, const char *end, uint64_t *n)
{
	int minus = at < end && *at == '-';
	const char *digits = at + minus;

	*n = 0;
	for (at = digits; at < end && *at >= '0' && *at <= '9'; at++)
		*n = pmz__sat_add(pmz__sat_mul(*n, 10), (uint64_t)(*at - '0'));
	if (minus)
		*n = UINT64_MAX;
	return at == digits ? NULL : at;
}

static const char *read_space(const char *at, const char *end)
{
	return at && at < end && *at == ' ' ? at + 1 : NULL;
}

/* -2..2, the codes of the scripts. */
static const char *read_code(const char *at, const char *end, int *code)
{
	int minus = at < end && *at == '-';

	at += minus;
	if (at >= end || *at < '0' || *at > '2')
		return NULL;
	*code = minus ? '0' - *at : *at - '0';
	return at + 1;
}

/* "CODE", or "CODE A B", or "CODE A B REST" */
static int read_answer(answer *out, const char *text, size_t len, int numbers)
{
	const char *end = text + len, *at = read_code(text, end, &out->code);

	out->a = out->b = 0;
	if (at && numbers) {
		at = read_space(at, end);
		at = at ? read_number(at, end, &out->a) : NULL;
		at = read_space(at, end);
		at = at ? read_number(at, end, &out->b) : NULL;
	}
	if (!at)
		return 0;
	out->rest = at;
	out->rest_len = (size_t)(end - at);
	return 1;
}

static uint32_t clamp_ms(uint64_t ms)
{
	return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static void nonsense(pmz__op *op, pmz__seat *seat, const char *text, size_t len)
{
	seat->verdict = PMZ__FATAL;
	pmz__op_say(op, (uint32_t)(seat - op->seats), text, len);
}

static void wrong_type(pmz__op *op, pmz__seat *seat)
{
	static const char words[] = "WRONGTYPE the key holds no string";

	nonsense(op, seat, words, sizeof(words) - 1);
}

static void granted(pmz__op *op, pmz__seat *seat, uint64_t fence)
{
	static const char words[] = "the fence was lost";
	static const char high[] = "the fence is out of range";

	if (fence > FENCE_MAX) {
		seat->ghost |= 1;
		nonsense(op, seat, high, sizeof(high) - 1);
		return;
	}
	seat->holds = 1;
	seat->fence = fence;
	seat->verdict = PMZ__YES;
	if (fence || op->fence_off || op->round == PMZ__REPAIRING)
		return;
	seat->verdict = PMZ__FAILED;
	pmz__op_say(op, (uint32_t)(seat - op->seats), words, sizeof(words) - 1);
}

static void judge_acquire(pmz__op *op, pmz__seat *seat, const answer *a)
{
	static const char words[] = "abandoned before it was granted";

	switch (a->code) {
	case 1:
	case 2:
		granted(op, seat, a->a);
		break;
	case 0:
		seat->pttl = clamp_ms(a->b);
		seat->verdict = PMZ__OTHER;
		break;
	case -1:
		seat->verdict = PMZ__FAILED;
		pmz__op_say(op, (uint32_t)(seat - op->seats), words,
		            sizeof(words) - 1);
		break;
	default:
		wrong_type(op, seat);
	}
}

static void judge_owned(pmz__seat *seat, int code)
{
	seat->verdict = code == 1   ? PMZ__YES
	                : code == 0 ? PMZ__GONE
	                            : PMZ__OTHER;
	seat->holds = 0;
}

/* The first of two releases was written and its reply lost. That the second
 * finds nothing, or another holder, of a lease that still stands, has one
 * reason. */
static void judge_release(const pmz__op *op, pmz__seat *seat, int code,
                          pmz_ns now)
{
	judge_owned(seat, code);
	if (seat->again && now < op->held_until)
		seat->verdict = PMZ__YES;
}

static void judge_peek(pmz__op *op, pmz__seat *seat, const answer *a)
{
	seat->verdict = PMZ__GONE;
	if (a->code == -2) {
		wrong_type(op, seat);
	} else if (a->code == 1) {
		seat->pttl = clamp_ms(a->a);
		seat->fence = a->b;
		seat->verdict = PMZ__YES;
		pmz__peek_note(op, seat, a->rest + 1, a->rest_len - 1);
	}
}

static void judge_replicas(pmz__op *op, pmz__seat *seat, const char *text,
                           size_t len)
{
	static const char few[] = "too few replicas have it";
	uint64_t n;

	if (!read_number(text, text + len, &n)) {
		nonsense(op, seat, text, len);
		return;
	}
	seat->verdict = n >= op->replicas_min ? PMZ__YES : PMZ__GONE;
	if (seat->verdict == PMZ__GONE)
		pmz__op_say(op, (uint32_t)(seat - op->seats), few,
		            sizeof(few) - 1);
}

static int has_numbers(const pmz__op *op)
{
	return pmz__op_acquires(op) || op->round == PMZ__PEEKING;
}

static int makes_sense(const pmz__op *op, answer *a, const char *text,
                       size_t len)
{
	if (!read_answer(a, text, len, has_numbers(op)))
		return 0;
	if (op->round == PMZ__PEEKING)
		return a->rest_len && *a->rest == ' ';
	return !a->rest_len;
}

static void judge(pmz__op *op, pmz__seat *seat, const answer *a, pmz_ns now)
{
	switch (op->round) {
	case PMZ__ACQUIRING:
	case PMZ__REPAIRING:
		judge_acquire(op, seat, a);
		break;
	case PMZ__PEEKING:
		judge_peek(op, seat, a);
		break;
	case PMZ__RELEASING:
	case PMZ__UNDOING:
		judge_release(op, seat, a->code, now);
		break;
	case PMZ__RAISING:
		seat->verdict = a->code == 1 ? PMZ__YES : PMZ__GONE;
		break;
	default:
		judge_owned(seat, a->code);
		seat->holds = seat->verdict == PMZ__YES;
	}
}

void pmz__answer_text(pmz__op *op, pmz__seat *seat, const char *text,
                      size_t len, pmz_ns now)
{
	answer a;

	seat->ticket = 0;
	if (op->round == PMZ__REPLICATING) {
		judge_replicas(op, seat, text, len);
	} else if (makes_sense(op, &a, text, len)) {
		judge(op, seat, &a, now);
	} else {
		seat->ghost |= pmz__op_acquires(op);
		nonsense(op, seat, text, len);
	}
}

void pmz__answer_late(pmz__seat *seat, const char *text, size_t len)
{
	answer a;

	seat->late = 0;
	if (!read_answer(&a, text, len, 1) || a.rest_len)
		return;
	if (seat->ghost != PMZ__GHOSTS)
		seat->ghost = 0;
	seat->holds |= a.code > 0;
}

static int is_word(const char *word, size_t len, const char *want)
{
	return len == strlen(want) && !memcmp(word, want, len);
}

static size_t word_length(const char *text, size_t len)
{
	const char *space = memchr(text, ' ', len);

	return space ? (size_t)(space - text) : len;
}

int pmz__error_passes(const char *text, size_t len)
{
	static const char *const words[] = {
		"LOADING",    "CLUSTERDOWN", "READONLY",   "TRYAGAIN",
		"MASTERDOWN", "BUSY",        "NOREPLICAS",
	};
	size_t word = word_length(text, len), i;

	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (is_word(text, word, words[i]))
			return 1;
	return 0;
}

/* "MOVED slot host:port": the address, in the op. */
static int read_move(pmz__op *op, const char *text, size_t len)
{
	const char *end = text + len;
	const char *slot = memchr(text, ' ', len);
	const char *to =
		slot ? memchr(slot + 1, ' ', (size_t)(end - slot - 1)) : NULL;
	size_t size = to ? (size_t)(end - to - 1) : 0;

	if (!size || size >= sizeof(op->moved))
		return 0;
	memcpy(op->moved, to + 1, size);
	op->moved[size] = '\0';
	return 1;
}

static int follow(pmz__op *op, const char *text, size_t len, int asking)
{
	if (op->nodes > 1 || op->moves >= PMZ__MOVES_MAX ||
	    !read_move(op, text, len))
		return 0;
	op->moves++;
	op->asking = (uint8_t)asking;
	return 1;
}

/* Errors that say the command was not run. */
static enum pmz__verdict refusal(pmz__op *op, pmz__seat *seat, const char *text,
                                 size_t len)
{
	size_t word = word_length(text, len);
	int ask = is_word(text, word, "ASK");

	if (is_word(text, word, "NOSCRIPT") && !seat->eval) {
		seat->eval = 1;
		return PMZ__TO_ASK;
	}
	if (ask || is_word(text, word, "MOVED"))
		return follow(op, text, len, ask) ? PMZ__TO_ASK : PMZ__FAILED;
	return pmz__error_passes(text, len) ? PMZ__FAILED : PMZ__FATAL;
}

void pmz__answer_error(pmz__op *op, pmz__seat *seat, const char *text,
                       size_t len)
{
	seat->ticket = 0;
	seat->verdict = (uint8_t)refusal(op, seat, text, len);
	/* A script may have stopped behind its SET. */
	if (seat->verdict == PMZ__FATAL)
		seat->ghost |= pmz__op_acquires(op);
}
