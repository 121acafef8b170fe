/* SPDX-License-Identifier: Apache-2.0 */
/* xp_ftok(): a new key of a partition. */
#include <xp_shm.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "api/clshm/call.h"
#include "api/clshm/session.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/usercopy.h"

#define PREFIX_LENGTH (sizeof(CLSHM_IF_PART_PATH) - 1)
#define PATH_LENGTH   (PREFIX_LENGTH + 2)

/* As much of the program's text as the longest path has, with the zero at its end. */
static int read_path(const char *path, char text[PATH_LENGTH + 1])
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;

	while (n <= PATH_LENGTH) {
		/* what follows the text may be no memory */
		size_t some = MIN(PATH_LENGTH + 1 - n, page - (uintptr_t)(path + n) % page);
		int r = user_read(text + n, path + n, some);

		if (r < 0)
			return r;
		if (memchr(text + n, 0, some))
			return 0;
		n += some;
	}
	return -EINVAL;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int read_partition(const char *path, uint32_t *ret_partition)
{
	char text[PATH_LENGTH + 1] = {0};
	int r = read_path(path, text), high, low;

	if (r < 0)
		return r;
	high = digit(text[PREFIX_LENGTH]);
	low = digit(text[PREFIX_LENGTH + 1]);
	if (strncmp(text, CLSHM_IF_PART_PATH, PREFIX_LENGTH) || high < 0 || low < 0 ||
		high * 16 + low >= MAX_PARTITIONS)
		return -EINVAL;
	*ret_partition = (uint32_t)(high * 16 + low);
	return 0;
}

static int make_key(const char *path, int id, key_t *ret_key)
{
	struct wire_message m = {.type = WIRE_SHM_KEY, .shm_key = {.partition = WIRE_SHM_HERE}};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	if (id != CLSHM_IF_ID_DEFAULT)
		return -EINVAL;
	if (path) {
		r = read_partition(path, &m.shm_key.partition);
		if (r < 0)
			return r;
	}
	r = session_ask(&m, reply);
	if (!r)
		*ret_key = (key_t)reply->message.shm_key_reply.key;
	return r;
}

CLSHM_API key_t xp_ftok(const char *path, int id)
{
	key_t key = -1;
	int r;

	call_begin();
	r = make_key(path, id, &key);
	return (key_t)call_end("xp_ftok", CODE_PARTITION, r, key);
}
