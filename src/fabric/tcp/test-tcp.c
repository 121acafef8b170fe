/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/tcp/test-fixture.h"

int main(void)
{
	return suite_run(&tcp_fixture);
}
