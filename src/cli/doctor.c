/* SPDX-License-Identifier: Apache-2.0 */
/* causeway doctor: runs the checks and prints what they found */
#include "cli/doctor.h"

#include <ctype.h>
#include <stdarg.h>
#include "base/error.h"
#include "cli/command.h"
#include "cli/peers.h"

const struct check doctor_checks[] = {
	{"daemon", check_daemon},
	{"rights", check_rights},
	{"sharing", check_sharing},
	{"watching", check_watching},
	{"runtime directory", check_runtime_directory},
	{"configuration", check_configuration},
	{"kernel", check_kernel},
	{"memfd", check_memfd},
	{"futex_waitv", check_futex},
	{"membarrier", check_membarrier},
	{"pidfd", check_pidfd},
	{"userfaultfd", check_userfaultfd},
	{"userfaultfd rights", check_userfaultfd_rights},
	{"coherent maps", check_coherent_maps},
	{"clshm", check_clshm},
	{"tracing", check_tracing},
	{"sandbox", check_sandbox},
	{"descriptors", check_descriptors},
	{"locked memory", check_locked_memory},
	{"maps", check_maps},
	{"memory", check_memory},
	{"shared memory", check_shared_memory},
	{"sizes", check_sizes},
	{"huge pages", check_huge_pages},
	{"rdma", check_rdma},
};
const unsigned int n_doctor_checks = ELEMENTS(doctor_checks);

enum { FINDING_RESULT, FINDING_CHECK, FINDING_FOUND, FINDING_REMEDY };

static const struct column columns[] = {
	[FINDING_RESULT] = {"RESULT", "ok, warning or failed", 0},
	[FINDING_CHECK] = {"CHECK", "what was checked", 0},
	[FINDING_FOUND] = {"FOUND", "what was found", 0},
	[FINDING_REMEDY] = {"REMEDY", "what can be done", 0},
};

void finding_set(
	struct finding *f, enum verdict verdict, const char *remedy, const char *format, ...)
{
	va_list args;

	f->verdict = verdict;
	va_start(args, format);
	vsnprintf(f->found, sizeof(f->found), format, args);
	va_end(args);
	for (char *p = f->found; *p; p++) /* other nodes' words may be among it */
		if (!isascii(*p) || iscntrl((unsigned char)*p))
			*p = '?';
	snprintf(f->remedy, sizeof(f->remedy), "%s", remedy ? remedy : "");
}

static const char *verdict_name(enum verdict v)
{
	static const char *const names[] = {
		[VERDICT_OK] = "ok", [VERDICT_WARNING] = "warning", [VERDICT_FAILED] = "failed"};

	return names[v];
}

/* What came of all checks so far. */
struct report {
	Table *table; /* NULL: they are printed as they come, since the next may take its time */
	unsigned int n[3];
};

static void print_finding(const char *name, const struct finding *f)
{
	printf("%-8s %-19s %s\n", verdict_name(f->verdict), name, f->found);
	if (f->remedy[0])
		printf("%-28s -> %s\n", "", f->remedy);
	fflush(stdout);
}

static void add_finding(Table *t, const char *name, const struct finding *f)
{
	table_row(t);
	table_text(t, FINDING_RESULT, "%s", verdict_name(f->verdict));
	table_text(t, FINDING_CHECK, "%s", name);
	table_text(t, FINDING_FOUND, "%s", f->found);
	if (f->remedy[0])
		table_text(t, FINDING_REMEDY, "%s", f->remedy);
}

static void report(struct report *r, const char *name, const struct finding *f)
{
	r->n[f->verdict]++;
	if (r->table)
		add_finding(r->table, name, f);
	else
		print_finding(name, f);
}

static void check_peers(struct doctor *d, struct report *r)
{
	_cleanup_(peers_deinit) struct peers peers = {0};
	char name[32];

	if (!d->connected || peers_fetch(&peers))
		return;
	for (size_t i = 0; i < peers.n; i++) {
		const struct wire_node_row *row = &peers.rows[i];
		struct finding peer = {0}, transport = {0}, encryption = {0};

		if (row->state == WIRE_PEER_SELF)
			continue;
		check_peer(d, row, &peer);
		snprintf(name, sizeof(name), "node %u", row->node);
		report(r, name, &peer);
		if (peer.verdict == VERDICT_FAILED)
			continue;
		check_transport(d, row->node, &transport);
		snprintf(name, sizeof(name), "data of node %u", row->node);
		report(r, name, &transport);
		check_encryption(d, row, &encryption);
		snprintf(name, sizeof(name), "secrecy of node %u", row->node);
		report(r, name, &encryption);
	}
}

static void print_json(const struct doctor *d, const Table *t, unsigned int n_failed)
{
	struct json_object *root = json_object_new_object();

	json_object_object_add(root, "daemon", d->connected ? node_json(&d->node) : NULL);
	json_object_object_add(root, "checks", table_json(t));
	json_object_object_add(root, "failed", json_object_new_int((int)n_failed));
	json_print(root, stdout);
}

int doctor_run(const struct invocation *in)
{
	_cleanup_(table_free_p) Table *t = table_new(columns, ELEMENTS(columns));
	struct report r = {.table = in->option[OPTION_JSON] ? t : NULL};
	struct doctor d = {0};

	for (unsigned int i = 0; i < n_doctor_checks; i++) {
		struct finding f = {0};

		doctor_checks[i].run(&d, &f);
		report(&r, doctor_checks[i].name, &f);
	}
	check_peers(&d, &r);
	if (in->option[OPTION_JSON])
		print_json(&d, t, r.n[VERDICT_FAILED]);
	else
		printf("\n%u ok, %u with a warning, %u failed\n", r.n[VERDICT_OK],
			r.n[VERDICT_WARNING], r.n[VERDICT_FAILED]);
	config_free(d.config);
	return r.n[VERDICT_FAILED] ? EXIT_FAILED : EXIT_OK;
}
