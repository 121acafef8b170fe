/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

/*
 * The checks of causeway doctor. A check looks at one thing, changes nothing, and always ends with
 * a verdict: what was found and, unless it is fine, what can be done.
 */

#include "cli/node.h"
#include "config/config.h"

enum verdict {
	VERDICT_OK,
	VERDICT_WARNING, /* something is missing or slower; the rest works */
	VERDICT_FAILED,
};

struct finding {
	enum verdict verdict;
	char found[768];
	char remedy[512]; /* "": none needed */
};

/* What the checks know of the node: filled in by the first one. */
struct doctor {
	bool connected;
	struct node node;
	struct config *config; /* the daemon's, or else the system's; NULL: not to be read */
};

struct check {
	const char *name;
	void (*run)(struct doctor *d, struct finding *f);
};

extern const struct check doctor_checks[];
extern const unsigned int n_doctor_checks;

/* found, in printf's way, with a verdict; remedy: plain text or NULL */
__attribute__((format(printf, 4, 5))) void finding_set(
	struct finding *f, enum verdict verdict, const char *remedy, const char *format, ...);

/* doctor-node.c */
void check_daemon(struct doctor *d, struct finding *f);
void check_rights(struct doctor *d, struct finding *f);
void check_sharing(struct doctor *d, struct finding *f);
void check_watching(struct doctor *d, struct finding *f);
void check_coherent_maps(struct doctor *d, struct finding *f);

/* doctor-kernel.c */
void check_kernel(struct doctor *d, struct finding *f);
void check_memfd(struct doctor *d, struct finding *f);
void check_futex(struct doctor *d, struct finding *f);
void check_membarrier(struct doctor *d, struct finding *f);
void check_pidfd(struct doctor *d, struct finding *f);
void check_userfaultfd(struct doctor *d, struct finding *f);
void check_userfaultfd_rights(struct doctor *d, struct finding *f);
/* Also for what the kernel itself does to the pages of a program. */
bool userfaultfd_is_full(const struct doctor *d);

/* doctor-limits.c */
void check_configuration(struct doctor *d, struct finding *f);
void check_descriptors(struct doctor *d, struct finding *f);
void check_locked_memory(struct doctor *d, struct finding *f);
void check_maps(struct doctor *d, struct finding *f);
void check_memory(struct doctor *d, struct finding *f);
void check_huge_pages(struct doctor *d, struct finding *f);
void check_shared_memory(struct doctor *d, struct finding *f);
void check_sizes(struct doctor *d, struct finding *f);

/* doctor-peer.c: once a node that this one knows */
void check_peer(struct doctor *d, const struct wire_node_row *row, struct finding *f);
void check_transport(struct doctor *d, uint32_t node, struct finding *f);

/* doctor-encryption.c */
void check_encryption(const struct doctor *d, const struct wire_node_row *row, struct finding *f);

/* doctor-clshm.c */
void check_clshm(struct doctor *d, struct finding *f);

/* doctor-rdma.c */
void check_rdma(struct doctor *d, struct finding *f);
/* How bulk goes to this node, besides tcp, or why not. */
void rdma_text(struct doctor *d, uint32_t node, char *buf, size_t size);

/* doctor-place.c */
void check_tracing(struct doctor *d, struct finding *f);
void check_sandbox(struct doctor *d, struct finding *f);
void check_runtime_directory(struct doctor *d, struct finding *f);

#endif
