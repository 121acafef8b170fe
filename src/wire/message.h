/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

/*
 * Messages of message.def as C structs, and their encoding. A packet is a header, the fixed body
 * and a tail of records:
 *
 *   u32 size (of all)  u16 type  u16 body size  u64 serial  u32 status  u32 flags
 *
 * Nothing here does I/O or allocates. A decoder believes nothing: any bytes give a message or
 * -EBADMSG. Thread safe: no state.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WIRE_MAJOR 1u
#define WIRE_MINOR 3u

#define WIRE_HEADER_SIZE 24u
#define WIRE_PACKET_MAX	 16384u /* whole packet, bytes */

/* header flags */
#define WIRE_ONEWAY 0x1u /* request: no reply wanted */

enum wire_type {
#define MESSAGE(NAME, name, number) WIRE_##NAME = number,
#define RECORD(name)
#define U32(f)
#define U64(f)
#define TEXT(f, size)
#define BYTES(f, size)
#define END(name)
#include "wire/message.def"
#undef MESSAGE
#undef RECORD
#undef U32
#undef U64
#undef TEXT
#undef BYTES
#undef END
};

#define WIRE_REPLY_BIT 0x8000u

enum wire_space {
	WIRE_SPACE_RSM = 1,
	WIRE_SPACE_SISCI = 2,
	WIRE_SPACE_CLSHM = 3,
	WIRE_SPACE_SISCI_INT = 4,  /* interrupts */
	WIRE_SPACE_SISCI_DATA = 5, /* data interrupts */
	WIRE_SPACE_SISCI_GROUP =
		6, /* of connects only: a segment of SISCI that is a multicast group's */
};

enum wire_controller_kind {
	WIRE_CONTROLLER_LOOPBACK = 1,
	WIRE_CONTROLLER_TCP = 2,
	WIRE_CONTROLLER_OFI = 3, /* as TCP, and bulk by RDMA where both ends can */
};

enum wire_side {
	WIRE_SIDE_EXPORT = 1,
	WIRE_SIDE_IMPORT = 2,
};

enum wire_segment_state {
	WIRE_SEGMENT_BOUND = 1,
	WIRE_SEGMENT_PUBLISHED = 2,
};

/* The state of an import in the status page; anything but CONNECTED and PENDING is final. */
enum wire_import_state {
	WIRE_IMPORT_FREE = 0,
	WIRE_IMPORT_CONNECTED = 1,
	WIRE_IMPORT_REVOKED = 2,       /* unpublished or destroyed */
	WIRE_IMPORT_EXPORTER_GONE = 3, /* the exporting process ended */
	WIRE_IMPORT_PENDING = 4,       /* of another node, which has not answered yet; not final */
	WIRE_IMPORT_FAILED = 5,	       /* that connect failed; IMPORT_RESULT says why */
	WIRE_IMPORT_NODE_LOST = 6,     /* the segment's node is lost, or we are to it */
};

/* How a segment is offered. */
enum wire_offer {
	WIRE_OFFERED = 0x1,
	WIRE_OFFER_OPEN = 0x2,
	WIRE_OFFER_WAS_OPEN = 0x4,
	WIRE_OFFER_SHARED = 0x8,   /* processes of this node may attach */
	WIRE_OFFER_LEFT = 0x10,	   /* by its owner */
	WIRE_OFFER_GROUP = 0x20,   /* found in the space sisci-group */
	WIRE_OFFER_UNICAST = 0x40, /* and in its own as well */
	WIRE_OFFER_TOLD = 0x80,	   /* closed, and the importers were asked to leave */
};

/* SEGMENT_OFFER: the lowest free id from the given one on. */
#define WIRE_OFFER_AUTO 0x10000u

/* SEGMENT_OPEN, when it closes: tell the importers to leave; end their connections. */
#define WIRE_CLOSE_TELL 0x1u
#define WIRE_CLOSE_END	0x2u

/* Keys and ids of clshm: partition << 24 | a number that is not 0. */
#define WIRE_SHM_PARTITIONS   64u
#define WIRE_SHM_PARTITION(n) ((uint32_t)(n) >> 24)
#define WIRE_SHM_NUMBER(n)    ((uint32_t)(n)&0xffffffu)
#define WIRE_SHM_HERE	      UINT32_MAX

#define WIRE_SHM_EXCLUSIVE 0x1u /* SHM_GET */

/* A segment of clshm. */
#define WIRE_SHM_AUTO	 0x1u /* removed with its last attach */
#define WIRE_SHM_REMOVED 0x2u
#define WIRE_SHM_LOCKED	 0x4u
#define WIRE_SHM_PLACED	 0x8u

enum wire_shm_command {
	WIRE_SHM_REMOVE = 1,
	WIRE_SHM_AUTOREMOVE = 2,
	WIRE_SHM_SET = 3, /* uid, gid, mode */
	WIRE_SHM_LOCK = 4,
	WIRE_SHM_UNLOCK = 5,
};

enum wire_shm_setting {
	WIRE_SHM_STARTUP = 1,
	WIRE_SHM_SHUTDOWN =
		2, /* SHM_HELLO fails, and so do new keys and segments; those that there are stay */
	WIRE_SHM_MAX_PAGES = 3,
	WIRE_SHM_TIMEOUT = 4,
};

/* What becomes of who accesses memory of a partition that is lost. */
enum wire_shm_loss {
	WIRE_SHM_LOSS_SIGBUS = 1,
	WIRE_SHM_LOSS_KILL = 2, /* its process group, at once */
	WIRE_SHM_LOSS_ZERO = 3, /* it sees zeros, and writes to memory of its own */
};

/* A route in the status page: generation << 32 | state, as imports. */
enum wire_route_state {
	WIRE_ROUTE_FREE = 0,
	WIRE_ROUTE_OPENING = 1,
	WIRE_ROUTE_OPEN = 2,
	WIRE_ROUTE_LOST = 3, /* final: its imports are lost */
};

enum wire_peer_state {
	WIRE_PEER_IDLE = 0, /* nothing in common, no connection */
	WIRE_PEER_DIALLING = 1,
	WIRE_PEER_UP = 2,
	WIRE_PEER_AWAY = 3, /* a session, but no connection now */
	WIRE_PEER_SELF = 4, /* this node */
};

/* Of an import of another node's segment that is mapped. */
enum wire_advice {
	WIRE_ADVICE_NORMAL = 0,
	WIRE_ADVICE_SEQUENTIAL = 1,
	WIRE_ADVICE_RANDOM = 2,
	WIRE_ADVICE_WILL_NEED = 3,
	WIRE_ADVICE_HOLD = 4, /* of the whole segment: how long a page that came stays at least */
};

/* Of the data that goes between two nodes. */
enum wire_encryption {
	WIRE_DATA_UNKNOWN = 0, /* they have not spoken yet */
	WIRE_DATA_PLAIN = 1,
	WIRE_DATA_ENCRYPTED = 2,
	WIRE_DATA_IMPOSSIBLE = 3, /* one of them requires it, one cannot */
};

enum wire_check {
	WIRE_CHECK_NO_UFFD = 1, /* the asker gave none */
	WIRE_CHECK_API = 2,
	WIRE_CHECK_REGISTER = 3,
	WIRE_CHECK_PROTECT = 4,
	WIRE_CHECK_RELEASE = 5,
	WIRE_CHECK_DONE = 6,
};

/* rights, as in a mode's digit */
#define WIRE_READ  04u
#define WIRE_WRITE 02u

#define WIRE_HELLO_UFFD 0x1u
#define WIRE_HELLO_RDMA 0x2u /* there is controller ofi0: RDMA may be asked for */
#define WIRE_SEGMENT_BIG_ENDIAN                                                                    \
	0x80000000u /* in flags, of the exporter; the rest is the interface's */
#define WIRE_IMPORT_READONLY	   0x1u
#define WIRE_IMPORT_FOREIGN_ENDIAN 0x2u
#define WIRE_IMPORT_SYSV	   0x4u /* a System V segment that the daemon cannot open */
#define WIRE_SHOW_ADVISORY	   0x1u /* rights cannot be enforced: one uid for daemon and users */
#define WIRE_NODE_EMBEDDED	   0x1u	 /* started by a library, ends by itself */
#define WIRE_NODE_PRIVILEGED	   0x2u	 /* run by root */
#define WIRE_NODE_UFFD		   0x4u	 /* lends /dev/userfaultfd */
#define WIRE_NODE_TLS		   0x8u	 /* its kernel can encrypt data connections */
#define WIRE_NODE_ENCRYPT	   0x10u /* and it insists on that */
#define WIRE_NODE_MAPS		   0x20u /* it can watch maps of other nodes' memory */

#define WIRE_NODE_DATA_SIZE 12u /* of a record node_data */

/* what two nodes tell each other about their data connections */
#define WIRE_ENCRYPTION_POSSIBLE 0x1u
#define WIRE_ENCRYPTION_REQUIRED 0x2u

/* One struct a message or record: struct wire_hello … */
#define MESSAGE(NAME, name, number) struct wire_##name {
#define RECORD(name)		    struct wire_##name {
#define U32(f)			    uint32_t f;
#define U64(f)			    uint64_t f;
#define TEXT(f, size)		    char f[size];
#define BYTES(f, size)		    uint8_t f[size];
#define END(name)                                                                                  \
	}                                                                                          \
	;
#include "wire/message.def"
#undef MESSAGE
#undef RECORD
#undef U32
#undef U64
#undef TEXT
#undef BYTES
#undef END

struct wire_message {
	uint16_t type;
	uint32_t status;
	uint32_t flags;
	uint64_t serial;
	union {
#define MESSAGE(NAME, name, number) struct wire_##name name;
#define RECORD(name)
#define U32(f)
#define U64(f)
#define TEXT(f, size)
#define BYTES(f, size)
#define END(name)
#include "wire/message.def"
#undef MESSAGE
#undef RECORD
#undef U32
#undef U64
#undef TEXT
#undef BYTES
#undef END
	};
	const void *tail; /* encoded records; after decode: points into the packet */
	size_t tail_size;
};

/* Returns the packet's length, or -EMSGSIZE, or -EINVAL for a type that is none. */
ssize_t wire_encode(const struct wire_message *m, void *buf, size_t size);

/* Errors: -EBADMSG (sizes that do not agree), -EOPNOTSUPP (a type this version does not know; type
 * and serial are set, so that it can be refused). */
int wire_decode(const void *packet, size_t len, struct wire_message *ret_message);

/* "SEGMENT_CREATE"; NULL for a number that is none */
const char *wire_type_name(uint32_t type);

/*
 * Records of a tail, one after the other:
 *   wire_put_access(cursor, end, &record)  returns the new cursor, or NULL if it does not fit
 *   wire_get_access(cursor, end, &record)  returns the new cursor, or NULL if it is cut short
 */
#define MESSAGE(NAME, name, number)
#define RECORD(name)                                                                               \
	uint8_t *wire_put_##name(uint8_t *at, const uint8_t *end, const struct wire_##name *m);    \
	const uint8_t *wire_get_##name(                                                            \
		const uint8_t *at, const uint8_t *end, struct wire_##name *ret);
#define U32(f)
#define U64(f)
#define TEXT(f, size)
#define BYTES(f, size)
#define END(name)
#include "wire/message.def"
#undef MESSAGE
#undef RECORD
#undef U32
#undef U64
#undef TEXT
#undef BYTES
#undef END

#endif
