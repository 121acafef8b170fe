/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory of several partitions (the nodes of a cluster) in the manner of System V. A segment
 * lies on the partition that its key names and is attached on all of them. See clshm(7).
 */
#ifndef XP_SHM_H
#define XP_SHM_H

#include <stddef.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of this library and of the daemon it asks: majors must be the same. */
#define CLSHM_USR_MAJOR_VERS  1
#define CLSHM_USR_MINOR_VERS  0
#define CLSHM_DAEM_MAJOR_VERS 1
#define CLSHM_DAEM_MINOR_VERS 0

/* Partitions are 0 ... MAX_PARTITIONS - 1. */
typedef signed char partid_t;
#define MAX_PARTITIONS 64

/* xp_ftok(): the only id, and the path of a partition but for its two hexadecimal digits. */
#define CLSHM_IF_ID_DEFAULT 1
#define CLSHM_IF_PART_PATH  "/hw/clshm/partition/"

/* xp_shmctl(): remove the segment after its last detach. */
#ifndef IPC_AUTORMID
#define IPC_AUTORMID 15
#endif

#define KEY_TO_PARTITION(key)	  ((partid_t)((unsigned int)(key) >> 24))
#define SHMID_TO_PARTITION(shmid) ((partid_t)((unsigned int)(shmid) >> 24))
#define SHMID_TO_OFFSET(shmid)	  ((unsigned int)(shmid)&0xffffffu)

/* part_setpmo() */
typedef int pmo_handle_t;
typedef enum {
	__PMO_ANY = 0, /* no placement */
	__PMO_MLD = 1, /* the handle is the number of a NUMA node */
	__PMO_RAFF = 2,
	__PMO_MLDSET = 3,
	__PMO_PM = 4,
	__PMO_PMO_NS = 5
} pmo_type_t;

/* All: -1, or of xp_shmat() (void *)-1, with the reason in errno. */
key_t xp_ftok(const char *path, int id);
int xp_shmget(key_t key, size_t size, int shmflg);
void *xp_shmat(int shmid, const void *addr, int shmflg);
int xp_shmdt(const void *addr);
/* IPC_RMID, IPC_AUTORMID, SHM_LOCK, SHM_UNLOCK; IPC_STAT and IPC_SET with a struct shmid_ds *. */
int xp_shmctl(int shmid, int cmd, ...);
/* Ours: placement by the policies and masks of <shmbind.h>, before the first attach. */
int xp_shmbind(int shmid, int policy, unsigned long *mask, int mask_len);

partid_t part_getid(void);
int part_getcount(void);
int part_getlist(partid_t *list, int max);
int part_gethostname(partid_t part, char *name, int max);
int part_gethostnames(partid_t part, char *name, int max); /* the same */
partid_t part_getpart(int shmid);
int part_setpmo(key_t key, pmo_handle_t handle, pmo_type_t type);
int part_getnode(int shmid, char *path, int max);

/* To standard error, for people. Level 0: nothing; 1: calls that fail; 2: all calls. */
void set_debug_level(int level);
void dump_usr_state(void);
void dump_daem_state(void);
void dump_all_state(void);

#ifdef __cplusplus
}
#endif

#endif
