/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the files line by line. Not with libeconf: version 0.5.1 crashes on a section without its
 * closing bracket, takes the vendor's file without a word when /etc's cannot be read, and says
 * neither which lines it dropped nor where a value stood (docs/design/0004-configuration.md).
 */
#include "config/config.h"

#include <config.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "base/error.h"
#include "base/parse.h"
#include "config/files.h"
#include "config/setting.h"
#include "config/suggest.h"

#define LINE_MAX_LENGTH 4096
#define NODE_MAX	65535u

static const char nodes_section[] = "Nodes";

/* Where the reader is. */
struct reader {
	struct config *config;
	const char *path;
	unsigned int line;
	const char *section;		    /* NULL before the first */
	unsigned int seen[CONFIG_SETTINGS]; /* line of this file that sets it; 0: none */
	char *error;
};

__attribute__((format(printf, 2, 3))) static int flaw(struct reader *r, const char *format, ...)
{
	va_list args;
	int n;

	n = snprintf(r->error, CONFIG_ERROR_MAX, "%s:%u: ", r->path, r->line);
	if (n < 0 || n >= CONFIG_ERROR_MAX)
		return -EINVAL;
	va_start(args, format);
	vsnprintf(r->error + n, CONFIG_ERROR_MAX - (size_t)n, format, args);
	va_end(args);
	return -EINVAL;
}

/* Cuts white space from both ends, in place. */
static char *strip(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

static int unknown_section(struct reader *r, const char *name)
{
	struct suggest s = SUGGEST_INIT(name);
	char known[256] = "";
	size_t n = 0;

	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++) {
		if (i && !strcmp(settings[i].section, settings[i - 1].section))
			continue;
		suggest_offer(&s, settings[i].section);
		if (n < sizeof(known))
			n += (size_t)snprintf(
				known + n, sizeof(known) - n, " [%s]", settings[i].section);
	}
	suggest_offer(&s, nodes_section);
	if (n < sizeof(known))
		snprintf(known + n, sizeof(known) - n, " [%s]", nodes_section);
	if (s.best)
		return flaw(r, "unknown section [%.64s]; did you mean [%s]?", name, s.best);
	return flaw(r, "unknown section [%.64s]; there are%s", name, known);
}

static int read_section(struct reader *r, char *line)
{
	char *end = strchr(line, ']');

	if (!end || end[1])
		return flaw(r, "\"%.80s\" begins like a section; a section is a line [Name]", line);
	*end = '\0';
	if (!strcmp(line + 1, nodes_section)) {
		r->section = nodes_section;
		return 0;
	}
	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++) {
		if (strcmp(settings[i].section, line + 1))
			continue;
		r->section = settings[i].section;
		return 0;
	}
	return unknown_section(r, line + 1);
}

static int unknown_setting(struct reader *r, const char *name)
{
	struct suggest s = SUGGEST_INIT(name);

	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++) {
		if (!strcmp(settings[i].name, name))
			return flaw(r, "setting \"%s\" belongs into section [%s], not [%s]", name,
				settings[i].section, r->section);
		if (!strcmp(settings[i].section, r->section))
			suggest_offer(&s, settings[i].name);
	}
	if (s.best)
		return flaw(r, "unknown setting \"%.64s\" in [%s]; did you mean \"%s\"?", name,
			r->section, s.best);
	return flaw(r, "unknown setting \"%.64s\" in [%s]; causeway.conf(5) lists what there is",
		name, r->section);
}

static int bad_value(struct reader *r, const struct setting *s, const char *value)
{
	char expects[256];
	const char *hint = "";

	setting_expects(s, expects, sizeof(expects));
	if (strpbrk(value, "#;"))
		hint = "; a comment needs a line of its own";
	else if (strpbrk(value, "\"'"))
		hint = "; quotes are not wanted";
	return flaw(r, "%s=%.80s: must be %s%s", s->name, value, expects, hint);
}

/* Records value and where it stands. */
static int assign(struct reader *r, unsigned int i, const char *value)
{
	_cleanup_free_ char *text = NULL, *origin = NULL;
	int e;

	e = setting_set(&settings[i], value, r->config);
	if (e == -EINVAL || e == -ERANGE)
		return bad_value(r, &settings[i], value);
	if (e < 0)
		return e;
	text = strdup(value);
	if (!text || asprintf(&origin, "%s:%u", r->path, r->line) < 0)
		return -ENOMEM;
	free(r->config->text[i]);
	free(r->config->origin[i]);
	r->config->text[i] = take_ptr(text);
	r->config->origin[i] = take_ptr(origin);
	return 0;
}

/* [Nodes] */

/* The line of this file that gives the node already; 0: none. */
static unsigned int node_seen(const struct reader *r, const struct config_node *node)
{
	size_t n = strlen(r->path);

	if (strncmp(node->origin, r->path, n) || node->origin[n] != ':')
		return 0;
	return (unsigned int)strtoul(node->origin + n + 1, NULL, 10);
}

/* The place for this number, in order, cleared if it is new. */
static int node_place(struct config *config, uint32_t number, struct config_node **ret_node)
{
	struct config_node *nodes;
	uint32_t i = 0;

	while (i < config->n_nodes && config->nodes[i].number < number)
		i++;
	if (i == config->n_nodes || config->nodes[i].number != number) {
		nodes = reallocarray(config->nodes, config->n_nodes + 1, sizeof(*nodes));
		if (!nodes)
			return -ENOMEM;
		memmove(nodes + i + 1, nodes + i, (config->n_nodes - i) * sizeof(*nodes));
		nodes[i] = (struct config_node){.number = number};
		config->nodes = nodes;
		config->n_nodes++;
	}
	*ret_node = &config->nodes[i];
	return 0;
}

static int node_set(struct reader *r, struct config_node *node, const char *value)
{
	_cleanup_free_ char *text = strdup(value), *origin = NULL;

	if (!text || asprintf(&origin, "%s:%u", r->path, r->line) < 0)
		return -ENOMEM;
	if (config_address_parse(value, node->host, &node->port) < 0)
		return flaw(r, "%u=%.80s: must be " ADDRESS_EXPECTS, node->number, value);
	free(node->text);
	free(node->origin);
	node->text = take_ptr(text);
	node->origin = take_ptr(origin);
	return 0;
}

static int read_node(struct reader *r, const char *name, const char *value)
{
	struct config_node *node;
	uint32_t number;
	int e;

	if (parse_u32(name, &number) < 0 || number == 0 || number > NODE_MAX)
		return flaw(r,
			"\"%.64s\" in [Nodes]: the name must be a node's number, from 1 to %u",
			name, NODE_MAX);
	e = node_place(r->config, number, &node);
	if (e < 0)
		return e;
	if (node->origin && node_seen(r, node))
		return flaw(r, "node %u was given on line %u already; remove one", number,
			node_seen(r, node));
	return node_set(r, node, value);
}

static int read_setting(struct reader *r, char *line)
{
	char *equals = strchr(line, '='), *name, *value;

	if (!equals)
		return flaw(r,
			"\"%.80s\" is neither a section [Name], nor a setting Name=value, nor "
			"a comment after #",
			line);
	*equals = '\0';
	name = strip(line);
	value = strip(equals + 1);
	if (!r->section)
		return flaw(r,
			"setting \"%.64s\" stands before any section; put a line [Name] above "
			"it",
			name);
	if (r->section == nodes_section)
		return read_node(r, name, value);
	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++) {
		if (strcmp(settings[i].section, r->section) || strcmp(settings[i].name, name))
			continue;
		if (r->seen[i])
			return flaw(r, "setting \"%s\" was given on line %u already; remove one",
				name, r->seen[i]);
		r->seen[i] = r->line;
		return assign(r, i, value);
	}
	return unknown_setting(r, name);
}

static int read_line(struct reader *r, char *line, size_t length)
{
	char *text;

	if (length > LINE_MAX_LENGTH)
		return flaw(r, "the line has more than %d characters", LINE_MAX_LENGTH);
	for (size_t i = 0; i < length; i++)
		if (iscntrl((unsigned char)line[i]) && !isspace((unsigned char)line[i]))
			return flaw(r, "control character 0x%02x; is this a text file?",
				(unsigned char)line[i]);
	text = strip(line);
	if (!*text || *text == '#' || *text == ';')
		return 0;
	return *text == '[' ? read_section(r, text) : read_setting(r, text);
}

static int cannot_read(struct reader *r, int e)
{
	snprintf(r->error, CONFIG_ERROR_MAX, "cannot read %s: %s", r->path, strerror(-e));
	return e;
}

static int read_stream(struct reader *r, FILE *in)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int e = 0;

	while (e == 0 && (n = getline(&line, &size, in)) >= 0) {
		r->line++;
		e = read_line(r, line, (size_t)n);
	}
	if (e == 0 && ferror(in))
		e = negative_errno();
	return e < 0 && e != -EINVAL ? cannot_read(r, e) : e;
}

/* Nothing but a file may keep the reader waiting or feed it without end; /dev/null stands for an
 * empty file, so that a link to it hides the file of the same name in another directory. */
static int check_kind(struct reader *r, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return cannot_read(r, negative_errno());
	if (S_ISREG(st.st_mode) || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
		return 0;
	snprintf(r->error, CONFIG_ERROR_MAX, "cannot read %s: not a regular file", r->path);
	return -EINVAL;
}

static int read_file(struct config *config, const char *path, char *error)
{
	struct reader r = {.config = config, .path = path, .error = error};
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	FILE *in;
	int e;

	if (fd < 0)
		return cannot_read(&r, negative_errno());
	e = check_kind(&r, fd);
	if (e < 0)
		return e;
	in = fdopen(fd, "re");
	if (!in)
		return cannot_read(&r, negative_errno());
	take_fd(&fd);
	e = read_stream(&r, in);
	fclose(in);
	return e;
}

/* What two settings must have in common. */
static int check_nodes(struct config *config, char *error)
{
	const char *origin = config->origin[CONFIG_Node_NodeId];

	for (uint32_t i = 0; i < config->n_nodes; i++)
		if (!config->nodes[i].port)
			config->nodes[i].port = config->port;
	if (config->n_nodes == 0 || config_find_node(config, config->node_id))
		return 0;
	if (!config->node_id)
		snprintf(error, CONFIG_ERROR_MAX,
			"%s: there are [Nodes], and which of them this is must be said: [Node] "
			"NodeId=",
			config->nodes[0].origin);
	else
		snprintf(error, CONFIG_ERROR_MAX,
			"%s: NodeId=%u: this node must be one of [Nodes], with its own address",
			origin, config->node_id);
	return -EINVAL;
}

/* As SISCI programs see it. */
static uint32_t id_of(const struct config *config, uint32_t node)
{
	uint32_t id = config_sisci_id(config, node);

	return id ? id : node * 4;
}

static int two_with_an_id(const struct config *config, uint32_t a, uint32_t b, char *error)
{
	snprintf(error, CONFIG_ERROR_MAX, "%s: SisciId=: nodes %u and %u would both have the id %u",
		config->origin[CONFIG_Sisci_SisciId], a, b, id_of(config, a));
	return -EINVAL;
}

/* Each node has one id, and no two the same. */
static int check_ids(const struct config *config, char *error)
{
	const char *at = config->sisci_id, *after;
	struct config_id word, other;

	while (config_id_next(&at, &word) > 0) {
		after = at;
		while (config_id_next(&after, &other) > 0) {
			if (other.id == word.id && other.node != word.node)
				return two_with_an_id(config, word.node, other.node, error);
			if (other.node != word.node)
				continue;
			snprintf(error, CONFIG_ERROR_MAX, "%s: SisciId=: node %u has two ids",
				config->origin[CONFIG_Sisci_SisciId], word.node);
			return -EINVAL;
		}
		for (uint32_t i = 0; i < config->n_nodes; i++)
			if (config->nodes[i].number != word.node &&
				id_of(config, config->nodes[i].number) == word.id)
				return two_with_an_id(
					config, word.node, config->nodes[i].number, error);
	}
	return 0;
}

static int set_defaults(struct config *config)
{
	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++) {
		int r = setting_set(&settings[i], settings[i].default_text, config);

		if (r < 0)
			return r;
		config->text[i] = strdup(settings[i].default_text);
		if (!config->text[i])
			return -ENOMEM;
	}
	return 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++) {
		free(config->text[i]);
		free(config->origin[i]);
		if (setting_is_text(settings[i].type))
			free(*(char **)((char *)config + settings[i].offset));
	}
	for (uint32_t i = 0; i < config->n_nodes; i++) {
		free(config->nodes[i].text);
		free(config->nodes[i].origin);
	}
	free(config->nodes);
	free(config->dir);
	free(config);
}

int config_load_dirs(const char *const *dirs, unsigned int n_dirs, struct config **ret_config,
	char error[CONFIG_ERROR_MAX])
{
	_cleanup_(config_free_p) struct config *config = calloc(1, sizeof(*config));
	_cleanup_(config_files_deinit) struct config_files files = {0};
	int r;

	error[0] = '\0';
	r = config ? set_defaults(config) : -ENOMEM;
	if (r == 0)
		r = config_files_find(dirs, n_dirs, &files, error);
	for (size_t i = 0; r == 0 && i < files.n; i++)
		r = read_file(config, files.paths[i], error);
	if (r == 0)
		r = check_nodes(config, error);
	if (r == 0)
		r = check_ids(config, error);
	if (r == 0 && !(config->dir = strdup(dirs[0])))
		r = -ENOMEM;
	if (r < 0 && !error[0])
		snprintf(
			error, CONFIG_ERROR_MAX, "cannot load the configuration: %s", strerror(-r));
	if (r < 0)
		return r;
	*ret_config = take_ptr(config);
	return 0;
}

int config_load(const char *dir, struct config **ret_config, char error[CONFIG_ERROR_MAX])
{
	static const char *const system_dirs[] = {CAUSEWAY_CONFIG_DIR, CAUSEWAY_VENDOR_DIR};
	int r;

	if (!dir)
		return config_load_dirs(system_dirs, ELEMENTS(system_dirs), ret_config, error);
	if (access(dir, R_OK | X_OK) < 0) {
		r = negative_errno();
		snprintf(error, CONFIG_ERROR_MAX, "cannot read the configuration directory %s: %s",
			dir, strerror(-r));
		return r;
	}
	r = config_load_dirs(&dir, 1, ret_config, error);
	if (r == 0)
		(*ret_config)->dir_named = true;
	return r;
}
