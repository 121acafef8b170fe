/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FABRIC_BACKEND_H
#define FABRIC_BACKEND_H

/*
 * What a back end is: a table of operations for its paths and one for its targets. Their objects
 * begin with the structures below; what each operation owes its caller stands in fabric.h.
 */

#include "fabric/fabric.h"

struct fabric_path_ops {
	void (*free)(FabricPath *path);
	int (*add_user)(FabricPath *path, struct fabric_user *user);
	void (*remove_user)(FabricPath *path, struct fabric_user *user);
	int (*put)(FabricPath *path, struct fabric_user *user, uint64_t off, const void *src,
		size_t n, unsigned int width, unsigned int flags);
	int (*get)(FabricPath *path, struct fabric_user *user, uint64_t off, void *dst, size_t n,
		unsigned int width);
	int (*putv)(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
		size_t n_pieces, unsigned int flags, size_t *ret_done);
	int (*getv)(FabricPath *path, struct fabric_user *user, const struct fabric_piece *pieces,
		size_t n_pieces, size_t *ret_done);
	/* compare: expected counts and value is stored; else value is added */
	int (*atomic)(FabricPath *path, struct fabric_user *user, uint64_t off, unsigned int width,
		bool compare, uint64_t expected, uint64_t value, uint64_t *ret_old);
	int (*signal)(FabricPath *path, struct fabric_user *user, bool accumulate);
	int (*flush)(FabricPath *path);
	int (*order)(FabricPath *path, struct fabric_user *user); /* NULL: all of the path's */
	/* NULL: fabric.c does it at once */
	int (*start)(FabricPath *path, struct fabric_user *user, bool put, uint64_t off,
		void *local, size_t n, struct fabric_started *started);
	int (*finish)(FabricPath *path, struct fabric_started *started, uint64_t timeout);
	int (*resume)(FabricPath *path, int fd, uint64_t done);
	void (*abandon)(FabricPath *path);
};

struct FabricPath {
	const struct fabric_path_ops *ops;
};

struct fabric_target_backend {
	void (*free)(FabricTarget *target);
	void (*run)(FabricTarget *target);
	void (*stop)(FabricTarget *target);
	int (*attach)(FabricTarget *target, uint64_t connection, int fd, _Atomic uint64_t *done);
	void (*detach)(FabricTarget *target, uint64_t connection);
	int (*grant)(FabricTarget *target, const struct fabric_key *key,
		const struct fabric_region *region);
	void (*revoke)(FabricTarget *target, const struct fabric_key *key);
	int (*set_coherent)(FabricTarget *target, const struct fabric_key *key, void *coherent);
	void (*retry)(FabricTarget *target);
	int (*traffic)(FabricTarget *target, const struct fabric_key *key,
		struct fabric_traffic *ret_traffic);
};

struct FabricTarget {
	const struct fabric_target_backend *backend;
};

#endif
