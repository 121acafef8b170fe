/* SPDX-License-Identifier: Apache-2.0 */
#include "client/fork.h"

#include <pthread.h>
#include "base/error.h"
#include "client/backing.h"
#include "client/export.h"
#include "client/handle.h"
#include "client/import.h"
#include "client/link.h"
#include "client/pollfd.h"
#include "client/remote.h"
#include "client/route.h"

/* Once the daemon hears that the import is gone the child's maps of it may be there still. */
static void announce(void *object)
{
	const struct cw_import *import = object;

	atomic_store(&import->link->client_page->forked, 1);
}

static void prepare(void)
{
	route_fork_prepare();
	cw_link_fork_prepare();
	backing_fork_prepare();
	cw_handle_fork_prepare();
	cw_handle_for_each(CW_IMPORT_SEGMENT, announce);
	cw_pollfd_fork_prepare();
}

static void parent(void)
{
	cw_pollfd_fork_parent();
	cw_handle_fork_parent();
	backing_fork_parent();
	cw_link_fork_parent();
	route_fork_parent();
}

static void child(void)
{
	cw_pollfd_fork_child();
	cw_handle_fork_child();
	backing_fork_child();
	cw_handle_for_each(CW_EXPORT_SEGMENT, cw_export_fork_child);
	cw_handle_for_each(CW_IMPORT_SEGMENT, cw_import_fork_child);
	cw_handle_for_each(CW_TRANSFER, remote_fork_child);
	cw_link_fork_child();
	route_fork_child();
}

static int result;

static void install(void)
{
	result = -pthread_atfork(prepare, parent, child);
}

int cw_fork_watch(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
	return result;
}
