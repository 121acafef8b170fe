/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

/* "Did you mean": offer every name there is with suggest_offer(); best is the one that was most
 * likely meant, or NULL if none is near. */

struct suggest {
	const char *wrong;
	const char *best;
	unsigned int distance; /* edits from wrong to best */
};

#define SUGGEST_INIT(text) ((struct suggest){.wrong = (text)})

void suggest_offer(struct suggest *s, const char *name);

#endif
