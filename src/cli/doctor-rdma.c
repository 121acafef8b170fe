/* SPDX-License-Identifier: Apache-2.0 */
/* The check of RDMA: which provider, and why not where it is not used. */
#include "cli/doctor.h"

#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include "base/error.h"

#define DEVICES "/sys/class/infiniband"

/* What a program locks for each home that it reaches by RDMA: buffers, and what the driver has. */
#define PROGRAM_LOCKS (2ull << 20)

DEFINE_CLEANUP(DIR *, closedir);

static int ask_status(uint32_t node, struct wire_rdma_status_reply *ret)
{
	struct wire_message request = {.type = WIRE_RDMA_STATUS, .rdma_status.node = node};
	struct cw_reply reply;
	int r = cw_call(&request, NULL, 0, &reply);

	if (r == 0)
		*ret = reply.message.rdma_status_reply;
	return r;
}

/* The first RDMA device of this machine; false: it has none. */
static bool find_device(char *buf, size_t size)
{
	_cleanup_(closedir_p) DIR *dir = opendir(DEVICES);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.') {
			snprintf(buf, size, "%s", e->d_name);
			return true;
		}
	return false;
}

/* Why there is none, on a node that does not even try. */
static void find_nothing(
	struct doctor *d, const struct wire_rdma_status_reply *status, struct finding *f)
{
	char device[NAME_MAX + 1];
	bool there = find_device(device, sizeof(device));

	if (!there && strcmp(status->setting, "off"))
		finding_set(f, VERDICT_OK, NULL, "not used: this machine has no device for it");
	else if (!there)
		finding_set(f, VERDICT_OK, NULL, "not used: Rdma=off");
	else if (!strcmp(status->setting, "off"))
		finding_set(f, VERDICT_WARNING, "Rdma=auto, and restart causewayd",
			"device %s is not used: Rdma=off", device);
	else
		finding_set(f, VERDICT_OK, NULL,
			"device %s is not used: this node is not joined to others", device);
}

static void find_limits(const struct wire_rdma_status_reply *status, struct finding *f)
{
	struct rlimit own = {RLIM_INFINITY, RLIM_INFINITY};

	getrlimit(RLIMIT_MEMLOCK, &own);
	if (status->memlock != UINT64_MAX && !(status->memlock >> 40))
		finding_set(f, VERDICT_WARNING,
			"LimitMEMLOCK=infinity in the daemon's unit, or ulimit -l unlimited before "
			"it is started; segments beyond that go over tcp",
			"ofi0: provider %s of libfabric %s at %s, but causewayd may lock only %llu "
			"bytes of memory",
			status->provider, status->library, status->address,
			(unsigned long long)status->memlock);
	else if (own.rlim_cur < PROGRAM_LOCKS)
		finding_set(f, VERDICT_WARNING,
			"raise memlock in /etc/security/limits.conf, or ulimit -l; programs that "
			"may not lock memory use tcp",
			"ofi0: provider %s of libfabric %s at %s, but a program of yours may lock "
			"only "
			"%llu bytes of memory, and needs %llu for each node",
			status->provider, status->library, status->address,
			(unsigned long long)own.rlim_cur, PROGRAM_LOCKS);
	else
		finding_set(f, VERDICT_OK, NULL,
			"ofi0: provider %s of libfabric %s at %s; %llu bytes are registered for %u "
			"imports",
			status->provider, status->library, status->address,
			(unsigned long long)status->bytes, status->n_keys);
}

void check_rdma(struct doctor *d, struct finding *f)
{
	struct wire_rdma_status_reply status;
	char device[NAME_MAX + 1];
	int r = d->connected ? ask_status(0, &status) : -ENOTCONN;

	if (r && find_device(device, sizeof(device)))
		finding_set(f, VERDICT_WARNING, "see daemon, above",
			"this machine has device %s; whether it is used cannot be found out",
			device);
	else if (r)
		finding_set(f, VERDICT_OK, NULL, "not used: this machine has no device for it");
	else if (!status.provider[0])
		find_nothing(d, &status, f);
	else if (!status.kind)
		finding_set(f, VERDICT_WARNING,
			"do that and restart causewayd, or Rdma=off if it is meant to be so",
			"not used: %s", status.why);
	else if (!strncmp(status.provider, "test-", 5))
		finding_set(f, VERDICT_WARNING, "Rdma=auto, and restart causewayd",
			"ofi0: provider %s of libfabric %s, which does not hold the bounds of "
			"memory: for tests alone; %llu bytes are registered for %u imports",
			status.provider, status.library, (unsigned long long)status.bytes,
			status.n_keys);
	else
		find_limits(&status, f);
}

void rdma_text(struct doctor *d, uint32_t node, char *buf, size_t size)
{
	struct wire_rdma_status_reply status;
	int r = d->connected ? ask_status(node, &status) : -ENOTCONN;

	if (r || !status.kind)
		snprintf(buf, size, "no RDMA (see rdma)");
	else if (!status.there)
		snprintf(buf, size, "no RDMA: node %u does none ('causeway doctor' there)", node);
	else if (status.there != status.kind)
		snprintf(buf, size, "no RDMA: node %u has another provider", node);
	else
		snprintf(buf, size, "bulk through ofi0 by RDMA, provider %s", status.provider);
}
