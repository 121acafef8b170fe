/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration file. What is refused comes with a sentence; what loads is printed as a file that
 * loads again and is printed the same.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "config/config.h"

static char directory[] = "/tmp/fuzz-config-XXXXXX", path[64];

static void clean(void)
{
	unlink(path);
	rmdir(directory);
}

static void begin(void)
{
	MUST(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/causeway.conf", directory);
	atexit(clean);
}

static void store(const void *data, size_t size)
{
	FILE *f = fopen(path, "w");

	MUST(f && (!size || fwrite(data, 1, size, f) == size) && fclose(f) == 0);
}

static int load(struct config **ret_config)
{
	char error[CONFIG_ERROR_MAX];
	int r;

	memset(error, 'x', sizeof(error));
	r = config_load(directory, ret_config, error);
	MUST(r == 0 || r == -EINVAL);
	if (r)
		MUST(memchr(error, 0, sizeof(error)) && *error && error[strlen(error) - 1] != '\n');
	return r;
}

/* The settings without the comments, which name the origin. */
static char *settings_of(const struct config *config)
{
	char *all, *kept, *line, *save;
	size_t size;
	FILE *f = open_memstream(&all, &size);

	MUST(f);
	config_print(config, f);
	fclose(f);
	store(all, size);
	kept = calloc(1, size + 1);
	MUST(kept);
	for (line = strtok_r(all, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (*line != '#')
			strcat(strcat(kept, line), "\n");
	free(all);
	return kept;
}

static void print_json(const struct config *config)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	MUST(f);
	config_print_json(config, f);
	fclose(f);
	MUST(size > 0);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config, *again;
	char *first, *second;

	if (!*path)
		begin();
	store(data, size);
	if (load(&config))
		return 0;
	print_json(config);
	first = settings_of(config);
	MUST(load(&again) == 0);
	second = settings_of(again);
	MUST(!strcmp(first, second));
	free(first);
	free(second);
	config_free(config);
	config_free(again);
	return 0;
}
