/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/ofi/library.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"

#define VERSION FI_VERSION(1, 17)

/* EFA writes with the help of the target's libfabric where the device does not, and that one's
 * check of keys can be passed by lengths that wrap until this version. */
#define CHECKS_WRAPS FI_VERSION(2, 7)

/* In the order in which they are preferred. */
static const struct provider providers[] = {
	{OFI_CXI, "cxi", "cxi", false, false, FI_DELIVERY_COMPLETE, 0},
	{OFI_EFA, "efa", "efa", false, false, FI_DELIVERY_COMPLETE, CHECKS_WRAPS},
	{OFI_VERBS, "verbs", "verbs", true, true, FI_TRANSMIT_COMPLETE, 0},
	{OFI_TEST_RDM, "test-tcp-rxm", "tcp;ofi_rxm", false, false, FI_DELIVERY_COMPLETE, 0},
	{OFI_TEST_MSG, "test-tcp", "tcp", true, false, FI_DELIVERY_COMPLETE, 0},
};

const struct provider *provider_of(enum ofi_kind kind)
{
	for (size_t i = 0; i < ELEMENTS(providers); i++)
		if (providers[i].kind == kind)
			return &providers[i];
	return NULL;
}

const struct provider *provider_named(const char *name)
{
	for (size_t i = 0; i < ELEMENTS(providers); i++)
		if (!strcmp(providers[i].name, name))
			return &providers[i];
	return NULL;
}

int ofi_kind_parse(const char *name, enum ofi_kind *ret_kind, bool *ret_auto)
{
	const struct provider *p = provider_named(name);

	if (!p && strcmp(name, "auto") && strcmp(name, "off"))
		return -EINVAL;
	*ret_kind = p ? p->kind : OFI_NONE;
	*ret_auto = !strcmp(name, "auto");
	return 0;
}

const char *ofi_kind_name(enum ofi_kind kind)
{
	const struct provider *p = provider_of(kind);

	return p ? p->name : "none";
}

/* --- hardware --- */

/* The driver of a device that the kernel shows in this folder; any: driver NULL. */
static bool is_driven_by(const char *folder, const char *device, const char *driver)
{
	char path[PATH_MAX], link[PATH_MAX];
	const char *name;
	ssize_t n;

	if (device[0] == '.')
		return false;
	if (!driver)
		return true;
	snprintf(path, sizeof(path), "%s/%s/device/driver", folder, device);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = '\0';
	name = strrchr(link, '/');
	return !strcmp(name ? name + 1 : link, driver);
}

static bool has_device(const char *folder, const char *driver)
{
	DIR *d = opendir(folder);
	const struct dirent *e;
	bool found = false;

	while (d && !found && (e = readdir(d)))
		found = is_driven_by(folder, e->d_name, driver);
	if (d)
		closedir(d);
	return found;
}

enum ofi_kind ofi_hardware(void)
{
	if (has_device("/sys/class/cxi", NULL))
		return OFI_CXI;
	if (has_device("/sys/class/infiniband", "efa"))
		return OFI_EFA;
	return has_device("/sys/class/infiniband", NULL) ? OFI_VERBS : OFI_NONE;
}

/* --- loading --- */

static struct {
	pthread_mutex_t lock;
	struct library functions;
	bool loaded;
	char version[16];
	char **environment; /* what it saw; never freed: somebody may be in it */
} library = {.lock = PTHREAD_MUTEX_INITIALIZER};

/*
 * libfabric's cache of registrations watches the program's memory by patching its mmap() and its
 * like, and ours is of no use to it. Only the environment can say no, and only while the library
 * begins; so it sees another one. A new array instead of setenv(3), which other threads' getenv(3)
 * could not bear.
 */
static char wishes[][32] = {"FI_MR_CACHE_MONITOR=disabled", "FI_MR_CACHE_MAX_COUNT=0"};

static char **environment_new(char **old)
{
	size_t n = 0, k = 0;
	char **e;

	while (old && old[n])
		n++;
	e = calloc(n + ELEMENTS(wishes) + 1, sizeof(*e));
	if (!e)
		return NULL;
	for (size_t i = 0; i < ELEMENTS(wishes); i++)
		e[k++] = wishes[i];
	for (size_t i = 0; i < n; i++)
		e[k++] = old[i];
	return e;
}

/* A first call of getinfo() makes it begin. */
static void begin(const struct library *l)
{
	char **old = environ, **mine = environment_new(old);
	struct fi_info *info = NULL;

	library.environment = mine;
	if (mine)
		__atomic_store_n(&environ, mine, __ATOMIC_RELEASE);
	if (l->getinfo(VERSION, NULL, NULL, FI_PROV_ATTR_ONLY, NULL, &info) == 0)
		l->freeinfo(info);
	if (mine && __atomic_load_n(&environ, __ATOMIC_ACQUIRE) == mine)
		__atomic_store_n(&environ, old, __ATOMIC_RELEASE);
}

/* Structures differ between the versions of a symbol: those that our headers describe. */
static void *find(void *handle, const char *name, const char *version)
{
	return dlvsym(handle, name, version);
}

static int load(struct library *l)
{
	void *handle = dlopen("libfabric.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!handle)
		return -ENOSYS;
	*(void **)&l->getinfo = find(handle, "fi_getinfo", "FABRIC_1.3");
	*(void **)&l->freeinfo = find(handle, "fi_freeinfo", "FABRIC_1.3");
	*(void **)&l->dupinfo = find(handle, "fi_dupinfo", "FABRIC_1.3");
	*(void **)&l->fabric = find(handle, "fi_fabric", "FABRIC_1.1");
	*(void **)&l->strerror = find(handle, "fi_strerror", "FABRIC_1.0");
	*(void **)&l->version = find(handle, "fi_version", "FABRIC_1.0");
	if (!l->getinfo || !l->freeinfo || !l->dupinfo || !l->fabric || !l->strerror ||
		!l->version || l->version() < VERSION)
		return -ENOSYS;
	begin(l);
	return 0;
}

int library_need(const struct library **ret_library)
{
	int r = 0;

	pthread_mutex_lock(&library.lock);
	if (!library.loaded)
		r = load(&library.functions);
	if (!r && !library.loaded) {
		uint32_t v = library.functions.version();

		snprintf(library.version, sizeof(library.version), "%u.%u", FI_MAJOR(v),
			FI_MINOR(v));
		library.loaded = true;
	}
	pthread_mutex_unlock(&library.lock);
	if (r)
		return r;
	*ret_library = &library.functions;
	return 0;
}

const char *ofi_version(void)
{
	return library.version;
}

/* --- what there is --- */

static int fill_hints(const struct provider *provider, struct fi_info *hints)
{
	hints->caps = FI_RMA | FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE;
	hints->mode = FI_CONTEXT | FI_CONTEXT2;
	hints->ep_attr->type = provider->connected ? FI_EP_MSG : FI_EP_RDM;
	hints->domain_attr->mr_mode =
		FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY | FI_MR_ENDPOINT;
	hints->domain_attr->threading = FI_THREAD_SAFE;
	hints->tx_attr->size = 64; /* of operations; rxm keeps buffers for as many */
	if (provider->kind == OFI_TEST_RDM) {
		hints->rx_attr->size = 64;
		hints->addr_format = FI_SOCKADDR_IN;
	}
	hints->fabric_attr->prov_name = strdup(provider->libfabric);
	return hints->fabric_attr->prov_name ? 0 : -ENOMEM;
}

static int fill_destination(const struct ofi_offer *there, struct fi_info *hints)
{
	if (!there->address_size || there->address_size > OFI_ADDRESS_MAX)
		return -EINVAL;
	hints->dest_addr = malloc(there->address_size);
	if (!hints->dest_addr)
		return -ENOMEM;
	memcpy(hints->dest_addr, there->address, there->address_size);
	hints->dest_addrlen = there->address_size;
	return 0;
}

int library_info(const struct library *l, const struct provider *provider, const char *address,
	const struct ofi_offer *there, struct fi_info **ret_info)
{
	struct fi_info *hints = l->dupinfo(NULL), *info = NULL;
	int r;

	if (!hints)
		return -ENOMEM;
	r = fill_hints(provider, hints);
	if (!r && there && provider->connected)
		r = fill_destination(there, hints);
	if (!r)
		r = ofi_error(
			l->getinfo(VERSION, address, NULL, address ? FI_SOURCE : 0, hints, &info));
	l->freeinfo(hints);
	if (r)
		return r;
	*ret_info = info;
	return 0;
}
