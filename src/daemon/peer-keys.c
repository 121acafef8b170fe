/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/peer-keys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/error.h"
#include "base/parse.h"

#define LINE_MAX_LENGTH 256
#define SPACE		" \t\r\n"

struct entry {
	uint32_t node;
	unsigned int line;
	uint8_t key[PEER_KEY_SIZE];
};

struct PeerKeys {
	struct entry *entries;
	size_t n;
};

void peer_keys_free(PeerKeys *k)
{
	if (!k)
		return;
	if (k->entries)
		explicit_bzero(k->entries, k->n * sizeof(*k->entries));
	free(k->entries);
	free(k);
}

static const struct entry *find(const PeerKeys *k, uint32_t node)
{
	for (size_t i = 0; k && i < k->n; i++)
		if (k->entries[i].node == node)
			return &k->entries[i];
	return NULL;
}

const uint8_t *peer_keys_find(const PeerKeys *k, uint32_t node)
{
	const struct entry *e = find(k, node);

	return e ? e->key : NULL;
}

/* Without realloc(), which may leave keys behind. */
static int add(PeerKeys *k, const struct entry *entry)
{
	size_t size = k->n * sizeof(*k->entries);
	struct entry *entries;

	if ((k->n & (k->n - 1)) == 0) {
		entries = calloc(k->n ? 2 * k->n : 1, sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		if (k->n > 0) {
			memcpy(entries, k->entries, size);
			explicit_bzero(k->entries, size);
		}
		free(k->entries);
		k->entries = entries;
	}
	k->entries[k->n++] = *entry;
	return 0;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool parse_key(const char *text, uint8_t key[PEER_KEY_SIZE])
{
	if (!text || strlen(text) != 2 * PEER_KEY_SIZE)
		return false;
	for (size_t i = 0; i < PEER_KEY_SIZE; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		key[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* What is wrong with the line, or NULL. */
static const char *read_line(PeerKeys *k, char *line, unsigned int number, int *ret)
{
	struct entry entry = {.line = number};
	char *state, *word = strtok_r(line, SPACE, &state);
	const char *flaw = NULL;

	if (!word || word[0] == '#')
		return NULL;
	if (parse_u32(word, &entry.node) < 0 || !entry.node)
		flaw = "a line is the number of a node and 64 hexadecimal digits";
	else if (!parse_key(strtok_r(NULL, SPACE, &state), entry.key) ||
		 strtok_r(NULL, SPACE, &state))
		flaw = "after the node there must be 64 hexadecimal digits and nothing else";
	else if (find(k, entry.node))
		flaw = "this node has a key already; remove one";
	else
		*ret = add(k, &entry);
	explicit_bzero(&entry, sizeof(entry));
	return flaw;
}

static int read_stream(PeerKeys *k, FILE *in, const char *path, char *error)
{
	char line[LINE_MAX_LENGTH];
	const char *flaw = NULL;
	unsigned int number = 0;
	int r = 0;

	/* no buffer that would keep keys */
	setvbuf(in, NULL, _IONBF, 0);
	while (r == 0 && !flaw && fgets(line, sizeof(line), in)) {
		number++;
		if (strlen(line) == sizeof(line) - 1)
			flaw = "the line is too long";
		else
			flaw = read_line(k, line, number, &r);
	}
	explicit_bzero(line, sizeof(line));
	if (r == 0 && ferror(in))
		r = negative_errno();
	if (flaw) {
		snprintf(error, PEER_KEYS_ERROR_MAX, "%s:%u: %s", path, number, flaw);
		return -EINVAL;
	}
	if (r < 0)
		snprintf(error, PEER_KEYS_ERROR_MAX, "cannot read %s: %s", path, strerror(-r));
	return r;
}

static int check_file(int fd, const char *path, char *error)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		snprintf(error, PEER_KEYS_ERROR_MAX, "cannot read %s: not a regular file", path);
		return -EINVAL;
	}
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		snprintf(error, PEER_KEYS_ERROR_MAX,
			"%s belongs to user %u, who could read and change the keys; it must belong "
			"to user %u: chown it, and make new keys",
			path, st.st_uid, geteuid());
		return -EPERM;
	}
	if (st.st_mode & 077) {
		snprintf(error, PEER_KEYS_ERROR_MAX,
			"%s can be read or written by others (mode %04o); make new keys, and see "
			"that the mode is 0600",
			path, st.st_mode & 07777);
		return -EPERM;
	}
	return 0;
}

int peer_keys_load(const char *path, PeerKeys **ret_keys, char error[PEER_KEYS_ERROR_MAX])
{
	_cleanup_(peer_keys_free_p) PeerKeys *k = calloc(1, sizeof(*k));
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	FILE *in;
	int r;

	if (fd < 0 || !k) {
		r = k ? negative_errno() : -ENOMEM;
		snprintf(error, PEER_KEYS_ERROR_MAX, "cannot read %s: %s%s", path, strerror(-r),
			r == -ENOENT ? "; causeway keygen makes it" : "");
		return r;
	}
	r = check_file(fd, path, error);
	if (r < 0)
		return r;
	in = fdopen(fd, "re");
	if (!in)
		return negative_errno();
	take_fd(&fd);
	r = read_stream(k, in, path, error);
	fclose(in);
	if (r < 0)
		return r;
	*ret_keys = take_ptr(k);
	return 0;
}
