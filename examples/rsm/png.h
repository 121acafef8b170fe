/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXAMPLES_RSM_PNG_H
#define EXAMPLES_RSM_PNG_H

/*
 * Writes a picture of at most 256 colours as a PNG, without compression: a PNG is a few chunks with
 * checksums, around a zlib stream, which may consist of stored blocks.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static uint32_t png_crc(uint32_t crc, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return crc;
}

static void png_be32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A chunk is begun, continued and ended. */
struct png_chunk {
	FILE *file;
	uint32_t crc;
};

static void png_put(struct png_chunk *c, const void *data, size_t n)
{
	c->crc = png_crc(c->crc, data, n);
	fwrite(data, 1, n, c->file);
}

static struct png_chunk png_begin(FILE *file, const char *type, uint32_t length)
{
	struct png_chunk c = {file, UINT32_MAX};
	uint8_t n[4];

	png_be32(n, length);
	fwrite(n, 1, 4, file);
	png_put(&c, type, 4);
	return c;
}

static void png_end(struct png_chunk *c)
{
	uint8_t crc[4];

	png_be32(crc, ~c->crc);
	fwrite(crc, 1, 4, c->file);
}

/* Each row is a stored block of its own: its filter (none) and its pixels. */
static void png_rows(FILE *file, const uint8_t *pixels, uint32_t width, uint32_t height)
{
	uint32_t n = width + 1, a = 1, b = 0;
	struct png_chunk c = png_begin(file, "IDAT", 2 + height * (5 + n) + 4);
	uint8_t sum[4];

	png_put(&c, "\x78\x01", 2);
	for (uint32_t y = 0; y < height; y++) {
		uint8_t head[6] = {y + 1 == height, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)~n,
			(uint8_t)(~n >> 8), 0};

		png_put(&c, head, 6);
		png_put(&c, pixels + (size_t)y * width, width);
		b = (b + a) % 65521; /* the filter's byte is 0 */
		for (uint32_t x = 0; x < width; x++) {
			a = (a + pixels[(size_t)y * width + x]) % 65521;
			b = (b + a) % 65521;
		}
	}
	png_be32(sum, b << 16 | a);
	png_put(&c, sum, 4);
	png_end(&c);
}

/* width up to 65534. 0, or -1 with errno. */
static int png_write(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height,
	const uint8_t palette[256][3])
{
	uint8_t head[13] = {[8] = 8, [9] = 3};
	FILE *file = fopen(path, "wbe");
	struct png_chunk c;

	if (!file)
		return -1;
	png_be32(head, width);
	png_be32(head + 4, height);
	fwrite("\x89PNG\r\n\x1a\n", 1, 8, file);
	c = png_begin(file, "IHDR", sizeof(head));
	png_put(&c, head, sizeof(head));
	png_end(&c);
	c = png_begin(file, "PLTE", 3 * 256);
	png_put(&c, palette, 3 * 256);
	png_end(&c);
	png_rows(file, pixels, width, height);
	c = png_begin(file, "IEND", 0);
	png_end(&c);
	return fclose(file);
}

#endif
