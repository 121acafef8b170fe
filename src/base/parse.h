/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

/*
 * Strict parsing of text that people write: the whole string must match, nothing overflows, nothing
 * depends on the locale. All return 0, -EINVAL (not of the form) or -ERANGE (does not fit) and
 * leave the output alone on failure.
 */

#include <stdbool.h>
#include <stdint.h>

/* decimal, or hexadecimal after 0x */
int parse_u64(const char *s, uint64_t *ret);
int parse_u32(const char *s, uint32_t *ret);

/* yes, no, true, false, on, off, 1, 0 */
int parse_bool(const char *s, bool *ret);

/* bytes: a number, then nothing or one of K M G T (powers of 1024) */
int parse_size(const char *s, uint64_t *ret_bytes);

/* nanoseconds: a number with us, ms, s or min after it; a bare number means seconds */
int parse_duration(const char *s, uint64_t *ret_ns);

#endif
