/* SPDX-License-Identifier: Apache-2.0 */
#include "config/suggest.h"

#include <ctype.h>
#include <string.h>
#include "base/error.h"

#define NAME_MAX_LENGTH 64u

/* Levenshtein's distance without regard to case; one row of the matrix at a time. */
static unsigned int edits(const char *a, const char *b)
{
	unsigned int row[NAME_MAX_LENGTH + 1], n = (unsigned int)strlen(b);

	for (unsigned int j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned int i = 1; a[i - 1]; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (unsigned int j = 1; j <= n; j++) {
			unsigned int above = row[j];
			bool same = tolower((unsigned char)a[i - 1]) ==
				    tolower((unsigned char)b[j - 1]);

			row[j] = MIN(MIN(above, row[j - 1]) + 1, diagonal + (same ? 0 : 1));
			diagonal = above;
		}
	}
	return row[n];
}

void suggest_offer(struct suggest *s, const char *name)
{
	unsigned int d;

	if (strlen(s->wrong) > NAME_MAX_LENGTH || strlen(name) > NAME_MAX_LENGTH)
		return;
	d = edits(s->wrong, name);
	if (d > 1 + strlen(name) / 4 || (s->best && d >= s->distance))
		return;
	s->best = name;
	s->distance = d;
}
