/* SPDX-License-Identifier: Apache-2.0 */
#include "fabric/ofi/test-fixture.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/error.h"
#include "fabric/backend.h"

/* The target over TCP and that of libfabric as one, as the daemon has them. */
struct both {
	FabricTarget base;
	struct home *home;
	enum ofi_kind kind;
	const char *address;
	FabricTarget *tcp;
	OfiTarget *ofi;
	pthread_t thread;
	struct fabric_path_options options;
	bool revoked[KEYS_MAX];
	bool refuse;
	_Atomic bool attached; /* the guest of CONNECTION is there */
	FabricPath *others[8];
	_Atomic uint64_t others_done[8];
	unsigned int n_others;
};

static struct both *both(FabricTarget *target)
{
	return container_of(target, struct both, base);
}

/* --- offers --- */

struct asked {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	bool there;
	int result;
	struct ofi_offer offer;
};

static void offered(void *userdata, void *context, int result, const struct ofi_offer *offer)
{
	struct asked *a = context;

	pthread_mutex_lock(&a->mutex);
	a->there = true;
	a->result = result;
	if (offer)
		a->offer = *offer;
	pthread_cond_signal(&a->changed);
	pthread_mutex_unlock(&a->mutex);
}

static void say(void *userdata, const char *sentence)
{
	print_message("target: %s\n", sentence);
}

static int ask(OfiTarget *target, const struct fabric_key *key, const struct fabric_region *region,
	struct ofi_offer *ret_offer)
{
	struct asked a = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	int r = ofi_target_offer(target, key, region, &a);

	if (r)
		return r;
	pthread_mutex_lock(&a.mutex);
	while (!a.there)
		pthread_cond_wait(&a.changed, &a.mutex);
	pthread_mutex_unlock(&a.mutex);
	*ret_offer = a.offer;
	return a.result;
}

int ofi_home_offer(struct home *home, uint64_t connection, const struct fabric_key *key,
	struct ofi_offer *ret_offer)
{
	struct both *b = home->insides;

	if (b->refuse || (connection == CONNECTION && !atomic_load(&b->attached)))
		return -ENOENT;
	for (unsigned int i = 0; i < home->n_keys; i++)
		if (!memcmp(&home->keys[i], key, sizeof(*key)) && !b->revoked[i] &&
			home->regions[i].connection == connection)
			return ask(b->ofi, key, &home->regions[i], ret_offer);
	return -ENOENT;
}

static int offer(void *userdata, const struct fabric_user *user, struct ofi_offer *ret_offer)
{
	return ofi_home_offer(userdata, CONNECTION, &user->key, ret_offer);
}

OfiTarget *ofi_home_target(struct home *home)
{
	return ((struct both *)home->insides)->ofi;
}

void ofi_home_refuse(struct home *home)
{
	((struct both *)home->insides)->refuse = true;
}

/* --- the target --- */

static void target_free(FabricTarget *target)
{
	struct both *b = both(target);

	fabric_target_stop(b->tcp);
	pthread_join(b->thread, NULL);
	fabric_target_free(b->tcp);
	ofi_target_free(b->ofi);
}

static int target_attach(FabricTarget *target, uint64_t connection, int fd, _Atomic uint64_t *done)
{
	if (connection == CONNECTION)
		atomic_store(&both(target)->attached, true);
	return fabric_target_attach(both(target)->tcp, connection, fd, done);
}

static void target_detach(FabricTarget *target, uint64_t connection)
{
	if (connection == CONNECTION)
		atomic_store(&both(target)->attached, false);
	fabric_target_detach(both(target)->tcp, connection);
	ofi_target_detach(both(target)->ofi, connection);
}

static int target_grant(
	FabricTarget *target, const struct fabric_key *key, const struct fabric_region *region)
{
	return fabric_target_grant(both(target)->tcp, key, region);
}

static void target_revoke(FabricTarget *target, const struct fabric_key *key)
{
	struct both *b = both(target);

	for (unsigned int i = 0; i < b->home->n_keys; i++)
		if (!memcmp(&b->home->keys[i], key, sizeof(*key)))
			b->revoked[i] = true;
	ofi_target_revoke(b->ofi, key);
	fabric_target_revoke(b->tcp, key);
}

static int target_traffic(
	FabricTarget *target, const struct fabric_key *key, struct fabric_traffic *ret_traffic)
{
	return fabric_target_traffic(both(target)->tcp, key, ret_traffic);
}

static const struct fabric_target_backend backend = {
	.free = target_free,
	.attach = target_attach,
	.detach = target_detach,
	.grant = target_grant,
	.revoke = target_revoke,
	.traffic = target_traffic,
};

static void *run(void *target)
{
	fabric_target_run(target);
	return NULL;
}

static void start_targets(struct both *b)
{
	const struct fabric_target_options tcp = {
		.spin = 20 * NSEC_PER_USEC, .frame_timeout = NSEC_PER_SEC};
	const struct ofi_target_options ofi = {
		.kind = b->kind, .address = b->address, .say = say, .offered = offered};

	assert_int_equal(fabric_target_new(&tcp, &home_ops, b->home, &b->tcp), 0);
	assert_int_equal(pthread_create(&b->thread, NULL, run, b->tcp), 0);
	assert_int_equal(ofi_target_new(&ofi, NULL, &b->ofi), 0);
}

/* --- paths --- */

static int attach(struct home *home, uint64_t connection, _Atomic uint64_t *done)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fabric_target_attach(home->target, connection, pair[1], done), 0);
	return pair[0];
}

static int repair(void *userdata, FabricPath *path)
{
	struct home *home = userdata;
	int with = atomic_load(&home->repair_with), fd;

	if (with)
		return with;
	atomic_fetch_add(&home->repairs, 1);
	fabric_target_detach(home->target, CONNECTION);
	fd = attach(home, CONNECTION, &home->done);
	return fabric_path_resume(path, fd, atomic_load(&home->done));
}

static FabricPath *path_new(struct both *b, int fd)
{
	struct ofi_path_options options = {.path = b->options, .offer = offer};
	FabricPath *path;

	assert_int_equal(ofi_path_new(fd, &options, &path), 0);
	return path;
}

static void begin(struct home *home, const struct fabric_path_options *options, enum ofi_kind kind,
	const char *address)
{
	struct both *b = calloc(1, sizeof(*b));

	b->base.backend = &backend;
	b->home = home;
	b->kind = kind;
	b->address = address;
	b->options = *options;
	b->options.repair = repair;
	home->insides = b;
	home->target = &b->base;
	start_targets(b);
	home->path = path_new(b, attach(home, CONNECTION, &home->done));
}

static void begin_rdm(struct home *home, const struct fabric_path_options *options)
{
	begin(home, options, OFI_TEST_RDM, "127.0.0.1");
}

static void begin_msg(struct home *home, const struct fabric_path_options *options)
{
	begin(home, options, OFI_TEST_MSG, "127.0.0.1");
}

static void begin_adapter(struct home *home, const struct fabric_path_options *options)
{
	enum ofi_kind kind;
	bool automatic;

	assert_int_equal(ofi_kind_parse(getenv("OFI_PROVIDER"), &kind, &automatic), 0);
	begin(home, options, kind, getenv("OFI_ADDRESS"));
}

static void end(struct home *home)
{
	struct both *b = home->insides;

	fabric_path_free(home->path);
	for (unsigned int i = 0; i < b->n_others; i++)
		fabric_path_free(b->others[i]);
	fabric_target_free(home->target);
	free(b);
}

static FabricPath *connect_path(struct home *home, uint64_t connection)
{
	struct both *b = home->insides;
	unsigned int i = b->n_others++;

	b->others[i] = path_new(b, attach(home, connection, &b->others_done[i]));
	return b->others[i];
}

static void cut(struct home *home)
{
	fabric_target_detach(home->target, CONNECTION);
}

const struct fixture_ops ofi_rdm_fixture = {.name = "ofi-rdm",
	.one_sided = true,
	.begin = begin_rdm,
	.end = end,
	.connect = connect_path,
	.cut = cut};
const struct fixture_ops ofi_msg_fixture = {.name = "ofi-msg",
	.one_sided = true,
	.begin = begin_msg,
	.end = end,
	.connect = connect_path,
	.cut = cut};
const struct fixture_ops ofi_adapter_fixture = {.name = "ofi-adapter",
	.one_sided = true,
	.begin = begin_adapter,
	.end = end,
	.connect = connect_path,
	.cut = cut};
