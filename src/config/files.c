/* SPDX-License-Identifier: Apache-2.0 */
#include "config/files.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include "base/error.h"

#define MAIN_FILE   "causeway.conf"
#define DROP_IN_DIR "causeway.conf.d"

void config_files_deinit(struct config_files *files)
{
	for (size_t i = 0; i < files->n; i++)
		free(files->paths[i]);
	free(files->paths);
	*files = (struct config_files){0};
}

/* Takes path, also on failure. */
static int add(struct config_files *files, char *path)
{
	char **paths = reallocarray(files->paths, files->n + 1, sizeof(*paths));

	if (!paths) {
		free(path);
		return -ENOMEM;
	}
	paths[files->n] = path;
	files->paths = paths;
	files->n++;
	return 0;
}

static const char *base_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

static bool has(const struct config_files *files, const char *name)
{
	for (size_t i = 0; i < files->n; i++)
		if (!strcmp(base_name(files->paths[i]), name))
			return true;
	return false;
}

static bool is_drop_in(const char *name)
{
	static const char suffix[] = ".conf";
	size_t n = strlen(name);

	return name[0] != '.' && n > strlen(suffix) && !strcmp(name + n - strlen(suffix), suffix);
}

static int say(char *error, const char *path, int r)
{
	snprintf(error, CONFIG_ERROR_MAX, "cannot read %s: %s", path, strerror(-r));
	return r;
}

/* Adds the drop-ins of dir that no more important directory hides. */
static int add_drop_ins(struct config_files *files, const char *dir, char *error)
{
	_cleanup_free_ char *path = NULL;
	struct dirent *e;
	char *file;
	DIR *d;
	int r = 0;

	if (asprintf(&path, "%s/" DROP_IN_DIR, dir) < 0)
		return say(error, dir, -ENOMEM);
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : say(error, path, negative_errno());
	while (r == 0 && (errno = 0, e = readdir(d))) {
		if (!is_drop_in(e->d_name) || has(files, e->d_name))
			continue;
		r = asprintf(&file, "%s/%s", path, e->d_name) < 0 ? -ENOMEM : add(files, file);
	}
	if (r == 0 && errno)
		r = negative_errno();
	closedir(d);
	return r < 0 ? say(error, path, r) : 0;
}

static int add_main(struct config_files *files, const char *dir, char *error)
{
	char *path;
	int r;

	if (asprintf(&path, "%s/" MAIN_FILE, dir) < 0)
		return say(error, dir, -ENOMEM);
	if (access(path, F_OK) < 0) {
		r = errno == ENOENT ? 0 : say(error, path, negative_errno());
		free(path);
		return r;
	}
	r = add(files, path);
	return r < 0 ? say(error, dir, r) : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(base_name(*(char *const *)a), base_name(*(char *const *)b));
}

int config_files_find(const char *const *dirs, unsigned int n_dirs, struct config_files *ret_files,
	char error[CONFIG_ERROR_MAX])
{
	_cleanup_(config_files_deinit) struct config_files files = {0}, drop_ins = {0};
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < n_dirs && files.n == 0; i++)
		r = add_main(&files, dirs[i], error);
	for (unsigned int i = 0; r == 0 && i < n_dirs; i++)
		r = add_drop_ins(&drop_ins, dirs[i], error);
	if (drop_ins.n)
		qsort(drop_ins.paths, drop_ins.n, sizeof(*drop_ins.paths), by_name);
	for (size_t i = 0; r == 0 && i < drop_ins.n; i++) {
		r = add(&files, take_ptr(drop_ins.paths[i]));
		if (r < 0)
			say(error, "the list of files", r);
	}
	if (r < 0)
		return r;
	*ret_files = files;
	files = (struct config_files){0};
	return 0;
}
