/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Controllers: a name that the daemon knows, with a count of those who got it. The same controller
 * has one handle in a process, under whatever alias it was asked for.
 */
#include "api/rsm/controller.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "api/rsm/codes.h"
#include "base/cleanup.h"
#include "base/list.h"
#include "client/connection.h"
#include "client/fork.h"
#include "client/handle.h"
#include "wire/status.h"

/* bit k: accesses of 2^k bytes */
#define ACCESS_SIZES 0xfu
/* bit i: pages of 1024 << i bytes */
#define PAGE_SIZES 0x4u

struct controller {
	struct list link;
	cw_handle handle;
	uint32_t refs; /* gets without their release */
	uint32_t kind, unit;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list controllers = {&controllers, &controllers};

static void lock_list(void)
{
	pthread_mutex_lock(&lock);
}

static void unlock_list(void)
{
	pthread_mutex_unlock(&lock);
}

/* A fork in another thread must not leave the child with a locked list. */
static void watch_fork(void)
{
	(void)cw_fork_watch();
	(void)pthread_atfork(lock_list, unlock_list, unlock_list);
}

uint32_t controller_kind(rsmapi_controller_handle_t handle)
{
	struct controller *c = cw_enter((cw_handle)handle, CW_CONTROLLER);
	uint32_t kind;

	if (!c)
		return 0;
	kind = c->kind;
	cw_leave();
	return kind;
}

/* Asks the daemon which controller the name means. */
static int resolve(const char *name, uint32_t *ret_kind, uint32_t *ret_unit)
{
	struct wire_message m = {.type = WIRE_CONTROLLER};
	_cleanup_free_ struct cw_reply *reply = malloc(sizeof(*reply));
	int r;

	if (!reply)
		return -ENOMEM;
	if (strlen(name) >= sizeof(m.controller.name))
		return STATUS_NO_CONTROLLER;
	strcpy(m.controller.name, name);
	r = cw_call(&m, NULL, 0, reply);
	if (r)
		return r;
	*ret_kind = reply->message.controller_reply.kind;
	*ret_unit = reply->message.controller_reply.unit;
	return 0;
}

static int get_locked(uint32_t kind, uint32_t unit, cw_handle *ret_handle)
{
	struct controller *c;
	int r;

	list_for_each (c, &controllers, link) {
		if (c->kind != kind || c->unit != unit)
			continue;
		c->refs++;
		*ret_handle = c->handle;
		return 0;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->refs = 1;
	c->kind = kind;
	c->unit = unit;
	r = cw_handle_new(CW_CONTROLLER, c, &c->handle);
	if (r < 0) {
		free(c);
		return r;
	}
	list_append(&controllers, &c->link);
	*ret_handle = c->handle;
	return 0;
}

RSM_API int rsm_get_controller(char *name, rsmapi_controller_handle_t *controller)
{
	uint32_t kind, unit;
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	cw_handle h;
	int r;

	if (!controller)
		return RSMERR_BAD_CTLR_HNDL;
	pthread_once(&once, watch_fork);
	r = resolve(name ? name : "loopback", &kind, &unit);
	if (r)
		return rsm_code_get_controller(r);
	pthread_mutex_lock(&lock);
	r = get_locked(kind, unit, &h);
	pthread_mutex_unlock(&lock);
	if (r)
		return rsm_code_get_controller(r);
	*controller = (rsmapi_controller_handle_t)h;
	return RSM_SUCCESS;
}

RSM_API int rsm_get_controller_attr(rsmapi_controller_handle_t chdl, rsmapi_controller_attr_t *attr)
{
	struct cw_node node;
	int r;

	if (!controller_kind(chdl))
		return RSMERR_BAD_CTLR_HNDL;
	if (!attr)
		return RSMERR_BAD_ADDR;
	r = cw_connect(&node);
	if (r)
		return rsm_code(r, ABOUT_CONTROLLER);
	*attr = (rsmapi_controller_attr_t){
		.attr_direct_access_sizes = ACCESS_SIZES,
		.attr_atomic_sizes = ACCESS_SIZES,
		.attr_page_size = PAGE_SIZES,
		.attr_max_export_segment_size = node.hello.max_segment_bytes,
		.attr_tot_export_segment_size = node.hello.max_total_bytes,
		.attr_max_export_segments = node.hello.max_segments,
		.attr_max_import_map_size = node.hello.max_segment_bytes,
		.attr_tot_import_map_size = node.hello.max_total_bytes,
		.attr_max_import_segments = node.hello.max_imports,
	};
	return RSM_SUCCESS;
}

RSM_API int rsm_release_controller(rsmapi_controller_handle_t chdl)
{
	struct controller *c;
	bool last;

	pthread_mutex_lock(&lock);
	c = cw_handle_peek((cw_handle)chdl, CW_CONTROLLER);
	if (!c) {
		pthread_mutex_unlock(&lock);
		return RSMERR_BAD_CTLR_HNDL;
	}
	last = --c->refs == 0;
	if (last) {
		list_unlink(&c->link);
		cw_handle_retire(c->handle);
	}
	pthread_mutex_unlock(&lock);
	if (last)
		free(c);
	return RSM_SUCCESS;
}
