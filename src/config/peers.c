/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <string.h>
#include "base/error.h"
#include "base/parse.h"

/*
 * AllowUids= and MapUids=: whom other nodes may speak for, word by word; and SisciId=, which has
 * words as well.
 */

#define WORD_MAX  64
#define NODE_MAX  65535u
#define ID_MAX	  65535u
#define ID_OF_ALL 252u /* DIS_BROADCAST_NODEID_GROUP_ALL */

/* The next word, without its space. 1, or 0 at the end. */
static int next_word(const char **at, char word[WORD_MAX])
{
	const char *s = *at + strspn(*at, " \t");
	size_t n = strcspn(s, " \t");

	*at = s + n;
	if (n == 0)
		return 0;
	if (n >= WORD_MAX)
		return -EINVAL;
	memcpy(word, s, n);
	word[n] = '\0';
	return 1;
}

/* UINT32_MAX is no user. */
static int parse_uid(const char *s, uint32_t *ret)
{
	int r = parse_u32(s, ret);

	return r == 0 && *ret == UINT32_MAX ? -ERANGE : r;
}

/* Cuts the word at the separator; returns what is behind it. */
static char *cut(char *word, char separator)
{
	char *at = strchr(word, separator);

	if (at)
		*at++ = '\0';
	return at;
}

static int parse_node(const char *s, uint32_t *ret)
{
	if (!strcmp(s, "*")) {
		*ret = 0;
		return 0;
	}
	return parse_u32(s, ret) < 0 || *ret == 0 ? -EINVAL : 0;
}

int config_allow_next(const char **at, struct config_allow *ret)
{
	char word[WORD_MAX], *first, *last;
	int r = next_word(at, word);

	if (r <= 0)
		return r;
	first = cut(word, ':');
	if (!first)
		return -EINVAL;
	last = cut(first, '-');
	if (parse_node(word, &ret->node) < 0 || parse_uid(first, &ret->first) < 0 ||
		parse_uid(last ? last : first, &ret->last) < 0 || ret->first > ret->last)
		return -EINVAL;
	return 1;
}

int config_map_next(const char **at, struct config_map *ret)
{
	char word[WORD_MAX], *theirs, *ours;
	int r = next_word(at, word);

	if (r <= 0)
		return r;
	theirs = cut(word, ':');
	ours = theirs ? cut(theirs, ':') : NULL;
	if (!ours || parse_node(word, &ret->node) < 0 || parse_uid(theirs, &ret->theirs) < 0 ||
		parse_uid(ours, &ret->ours) < 0)
		return -EINVAL;
	return 1;
}

int config_id_next(const char **at, struct config_id *ret)
{
	char word[WORD_MAX], *id;
	int r = next_word(at, word);

	if (r <= 0)
		return r;
	id = cut(word, ':');
	if (!id || parse_u32(word, &ret->node) < 0 || ret->node > NODE_MAX ||
		parse_u32(id, &ret->id) < 0 || ret->id == 0 || ret->id > ID_MAX ||
		ret->id == ID_OF_ALL)
		return -EINVAL;
	return 1;
}

uint32_t config_sisci_id(const struct config *config, uint32_t node)
{
	const char *at = config->sisci_id;
	struct config_id word;

	while (config_id_next(&at, &word) > 0)
		if (word.node == node)
			return word.id;
	return 0;
}
