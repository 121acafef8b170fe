/* SPDX-License-Identifier: Apache-2.0 */
/* causeway doctor: runs the checks and prints what they found */
#include "cli/doctor.h"

#include <stdarg.h>
#include "base/error.h"
#include "cli/command.h"

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
	{"tracing", check_tracing},
	{"sandbox", check_sandbox},
	{"descriptors", check_descriptors},
	{"locked memory", check_locked_memory},
	{"maps", check_maps},
	{"memory", check_memory},
	{"shared memory", check_shared_memory},
	{"sizes", check_sizes},
	{"huge pages", check_huge_pages},
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
	snprintf(f->remedy, sizeof(f->remedy), "%s", remedy ? remedy : "");
}

static const char *verdict_name(enum verdict v)
{
	static const char *const names[] = {
		[VERDICT_OK] = "ok", [VERDICT_WARNING] = "warning", [VERDICT_FAILED] = "failed"};

	return names[v];
}

/* Each check is shown when it is done: the next one may take its time. */
static void print_finding(const struct check *c, const struct finding *f)
{
	printf("%-8s %-19s %s\n", verdict_name(f->verdict), c->name, f->found);
	if (f->remedy[0])
		printf("%-28s -> %s\n", "", f->remedy);
	fflush(stdout);
}

static void add_finding(Table *t, const struct check *c, const struct finding *f)
{
	table_row(t);
	table_text(t, FINDING_RESULT, "%s", verdict_name(f->verdict));
	table_text(t, FINDING_CHECK, "%s", c->name);
	table_text(t, FINDING_FOUND, "%s", f->found);
	if (f->remedy[0])
		table_text(t, FINDING_REMEDY, "%s", f->remedy);
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
	unsigned int n[3] = {0};
	struct doctor d = {0};

	for (unsigned int i = 0; i < n_doctor_checks; i++) {
		struct finding f = {0};

		doctor_checks[i].run(&d, &f);
		n[f.verdict]++;
		if (in->option[OPTION_JSON])
			add_finding(t, &doctor_checks[i], &f);
		else
			print_finding(&doctor_checks[i], &f);
	}
	if (in->option[OPTION_JSON])
		print_json(&d, t, n[VERDICT_FAILED]);
	else
		printf("\n%u ok, %u with a warning, %u failed\n", n[VERDICT_OK], n[VERDICT_WARNING],
			n[VERDICT_FAILED]);
	return n[VERDICT_FAILED] ? EXIT_FAILED : EXIT_OK;
}
