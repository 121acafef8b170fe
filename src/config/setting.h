/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_SETTING_H
#define CONFIG_SETTING_H

/*
 * One setting: the table of settings.def at run time, and text to value. Private to src/config.
 */

#include <stddef.h>
#include <stdint.h>
#include "config/config.h"

enum setting_type {
	SETTING_U32,
	SETTING_SIZE,
	SETTING_DURATION,
	SETTING_WORDS,
	SETTING_LEVEL,
	SETTING_BOOL,
	SETTING_NEED,
	SETTING_LOSS,
	SETTING_PATH,
	SETTING_ADDRESS,
	SETTING_RDMA,
	SETTING_ALLOW,
	SETTING_MAP,
	SETTING_IDS,
};

/* Its field is a char *, the configuration's. */
bool setting_is_text(enum setting_type type);

struct setting {
	const char *section;
	const char *name;
	enum setting_type type;
	size_t offset; /* of the field in struct config */
	const char *default_text;
	uint64_t min, max;
	const char *help;
};

extern const struct setting settings[CONFIG_SETTINGS];

/* Sets the field of config from text. -EINVAL, -ERANGE: text is not what setting_expects() says;
 * -ENOMEM. */
int setting_set(const struct setting *s, const char *text, struct config *config);

#define ADDRESS_EXPECTS                                                                            \
	"HOST or HOST:PORT (an IPv4 address, an IPv6 address in brackets, or a name)"

/* "a number from 0 to 65535" */
void setting_expects(const struct setting *s, char *buf, size_t size);

#endif
