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

static void print_nodes(const struct config *config, FILE *out)
{
	if (config->n_nodes)
		fputs("\n[Nodes]\n", out);
	for (uint32_t i = 0; i < config->n_nodes; i++)
		fprintf(out, "# %s\n%u=%s\n", config->nodes[i].origin, config->nodes[i].number,
			config->nodes[i].text);
}

void config_print(const struct config *config, FILE *out)
{
	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++) {
		if (begins_section(i))
			fprintf(out, "%s[%s]\n", i ? "\n" : "", settings[i].section);
		fprintf(out, "# %s\n%s=%s\n", origin(config, i), settings[i].name, config->text[i]);
	}
	print_nodes(config, out);
}

static void add_json(struct json_object *list, const char *section, const char *name,
	const char *value, const char *from)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "section", json_object_new_string(section));
	json_object_object_add(o, "name", json_object_new_string(name));
	json_object_object_add(o, "value", json_object_new_string(value));
	json_object_object_add(o, "origin", json_object_new_string(from));
	json_object_array_add(list, o);
}

void config_print_json(const struct config *config, FILE *out)
{
	struct json_object *root = json_object_new_object(), *list = json_object_new_array();

	for (unsigned int i = 0; i < CONFIG_SETTINGS; i++)
		add_json(list, settings[i].section, settings[i].name, config->text[i],
			origin(config, i));
	for (uint32_t i = 0; i < config->n_nodes; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%u", config->nodes[i].number);
		add_json(list, "Nodes", number, config->nodes[i].text, config->nodes[i].origin);
	}
	json_object_object_add(root, "settings", list);
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(
			root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
}

static void print_man_nodes(FILE *out)
{
	fputs(".SS [Nodes]\n"
	      "The nodes that may have to do with each other, this one among them: a line\n"
	      ".IB NUMBER = HOST\n"
	      "or\n"
	      ".IB NUMBER = HOST : PORT\n"
	      "each. The number is the other's\n"
	      ".BR NodeId= ;\n"
	      "the host is an IPv4 address, an IPv6 address in brackets, or a name; without a port "
	      "that of\n"
	      ".B Port=\n"
	      "is meant. In a later file a line for the same node replaces the earlier one. "
	      "Without "
	      "this section the node has no peers and no port.\n"
	      ".PP\n"
	      "The list and the keys are read again on SIGHUP and by\n"
	      ".BR \"causeway reload\" .\n"
	      "The other settings, and this node's own address, count from the start.\n",
		out);
}

static void print_man_setting(const struct setting *s, FILE *out)
{
	char expects[256];

	setting_expects(s, expects, sizeof(expects));
	fprintf(out, ".TP\n.B %s=\n%s\nMust be %s. ", s->name, s->help, expects);
	if (s->default_text[0])
		fprintf(out, "Default:\n.BR \"%s\" .\n", s->default_text);
	else
		fputs("Empty by default.\n", out);
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
	print_man_nodes(out);
	fputs(".SH EXAMPLES\n"
	      ".EX\n"
	      "# no user may export more than 4 GiB\n"
	      "[Limits]\n"
	      "MaxBytesPerUser=4G\n"
	      ".EE\n"
	      ".PP\n"
	      ".EX\n"
	      "# node 1 of three\n"
	      "[Node]\n"
	      "NodeId=1\n"
	      "[Nodes]\n"
	      "1=192.0.2.1\n"
	      "2=192.0.2.2\n"
	      "3=[2001:db8::3]:7800\n"
	      "[Peers]\n"
	      "# node 2 speaks for ordinary users only; its user 1000 is 2000 here\n"
	      "AllowUids=2:1000-59999\n"
	      "MapUids=2:1000:2000\n"
	      ".EE\n"
	      ".SH SEE ALSO\n"
	      ".BR causeway (1),\n"
	      ".BR causewayd (8)\n",
		out);
}
