/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/status.h"

#include <stddef.h>

const char *wire_status_name(int status)
{
	switch (status) {
#define X(name, number, text)                                                                      \
	case number:                                                                               \
		return #name;
#include "wire/status.def"
#undef X
	}
	return NULL;
}

const char *wire_status_text(int status)
{
	switch (status) {
#define X(name, number, text)                                                                      \
	case number:                                                                               \
		return text;
#include "wire/status.def"
#undef X
	}
	return "unknown status";
}
