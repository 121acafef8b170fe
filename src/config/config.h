/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

/*
 * The settings of settings.def, read from
 *
 *   causeway.conf         in /etc/causeway, or if there is none, in /usr/lib/causeway
 *   causeway.conf.d/NAME.conf  of both directories together, in order of NAME; a file in /etc hides
 * one of the same NAME in /usr/lib; what comes later wins
 *
 * or, when a directory is named, from that directory alone. Files that are not there are no error.
 * Every other flaw is one: nothing is guessed, skipped or half applied.
 *
 * Section [Nodes] is no part of the table: its names are numbers of nodes, its values addresses. A
 * node given in a later file replaces the one from an earlier.
 *
 * A configuration does not change after it is loaded. No globals: thread safe.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/cleanup.h"

enum config_setting {
#define SETTING(section, name, field, TYPE, default_text, min, max, help) CONFIG_##section##_##name,
#include "config/settings.def"
#undef SETTING
	CONFIG_SETTINGS,
};

#define CONFIG_TYPE_U32	     uint32_t
#define CONFIG_TYPE_SIZE     uint64_t
#define CONFIG_TYPE_DURATION uint64_t
#define CONFIG_TYPE_WORDS    char *
#define CONFIG_TYPE_LEVEL    uint32_t
#define CONFIG_TYPE_BOOL     bool
#define CONFIG_TYPE_NEED     bool
#define CONFIG_TYPE_LOSS     uint32_t
#define CONFIG_TYPE_PATH     char *
#define CONFIG_TYPE_ADDRESS  char *
#define CONFIG_TYPE_RDMA     char *
#define CONFIG_TYPE_ALLOW    char *
#define CONFIG_TYPE_MAP	     char *
#define CONFIG_TYPE_IDS	     char *

#define CONFIG_HOST_MAX 254 /* bytes of a host's name or address, with the NUL */

/* One of [Nodes]. */
struct config_node {
	uint32_t number;
	uint32_t port; /* as given, or that of Port= */
	char host[CONFIG_HOST_MAX];
	char *text; /* as it was written */
	char *origin;
};

struct config {
#define SETTING(section, name, field, TYPE, default_text, min, max, help) CONFIG_TYPE_##TYPE field;
#include "config/settings.def"
#undef SETTING
	char *text[CONFIG_SETTINGS];   /* each value as it was written */
	char *origin[CONFIG_SETTINGS]; /* "/etc/causeway/causeway.conf:3"; NULL: the default */
	struct config_node *nodes;     /* by number */
	uint32_t n_nodes;
	char *dir;	/* the directory, or the more important one of the system's */
	bool dir_named; /* as in the call of config_load() */
};

#define CONFIG_ERROR_MAX 1024

/*
 * Loads the configuration of dir, or with NULL the system's. On failure, -EINVAL for a flaw in a
 * file, else another errno, error says what is wrong, in which file and line, and what would be
 * right: one sentence or more, no newline at the end.
 */
int config_load(const char *dir, struct config **ret_config, char error[CONFIG_ERROR_MAX]);

void config_free(struct config *config);
DEFINE_CLEANUP(struct config *, config_free);

/* HOST[:PORT], with an IPv6 address in brackets. *ret_port: 0 if there is none. -EINVAL. */
int config_address_parse(const char *text, char ret_host[CONFIG_HOST_MAX], uint32_t *ret_port);

/* The node of this number in [Nodes], or NULL. */
const struct config_node *config_find_node(const struct config *config, uint32_t number);

/* A file named by a setting of type PATH: what is relative is so to the configuration's directory.
 * -ENOMEM. */
int config_path(const struct config *config, const char *path, char **ret_path);

/* One word of AllowUids= and of MapUids=. node 0: every one. */
struct config_allow {
	uint32_t node, first, last;
};
struct config_map {
	uint32_t node, theirs, ours;
};
/* Reads the next word from *at, which begins with the setting's value. 1, or 0 at the end; -EINVAL
 * (never in what was loaded). */
int config_allow_next(const char **at, struct config_allow *ret);
int config_map_next(const char **at, struct config_map *ret);

/* One word of SisciId=, read likewise. */
struct config_id {
	uint32_t node, id;
};
int config_id_next(const char **at, struct config_id *ret);
/* What SisciId= says of a node; 0: nothing. */
uint32_t config_sisci_id(const struct config *config, uint32_t node);

/* Every setting with its value and a comment that says where it comes from; a file with this
 * content is a valid configuration. */
void config_print(const struct config *config, FILE *out);

/* The same as one JSON object: {"settings": [{"section", "name", "value", "origin"} …]} */
void config_print_json(const struct config *config, FILE *out);

/* causeway.conf(5) in man's language. */
void config_print_man(FILE *out);

#endif
