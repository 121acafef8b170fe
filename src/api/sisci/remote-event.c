/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sisci/call.h"
#include "api/sisci/codes.h"
#include "api/sisci/dispatch.h"
#include "api/sisci/segment.h"
#include "api/sisci/wait.h"
#include "wire/shared.h"

/*
 * What happens to remote segments. There is no queue: the import's word and its note say what is,
 * and s->seen and s->told_… what has been told of it; what is between the two are the events.
 */

#define QUEUE_SIZE 32u

struct event {
	sci_segment_cb_reason_t reason;
	sci_error_t status;
};

static struct remote_segment *remote_of(struct object *o)
{
	return container_of(o, struct remote_segment, object);
}

/* An asynchronous connect has ended. */
static bool take_connect(struct remote_segment *s, struct event *ret)
{
	if (!s->connecting.run || s->told_connect || atomic_load(&s->state) == REMOTE_CONNECTING)
		return false;
	s->told_connect = true;
	*ret = (struct event){SCI_CB_CONNECT, s->failure};
	return true;
}

/* Contact with the home was lost, or is back: the count of both in the note. */
static bool take_turn(struct remote_segment *s, uint32_t note, struct event *ret)
{
	uint32_t turns = note / WIRE_NOTE_TURN - s->seen;

	if (turns == 0)
		return false;
	if (turns > QUEUE_SIZE) {
		s->seen = note / WIRE_NOTE_TURN - QUEUE_SIZE;
		*ret = (struct event){.status = SCI_ERR_OVERFLOW};
		return true;
	}
	s->seen++;
	*ret = (struct event){
		s->seen % 2 ? SCI_CB_NOT_OPERATIONAL : SCI_CB_OPERATIONAL, SCI_ERR_OK};
	return true;
}

static bool take_leave(struct remote_segment *s, uint32_t note, struct event *ret)
{
	if (!(note & WIRE_NOTE_LEAVE) || s->told_leave)
		return false;
	s->told_leave = true;
	*ret = (struct event){SCI_CB_DISCONNECT, SCI_ERR_OK};
	return true;
}

/* The end, which is told once: who was asked to leave need not hear that there is nothing left. */
static bool take_end(struct remote_segment *s, struct event *ret)
{
	int r;

	if (s->told_end)
		return false;
	r = cw_import_ready(s->peek);
	if (r == 0)
		return false;
	s->told_end = true;
	if (r == STATUS_NODE_LOST)
		*ret = (struct event){SCI_CB_LOST, SCI_ERR_OK};
	else if (!s->told_leave)
		*ret = (struct event){SCI_CB_DISCONNECT, SCI_ERR_OK};
	else
		return false;
	return true;
}

static bool take_locked(struct remote_segment *s, struct event *ret)
{
	const _Atomic uint32_t *word;
	uint32_t note;

	if (take_connect(s, ret))
		return true;
	if (!s->import || atomic_load(&s->state) != REMOTE_CONNECTED)
		return false;
	word = cw_import_note(s->import);
	note = word ? atomic_load(word) : 0;
	return take_turn(s, note, ret) || take_leave(s, note, ret) || take_end(s, ret);
}

static bool take_event(struct remote_segment *s, struct event *ret)
{
	bool taken;

	pthread_mutex_lock(&s->object.lock);
	taken = take_locked(s, ret);
	pthread_mutex_unlock(&s->object.lock);
	return taken;
}

/* The daemon's count of everything, once there is an import. */
static const _Atomic uint32_t *event_word(struct object *o)
{
	struct remote_segment *s = remote_of(o);
	const _Atomic uint32_t *word = NULL;

	if (atomic_load(&s->state) == REMOTE_CONNECTED && s->import)
		word = cw_offer_events(s->import);
	return word ? word : &s->kicks;
}

/* callbacks */

static bool run_callback(struct object *o, sci_callback_action_t *ret_action)
{
	struct remote_segment *s = remote_of(o);
	struct event event;

	if (!take_event(s, &event))
		return false;
	*ret_action = s->callback(s->callback_arg, object_handle(o), event.reason, event.status);
	return true;
}

static const struct dispatch_ops callbacks = {.word = event_word, .run = run_callback};

sci_error_t remote_segment_listen(struct remote_segment *s)
{
	return s->callback ? code_of(CODE_CREATE, dispatch_add(&s->object, &callbacks))
			   : SCI_ERR_OK;
}

/* waiting */

static sci_error_t take(struct object *o, void *arg)
{
	struct event *event = arg;

	if (!take_event(remote_of(o), event))
		return WAIT_MORE;
	return event->reason ? SCI_ERR_OK : event->status;
}

static const struct wait_ops waiting = {.take = take, .word = event_word};

static sci_error_t wait_event(
	sci_remote_segment_t segment, unsigned int milliseconds, struct event *ret)
{
	struct remote_segment *s = remote_segment_get(segment);

	if (!s)
		return SCI_ERR_ILLEGAL_PARAMETER;
	if (s->callback) {
		object_put(&s->object);
		return SCI_ERR_ILLEGAL_OPERATION;
	}
	return object_wait(&s->object, &waiting, ret, milliseconds);
}

SCI_CALL sci_segment_cb_reason_t SCIWaitForRemoteSegmentEvent(sci_remote_segment_t segment,
	sci_error_t *status, unsigned int timeout, unsigned int flags, sci_error_t *error)
{
	struct event event = {.reason = 0, .status = SCI_ERR_OK};
	sci_error_t e = call_begin(flags);

	if (!e)
		e = wait_event(segment, timeout, &event);
	if (!e && status)
		*status = event.status;
	call_end(error, e);
	return event.reason;
}
