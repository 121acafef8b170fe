/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the kernel's features, each by using it. */
#include "cli/doctor.h"

#include <fcntl.h>
#include <linux/membarrier.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

#define NEW_KERNEL "use Linux 6.1 or newer"

void check_kernel(struct doctor *d, struct finding *f)
{
	struct utsname u;
	unsigned int major = 0, minor = 0;
	bool known = uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2;
	unsigned int version = major * 1000 + minor;

	if (!known)
		finding_set(f, VERDICT_WARNING, NEW_KERNEL, "the kernel's version is unknown");
	else if (version < 5016)
		finding_set(
			f, VERDICT_FAILED, NEW_KERNEL, "Linux %s has no futex_waitv", u.release);
	else if (version < 6001)
		finding_set(f, VERDICT_WARNING, NEW_KERNEL, "Linux %s is older than what is tested",
			u.release);
	else
		finding_set(f, VERDICT_OK, NULL, "Linux %s %s", u.release, u.machine);
}

void check_memfd(struct doctor *d, struct finding *f)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	_cleanup_close_ int fd = memfd_create("causeway-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		finding_set(f, VERDICT_FAILED,
			"allow memfd_create in the container's seccomp profile", "memfd_create: %s",
			strerror(errno));
	else if (ftruncate(fd, 4096) < 0 || fallocate(fd, 0, 0, 4096) < 0)
		finding_set(f, VERDICT_FAILED, "raise the memory limit of the control group",
			"a memfd cannot have memory: %s", strerror(errno));
	else if (fcntl(fd, F_ADD_SEALS, seals) < 0 || fcntl(fd, F_GET_SEALS) != seals)
		finding_set(f, VERDICT_FAILED, NEW_KERNEL, "a memfd cannot be sealed: %s",
			strerror(errno));
	else
		finding_set(f, VERDICT_OK, NULL, "memfds with memory and seals");
}

void check_futex(struct doctor *d, struct finding *f)
{
	/* a vector of no words: the call says so if it is there */
	if (syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) < 0 && errno == EINVAL)
		finding_set(f, VERDICT_OK, NULL, "present");
	else
		finding_set(f, VERDICT_FAILED,
			NEW_KERNEL ", and allow futex_waitv in the container's seccomp profile",
			"futex_waitv: %s: nobody can wait for signals", strerror(errno));
}

void check_membarrier(struct doctor *d, struct finding *f)
{
	const int wanted =
		MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;
	long r = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	if (r >= 0 && (r & wanted) == wanted)
		finding_set(f, VERDICT_OK, NULL, "private expedited barriers");
	else
		finding_set(f, VERDICT_FAILED,
			"use a kernel with CONFIG_MEMBARRIER and allow membarrier in the "
			"container's "
			"seccomp profile",
			"membarrier: %s",
			r < 0 ? strerror(errno) : "no private expedited barriers");
}

void check_pidfd(struct doctor *d, struct finding *f)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (fd >= 0)
		finding_set(f, VERDICT_OK, NULL, "present");
	else
		finding_set(f, VERDICT_WARNING,
			"allow pidfd_open in the container's seccomp profile", "pidfd_open: %s",
			strerror(errno));
}

/* Feature bits that we name, also those that Debian 12's headers do not have. */
static const struct {
	uint64_t bit;
	const char *name;
	bool needed; /* for coherent maps */
} features[] = {
	{1ull << 5, "missing-shmem", true},
	{1ull << 12, "wp-shmem", true},
	{1ull << 1, "event-fork", true},
	{1ull << 10, "minor-shmem", false},
	{1ull << 13, "wp-unpopulated", false},
	{1ull << 14, "poison", false},
};

static int new_uffd(int flags)
{
	return (int)syscall(SYS_userfaultfd, flags | O_CLOEXEC | O_NONBLOCK);
}

static void describe_features(struct finding *f, uint64_t have)
{
	char yes[128] = "", no[128] = "";
	bool complete = true;

	for (unsigned int i = 0; i < ELEMENTS(features); i++) {
		char *list = have & features[i].bit ? yes : no;
		size_t n = strlen(list);

		snprintf(list + n, sizeof(yes) - n, " %s", features[i].name);
		if (features[i].needed && !(have & features[i].bit))
			complete = false;
	}
	finding_set(f, complete ? VERDICT_OK : VERDICT_WARNING, complete ? NULL : NEW_KERNEL,
		"features:%s%s%s", yes, no[0] ? "; not:" : "", no);
}

void check_userfaultfd(struct doctor *d, struct finding *f)
{
	struct uffdio_api api = {.api = UFFD_API};
	_cleanup_close_ int fd = new_uffd(UFFD_USER_MODE_ONLY);

	if (fd < 0)
		finding_set(f, VERDICT_WARNING,
			"allow userfaultfd in the container's seccomp profile, and use a kernel "
			"with "
			"CONFIG_USERFAULTFD",
			"userfaultfd: %s: programs with several threads cannot export memory they "
			"already have",
			strerror(errno));
	else if (ioctl(fd, UFFDIO_API, &api) < 0)
		finding_set(f, VERDICT_WARNING, NEW_KERNEL, "userfaultfd's interface: %s",
			strerror(errno));
	else
		describe_features(f, api.features);
}

static int read_sysctl(const char *path)
{
	FILE *in = fopen(path, "re");
	int v = -1;

	if (!in)
		return -1;
	if (fscanf(in, "%d", &v) != 1)
		v = -1;
	fclose(in);
	return v;
}

bool userfaultfd_is_full(const struct doctor *d)
{
	_cleanup_close_ int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	_cleanup_close_ int full = new_uffd(0);

	return full >= 0 || device >= 0 || (d->connected && d->node.status.flags & WIRE_NODE_UFFD);
}

/* Full rights also cover what the kernel itself does to the pages of a program: read(2) into them.
 */
void check_userfaultfd_rights(struct doctor *d, struct finding *f)
{
	int sysctl = read_sysctl("/proc/sys/vm/unprivileged_userfaultfd");
	_cleanup_close_ int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	const char *device_text = device >= 0 ? "may be opened" : strerror(errno);
	_cleanup_close_ int full = new_uffd(0);
	const char *way = full >= 0	? "the system call"
			  : device >= 0 ? "the device"
					: "the device, which the daemon lends";

	if (userfaultfd_is_full(d))
		finding_set(f, VERDICT_OK, NULL,
			"full, by %s; /dev/userfaultfd: %s; vm.unprivileged_userfaultfd = %d", way,
			device_text, sysctl);
	else
		finding_set(f, VERDICT_WARNING,
			"run causewayd as root, which lends the device; or 'chmod 0666 "
			"/dev/userfaultfd'; or 'sysctl vm.unprivileged_userfaultfd=1'",
			"only for faults of user code: a system call that touches memory while it "
			"is "
			"being exported gets EFAULT; /dev/userfaultfd: %s; "
			"vm.unprivileged_userfaultfd = %d",
			device_text, sysctl);
}
