/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows, samples and how they are printed; the program's options; one process for each group.
 */

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"
#include "pingpong.h"

#define MAX_ROWS       32u
#define MAX_ROUNDS     1000u
#define MAX_CONTENDERS 8u
#define MAX_NOTES      4u
#define MAX_FURTHER    4u

struct contender {
	const char *name;
	char missing[80];
	double *values, *p99; /* one per round; NaN where there is none */
};

struct bench_row {
	struct bench *bench;
	const char *name, *unit;
	double scale, value;
	enum bench_limit limit;
	struct contender contenders[MAX_CONTENDERS];
	unsigned int n_contenders;
	struct {
		const char *name;
		double most; /* times it we may take */
	} further[MAX_FURTHER];
	char *notes[MAX_NOTES];
	unsigned int n_notes;
};

/* What the groups, one after the other, leave to each other: in shared memory. */
struct common {
	unsigned int n_printed, n_missed;
};

struct bench {
	unsigned int n_rounds, round; /* round: 0 before the first */
	bool json;
	struct common *common;
	double *pingpong, *load;
	struct bench_row rows[MAX_ROWS];
	unsigned int n_rows;
};

void bench_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("bench: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

void bench_rsm(int code, const char *what)
{
	if (code)
		bench_fail("%s: code %d", what, code);
}

static double *not_measured(unsigned int n)
{
	double *values = calloc(n, sizeof(*values));

	if (!values)
		bench_fail("out of memory");
	for (unsigned int i = 0; i < n; ++i)
		values[i] = NAN;
	return values;
}

struct bench_row *bench_row(struct bench *bench, const char *name, const char *unit, double scale,
	enum bench_limit limit, double value)
{
	struct bench_row *row = &bench->rows[bench->n_rows++];

	if (bench->n_rows > MAX_ROWS)
		bench_fail("too many rows");
	*row = (struct bench_row){
		.bench = bench,
		.name = name,
		.unit = unit,
		.scale = scale,
		.limit = limit,
		.value = value,
	};
	return row;
}

static double load_average(void)
{
	double load = NAN;

	return getloadavg(&load, 1) == 1 ? load : NAN;
}

bool bench_round(struct bench *bench)
{
	if (bench->round >= bench->n_rounds)
		return false;
	bench->pingpong[bench->round] = bench_pingpong();
	bench->load[bench->round] = load_average();
	++bench->round;
	return true;
}

unsigned int bench_round_number(const struct bench *bench)
{
	return bench->round - 1;
}

double bench_round_pingpong(const struct bench *bench)
{
	return bench->pingpong[bench->round - 1];
}

void bench_at_most_rounds(struct bench *bench, unsigned int n)
{
	if (bench->n_rounds > n)
		bench->n_rounds = n;
}

static struct contender *contender_of(struct bench_row *row, const char *name)
{
	struct contender *contender;

	for (unsigned int i = 0; i < row->n_contenders; ++i)
		if (!strcmp(row->contenders[i].name, name))
			return &row->contenders[i];
	if (row->n_contenders == MAX_CONTENDERS)
		bench_fail("too many contenders");
	contender = &row->contenders[row->n_contenders++];
	*contender = (struct contender){
		.name = name,
		.values = not_measured(row->bench->n_rounds),
		.p99 = not_measured(row->bench->n_rounds),
	};
	return contender;
}

void bench_limit_too(struct bench_row *row, const char *name, double value)
{
	for (unsigned int i = 0; i < MAX_FURTHER; ++i)
		if (!row->further[i].name) {
			row->further[i].name = name;
			row->further[i].most = value;
			return;
		}
	bench_fail("too many limits");
}

void bench_sample(struct bench_row *row, const char *name, double value, double p99)
{
	struct contender *contender = contender_of(row, name);

	contender->values[row->bench->round - 1] = value;
	if (p99 >= 0)
		contender->p99[row->bench->round - 1] = p99;
}

void bench_missing(struct bench_row *row, const char *name, const char *reason)
{
	struct contender *contender = contender_of(row, name);

	snprintf(contender->missing, sizeof(contender->missing), "%s", reason);
}

void bench_note(struct bench_row *row, const char *format, ...)
{
	va_list arguments;

	if (row->n_notes == MAX_NOTES)
		return;
	va_start(arguments, format);
	if (vasprintf(&row->notes[row->n_notes], format, arguments) >= 0)
		++row->n_notes;
	va_end(arguments);
}

/* Median and range of what was measured, NaN if nothing was. */
struct summary {
	double median, low, high;
};

static struct summary summarize(const double *values, unsigned int n)
{
	double kept[MAX_ROUNDS];
	size_t n_kept = 0;

	for (unsigned int i = 0; i < n; ++i)
		if (!isnan(values[i]))
			kept[n_kept++] = values[i];
	if (!n_kept)
		return (struct summary){NAN, NAN, NAN};
	return (struct summary){bench_median(kept, n_kept), kept[0], kept[n_kept - 1]};
}

static struct summary summarize_ratio(const double *values, const double *others, unsigned int n)
{
	double ratios[MAX_ROUNDS];
	struct summary summary;

	for (unsigned int i = 0; i < n; ++i)
		ratios[i] = values[i] / others[i];
	summary = summarize(ratios, n);
	summary.median = summarize(values, n).median / summarize(others, n).median;
	return summary;
}

/* NaN: there is nothing to compare with. */
static double limit_of(const struct bench_row *row, unsigned int n_rounds)
{
	double peer =
		row->n_contenders > 1 ? summarize(row->contenders[1].values, n_rounds).median : NAN;

	switch (row->limit) {
	case BENCH_ABSOLUTE:
		return row->value;
	case BENCH_RATIO:
		return row->value * peer;
	case BENCH_PLUS:
		return peer + row->value;
	case BENCH_SHOWN:
		break;
	}
	return NAN;
}

static bool keeps_further(struct bench_row *row, double ours, unsigned int n_rounds)
{
	for (unsigned int i = 0; i < MAX_FURTHER && row->further[i].name; ++i) {
		double theirs =
			summarize(contender_of(row, row->further[i].name)->values, n_rounds).median;

		if (ours > row->further[i].most * theirs)
			return false;
	}
	return true;
}

static const char *verdict_of(struct bench_row *row, unsigned int n_rounds)
{
	double limit = limit_of(row, n_rounds);
	double ours = summarize(row->contenders[0].values, n_rounds).median;

	if (row->limit == BENCH_SHOWN)
		return "";
	if (isnan(limit) || isnan(ours))
		return "not measured";
	return ours <= limit && keeps_further(row, ours, n_rounds) ? "kept" : "missed";
}

static void describe_limit(const struct bench_row *row, char *text, size_t size)
{
	switch (row->limit) {
	case BENCH_ABSOLUTE:
		snprintf(text, size, "at most %.4g %s", row->value / row->scale, row->unit);
		break;
	case BENCH_RATIO:
		snprintf(text, size, "at most %.3g × %s", row->value, row->contenders[1].name);
		break;
	case BENCH_PLUS:
		snprintf(text, size, "at most %s + %.4g %s", row->contenders[1].name,
			row->value / row->scale, row->unit);
		break;
	case BENCH_SHOWN:
		snprintf(text, size, "-");
		break;
	}
}

static void print_text(struct bench *bench, struct bench_row *row)
{
	struct summary pingpong = summarize(bench->pingpong, bench->n_rounds);
	struct summary load = summarize(bench->load, bench->n_rounds);
	char limit[80];

	describe_limit(row, limit, sizeof(limit));
	printf("%s\n    limit: %s  %s   [ping-pong %.0f (%.0f-%.0f) ns, load %.1f-%.1f]\n",
		row->name, limit, verdict_of(row, bench->n_rounds), pingpong.median, pingpong.low,
		pingpong.high, load.low, load.high);
	for (unsigned int i = 0; i < row->n_contenders; ++i) {
		struct contender *contender = &row->contenders[i];
		struct summary value = summarize(contender->values, bench->n_rounds);
		struct summary p99 = summarize(contender->p99, bench->n_rounds);
		struct summary ratio = summarize_ratio(
			row->contenders[0].values, contender->values, bench->n_rounds);

		if (isnan(value.median)) {
			printf("    %-26s not measured: %s\n", contender->name, contender->missing);
			continue;
		}
		printf("    %-26s %10.4g %-3s (%.4g-%.4g)", contender->name,
			value.median / row->scale, row->unit, value.low / row->scale,
			value.high / row->scale);
		if (!isnan(p99.median))
			printf("  p99 %.4g", p99.median / row->scale);
		if (i && !isnan(ratio.median))
			printf("  causeway is %.3f of it (%.3f-%.3f)", ratio.median, ratio.low,
				ratio.high);
		putchar('\n');
	}
	for (unsigned int i = 0; i < row->n_notes; ++i)
		printf("    %s\n", row->notes[i]);
}

static void print_number(const char *name, double value, const char *after)
{
	if (isfinite(value))
		printf("\"%s\": %.6g%s", name, value, after);
	else
		printf("\"%s\": null%s", name, after);
}

static void print_string(const char *name, const char *text, const char *after)
{
	printf("\"%s\": \"", name);
	for (; *text; ++text)
		if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else
			putchar((unsigned char)*text < 0x20 ? ' ' : *text);
	printf("\"%s", after);
}

static void print_json(struct bench *bench, struct bench_row *row)
{
	struct summary pingpong = summarize(bench->pingpong, bench->n_rounds);
	struct summary load = summarize(bench->load, bench->n_rounds);

	printf("%s\n    {", bench->common->n_printed ? "," : "");
	print_string("row", row->name, ", ");
	print_string("unit", row->unit, ", ");
	print_number("limit", limit_of(row, bench->n_rounds) / row->scale, ", ");
	print_string("verdict", verdict_of(row, bench->n_rounds), ", ");
	print_number("pingpong_ns", pingpong.median, ", ");
	print_number("pingpong_low_ns", pingpong.low, ", ");
	print_number("pingpong_high_ns", pingpong.high, ", ");
	print_number("load", load.high, ", ");
	printf("\"contenders\": [");
	for (unsigned int i = 0; i < row->n_contenders; ++i) {
		struct contender *contender = &row->contenders[i];
		struct summary value = summarize(contender->values, bench->n_rounds);
		struct summary p99 = summarize(contender->p99, bench->n_rounds);
		struct summary ratio = summarize_ratio(
			row->contenders[0].values, contender->values, bench->n_rounds);

		printf("%s\n      {", i ? "," : "");
		print_string("name", contender->name, ", ");
		print_string("missing", contender->missing, ", ");
		print_number("median", value.median / row->scale, ", ");
		print_number("low", value.low / row->scale, ", ");
		print_number("high", value.high / row->scale, ", ");
		print_number("p99", p99.median / row->scale, ", ");
		print_number("ratio", ratio.median, ", ");
		print_number("ratio_low", ratio.low, ", ");
		print_number("ratio_high", ratio.high, "}");
	}
	printf("], \"notes\": [");
	for (unsigned int i = 0; i < row->n_notes; ++i) {
		printf("%s{", i ? ", " : "");
		print_string("text", row->notes[i], "}");
	}
	printf("]}");
}

static void print_rows(struct bench *bench)
{
	for (unsigned int i = 0; i < bench->n_rows; ++i) {
		struct bench_row *row = &bench->rows[i];

		if (bench->json)
			print_json(bench, row);
		else
			print_text(bench, row);
		++bench->common->n_printed;
		if (!strcmp(verdict_of(row, bench->n_rounds), "missed"))
			++bench->common->n_missed;
	}
	fflush(stdout);
}

static void print_machine(const struct bench *bench)
{
	struct utsname uts;

	uname(&uts);
	if (bench->json)
		printf("{\"kernel\": \"%s %s\", \"cpus\": %ld, \"rounds\": %u, \"rows\": [",
			uts.release, uts.machine, sysconf(_SC_NPROCESSORS_ONLN), bench->n_rounds);
	else
		printf("Linux %s %s, %ld CPUs; %u rounds; medians (range), ratios of medians "
		       "(range of the "
		       "rounds' ratios)\n\n",
			uts.release, uts.machine, sysconf(_SC_NPROCESSORS_ONLN), bench->n_rounds);
	fflush(stdout);
}

/* Descendants whose parents are gone come to us; at most 2 s for them to end. */
static void reap(void)
{
	for (int i = 0; i < 200 && waitpid(-1, NULL, WNOHANG) >= 0; ++i)
		usleep(10000);
}

/* True if it ended well. */
static bool run_group(struct bench *bench, const struct bench_group *group)
{
	pid_t child, parent = getpid();
	int status;

	child = fork();
	if (child < 0)
		bench_fail("fork: %m");
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		group->run(bench);
		print_rows(bench);
		exit(0);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	reap();
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	if (WIFSIGNALED(status))
		fprintf(stderr, "bench: group %s: killed by signal %d\n", group->name,
			WTERMSIG(status));
	else
		fprintf(stderr, "bench: group %s failed\n", group->name);
	return false;
}

static void usage(FILE *out)
{
	fprintf(out, "Usage: bench %s [--json] [--rounds N] [--quick] [GROUP...]\n", bench_what);
	fputs("Measures it beside what its work would cost without it.\n\n"
	      "  --json      one document instead of text\n"
	      "  --rounds N  interleaved rounds (12; figures need at least 10)\n"
	      "  --quick     3 rounds, to see that everything runs\n\nGroups (default: all):\n",
		out);
	for (size_t i = 0; bench_groups[i].name; ++i)
		fprintf(out, "  %-10s  %s\n", bench_groups[i].name, bench_groups[i].what);
}

static bool chosen(const struct bench_group *group, char **names)
{
	if (!*names)
		return true;
	for (; *names; ++names)
		if (!strcmp(*names, group->name))
			return true;
	return false;
}

static void check_names(char **names)
{
	for (; *names; ++names) {
		bool known = false;

		for (size_t i = 0; bench_groups[i].name; ++i)
			known = known || !strcmp(*names, bench_groups[i].name);
		if (!known)
			bench_fail("there is no group '%s'; see --help", *names);
	}
}

static void parse_options(struct bench *bench, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"rounds", required_argument, NULL, 'r'},
		{"quick", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "jr:qh", options, NULL)) != -1)
		switch (option) {
		case 'j':
			bench->json = true;
			break;
		case 'r':
			bench->n_rounds = (unsigned int)strtoul(optarg, NULL, 10);
			if (bench->n_rounds < 1 || bench->n_rounds > MAX_ROUNDS)
				bench_fail("--rounds: 1 to %u", MAX_ROUNDS);
			break;
		case 'q':
			bench->n_rounds = 3;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	check_names(argv + optind);
}

int main(int argc, char **argv)
{
	static struct bench bench = {.n_rounds = 12};
	bool well = true;

	parse_options(&bench, argc, argv);
	bench.common = mmap(NULL, sizeof(*bench.common), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bench.common == MAP_FAILED)
		bench_fail("mmap: %m");
	bench.pingpong = not_measured(bench.n_rounds);
	bench.load = not_measured(bench.n_rounds);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	bench_cpu(0);
	print_machine(&bench);
	for (size_t i = 0; bench_groups[i].name; ++i)
		if (chosen(&bench_groups[i], argv + optind))
			well = run_group(&bench, &bench_groups[i]) && well;
	if (bench.json)
		puts("\n]}");
	else
		printf("\n%u rows, %u limits missed\n", bench.common->n_printed,
			bench.common->n_missed);
	return well ? 0 : 1;
}
