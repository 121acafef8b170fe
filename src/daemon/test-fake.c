/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "daemon/test-fake.h"

static void on_ready(void *userdata, PeerLink *link)
{
	((struct fake *)userdata)->ready = true;
}

static void on_message(void *userdata, PeerLink *link, const struct wire_message *message)
{
	struct fake *f = userdata;

	if (message->type == WIRE_PEER_LOST)
		f->n_lost++;
	else if (message->type & WIRE_REPLY_BIT)
		f->got = *message;
	else if (message->type != WIRE_PEER_PING && f->n_asked < ELEMENTS(f->asked))
		f->asked[f->n_asked++] = *message;
}

static void on_closed(void *userdata, PeerLink *link, int error)
{
	((struct fake *)userdata)->over = true;
}

static void fake_turn(struct fake *f)
{
	assert_true(sd_event_run(f->event, 10 * 1000000) > 0);
	assert_false(f->over);
}

void fake_say(struct fake *f, struct wire_message *m)
{
	peer_link_send(f->link, m);
}

static struct wire_message take_asked(struct fake *f, unsigned int i)
{
	struct wire_message m = f->asked[i];

	memmove(f->asked, f->asked + i + 1, (f->n_asked - i - 1) * sizeof(m));
	f->n_asked -= i + 1;
	return m;
}

struct wire_message fake_hear(struct fake *f, uint32_t type)
{
	for (;;) {
		for (unsigned int i = 0; i < f->n_asked; i++)
			if (f->asked[i].type == type)
				return take_asked(f, i);
		fake_turn(f);
	}
}

bool fake_heard(struct fake *f, uint32_t type)
{
	while (sd_event_run(f->event, 20000) > 0)
		;
	for (unsigned int i = 0; i < f->n_asked; i++)
		if (f->asked[i].type == type)
			return true;
	return false;
}

void fake_call(struct fake *f, struct wire_message *m)
{
	f->got.type = 0;
	m->serial = ++f->serial;
	fake_say(f, m);
	while (f->got.type != (m->type | WIRE_REPLY_BIT) || f->got.serial != m->serial)
		fake_turn(f);
}

static void key_bytes(const char *text, uint8_t key[PEER_KEY_SIZE])
{
	for (unsigned int i = 0; i < PEER_KEY_SIZE; i++) {
		char digits[3] = {text[2 * i], text[2 * i + 1]};

		key[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
}

struct sockaddr_in fake_address(const struct nodes *ns, unsigned int node)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(ns->port[node]),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void fake_dial(struct fake *f, const struct nodes *ns)
{
	static const struct peer_link_ops ops = {on_ready, on_message, on_closed};
	struct peer_link_options options = {.event = f->event,
		.self = f->self,
		.timeout = 5 * NSEC_PER_SEC,
		.stall = 5 * NSEC_PER_SEC,
		.ops = &ops,
		.userdata = f};
	const struct sockaddr_in to = fake_address(ns, 1);
	struct peer_address address = {.length = sizeof(to)};
	uint8_t key[PEER_KEY_SIZE];

	memcpy(&address.address, &to, sizeof(to));
	key_bytes(ns->key[f->self][1], key);
	assert_int_equal(peer_link_dial(&options, 1, key, &address, 1, &f->link), 0);
	while (!f->ready)
		fake_turn(f);
}

static void fake_begin(struct fake *f, unsigned int self)
{
	*f = (struct fake){.self = self,
		.hello = {.type = WIRE_PEER_HELLO,
			.peer_hello = {.major = WIRE_MAJOR,
				.minor = WIRE_MINOR,
				.node = self,
				.to = 1,
				.incarnation = 1000 + self,
				.detection = 10 * NSEC_PER_SEC}}};
	assert_int_equal(sd_event_new(&f->event), 0);
}

static void fake_join(struct fake *f, const struct nodes *ns)
{
	struct wire_peer_hello *hello = &f->hello.peer_hello;

	fake_dial(f, ns);
	fake_call(f, &f->hello);
	assert_int_equal(f->got.status, STATUS_OK);
	hello->session = f->got.peer_hello_reply.session;
	hello->peer_incarnation = f->got.peer_hello_reply.incarnation;
}

void fake_open(struct fake *f, const struct nodes *ns, unsigned int self)
{
	fake_open_rdma(f, ns, self, 0);
}

void fake_open_rdma(struct fake *f, const struct nodes *ns, unsigned int self, uint32_t kind)
{
	fake_begin(f, self);
	f->hello.peer_hello.rdma = kind;
	fake_join(f, ns);
}

void fake_open_as(struct fake *f, const struct nodes *ns, unsigned int self, uint32_t minor,
	uint64_t incarnation)
{
	fake_begin(f, self);
	f->hello.peer_hello.minor = minor;
	f->hello.peer_hello.incarnation = incarnation;
	fake_join(f, ns);
}

void fake_resume(struct fake *f, const struct nodes *ns)
{
	peer_link_free(f->link);
	f->ready = false;
	fake_join(f, ns);
	assert_int_equal(f->got.peer_hello_reply.resumed, 1);
}

void fake_close(struct fake *f)
{
	peer_link_free(f->link);
	sd_event_unref(f->event);
}
