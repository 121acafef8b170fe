/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/vma.h"

#include <fcntl.h>
#include <linux/ioctl.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "memory/sys.h"

/* linux/fs.h of 6.11 */
#define VMA_QUERY_READABLE	   0x01u
#define VMA_QUERY_WRITABLE	   0x02u
#define VMA_QUERY_SHARED	   0x08u
#define VMA_QUERY_COVERING_OR_NEXT 0x10u

struct vma_query {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};
_Static_assert(sizeof(struct vma_query) == 104, "layout of the kernel");

#define VMA_QUERY _IOWR('f', 17, struct vma_query)

#define VMA_NAME 64   /* longer names are not of interest */
#define VMA_TEXT 4096 /* read at once; longer lines are cut at their name */

struct vma_reader {
	int fd;
	size_t n; /* bytes in text */
	bool end, cut;
	char text[VMA_TEXT];
};

static bool text_is(const char *s, size_t len, const char *what)
{
	return len == strlen(what) && !memcmp(s, what, len);
}

static bool text_starts(const char *s, size_t len, const char *what)
{
	return len >= strlen(what) && !memcmp(s, what, strlen(what));
}

static void vma_judge_name(struct vma *v, const char *name, size_t len)
{
	v->stack = text_is(name, len, "[stack]");
	v->sysv = v->shared && text_starts(name, len, "/SYSV") && len >= strlen("/SYSV00000000");
	v->unlinked_zero = v->shared && text_is(name, len, "/dev/zero (deleted)");
	if (text_starts(name, len, "/anon_hugepage"))
		v->hugetlb = true;
}

/* 0, -ENOENT after the last mapping, -ENOTTY: not this kernel */
static int vma_query(int fd, uint64_t address, struct vma *ret_vma)
{
	char name[VMA_NAME] = "";
	struct vma_query q = {.size = sizeof(q),
		.query_flags = VMA_QUERY_COVERING_OR_NEXT,
		.query_addr = address,
		.vma_name_addr = (uintptr_t)name,
		.vma_name_size = sizeof(name)};
	int r = sys_ioctl(fd, VMA_QUERY, &q);

	if (r == -ENAMETOOLONG) {
		q.vma_name_addr = 0;
		q.vma_name_size = 0;
		r = sys_ioctl(fd, VMA_QUERY, &q);
	}
	if (r < 0)
		return r;
	*ret_vma = (struct vma){.start = q.vma_start,
		.end = q.vma_end,
		.offset = q.vma_offset,
		.inode = q.inode,
		.device = makedev(q.dev_major, q.dev_minor),
		.readable = q.vma_flags & VMA_QUERY_READABLE,
		.writable = q.vma_flags & VMA_QUERY_WRITABLE,
		.shared = q.vma_flags & VMA_QUERY_SHARED,
		.hugetlb = q.vma_page_size > (uint64_t)sysconf(_SC_PAGESIZE)};
	vma_judge_name(ret_vma, name, strnlen(name, sizeof(name)));
	return 0;
}

static int vma_each_queried(int fd, uint64_t start, uint64_t end,
	int (*visit)(const struct vma *vma, void *userdata), void *userdata)
{
	while (start < end) {
		struct vma v;
		int r = vma_query(fd, start, &v);

		if (r == -ENOENT)
			return 0;
		if (r < 0)
			return r;
		if (v.start >= end)
			return 0;
		r = visit(&v, userdata);
		if (r)
			return r;
		start = v.end;
	}
	return 0;
}

/* Next line without its newline; false at the end. */
static int vma_read_line(struct vma_reader *reader, char *line, size_t *ret_len)
{
	for (;;) {
		char *nl = memchr(reader->text, '\n', reader->n);
		size_t len = nl ? (size_t)(nl - reader->text) : reader->n;
		long n;

		if (nl || (len && (reader->end || len == sizeof(reader->text)))) {
			bool rest = reader->cut;

			memcpy(line, reader->text, len);
			reader->n -= len + !!nl;
			memmove(reader->text, reader->text + len + !!nl, reader->n);
			reader->cut = !nl;
			if (rest)
				continue;
			*ret_len = len;
			return 1;
		}
		if (reader->end)
			return 0;
		n = memory_syscall(SYS_read, reader->fd, (long)(reader->text + reader->n),
			(long)(sizeof(reader->text) - reader->n), 0, 0, 0);
		if (n < 0 && n != -EINTR)
			return (int)n;
		if (n == 0)
			reader->end = true;
		if (n > 0)
			reader->n += (size_t)n;
	}
}

static uint64_t text_number(const char **s, const char *end, unsigned int base)
{
	uint64_t v = 0;

	for (; *s < end; (*s)++) {
		unsigned int c = (unsigned char)**s, digit;

		digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
		if (digit >= base)
			break;
		v = v * base + digit;
	}
	return v;
}

/* "start-end rwxs offset major:minor inode    name"; private hugetlbfs files are not recognised,
 * they fail when they are remapped. */
static int vma_parse(const char *s, size_t len, struct vma *ret_vma)
{
	const char *end = s + len;
	struct vma v = {0};
	unsigned int major;

	v.start = text_number(&s, end, 16);
	s++;
	v.end = text_number(&s, end, 16);
	s++;
	if (end - s < 5)
		return -EPROTO;
	v.readable = s[0] == 'r';
	v.writable = s[1] == 'w';
	v.shared = s[3] == 's';
	s += 5;
	v.offset = text_number(&s, end, 16);
	s++;
	major = (unsigned int)text_number(&s, end, 16);
	s++;
	v.device = makedev(major, (unsigned int)text_number(&s, end, 16));
	s++;
	v.inode = text_number(&s, end, 10);
	while (s < end && *s == ' ')
		s++;
	if (s <= end)
		vma_judge_name(&v, s, (size_t)(end - s));
	*ret_vma = v;
	return 0;
}

static int vma_each_read(int fd, uint64_t start, uint64_t end,
	int (*visit)(const struct vma *vma, void *userdata), void *userdata)
{
	struct vma_reader reader;
	char line[VMA_TEXT];
	size_t len = 0;
	int r;

	reader.fd = fd;
	reader.n = 0;
	reader.end = reader.cut = false;
	while ((r = vma_read_line(&reader, line, &len)) > 0) {
		struct vma v;

		r = vma_parse(line, len, &v);
		if (r < 0)
			return r;
		if (v.end <= start)
			continue;
		if (v.start >= end)
			return 0;
		r = visit(&v, userdata);
		if (r)
			return r;
	}
	return r;
}

int vma_for_each(uint64_t start, uint64_t end, int (*visit)(const struct vma *vma, void *userdata),
	void *userdata)
{
	int fd = (int)memory_syscall(
		SYS_openat, AT_FDCWD, (long)"/proc/self/maps", O_RDONLY | O_CLOEXEC, 0, 0, 0);
	int r;

	if (fd < 0)
		return fd;
	r = vma_each_queried(fd, start, end, visit, userdata);
	/* Only the first query can say so, thus nothing has been visited yet. */
	if (r == -ENOTTY)
		r = vma_each_read(fd, start, end, visit, userdata);
	(void)memory_syscall(SYS_close, fd, 0, 0, 0, 0, 0);
	return r;
}
