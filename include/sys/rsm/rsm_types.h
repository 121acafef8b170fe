/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base types that Solaris has in <sys/types.h> and Linux does not. The names are common ones: a
 * program or a porting library that brings its own defines RSM_NO_SOLARIS_TYPES before it includes
 * any of these headers, and nothing here is declared.
 */
#ifndef _SYS_RSM_RSM_TYPES_H
#define _SYS_RSM_RSM_TYPES_H

#include <stdint.h>
#include <sys/types.h>

/* The layout of the topology does not follow a foreign MAXNAMELEN, hence a name of our own. */
#define RSM_MAXNAMELEN 256

#ifndef MAXNAMELEN
#define MAXNAMELEN RSM_MAXNAMELEN
#endif

#ifndef RSM_NO_SOLARIS_TYPES

typedef unsigned char uchar_t;
typedef unsigned int uint_t;
typedef unsigned long ulong_t;
typedef int64_t offset_t;
typedef uint_t minor_t;

typedef enum { B_FALSE = 0, B_TRUE = 1 } boolean_t;

/* Only the strict modes of the compiler hide caddr_t. */
#if defined(__GLIBC__) ? !defined(__daddr_t_defined)                                               \
		       : defined(__STRICT_ANSI__) && !defined(_GNU_SOURCE)
typedef char *caddr_t;
#endif

#endif

#endif
