/* SPDX-License-Identifier: Apache-2.0 */
/* Is this node a partition of clshm, and can memory of others be attached here? */
#include "base/error.h"
#include "cli/clshm.h"
#include "cli/doctor.h"
#include "wire/status.h"

static void explain(const struct doctor *d, int result, struct finding *f)
{
	const char *remedy = NULL;

	if (result == STATUS_NODE_UNKNOWN)
		remedy = "give the node a NodeId= below 64 if clshm is to be used";
	else if (result == STATUS_NO_DAEMON)
		remedy = "'clshmctl startup', as root or the daemon's user";
	else if (result == STATUS_NOT_SUPPORTED || result == STATUS_VERSION)
		remedy = "install causewayd and its tools of the same version";
	finding_set(f, VERDICT_WARNING, remedy, "node %u has no clshm: %s", d->node.status.node,
		clshm_hello_text(result));
}

void check_clshm(struct doctor *d, struct finding *f)
{
	_cleanup_(partitions_deinit) struct partitions all = {0};
	struct wire_shm_hello_reply hello;
	unsigned int n_up = 0;
	int r;

	if (!d->connected) {
		finding_set(f, VERDICT_FAILED, "see daemon, above", "not checked: no daemon");
		return;
	}
	r = clshm_hello(&hello);
	if (r) {
		explain(d, r, f);
		return;
	}
	if (partitions_fetch(&all) == 0)
		for (size_t i = 0; i < all.n; i++)
			n_up += all.rows[i].is_up;
	if (all.n > 1 && (!(d->node.status.flags & WIRE_NODE_MAPS) || !userfaultfd_is_full(d)))
		finding_set(f, VERDICT_WARNING, "see coherent maps, above",
			"partition %u, %u of %zu are up, but segments of the others cannot be "
			"attached here",
			hello.partition, n_up, all.n);
	else
		finding_set(f, VERDICT_OK, NULL, "partition %u, %u of %zu are up", hello.partition,
			n_up, all.n);
}
