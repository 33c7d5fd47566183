/*
 * span.h - a span of time, as the lines of pipes write it: 500ms, 30s, 2m.
 */
#ifndef PIPEMAZE_TOOL_SPAN_H
#define PIPEMAZE_TOOL_SPAN_H

#include <pipemaze/base.h>

#define SPAN_EXPECTED "a span such as 500ms, 30s or 2m"

/* -1 if the word is none. */
int span_read(const char *word, pmz_ns *span);

#define SPAN_TEXT 24

/* In the greatest unit that is not finer than a tenth of the span: "12s". */
const char *span_text(pmz_ns span, char out[SPAN_TEXT]);

/* The instant so much later, PMZ_NEVER if it is beyond all. */
pmz_ns span_after(pmz_ns now, pmz_ns span);

#endif
