/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_FILES_H
#define CONFIG_FILES_H

/*
 * Which files make up the configuration, by the rules in config.h. Private to src/config.
 */

#include <stddef.h>
#include "base/cleanup.h"
#include "config/config.h"

struct config_files {
	char **paths; /* in the order of reading: what comes later wins */
	size_t n;
};

/* dirs: the most important first. On failure error says which directory cannot be read, and why. */
int config_files_find(const char *const *dirs, unsigned int n_dirs, struct config_files *ret_files,
	char error[CONFIG_ERROR_MAX]);

void config_files_deinit(struct config_files *files);

/* config_load() from these directories, the most important first. */
int config_load_dirs(const char *const *dirs, unsigned int n_dirs, struct config **ret_config,
	char error[CONFIG_ERROR_MAX]);

#endif
