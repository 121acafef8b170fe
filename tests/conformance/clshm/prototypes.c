/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled, not run: the prototypes of clshm.md §3 and §4, and a header that needs no other. */
#include <xp_shm.h>

#ifdef __cplusplus
#define EXTERN extern "C"
#else
#define EXTERN extern
#endif

EXTERN key_t xp_ftok(const char *path, int id);
EXTERN int xp_shmget(key_t key, size_t size, int shmflg);
EXTERN void *xp_shmat(int shmid, const void *addr, int shmflg);
EXTERN int xp_shmdt(const void *addr);
EXTERN int xp_shmctl(int shmid, int cmd, ...);
EXTERN int xp_shmbind(int shmid, int policy, unsigned long *mask, int mask_len);
EXTERN partid_t part_getid(void);
EXTERN int part_getcount(void);
EXTERN int part_getlist(partid_t *list, int max);
EXTERN int part_gethostname(partid_t part, char *name, int max);
EXTERN int part_gethostnames(partid_t part, char *name, int max);
EXTERN partid_t part_getpart(int shmid);
EXTERN int part_setpmo(key_t key, pmo_handle_t h, pmo_type_t t);
EXTERN int part_getnode(int shmid, char *path, int max);
EXTERN void set_debug_level(int level);
EXTERN void dump_usr_state(void);
EXTERN void dump_daem_state(void);
EXTERN void dump_all_state(void);
