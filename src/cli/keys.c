/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "base/parse.h"
#include "cli/command.h"
#include "cli/directory.h"

#define KEY_BYTES  32u
#define KEY_DIGITS (2 * KEY_BYTES)

struct key {
	bool known;
	char digits[KEY_DIGITS + 1];
};

/* Everything at once: what node i's file says of node j is keys[i * n + j]. */
struct keys {
	const char *dir;
	uint32_t *nodes; /* rising */
	size_t n;
	struct key *keys;
	bool *changed; /* n of them */
};

DEFINE_CLEANUP(FILE *, fclose);
DEFINE_CLEANUP(DIR *, closedir);

static void keys_deinit(struct keys *k)
{
	if (k->keys)
		explicit_bzero(k->keys, k->n * k->n * sizeof(*k->keys));
	free(k->keys);
	free(k->nodes);
	free(k->changed);
}

void keys_report_deinit(struct keys_report *r)
{
	free(r->files);
	*r = (struct keys_report){0};
}

/* the set of nodes */

/* Index of node, or where it would stand. */
static size_t find_node(const struct keys *k, uint32_t node)
{
	size_t low = 0, high = k->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (k->nodes[middle] < node)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_node(struct keys *k, uint32_t node)
{
	size_t at = find_node(k, node);
	uint32_t *nodes;

	if (at < k->n && k->nodes[at] == node)
		return 0;
	nodes = reallocarray(k->nodes, k->n + 1, sizeof(*nodes));
	if (!nodes)
		return cli_fail("out of memory");
	k->nodes = nodes;
	memmove(nodes + at + 1, nodes + at, (k->n - at) * sizeof(*nodes));
	nodes[at] = node;
	k->n++;
	return 0;
}

static struct key *key_at(struct keys *k, uint32_t node, uint32_t peer)
{
	return &k->keys[find_node(k, node) * k->n + find_node(k, peer)];
}

/* reading */

static int parse_node(const char *text, uint32_t *ret_node)
{
	uint32_t node;

	if (parse_u32(text, &node) < 0 || node == 0 || node > KEYS_NODE_MAX)
		return -EINVAL;
	*ret_node = node;
	return 0;
}

static bool parse_line(char *line, uint32_t *ret_peer, char ret_digits[KEY_DIGITS + 1])
{
	char *rest, *peer = strtok_r(line, " \t\n", &rest), *key = strtok_r(NULL, " \t\n", &rest);

	if (!peer || !key || strtok_r(NULL, " \t\n", &rest) || parse_node(peer, ret_peer) < 0 ||
		strlen(key) != KEY_DIGITS || strspn(key, "0123456789abcdefABCDEF") != KEY_DIGITS)
		return false;
	strcpy(ret_digits, key);
	return true;
}

static int check_mode(const struct keys *k, uint32_t node, int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return cli_fail("cannot look at %s: %s", path, strerror(errno));
	if (st.st_mode & 077)
		return cli_fail("others may read or write %s (mode %04o), so its keys count as "
				"known; 'causeway keygen -d %s --replace %u' makes new ones",
			path, st.st_mode & 07777, k->dir, node);
	return 0;
}

/* Each line of node's file goes to take(). A file that is not there has none. */
static int read_file(
	struct keys *k, uint32_t node, int (*take)(struct keys *, uint32_t, uint32_t, const char *))
{
	_cleanup_(fclose_p) FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	char path[PATH_MAX], digits[KEY_DIGITS + 1];
	size_t size = 0;
	uint32_t peer;
	ssize_t len;
	int r;

	snprintf(path, sizeof(path), "%s/%u/keys", k->dir, node);
	f = fopen(path, "re");
	if (!f && errno == ENOENT)
		return 0;
	if (!f)
		return cli_fail("cannot read %s: %s", path, strerror(errno));
	r = check_mode(k, node, fileno(f), path);
	for (unsigned int n = 1; r == 0 && (len = getline(&line, &size, f)) > 0; n++) {
		bool whole = strlen(line) == (size_t)len;

		if (whole && (line[0] == '#' || line[strspn(line, " \t\n")] == '\0'))
			continue;
		if (!whole || !parse_line(line, &peer, digits) || peer == node)
			return cli_fail("%s:%u: must be another node's number and %u hexadecimal "
					"digits; 'causeway keygen -d %s --replace %u' makes all "
					"keys of node %u new",
				path, n, KEY_DIGITS, k->dir, node, node);
		r = take(k, node, peer, digits);
	}
	return r;
}

int keys_file_has(const char *path, uint32_t peer)
{
	_cleanup_(fclose_p) FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	char digits[KEY_DIGITS + 1];
	size_t size = 0;
	uint32_t other;

	if (!f)
		return negative_errno();
	while (getline(&line, &size, f) > 0)
		if (parse_line(line, &other, digits) && other == peer)
			return 1;
	return ferror(f) ? -EIO : 0;
}

static int take_peer(struct keys *k, uint32_t node, uint32_t peer, const char *digits)
{
	return add_node(k, peer);
}

static int take_key(struct keys *k, uint32_t node, uint32_t peer, const char *digits)
{
	struct key *key = key_at(k, node, peer);

	key->known = true;
	strcpy(key->digits, digits);
	return 0;
}

/* Nodes that have a file in dir. */
static int find_files(struct keys *k)
{
	_cleanup_(closedir_p) DIR *d = opendir(k->dir);
	char path[PATH_MAX];
	struct dirent *e;
	uint32_t node;
	int r = 0;

	if (!d)
		return cli_fail("cannot read the directory %s: %s", k->dir, strerror(errno));
	while (r == 0 && (e = readdir(d))) {
		if (parse_node(e->d_name, &node) < 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s/keys", k->dir, e->d_name);
		if (access(path, F_OK) == 0)
			r = add_node(k, node);
	}
	return r;
}

/* Fills k from the files; those of replace are not worth reading. */
static int keys_read(struct keys *k, uint32_t replace)
{
	_cleanup_free_ uint32_t *known = NULL;
	size_t n_known;
	int r = find_files(k);

	if (r)
		return r;
	n_known = k->n;
	known = calloc(n_known + 1, sizeof(*known));
	if (!known)
		return cli_fail("out of memory");
	memcpy(known, k->nodes, n_known * sizeof(*known));
	for (size_t i = 0; r == 0 && i < n_known; i++)
		if (known[i] != replace)
			r = read_file(k, known[i], take_peer);
	if (r)
		return r;
	k->keys = calloc(k->n * k->n + 1, sizeof(*k->keys));
	k->changed = calloc(k->n + 1, sizeof(*k->changed));
	if (!k->keys || !k->changed)
		return cli_fail("out of memory");
	for (size_t i = 0; r == 0 && i < k->n; i++)
		if (k->nodes[i] != replace)
			r = read_file(k, k->nodes[i], take_key);
	return r;
}

/* making */

static int make_key(struct key *key)
{
	uint8_t bytes[KEY_BYTES];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return cli_fail("the kernel gives no random numbers: %s", strerror(errno));
	for (unsigned int i = 0; i < KEY_BYTES; i++)
		snprintf(key->digits + 2 * i, 3, "%02x", bytes[i]);
	explicit_bzero(bytes, sizeof(bytes));
	key->known = true;
	return 0;
}

/* Both files have the pair's key afterwards. */
static int complete_pair(struct keys *k, size_t i, size_t j, uint32_t replace, size_t *n_made)
{
	struct key *one = &k->keys[i * k->n + j], *other = &k->keys[j * k->n + i];
	int r = 0;

	if (k->nodes[i] == replace || k->nodes[j] == replace)
		one->known = other->known = false;
	if (one->known && other->known && !strcasecmp(one->digits, other->digits))
		return 0;
	if (one->known && other->known)
		return cli_fail("%s/%u/keys and %s/%u/keys disagree; 'causeway keygen -d %s "
				"--replace %u' makes new keys for node %u",
			k->dir, k->nodes[i], k->dir, k->nodes[j], k->dir, k->nodes[i], k->nodes[i]);
	if (!one->known && !other->known) {
		r = make_key(one);
		k->changed[i] = true;
		++*n_made;
	}
	k->changed[one->known ? j : i] = true;
	if (one->known)
		*other = *one;
	else
		*one = *other;
	return r;
}

/* writing */

static int print_keys(const struct keys *k, size_t i, FILE *f)
{
	fprintf(f, "# Keys of node %u, by causeway keygen. Nobody else may have them.\n",
		k->nodes[i]);
	for (size_t j = 0; j < k->n; j++)
		if (j != i)
			fprintf(f, "%u %s\n", k->nodes[j], k->keys[i * k->n + j].digits);
	return fflush(f) == 0 && fsync(fileno(f)) == 0 ? 0 : negative_errno();
}

static int write_file(const struct keys *k, size_t i)
{
	char dir[PATH_MAX], path[PATH_MAX + 8], temporary[PATH_MAX + 16];
	_cleanup_(fclose_p) FILE *f = NULL;
	int fd, r;

	snprintf(dir, sizeof(dir), "%s/%u", k->dir, k->nodes[i]);
	snprintf(path, sizeof(path), "%s/keys", dir);
	snprintf(temporary, sizeof(temporary), "%s/.keys.XXXXXX", dir);
	r = directory_make(dir);
	if (r)
		return r;
	fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return cli_fail("cannot make a file in %s: %s", dir, strerror(errno));
	f = fdopen(fd, "w");
	if (!f)
		fd_close(fd);
	r = f ? print_keys(k, i, f) : negative_errno();
	if (r == 0 && rename(temporary, path) < 0)
		r = negative_errno();
	if (r == 0)
		return 0;
	unlink(temporary);
	return cli_fail("cannot write %s: %s", path, strerror(-r));
}

static int make_report(const struct keys *k, size_t n_made, struct keys_report *ret_report)
{
	struct keys_file *files = calloc(k->n + 1, sizeof(*files));

	if (!files)
		return cli_fail("out of memory");
	for (size_t i = 0; i < k->n; i++)
		files[i] = (struct keys_file){k->nodes[i], k->changed[i]};
	*ret_report = (struct keys_report){files, k->n, n_made};
	return 0;
}

int keys_make(const char *dir, const uint32_t *nodes, size_t n_nodes, uint32_t replace,
	struct keys_report *ret_report)
{
	_cleanup_(keys_deinit) struct keys k = {.dir = dir};
	size_t n_made = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n_nodes; i++)
		r = add_node(&k, nodes[i]);
	if (r == 0 && replace)
		r = add_node(&k, replace);
	if (r == 0)
		r = keys_read(&k, replace);
	for (size_t i = 0; r == 0 && i < k.n; i++)
		for (size_t j = i + 1; r == 0 && j < k.n; j++)
			r = complete_pair(&k, i, j, replace, &n_made);
	for (size_t i = 0; r == 0 && i < k.n; i++)
		if (k.changed[i])
			r = write_file(&k, i);
	return r ? r : make_report(&k, n_made, ret_report);
}
