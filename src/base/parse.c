/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parse.h"

#include <string.h>
#include "base/clock.h"
#include "base/error.h"

struct unit {
	const char *suffix;
	uint64_t factor;
};

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Reads the longest number at s; *ret_end is what follows it. */
static int parse_prefix(const char *s, const char **ret_end, uint64_t *ret)
{
	int base = 10;
	uint64_t v = 0;
	const char *p = s;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s = p = s + 2;
	}
	for (; digit_value(*p) < base; p++)
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
			__builtin_add_overflow(v, (uint64_t)digit_value(*p), &v))
			return -ERANGE;
	if (p == s)
		return -EINVAL;
	*ret_end = p;
	*ret = v;
	return 0;
}

static int parse_with_unit(const char *s, const struct unit *units, uint64_t *ret)
{
	const char *end;
	uint64_t v;
	int r;

	r = parse_prefix(s, &end, &v);
	if (r < 0)
		return r;
	for (; units->suffix; units++) {
		if (strcmp(end, units->suffix))
			continue;
		if (__builtin_mul_overflow(v, units->factor, &v))
			return -ERANGE;
		*ret = v;
		return 0;
	}
	return -EINVAL;
}

int parse_u64(const char *s, uint64_t *ret)
{
	return parse_with_unit(s, (const struct unit[]){{"", 1}, {0}}, ret);
}

int parse_u32(const char *s, uint32_t *ret)
{
	uint64_t v;
	int r;

	r = parse_u64(s, &v);
	if (r < 0)
		return r;
	if (v > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)v;
	return 0;
}

int parse_bool(const char *s, bool *ret)
{
	static const char *const yes[] = {"yes", "true", "on", "1"};
	static const char *const no[] = {"no", "false", "off", "0"};

	for (unsigned int i = 0; i < ELEMENTS(yes); i++) {
		if (!strcmp(s, yes[i]) || !strcmp(s, no[i])) {
			*ret = !strcmp(s, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

int parse_size(const char *s, uint64_t *ret_bytes)
{
	static const struct unit units[] = {{"", 1}, {"K", 1ull << 10}, {"M", 1ull << 20},
		{"G", 1ull << 30}, {"T", 1ull << 40}, {0}};

	return parse_with_unit(s, units, ret_bytes);
}

int parse_duration(const char *s, uint64_t *ret_ns)
{
	static const struct unit units[] = {{"", NSEC_PER_SEC}, {"s", NSEC_PER_SEC},
		{"ms", NSEC_PER_MSEC}, {"us", NSEC_PER_USEC}, {"min", 60 * NSEC_PER_SEC}, {0}};

	return parse_with_unit(s, units, ret_ns);
}
