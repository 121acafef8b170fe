/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_OFI_LIBRARY_H
#define FABRIC_OFI_LIBRARY_H

/*
 * libfabric as it is found at run time, and what is asked of each provider. All calls into it but
 * the few here go through tables of its objects, which the inline functions of its headers use.
 */

#include "fabric/ofi/ofi.h" /* first: the others have a container_of() where there is none */

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>

struct library {
	int (*getinfo)(uint32_t version, const char *node, const char *service, uint64_t flags,
		const struct fi_info *hints, struct fi_info **info);
	void (*freeinfo)(struct fi_info *info);
	struct fi_info *(*dupinfo)(const struct fi_info *info);
	int (*fabric)(struct fi_fabric_attr *attr, struct fid_fabric **fabric, void *context);
	const char *(*strerror)(int error);
	uint32_t (*version)(void);
};

struct provider {
	enum ofi_kind kind;
	const char *name;      /* ours, and in the configuration */
	const char *libfabric; /* its prov_name */
	bool connected;	       /* FI_EP_MSG; else FI_EP_RDM */
	bool progresses;   /* the target has nothing to do while others read and write its memory */
	uint64_t complete; /* flag of a write that is over when it is in the target's memory */
	uint32_t since;	   /* libfabric's version; 0: any that we take */
};

/* NULL: none of this kind */
const struct provider *provider_of(enum ofi_kind kind);
const struct provider *provider_named(const char *name);

/* Loads it if need be. -ENOSYS: it is not there, or lacks something. Thread safe. */
int library_need(const struct library **ret_library);

/*
 * What the provider has for this. address: of this host, in numbers; NULL: to connect to `there`,
 * an address of the home's. -ENODEV, -ENODATA …: nothing. To be freed with freeinfo().
 */
int library_info(const struct library *library, const struct provider *provider,
	const char *address, const struct ofi_offer *there, struct fi_info **ret_info);

/* Positive codes of libfabric's become -errno: those up to 255 are errno's. */
static inline int ofi_error(long r)
{
	return r <= -256 || r > 0 ? -EIO : (int)r;
}

#define CLOSE(object)                                                                              \
	do {                                                                                       \
		if (object)                                                                        \
			fi_close(&(object)->fid);                                                  \
		(object) = NULL;                                                                   \
	} while (0)

#endif
