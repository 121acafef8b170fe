/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <ctype.h>
#include <string.h>
#include "base/error.h"
#include "base/parse.h"

/*
 * Where nodes are, and which files settings name. Whether a host exists is not asked here.
 */

static bool is_host(const char *host, size_t n, bool v6)
{
	if (n == 0 || n >= CONFIG_HOST_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr(v6 ? ":.%" : "-._", host[i]))
			return false;
	return true;
}

int config_address_parse(const char *text, char ret_host[CONFIG_HOST_MAX], uint32_t *ret_port)
{
	bool v6 = text[0] == '[';
	const char *host = text + v6, *rest = host + strcspn(host, v6 ? "]" : ":");
	size_t n = (size_t)(rest - host);
	uint32_t port = 0;

	if (!is_host(host, n, v6))
		return -EINVAL;
	if (v6 && *rest++ != ']')
		return -EINVAL;
	if (*rest && (*rest != ':' || parse_u32(rest + 1, &port) < 0 || port == 0 || port > 65535))
		return -EINVAL;
	memcpy(ret_host, host, n);
	ret_host[n] = '\0';
	*ret_port = port;
	return 0;
}

const struct config_node *config_find_node(const struct config *config, uint32_t number)
{
	for (uint32_t i = 0; i < config->n_nodes; i++)
		if (config->nodes[i].number == number)
			return &config->nodes[i];
	return NULL;
}

int config_path(const struct config *config, const char *path, char **ret_path)
{
	char *full;

	if (path[0] == '/')
		full = strdup(path);
	else if (asprintf(&full, "%s/%s", config->dir, path) < 0)
		full = NULL;
	if (!full)
		return -ENOMEM;
	*ret_path = full;
	return 0;
}
