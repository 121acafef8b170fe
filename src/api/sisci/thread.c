/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/thread.h"

#include <signal.h>

int thread_start(const char *name, void *(*run)(void *), void *arg, pthread_t *ret_thread)
{
	sigset_t every, old;
	pthread_t thread;
	int r;

	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &old);
	r = pthread_create(&thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return -r;
	pthread_setname_np(thread, name);
	pthread_detach(thread);
	*ret_thread = thread;
	return 0;
}
