/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

/*
 * Puts and gets over plain TCP, as simple as can be: a header of 24 bytes, the data, an answer of
 * 16. What no library on TCP can do without.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BARE_CONGESTION "cubic reno" /* as causewayd's */
#define BARE_SPIN	50000u /* ns that either end looks before it sleeps, if it is to spin */

struct bare {
	int fd;
	bool spin;
};

int bare_listen(uint16_t *ret_port);
int bare_accept(int listener);
int bare_connect(const char *address, uint16_t port);

/* A thread that serves the connection, offsets from memory on. */
void bare_serve(int fd, bool spin, uint8_t *memory);

void bare_put(const struct bare *bare, const void *src, size_t n);
void bare_get(const struct bare *bare, void *dst, size_t n);
/* For a stream of puts many may be said before their answers are heard. */
void bare_say_put(const struct bare *bare, const void *src, size_t n);
void bare_hear(const struct bare *bare, void *to, size_t n);
/* So many puts, four of which are under way at a time. */
void bare_stream(const struct bare *bare, const void *src, size_t n, unsigned long puts);

#endif
