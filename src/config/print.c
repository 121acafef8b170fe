/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include <config.h>
#include <json-c/json.h>
#include <string.h>
#include "base/error.h"
#include "config/setting.h"

static bool begins_section(unsigned int i)
{
	return i == 0 || strcmp(settings[i].section, settings[i - 1].section);
}

static const char *origin(const struct config *config, unsigned int i)
{
	return config->origin[i] ? config->origin[i] : "default";
}

void config_print(const struct config *config, FILE *out)
{
	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++) {
		if (begins_section(i))
			fprintf(out, "%s[%s]\n", i ? "\n" : "", settings[i].section);
		fprintf(out, "# %s\n%s=%s\n", origin(config, i), settings[i].name, config->text[i]);
	}
}

void config_print_json(const struct config *config, FILE *out)
{
	struct json_object *root = json_object_new_object(), *list = json_object_new_array();

	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "section", json_object_new_string(settings[i].section));
		json_object_object_add(o, "name", json_object_new_string(settings[i].name));
		json_object_object_add(o, "value", json_object_new_string(config->text[i]));
		json_object_object_add(o, "origin", json_object_new_string(origin(config, i)));
		json_object_array_add(list, o);
	}
	json_object_object_add(root, "settings", list);
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(
			root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
}

static void print_man_setting(const struct setting *s, FILE *out)
{
	char expects[256];

	setting_expects(s, expects, sizeof(expects));
	fprintf(out, ".TP\n.B %s=\n%s\nMust be %s. Default:\n.BR \"%s\" .\n", s->name, s->help,
		expects, s->default_text);
}

void config_print_man(FILE *out)
{
	fputs(".\\\" SPDX-License-Identifier: Apache-2.0\n"
	      ".\\\" Generated from src/config/settings.def.\n"
	      ".TH CAUSEWAY.CONF 5 \"\" \"Causeway " CAUSEWAY_VERSION "\" \"Causeway Manual\"\n"
	      ".SH NAME\n"
	      "causeway.conf \\- settings of a Causeway node\n"
	      ".SH SYNOPSIS\n"
	      ".nf\n" CAUSEWAY_CONFIG_DIR "/causeway.conf\n" CAUSEWAY_CONFIG_DIR
	      "/causeway.conf.d/*.conf\n" CAUSEWAY_VENDOR_DIR "/causeway.conf\n" CAUSEWAY_VENDOR_DIR
	      "/causeway.conf.d/*.conf\n"
	      ".fi\n",
		out);
	fputs(".SH DESCRIPTION\n"
	      ".BR causewayd (8)\n"
	      "reads its settings when it starts. First comes\n"
	      ".I causeway.conf\n"
	      "from " CAUSEWAY_CONFIG_DIR ", or from " CAUSEWAY_VENDOR_DIR
	      " if the first has none. "
	      "Then come the files that end in\n"
	      ".I .conf\n"
	      "from both directories\n"
	      ".I causeway.conf.d\n"
	      "together, in the order of their names; what comes later wins. A file in\n"
	      ".I " CAUSEWAY_CONFIG_DIR "/causeway.conf.d\n"
	      "hides the one of the same name in\n"
	      ".IR " CAUSEWAY_VENDOR_DIR "/causeway.conf.d ;\n"
	      "a link to\n"
	      ".I /dev/null\n"
	      "hides it and sets nothing. With\n"
	      ".B \\-\\-config\n"
	      ".I DIR\n"
	      "only the files in\n"
	      ".I DIR\n"
	      "are read. Without any file every setting has its default.\n",
		out);
	fputs(".PP\n"
	      "A line is a section\n"
	      ".RI [ Name ],\n"
	      "a setting\n"
	      ".IR Name = value ,\n"
	      "a comment that begins with # or ;, or empty. A comment needs a line of its own; "
	      "values "
	      "have no quotes. A line that is none of these, a setting or section that does not "
	      "exist, "
	      "a value that is not possible and a setting given twice in one file are errors: "
	      "causewayd names file and line and does not start.\n"
	      ".PP\n"
	      ".B causewayd \\-\\-print\\-config\n"
	      "shows every setting with its value and where it comes from.\n",
		out);
	fputs(".SH SETTINGS\n", out);
	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++) {
		if (begins_section(i))
			fprintf(out, ".SS [%s]\n", settings[i].section);
		print_man_setting(&settings[i], out);
	}
	fputs(".SH EXAMPLES\n"
	      ".EX\n"
	      "# no user may export more than 4 GiB\n"
	      "[Limits]\n"
	      "MaxBytesPerUser=4G\n"
	      ".EE\n"
	      ".SH SEE ALSO\n"
	      ".BR causeway (1),\n"
	      ".BR causewayd (8)\n",
		out);
}
