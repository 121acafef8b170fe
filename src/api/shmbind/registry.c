/* SPDX-License-Identifier: Apache-2.0 */
#include "api/shmbind/registry.h"

#include <stdlib.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "client/connection.h"
#include "placement/admission.h"
#include "wire/status.h"

#define ATTEMPTS_MAX 8u

static bool node_answers(void)
{
	struct cw_attempt attempts[ATTEMPTS_MAX];
	unsigned int n = cw_attempts(attempts, ATTEMPTS_MAX);

	for (unsigned int i = 0; i < n; i++)
		if (attempts[i].error == 0)
			return true;
	return false;
}

static int ask(struct wire_message *request)
{
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));

	return reply ? cw_call(request, NULL, 0, reply) : -ENOMEM;
}

static int ask_to_add(const struct placement *p, const struct attachment *a)
{
	struct wire_message m = {.type = WIRE_BINDING_ADD};

	m.binding_add = (struct wire_binding_add){
		.shmid = (uint32_t)a->shmid, .order = p->order, .hard = p->hard};
	if (attachment_is_huge(a))
		m.binding_add.page = (uint32_t)(a->page / 1024);
	nodeset_put_bytes(&p->nodes, m.binding_add.nodes);
	return ask(&m);
}

bool registry_fits_here(
	const struct placement *p, const struct attachment *a, const struct topology *t)
{
	struct claim claim = {*p, attachment_bytes(a)};

	return attachment_is_huge(a) || admission_allows(&claim, 1, t);
}

int registry_admit(const struct placement *placement, const struct attachment *a,
	const struct topology *topology, struct registration *ret_registration)
{
	int r = node_answers() ? ask_to_add(placement, a) : STATUS_NO_DAEMON;

	if (r == STATUS_NO_MEMORY)
		return -ENOMEM;
	/* A node that cannot help is no worse than none. */
	if (r && !registry_fits_here(placement, a, topology))
		return -ENOMEM;
	*ret_registration = (struct registration){.shmid = a->shmid, .made = r == 0};
	return 0;
}

void registry_done(const struct registration *r, const struct attachment *a, bool kept, bool follow)
{
	struct wire_message m = {.type = WIRE_BINDING_DONE};

	if (!r->made)
		return;
	m.binding_done.shmid = (uint32_t)r->shmid;
	m.binding_done.kept = kept;
	if (kept && follow)
		m.binding_done.address = (uint64_t)(uintptr_t)a->address;
	ask(&m);
}
