/* SPDX-License-Identifier: Apache-2.0 */
/* Every type and constant of clshm.md §2, checked by the compiler, in C and C++ of every standard.
 */
#include <sys/xp_shm.h>
#include <xp_shm.h>

#define JOIN2(a, b)	 a##b
#define JOIN(a, b)	 JOIN2(a, b)
#define CHECK(what)	 extern char JOIN(check_, __LINE__)[(what) ? 1 : -1]
#define IS(name, value)	 CHECK((name) == (value))
#define SIZE(type, size) CHECK(sizeof(type) == (size))

SIZE(partid_t, 1);
CHECK((partid_t)-1 < 0);
IS(MAX_PARTITIONS, 64);
SIZE(key_t, 4);
SIZE(pmo_handle_t, 4);
CHECK((pmo_handle_t)-1 < 0);

IS(IPC_RMID, 0);
IS(IPC_SET, 1);
IS(IPC_STAT, 2);
IS(IPC_AUTORMID, 15);
IS(IPC_PRIVATE, 0);
IS(CLSHM_IF_ID_DEFAULT, 1);
CHECK(sizeof(CLSHM_IF_PART_PATH) == sizeof("/hw/clshm/partition/"));

IS(__PMO_ANY, 0);
IS(__PMO_MLD, 1);
IS(__PMO_RAFF, 2);
IS(__PMO_MLDSET, 3);
IS(__PMO_PM, 4);
IS(__PMO_PMO_NS, 5);

CHECK(CLSHM_USR_MAJOR_VERS > 0 && CLSHM_USR_MINOR_VERS >= 0);
CHECK(CLSHM_DAEM_MAJOR_VERS > 0 && CLSHM_DAEM_MINOR_VERS >= 0);

IS(KEY_TO_PARTITION(0x3f000001), 63);
IS(KEY_TO_PARTITION(0x00ffffff), 0);
IS(SHMID_TO_PARTITION(0x02abcdef), 2);
IS(SHMID_TO_OFFSET(0x02abcdef), 0xabcdef);
