/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/table.h"

#include <assert.h>
#include <ctype.h>
#include <libsmartcols/libsmartcols.h>
#include <stdarg.h>
#include <string.h>
#include "base/clock.h"
#include "base/error.h"
#include "cli/command.h"
#include "config/suggest.h"

struct cell {
	char *text;
	struct json_object *json;
};

struct Table {
	const struct column *columns;
	unsigned int n_columns;
	unsigned int *shown; /* column numbers in the order wanted */
	unsigned int n_shown;
	struct cell *cells; /* n_columns a row */
	size_t n_rows;
};

static void *need(void *p)
{
	if (p)
		return p;
	exit(cli_fail("out of memory"));
}

Table *table_new(const struct column *columns, unsigned int n_columns)
{
	Table *t = need(calloc(1, sizeof(*t)));

	t->columns = columns;
	t->n_columns = n_columns;
	t->shown = need(calloc(n_columns, sizeof(*t->shown)));
	for (unsigned int i = 0; i < n_columns; i++)
		if (!(columns[i].flags & COLUMN_EXTRA))
			t->shown[t->n_shown++] = i;
	return t;
}

void table_free(Table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_rows * t->n_columns; i++) {
		free(t->cells[i].text);
		json_object_put(t->cells[i].json);
	}
	free(t->cells);
	free(t->shown);
	free(t);
}

static bool is_shown(const Table *t, unsigned int column)
{
	for (unsigned int i = 0; i < t->n_shown; i++)
		if (t->shown[i] == column)
			return true;
	return false;
}

static int select_one(Table *t, const char *name)
{
	struct suggest s = SUGGEST_INIT(name);

	for (unsigned int i = 0; i < t->n_columns; i++) {
		suggest_offer(&s, t->columns[i].name);
		if (strcasecmp(t->columns[i].name, name))
			continue;
		if (!is_shown(t, i)) /* twice is the same as once: JSON has no second key */
			t->shown[t->n_shown++] = i;
		return 0;
	}
	if (s.best)
		return cli_usage("there is no column '%s'; did you mean %s?", name, s.best);
	return cli_usage("there is no column '%s'; '--columns help' lists what there is.", name);
}

int table_select(Table *t, const char *list)
{
	_cleanup_free_ char *names = need(strdup(list));
	char *rest = names;
	int r = 0;

	if (*rest == '+')
		rest++;
	else
		t->n_shown = 0;
	while (r == 0 && rest)
		r = select_one(t, strsep(&rest, ","));
	return r;
}

void table_print_columns(const Table *t, FILE *out)
{
	for (unsigned int i = 0; i < t->n_columns; i++)
		fprintf(out, "%-10s %s\n", t->columns[i].name, t->columns[i].help);
}

void table_row(Table *t)
{
	size_t n = t->n_rows * t->n_columns;

	t->cells = need(reallocarray(t->cells, n + t->n_columns, sizeof(*t->cells)));
	memset(t->cells + n, 0, t->n_columns * sizeof(*t->cells));
	t->n_rows++;
}

static struct cell *current(Table *t, unsigned int column)
{
	assert(t->n_rows && column < t->n_columns);
	return &t->cells[(t->n_rows - 1) * t->n_columns + column];
}

/* Takes json. */
static void set(
	Table *t, unsigned int column, struct json_object *json, const char *format, va_list args)
{
	struct cell *c = current(t, column);

	free(c->text);
	json_object_put(c->json);
	if (vasprintf(&c->text, format, args) < 0)
		c->text = need(NULL);
	for (char *p = c->text; *p; p++)
		if (!isascii(*p) || !isprint((unsigned char)*p))
			*p = '?';
	c->json = json ? json : need(json_object_new_string(c->text));
}

void table_text(Table *t, unsigned int column, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set(t, column, NULL, format, args);
	va_end(args);
}

void table_number_as(Table *t, unsigned int column, uint64_t value, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set(t, column, need(json_object_new_uint64(value)), format, args);
	va_end(args);
}

void table_number(Table *t, unsigned int column, uint64_t value)
{
	table_number_as(t, column, value, "%llu", (unsigned long long)value);
}

void table_size(Table *t, unsigned int column, uint64_t value, bool bytes)
{
	static const char units[] = "KMGTPE";
	double v = (double)value / 1024;
	unsigned int i = 0;

	if (bytes || value < 1024) {
		table_number(t, column, value);
		return;
	}
	for (; v >= 1023.95; i++)
		v /= 1024;
	/* a whole number of units shows no fraction */
	table_number_as(t, column, value, "%.*f%c", v == (double)(uint64_t)v ? 0 : 1, v, units[i]);
}

void table_time(Table *t, unsigned int column, uint64_t ns)
{
	time_t seconds = (time_t)(ns / NSEC_PER_SEC);
	struct tm tm;
	char text[64] = "";

	if (localtime_r(&seconds, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &tm);
	table_text(t, column, "%s", text);
}

static const struct cell *cell_at(const Table *t, size_t row, unsigned int column)
{
	return &t->cells[row * t->n_columns + column];
}

bool table_is_empty(const Table *t)
{
	return t->n_rows == 0;
}

void table_print(const Table *t, bool headings, FILE *out)
{
	struct libscols_table *s = need(scols_new_table());

	scols_table_set_stream(s, out);
	scols_table_enable_noheadings(s, !headings);
	for (unsigned int i = 0; i < t->n_shown; i++) {
		const struct column *c = &t->columns[t->shown[i]];

		need(scols_table_new_column(
			s, c->name, 0, c->flags & COLUMN_RIGHT ? SCOLS_FL_RIGHT : 0));
	}
	for (size_t row = 0; row < t->n_rows; row++) {
		struct libscols_line *line = need(scols_table_new_line(s, NULL));

		for (unsigned int i = 0; i < t->n_shown; i++) {
			const char *text = cell_at(t, row, t->shown[i])->text;

			scols_line_set_data(line, i, text && *text ? text : "-");
		}
	}
	scols_print_table(s);
	scols_unref_table(s);
}

void table_print_lines(const Table *t, FILE *out)
{
	int width = 0;

	for (unsigned int i = 0; i < t->n_shown; i++)
		width = MAX(width, (int)strlen(t->columns[t->shown[i]].name));
	for (unsigned int i = 0; t->n_rows && i < t->n_shown; i++) {
		const char *name = t->columns[t->shown[i]].name;
		const char *text = cell_at(t, 0, t->shown[i])->text;

		if (text)
			fprintf(out, "%s:%*s %s\n", name, width - (int)strlen(name), "", text);
	}
}

static struct json_object *json_of_row(const Table *t, size_t row)
{
	struct json_object *o = need(json_object_new_object());
	char key[64];

	for (unsigned int i = 0; i < t->n_shown; i++) {
		const char *name = t->columns[t->shown[i]].name;
		size_t n;

		for (n = 0; name[n] && n < sizeof(key) - 1; n++)
			key[n] = name[n] == ' ' ? '_' : (char)tolower((unsigned char)name[n]);
		key[n] = '\0';
		json_object_object_add(o, key, json_object_get(cell_at(t, row, t->shown[i])->json));
	}
	return o;
}

struct json_object *table_json(const Table *t)
{
	struct json_object *list = need(json_object_new_array());

	for (size_t row = 0; row < t->n_rows; row++)
		json_object_array_add(list, json_of_row(t, row));
	return list;
}

struct json_object *table_json_row(const Table *t)
{
	return t->n_rows ? json_of_row(t, 0) : NULL;
}

void json_print(struct json_object *root, FILE *out)
{
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(
			root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
}
