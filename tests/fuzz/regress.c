/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives every input of a corpus to the target: regress CORPUS-DIRECTORY. An input is a text file of
 * hexadecimal digits. One line of TAP each; an input that crashes the target ends the program, and
 * the line before the crash says which one it was.
 */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>

static int is_input(const struct dirent *e)
{
	const char *dot = strrchr(e->d_name, '.');

	return dot && !strcmp(dot, ".hex");
}

/* The file's bytes in a block of their exact size, so that a sanitizer sees the first one beyond.
 */
static uint8_t *load(const char *path, size_t *ret_size)
{
	FILE *f = fopen(path, "r");
	uint8_t *data = NULL;
	unsigned int byte;
	size_t n = 0;

	MUST(f);
	while (fscanf(f, "%2x", &byte) == 1) {
		data = realloc(data, n + 1);
		MUST(data);
		data[n++] = (uint8_t)byte;
	}
	MUST(feof(f));
	fclose(f);
	*ret_size = n;
	return data;
}

int main(int argc, char **argv)
{
	struct dirent **inputs;
	char path[4096];
	int n;

	MUST(argc == 2);
	n = scandir(argv[1], &inputs, is_input, alphasort);
	MUST(n > 0);
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		uint8_t *data;
		size_t size;

		printf("# %s\n", inputs[i]->d_name);
		fflush(stdout);
		snprintf(path, sizeof(path), "%s/%s", argv[1], inputs[i]->d_name);
		data = load(path, &size);
		LLVMFuzzerTestOneInput(data, size);
		printf("ok %d - %s\n", i + 1, inputs[i]->d_name);
		free(data);
		free(inputs[i]);
	}
	free(inputs);
	return 0;
}
