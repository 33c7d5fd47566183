/*
 * budget.h - changing a budget's rules while calls use it.
 */
#ifndef PMZ_LIB_CORE_BUDGET_H
#define PMZ_LIB_CORE_BUDGET_H

#include <pipemaze/budget.h>

int pmz__budget_check(const pmz_budget_config *cfg, pmz_why *why);
/* The config was checked. What the window holds counts as seen now, if its
 * length changed. */
void pmz__budget_set(pmz_budget *b, const pmz_budget_config *cfg, pmz_ns now);

#endif
