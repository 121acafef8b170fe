/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the nodes of a cluster reach each other: free ports of 127.0.0.1, or with netns a network
 * namespace a node, 10.1.x.y in each, joined by a bridge in one more namespace, so that nothing
 * of it is in the machine's own network. The namespaces' names come from the directory's, so that
 * several clusters can live and whatever is left is found again.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/cluster.h"

#define NETNS_DIR  "/run/netns" /* ip(8)'s */
#define NETNS_PORT 7717u

/* addresses */

/* A listener that was restarted must find its port free: not one that the kernel gives to outgoing
 * connections. */
static uint16_t lowest_of_kernel(void)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned int low = 32768;

	if (f) {
		if (fscanf(f, "%u", &low) != 1 || low < 2048 || low > 65535)
			low = 32768;
		fclose(f);
	}
	return (uint16_t)low;
}

/* A socket bound to a port that was free. */
static int take_port(uint16_t *ret_port)
{
	uint16_t below = lowest_of_kernel(), port;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return negative_errno();
	for (unsigned int tries = 0; tries < 1000; tries++) {
		if (getrandom(&port, sizeof(port), 0) != sizeof(port))
			break;
		port = (uint16_t)(1024 + port % (below - 1024));
		a.sin_port = htons(port);
		if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
			*ret_port = port;
			return fd;
		}
	}
	fd_close(fd);
	return -EADDRINUSE;
}

static int plan_ports(struct cluster *c)
{
	int fds[CLUSTER_NODES_MAX];
	unsigned int n;
	uint16_t port;

	/* Held until all are found, so that no two are the same. */
	for (n = 0; n < c->n; n++) {
		fds[n] = take_port(&port);
		if (fds[n] < 0)
			break;
		snprintf(c->nodes[n].address, sizeof(c->nodes[n].address), "127.0.0.1:%u", port);
	}
	for (unsigned int i = 0; i < n; i++)
		fd_close(fds[i]);
	return n == c->n
		       ? 0
		       : cli_fail("there is no free port on 127.0.0.1 for node %u", c->nodes[n].id);
}

int cluster_network_plan(struct cluster *c)
{
	if (!c->netns)
		return plan_ports(c);
	for (unsigned int i = 0; i < c->n; i++)
		snprintf(c->nodes[i].address, sizeof(c->nodes[i].address), "10.1.%u.%u:%u",
			c->nodes[i].id >> 8, c->nodes[i].id & 255, NETNS_PORT);
	return 0;
}

/* ip(8) */

/* Runs ip with these words and its input from a file; what it says goes to err. */
static int run_ip(const char *const argv[], int input, int err)
{
	extern char **environ;
	posix_spawn_file_actions_t actions;
	int status, r;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, err, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
	r = posix_spawnp(&pid, "ip", &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return negative_errno();
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}

/* Runs the script's lines in a namespace, NULL: here. Returns 0, or EXIT_FAILED after it said why,
 * unless quiet. */
static int ip_batch(const char *netns, bool quiet, const char *script)
{
	_cleanup_close_ int input = memfd_create("ip", MFD_CLOEXEC),
			    err = memfd_create("ip", MFD_CLOEXEC);
	const char *in_netns[] = {"ip", "-n", netns, "-batch", "-", NULL};
	const char *here[] = {"ip", "-batch", "-", NULL};
	char said[512] = "";
	size_t len = strlen(script);
	int r;

	if (input < 0 || err < 0 || write(input, script, len) != (ssize_t)len ||
		lseek(input, 0, SEEK_SET) < 0)
		return cli_fail("cannot prepare a script for ip: %s", strerror(errno));
	r = run_ip(netns ? in_netns : here, input, err);
	if (r == 0 || quiet)
		return r ? EXIT_FAILED : 0;
	if (r == -ENOENT)
		return cli_fail("there is no ip command: install iproute2");
	if (r < 0)
		return cli_fail("cannot run ip: %s", strerror(-r));
	if (pread(err, said, sizeof(said) - 1, 0) > 0)
		said[strcspn(said, "\n")] = '\0';
	return cli_fail("ip cannot change the network%s%s: %s", netns ? " of " : "",
		netns ? netns : "", said);
}

__attribute__((format(printf, 3, 4))) static int ip(
	const char *netns, bool quiet, const char *format, ...)
{
	_cleanup_free_ char *script = NULL;
	va_list args;
	int r;

	va_start(args, format);
	r = vasprintf(&script, format, args);
	va_end(args);
	if (r < 0) {
		script = NULL;
		return cli_fail("out of memory");
	}
	return ip_batch(netns, quiet, script);
}

/* namespaces */

#define NETNS_NAME_MAX 48

/* id 0: the switch's */
static void netns_name(const struct cluster *c, uint32_t id, char buf[NETNS_NAME_MAX])
{
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

	for (const char *p = c->dir; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 0x100000001b3u;
	if (id)
		snprintf(buf, NETNS_NAME_MAX, "causeway-%016llx-%u", (unsigned long long)hash, id);
	else
		snprintf(buf, NETNS_NAME_MAX, "causeway-%016llx-switch", (unsigned long long)hash);
}

static int make_switch(const char *name)
{
	int r = ip(NULL, false, "netns add %s\n", name);

	return r ? r : ip(name, false, "link add bridge type bridge\nlink set bridge up\n");
}

static int make_node(const char *hub, const struct cluster *c, const struct cluster_node *node)
{
	char name[NETNS_NAME_MAX];
	int r;

	netns_name(c, node->id, name);
	r = ip(NULL, false, "netns add %s\n", name);
	if (!r)
		r = ip(hub, false,
			"link add node%u type veth peer name eth0 netns %s\n"
			"link set node%u master bridge up\n",
			node->id, name, node->id);
	if (!r)
		r = ip(name, false, "link set lo up\naddr add %.*s/8 dev eth0\nlink set eth0 up\n",
			(int)strcspn(node->address, ":"), node->address);
	return r;
}

int cluster_network_make(const struct cluster *c)
{
	char hub[NETNS_NAME_MAX];
	int r;

	if (!c->netns)
		return 0;
	netns_name(c, 0, hub);
	r = make_switch(hub);
	for (unsigned int i = 0; r == 0 && i < c->n; i++)
		r = make_node(hub, c, &c->nodes[i]);
	return r;
}

static void remove_netns(const struct cluster *c, uint32_t id)
{
	char name[NETNS_NAME_MAX], path[sizeof(NETNS_DIR) + NETNS_NAME_MAX];

	netns_name(c, id, name);
	snprintf(path, sizeof(path), NETNS_DIR "/%s", name);
	if (access(path, F_OK) == 0)
		ip(NULL, false, "netns del %s\n", name);
}

void cluster_network_remove(const struct cluster *c)
{
	if (!c->netns)
		return;
	for (unsigned int i = 0; i < c->n; i++)
		remove_netns(c, c->nodes[i].id);
	remove_netns(c, 0);
}

int cluster_network_enter(const struct cluster *c, uint32_t id)
{
	char name[NETNS_NAME_MAX], path[sizeof(NETNS_DIR) + NETNS_NAME_MAX];
	_cleanup_close_ int fd = -1;

	if (!c->netns)
		return 0;
	netns_name(c, id, name);
	snprintf(path, sizeof(path), NETNS_DIR "/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		return cli_fail(
			"cannot enter the network %s of node %u: %s", path, id, strerror(errno));
	return 0;
}

int cluster_network_cut(const struct cluster *c, uint32_t id, bool cut)
{
	char hub[NETNS_NAME_MAX];

	netns_name(c, 0, hub);
	return ip(hub, false,
		cut ? "link set node%u nomaster\n" : "link set node%u master bridge\n", id);
}
