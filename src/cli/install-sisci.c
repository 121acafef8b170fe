/* SPDX-License-Identifier: Apache-2.0 */
/* causeway install-sisci */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/command.h"
#include "config.h"

/* Everything is a link to what is installed, so an update of that is an update of this. */

struct file {
	const char *name;	/* as in an installation, in that folder: */
	const char *folder;	/* NULL: with the headers */
	const char *build_tree; /* where a build has it, seen from the tool; NULL likewise */
	const char *links[3];	/* below DIR */
};

static const struct file files[] = {
	{"sisci_api.h", NULL, NULL, {"include/sisci_api.h"}},
	{"sisci_api_macros.h", NULL, NULL, {"include/sisci_api_macros.h"}},
	{"sisci_error.h", NULL, NULL, {"include/sisci_error.h"}},
	{"sisci_types.h", NULL, NULL, {"include/sisci_types.h"}},
	{"dis/dis_types.h", NULL, NULL, {"include/dis/dis_types.h"}},
	{"sisci/sisci_demolib.h", NULL, NULL,
		{"include/sisci_demolib.h", "src/SISCI/cmd/include/sisci_demolib.h"}},
	{"sisci/testlib.h", NULL, NULL, {"include/testlib.h", "src/SISCI/cmd/test/lib/testlib.h"}},
	{"disinfo", CAUSEWAY_LIBEXEC_PATH, "../api/sisci/disinfo",
		{"sbin/disinfo", "sbin/dis_config"}},
	{"libsisci.so", CAUSEWAY_LIBRARY_PATH, "../api/sisci/libsisci.so",
		{"lib64/libsisci.so", "lib/libsisci.so"}},
	{"libsisci.so.2", CAUSEWAY_LIBRARY_PATH, "../api/sisci/libsisci.so.2",
		{"lib64/libsisci.so.2", "lib/libsisci.so.2"}},
	{"libcauseway.so.0", CAUSEWAY_LIBRARY_PATH, "../client/libcauseway.so.0",
		{"lib64/libcauseway.so.0", "lib/libcauseway.so.0"}},
};

static const char *const directories[] = {"", "/include", "/include/dis", "/lib64", "/lib", "/bin",
	"/sbin", "/src", "/src/SISCI", "/src/SISCI/cmd", "/src/SISCI/cmd/include",
	"/src/SISCI/cmd/test", "/src/SISCI/cmd/test/lib"};

static bool join(char ret_path[PATH_MAX], const char *dir, const char *name)
{
	return snprintf(ret_path, PATH_MAX, "%s/%s", dir, name) < PATH_MAX;
}

/* The folder of this tool. */
static int own_folder(char ret_path[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", ret_path, PATH_MAX - 1);
	char *slash;

	if (n < 0)
		return negative_errno();
	ret_path[n] = '\0';
	slash = strrchr(ret_path, '/');
	if (slash)
		*slash = '\0';
	return 0;
}

static bool try(const char *dir, const char *name, char ret_path[PATH_MAX])
{
	char path[PATH_MAX];

	return join(path, dir, name) && realpath(path, ret_path);
}

/* In the tree of ./dev env, in the build tree that this tool is in, or installed. */
static bool find(const struct file *file, const char *tool, char ret_path[PATH_MAX])
{
	bool header = !file->build_tree;
	const char *tree = getenv("CAUSEWAY_TREE");
	char path[PATH_MAX];

	if (header && tree && join(path, tree, "include") && try(path, file->name, ret_path))
		return true;
	if (!header && try(tool, file->build_tree, ret_path))
		return true;
	return try(header ? CAUSEWAY_INCLUDE_PATH : file->folder, file->name, ret_path);
}

static int make_directories(const char *dir)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < ELEMENTS(directories); i++) {
		if (snprintf(path, sizeof(path), "%s%s", dir, directories[i]) >= PATH_MAX)
			return cli_fail("the name of the directory is too long");
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return cli_fail("cannot make %s: %s", path, strerror(errno));
	}
	return 0;
}

/* A link that we made before is made anew; anything else is somebody's. */
static int make_link(const char *target, const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0) {
		if (!S_ISLNK(st.st_mode))
			return cli_fail("%s is there, and no link: it stays", path);
		if (unlink(path) < 0)
			return cli_fail("cannot replace %s: %s", path, strerror(errno));
	}
	if (symlink(target, path) < 0)
		return cli_fail("cannot make %s: %s", path, strerror(errno));
	return 0;
}

static int link_file(const struct file *file, const char *tool, const char *dir)
{
	char target[PATH_MAX], path[PATH_MAX];
	int r = 0;

	if (!find(file, tool, target))
		return cli_fail("%s is not installed: is the package with SISCI's headers there?",
			file->name);
	for (size_t i = 0; i < ELEMENTS(file->links) && file->links[i] && r == 0; i++)
		r = join(path, dir, file->links[i]) ? make_link(target, path)
						    : cli_fail("a name is too long");
	return r;
}

int install_sisci_run(const struct invocation *in)
{
	const char *dir = in->args[0];
	char tool[PATH_MAX];
	int r = own_folder(tool);

	if (r < 0)
		return cli_fail("cannot tell where this tool is: %s", strerror(-r));
	r = make_directories(dir);
	for (size_t i = 0; i < ELEMENTS(files) && r == 0; i++)
		r = link_file(&files[i], tool, dir);
	if (r)
		return r;
	printf("Programs for SISCI compile with\n"
	       "  -I%s/include -I%s/include/dis -L%s/lib64 -lsisci\n",
		dir, dir, dir);
	return EXIT_OK;
}
