/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

/*
 * What a command found out, as rows of named values, printed as a table, as lines "Name: value", or
 * as JSON whose keys are the column names in lower case. Text may come from strangers (names of
 * processes): what is not printable ASCII becomes '?'. Running out of memory ends the program.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/cleanup.h"

struct column {
	const char *name;
	const char *help;
	unsigned int flags;
};

#define COLUMN_RIGHT 1u /* aligned to the right */
#define COLUMN_EXTRA 2u /* only shown if asked for */

typedef struct Table Table;

/* Begins with the columns that are not extra. columns must outlive the table. */
Table *table_new(const struct column *columns, unsigned int n_columns);
void table_free(Table *t);
DEFINE_CLEANUP(Table *, table_free);

/* list: names with commas between; "+" before it adds to the present ones. Returns 0, or EXIT_USAGE
 * after it said what is wrong. */
int table_select(Table *t, const char *list);

/* Column names and what they mean, for people. */
void table_print_columns(const Table *t, FILE *out);

/* Begins a row; the values that follow go into it. A value not set is empty, null in JSON. */
void table_row(Table *t);
__attribute__((format(printf, 3, 4))) void table_text(
	Table *t, unsigned int column, const char *format, ...);
void table_number(Table *t, unsigned int column, uint64_t value);
/* value in JSON, the text for people */
__attribute__((format(printf, 4, 5))) void table_number_as(
	Table *t, unsigned int column, uint64_t value, const char *format, ...);
/* The same for a size in bytes: "1.5M", or in digits if bytes is true. */
void table_size(Table *t, unsigned int column, uint64_t value, bool bytes);
/* CLOCK_REALTIME in ns, as ISO 8601 in local time */
void table_time(Table *t, unsigned int column, uint64_t ns);

bool table_is_empty(const Table *t);
void table_print(const Table *t, bool headings, FILE *out);
/* The first row, a line each value */
void table_print_lines(const Table *t, FILE *out);

struct json_object *table_json(const Table *t);	    /* an array of all rows */
struct json_object *table_json_row(const Table *t); /* the first row */

/* Prints root and gives it back to json-c. */
void json_print(struct json_object *root, FILE *out);

#endif
