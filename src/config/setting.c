/* SPDX-License-Identifier: Apache-2.0 */
#include "config/setting.h"

#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"

const struct setting settings[CONFIG_SETTINGS] = {
#define SETTING(section, name, field, TYPE, default_text, min, max, help)                          \
	[CONFIG_##section##_##name] = {#section, #name, SETTING_##TYPE,                            \
		offsetof(struct config, field), default_text, min, max, help},
#include "config/settings.def"
#undef SETTING
};

/* the priorities of syslog(3), by number */
static const char *const levels[] = {
	"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};

/* From 1 on: what wire/message.h has as enum wire_shm_loss. */
static const char *const losses[] = {"", "sigbus", "kill", "zero"};

static int parse_word(const char *text, const char *const words[], unsigned int n, uint64_t *ret)
{
	for (unsigned int i = 0; i < n; i++) {
		if (!*words[i] || strcmp(text, words[i]))
			continue;
		*ret = i;
		return 0;
	}
	return -EINVAL;
}

static int count_words(const char *text, uint64_t *ret)
{
	static const char space[] = " \t";
	uint64_t n = 0;

	for (text += strspn(text, space); *text; text += strspn(text, space)) {
		text += strcspn(text, space);
		n++;
	}
	*ret = n;
	return 0;
}

bool setting_is_text(enum setting_type type)
{
	return type == SETTING_WORDS || type >= SETTING_PATH;
}

static int check_address(const char *text)
{
	char host[CONFIG_HOST_MAX];
	uint32_t port;

	return *text ? config_address_parse(text, host, &port) : 0;
}

/* As fabric/ofi/library.c names them. */
static const char *const ways[] = {
	"auto", "off", "verbs", "cxi", "efa", "test-tcp", "test-tcp-rxm"};

static int check_rdma(const char *text)
{
	for (unsigned int i = 0; i < ELEMENTS(ways); i++)
		if (!strcmp(text, ways[i]))
			return 0;
	return -EINVAL;
}

static int check_allow(const char *text)
{
	struct config_allow word;
	int r;

	do
		r = config_allow_next(&text, &word);
	while (r > 0);
	return r;
}

static int check_map(const char *text)
{
	struct config_map word;
	int r;

	do
		r = config_map_next(&text, &word);
	while (r > 0);
	return r;
}

static int check_ids(const char *text)
{
	struct config_id word;
	int r;

	do
		r = config_id_next(&text, &word);
	while (r > 0);
	return r;
}

static int parse_yes(const char *text, uint64_t *ret)
{
	bool v;
	int r = parse_bool(text, &v);

	if (r == 0)
		*ret = v;
	return r;
}

static int parse_need(const char *text, uint64_t *ret)
{
	bool required = !strcmp(text, "require");

	if (!required && strcmp(text, "off"))
		return -EINVAL;
	*ret = required;
	return 0;
}

/* *ret stays 0 for what is text and has no bounds. */
static int parse_value(enum setting_type type, const char *text, uint64_t *ret)
{
	switch (type) {
	case SETTING_U32:
		return parse_u64(text, ret);
	case SETTING_SIZE:
		return parse_size(text, ret);
	case SETTING_DURATION:
		return parse_duration(text, ret);
	case SETTING_WORDS:
		return count_words(text, ret);
	case SETTING_LEVEL:
		return parse_word(text, levels, ELEMENTS(levels), ret);
	case SETTING_LOSS:
		return parse_word(text, losses, ELEMENTS(losses), ret);
	case SETTING_BOOL:
		return parse_yes(text, ret);
	case SETTING_NEED:
		return parse_need(text, ret);
	case SETTING_PATH:
		return *text ? 0 : -EINVAL;
	case SETTING_ADDRESS:
		return check_address(text);
	case SETTING_RDMA:
		return check_rdma(text);
	case SETTING_ALLOW:
		return check_allow(text);
	case SETTING_MAP:
		return check_map(text);
	case SETTING_IDS:
		return check_ids(text);
	}
	return -EINVAL;
}

static bool in_bounds(const struct setting *s, uint64_t v)
{
	return s->type == SETTING_BOOL || s->type == SETTING_NEED || s->type == SETTING_LOSS ||
	       s->type >= SETTING_PATH || (v >= s->min && v <= s->max);
}

int setting_set(const struct setting *s, const char *text, struct config *config)
{
	void *field = (char *)config + s->offset;
	char *words;
	uint64_t v = 0;
	int r;

	r = parse_value(s->type, text, &v);
	if (r < 0)
		return r;
	if (!in_bounds(s, v))
		return -ERANGE;
	switch (s->type) {
	case SETTING_U32:
	case SETTING_LEVEL:
	case SETTING_LOSS:
		*(uint32_t *)field = (uint32_t)v;
		break;
	case SETTING_SIZE:
	case SETTING_DURATION:
		*(uint64_t *)field = v;
		break;
	case SETTING_BOOL:
	case SETTING_NEED:
		*(bool *)field = v;
		break;
	case SETTING_WORDS:
	case SETTING_PATH:
	case SETTING_ADDRESS:
	case SETTING_RDMA:
	case SETTING_ALLOW:
	case SETTING_MAP:
	case SETTING_IDS:
		words = strdup(text);
		if (!words)
			return -ENOMEM;
		free(*(char **)field);
		*(char **)field = words;
		break;
	}
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* v with the largest unit that divides it; the last unit must be 1. */
static int format_unit(char *buf, size_t size, const struct unit *units, uint64_t v)
{
	while (v && v % units->factor)
		units++;
	return snprintf(
		buf, size, "%llu%s", (unsigned long long)(v / units->factor), v ? units->name : "");
}

static void expects_range(
	const struct setting *s, const char *what, const struct unit *units, char *buf, size_t size)
{
	char min[32], max[32];

	format_unit(min, sizeof(min), units, s->min);
	format_unit(max, sizeof(max), units, s->max);
	snprintf(buf, size, "%s from %s to %s", what, min, max);
}

static void expects_word(const char *const *words, unsigned int n_words, char *buf, size_t size)
{
	size_t n = (size_t)snprintf(buf, size, "one of");

	for (unsigned int i = 0; i < n_words && n < size; i++)
		n += (size_t)snprintf(buf + n, size - n, " %s", words[i]);
}

void setting_expects(const struct setting *s, char *buf, size_t size)
{
	static const struct unit ones[] = {{"", 1}};
	static const struct unit bytes[] = {{"T", 1ull << 40}, {"G", 1ull << 30}, {"M", 1ull << 20},
		{"K", 1ull << 10}, {"", 1}};
	static const struct unit times[] = {{"min", 60 * NSEC_PER_SEC}, {"s", NSEC_PER_SEC},
		{"ms", NSEC_PER_MSEC}, {"us", NSEC_PER_USEC}, {"ns", 1}};

	switch (s->type) {
	case SETTING_U32:
		expects_range(s, "a number", ones, buf, size);
		break;
	case SETTING_SIZE:
		expects_range(s, "a size (a number, then nothing, K, M, G or T)", bytes, buf, size);
		break;
	case SETTING_DURATION:
		expects_range(s, "a time (a number, then us, ms, s or min)", times, buf, size);
		break;
	case SETTING_WORDS:
		snprintf(buf, size, "at most %llu words with a space between them",
			(unsigned long long)s->max);
		break;
	case SETTING_LEVEL:
		expects_word(levels, ELEMENTS(levels), buf, size);
		break;
	case SETTING_BOOL:
		snprintf(buf, size, "yes or no");
		break;
	case SETTING_NEED:
		snprintf(buf, size, "off or require");
		break;
	case SETTING_LOSS:
		snprintf(buf, size, "sigbus, kill or zero");
		break;
	case SETTING_PATH:
		snprintf(buf, size, "a file's name");
		break;
	case SETTING_ADDRESS:
		snprintf(buf, size, ADDRESS_EXPECTS ", or empty");
		break;
	case SETTING_RDMA:
		expects_word(ways, ELEMENTS(ways), buf, size);
		break;
	case SETTING_ALLOW:
		snprintf(buf, size,
			"words NODE:UID or NODE:FIRST-LAST with a space between them, where NODE "
			"is a node's number or * for all");
		break;
	case SETTING_MAP:
		snprintf(buf, size,
			"words NODE:THEIRS:OURS with a space between them, where NODE is a node's "
			"number or * for all and the others are users' numbers");
		break;
	case SETTING_IDS:
		snprintf(buf, size,
			"words NODE:ID with a space between them, where NODE is a node's number, "
			"or 0, and ID from 1 to 65535, but not 252");
		break;
	}
}
