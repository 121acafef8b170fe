/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/shm.h"
#include "wire/status.h"

/* For as long as the registry of keys and segments is not in the tree: a partition without any. */

__attribute__((weak)) const struct shm_settings *shm_settings(const Manager *m)
{
	static struct shm_settings settings;

	settings.timeout = m->options.config->call_timeout;
	return &settings;
}

__attribute__((weak)) int shm_serve(Manager *m, const struct engine_shm_asker *asker,
	const struct wire_message *question, struct reply *reply)
{
	return STATUS_NOT_SUPPORTED;
}

__attribute__((weak)) int shm_node_later(ManagerPeer *peer, const struct wire_message *message)
{
	return STATUS_NOT_SUPPORTED;
}

__attribute__((weak)) void engine_shm_maker_gone(Engine *engine, uint32_t node, uint64_t client)
{
}
