/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peer: MPI's one-sided operations (Open MPI) between two processes of this machine, passive
 * target, one flush for a batch. The target sleeps, and looks now and then whether it is over; on
 * another node it looks all the time while it is our turn.
 */

#include <mpi.h>
#include <unistd.h>
#include "peer-loop.h"

static MPI_Win window;
static char *local;

static void put64(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		MPI_Put(local, 8, MPI_BYTE, 1, (MPI_Aint)(i * 8 % PEER_WINDOW), 8, MPI_BYTE,
			window);
	MPI_Win_flush(1, window);
}

static void get64(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		MPI_Get(local, 8, MPI_BYTE, 1, (MPI_Aint)(i * 8 % PEER_WINDOW), 8, MPI_BYTE,
			window);
	MPI_Win_flush(1, window);
}

static void put64r(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		MPI_Put(local, 8, MPI_BYTE, 1, (MPI_Aint)peer_random(i), 8, MPI_BYTE, window);
	MPI_Win_flush(1, window);
}

static void put(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		MPI_Put(local, (int)size, MPI_BYTE, 1, 0, (int)size, MPI_BYTE, window);
	MPI_Win_flush(1, window);
}

static void get(size_t size, unsigned long n)
{
	for (unsigned long i = 0; i < n; ++i)
		MPI_Get(local, (int)size, MPI_BYTE, 1, 0, (int)size, MPI_BYTE, window);
	MPI_Win_flush(1, window);
}

static const struct peer_operation operations[] = {
	{"put64", put64},
	{"get64", get64},
	{"put64r", put64r},
	{"put", put},
	{"get", get},
	{0},
};

int main(int argc, char **argv)
{
	void *own;
	int rank;

	peer_turn_begin();
	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	if (MPI_Win_allocate(PEER_MEMORY, 1, MPI_INFO_NULL, MPI_COMM_WORLD, &own, &window))
		return 1;
	local = malloc(PEER_MEMORY);
	if (!local)
		return 1;
	memset(own, 1, PEER_MEMORY);
	memset(local, 1, PEER_MEMORY);
	MPI_Win_lock_all(0, window);
	MPI_Barrier(MPI_COMM_WORLD);
	if (rank == 0) {
		peer_begin();
		peer_loop(operations);
		MPI_Send(NULL, 0, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
	}
	if (rank == 1)
		peer_go_there();
	for (int over = rank == 0; !over;) {
		if (!*peer_turn)
			usleep(getenv("PEER_NETWORK") ? 500 : 20000);
		MPI_Iprobe(0, 0, MPI_COMM_WORLD, &over, MPI_STATUS_IGNORE);
	}
	if (rank == 1)
		MPI_Recv(NULL, 0, MPI_BYTE, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
	MPI_Win_unlock_all(window);
	MPI_Win_free(&window);
	return MPI_Finalize();
}
