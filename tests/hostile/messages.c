/* SPDX-License-Identifier: Apache-2.0 */
/* messages.c - what the broker must not take: bytes that are no message, messages that are not
 * legal from this sender now, descriptors that nobody asked for, and legal ones that are lies. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "device-procs/common/worker.h"
#include "device-procs/common/worker_state.h"
#include "hostile.h"

static uint8_t bytes[192 * 1024];

static long envelope_send(const Bulkhead__Envelope *e, unsigned n_fds)
{
    size_t n = bulkhead__envelope__pack(e, bytes);

    return hostile_send_raw(bytes, n, n_fds);
}

static long then_await(struct worker *w, long r)
{
    return r < 0 ? r : hostile_await_end(w);
}

static long say_bytes(struct worker *w, unsigned how)
{
    size_t n = 64;

    memset(bytes, 0xff, sizeof bytes);
    switch (how) {
    case 0: /* garbage */
        break;
    case 1: /* nothing */
        n = 0;
        break;
    case 2: /* longer than a message may be */
        n = 65537;
        break;
    case 3:
        n = 160 * 1024;
        break;
    case 4: /* a length that goes beyond the end */
        memcpy(bytes, "\x9a\x01\x7f\x08\x00", 5);
        n = 5;
        break;
    case 5: /* a body that nobody knows */
        memcpy(bytes, "\x9a\x7d\x00", 3);
        n = 3;
        break;
    case 6: /* all of one body's 30,000 parts: more than the arena holds */
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, "\x62\xe0\xd4\x03", 4); /* ready, 60,000 bytes of missing_layers "" */
        for (size_t i = 4; i < 60004; i += 2)
            bytes[i] = 0x1a;
        n = 60004;
        break;
    default: /* no body at all */
        memcpy(bytes, "\x08\x01", 2);
        n = 2;
        break;
    }
    return then_await(w, hostile_send_raw(bytes, n, 0));
}

/* An empty message of each body that this sender may not send now. */
static long say_body(struct worker *w, unsigned body)
{
    unsigned tag = body << 3 | 2;
    const uint8_t message[] = { (uint8_t)(tag | 0x80), (uint8_t)(tag >> 7), 0 };

    return then_await(w, tag < 0x80 ? hostile_send_raw((const uint8_t[]){ (uint8_t)tag, 0 }, 2, 0)
                                    : hostile_send_raw(message, 3, 0));
}

/* A legal message with descriptors that nobody asked for: they must not stay open in the broker. */
static long say_with_fds(struct worker *w, unsigned n_fds)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);
    uint8_t byte = 0;

    update.data = (ProtobufCBinaryData){ .len = 1, .data = &byte };
    return then_await(w, envelope_send(&e, n_fds));
}

struct range {
    uint32_t slot, offset, len;
};

static const struct range ranges[] = {
    { 0, 250, 64 }, { 0, 0, 0 }, { 0, 0, 65 }, { 0, 0xffffffff, 1 }, { 32, 0, 1 }, { 0, 255, 2 },
};

static long say_update(struct worker *w, unsigned which)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);

    update.slot = ranges[which].slot;
    update.offset = ranges[which].offset;
    update.data = (ProtobufCBinaryData){ .len = ranges[which].len, .data = bytes + 4096 };
    return then_await(w, envelope_send(&e, 0));
}

/* Shows that what is refused is refused for what it says. */
static long say_legal_update(struct worker *w, unsigned len)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);

    (void)w;
    update.data = (ProtobufCBinaryData){ .len = len, .data = bytes + 4096 };
    return envelope_send(&e, 0);
}

static long say_slot(struct worker *w, unsigned slot)
{
    Bulkhead__NeedsReset needs = BULKHEAD__NEEDS_RESET__INIT;
    ENVELOPE(e, NEEDS_RESET, needs_reset, &needs);

    needs.slot = slot;
    return then_await(w, envelope_send(&e, 0));
}

/* ---- lies: legal by the table ---- */

/* Within what any device may have, beyond what this one has. */
static long lie_update_beyond(struct worker *w, unsigned offset)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    ENVELOPE(e, CONFIG_UPDATE, config_update, &update);

    update.offset = offset;
    update.data = (ProtobufCBinaryData){ .len = 1, .data = bytes };
    return then_await(w, envelope_send(&e, 0));
}

/* The answer to what was not asked. */
static long lie_answer(struct worker *w, unsigned body)
{
    return say_body(w, body);
}

/* More of a legal message than the core could take in. */
static long lie_flood(struct worker *w, unsigned body)
{
    Bulkhead__ConfigUpdate update = BULKHEAD__CONFIG_UPDATE__INIT;
    Bulkhead__NeedsReset needs = BULKHEAD__NEEDS_RESET__INIT;
    Bulkhead__Envelope e = BULKHEAD__ENVELOPE__INIT;
    static char why[200];
    uint8_t byte = 0;
    long r = 0;

    memset(why, '%', sizeof why - 1);
    needs.why = why;
    update.data = (ProtobufCBinaryData){ .len = 1, .data = &byte };
    e.body_case = (Bulkhead__Envelope__BodyCase)body;
    if (body == BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE)
        e.config_update = &update;
    else
        e.needs_reset = &needs;
    for (int i = 0; i < 20000 && r >= 0; i++)
        r = envelope_send(&e, 0);
    if (body == BULKHEAD__ENVELOPE__BODY_CONFIG_UPDATE)
        return r;
    /* The socket is closed: that is the end, too. */
    return r == -EPIPE || r == -ECONNRESET ? r : hostile_await_end(w);
}

/* ---- Ready ---- */

static long ready_other_device(struct worker *w, Bulkhead__Ready *ready, unsigned id)
{
    (void)w;
    if (ready->announce)
        ready->announce->virtio_id = id;
    return 0;
}

static long ready_more_queues(struct worker *w, Bulkhead__Ready *ready, unsigned n)
{
    (void)w;
    if (ready->announce)
        ready->announce->num_queues = n;
    return 0;
}

static long ready_queue_size(struct worker *w, Bulkhead__Ready *ready, unsigned n)
{
    (void)w;
    if (ready->announce)
        ready->announce->queue_size = n;
    return 0;
}

static long ready_config_bytes(struct worker *w, Bulkhead__Ready *ready, unsigned n)
{
    (void)w;
    if (ready->announce)
        ready->announce->config = (ProtobufCBinaryData){ .len = n, .data = bytes };
    return 0;
}

static long ready_nothing(struct worker *w, Bulkhead__Ready *ready, unsigned unused)
{
    (void)w;
    (void)unused;
    ready->announce = NULL;
    return 0;
}

/* Says something else while Ready is due. */
static long ready_later(struct worker *w, Bulkhead__Ready *ready, unsigned body)
{
    (void)ready;
    return say_body(w, body);
}

#define B(name) BULKHEAD__ENVELOPE__BODY_##name
#define SAY(what, function, value)                                                                 \
    {                                                                                              \
        .name = "say-" what, .kind = HOSTILE_MESSAGE, .run = function, .arg = value                \
    }
#define BODY(what, body) SAY(what, say_body, B(body))
#define READY(what, of_kind, function, value)                                                      \
    {                                                                                              \
        .name = "ready-" what, .kind = of_kind, .on_ready = function, .arg = value                 \
    }
#define LIE(what, function, value)                                                                 \
    {                                                                                              \
        .name = "lie-" what, .kind = HOSTILE_LIE, .run = function, .arg = value                    \
    }

static const struct hostile_action actions[] = {
    /* Of a device that has a configuration space, whose first byte is 0. */
    { .name = "say-legal-update",
      .kind = HOSTILE_CONTROL,
      .roles = HOSTILE_ONLY(BALLOON),
      .run = say_legal_update,
      .arg = 1 },
    SAY("garbage", say_bytes, 0),
    SAY("nothing", say_bytes, 1),
    SAY("65537-bytes", say_bytes, 2),
    SAY("160-kib", say_bytes, 3),
    SAY("cut-short", say_bytes, 4),
    SAY("unknown-body", say_bytes, 5),
    SAY("30000-parts", say_bytes, 6),
    SAY("no-body", say_bytes, 7),
    BODY("hello", HELLO),
    BODY("configure", CONFIGURE),
    BODY("ready", READY),
    BODY("attach-device", ATTACH_DEVICE),
    BODY("detach-device", DETACH_DEVICE),
    BODY("device-gone", DEVICE_GONE),
    BODY("start", START),
    BODY("loaded", LOADED),
    BODY("activate", ACTIVATE),
    BODY("reset", RESET),
    BODY("quiesce", QUIESCE),
    BODY("unquiesce", UNQUIESCE),
    BODY("guest-state", GUEST_STATE),
    BODY("pause-vcpus", PAUSE_VCPUS),
    BODY("resume-vcpus", RESUME_VCPUS),
    BODY("power-button", POWER_BUTTON),
    BODY("stop", STOP),
    { .name = "say-console-escape",
      .kind = HOSTILE_MESSAGE,
      .roles = HOSTILE_NOT(CONSOLE),
      .run = say_body,
      .arg = B(CONSOLE_ESCAPE) },
    { .name = "say-vsock-connect",
      .kind = HOSTILE_MESSAGE,
      .roles = HOSTILE_NOT(VSOCK),
      .run = say_body,
      .arg = B(VSOCK_CONNECT) },
    BODY("vsock-connected", VSOCK_CONNECTED),
    BODY("set-rate-limit", SET_RATE_LIMIT),
    BODY("balloon-target", BALLOON_TARGET),
    BODY("link-state", LINK_STATE),
    BODY("add-region", ADD_REGION),
    BODY("remove-region", REMOVE_REGION),
    BODY("set-dirty-log", SET_DIRTY_LOG),
    SAY("1-fd", say_with_fds, 1),
    SAY("17-fds", say_with_fds, 17),
    SAY("160-fds", say_with_fds, 160),
    SAY("253-fds", say_with_fds, 253),
    SAY("update-too-far", say_update, 0),
    SAY("update-of-nothing", say_update, 1),
    SAY("update-too-long", say_update, 2),
    SAY("update-wraps", say_update, 3),
    SAY("update-slot-32", say_update, 4),
    SAY("update-last-byte", say_update, 5),
    SAY("needs-reset-slot-99", say_slot, 99),
    READY("other-device", HOSTILE_LIE, ready_other_device, 26),
    READY("device-0", HOSTILE_MESSAGE, ready_other_device, 0),
    READY("device-4000", HOSTILE_MESSAGE, ready_other_device, 4000),
    READY("65-queues", HOSTILE_MESSAGE, ready_more_queues, 65),
    READY("64-queues", HOSTILE_LIE, ready_more_queues, 64),
    READY("queue-size-3", HOSTILE_MESSAGE, ready_queue_size, 3),
    READY("queue-size-65536", HOSTILE_MESSAGE, ready_queue_size, 65536),
    READY("queue-size-1", HOSTILE_LIE, ready_queue_size, 1),
    READY("config-257", HOSTILE_MESSAGE, ready_config_bytes, 257),
    READY("config-256", HOSTILE_LIE, ready_config_bytes, 256),
    /* A console may be the serial port's, which is no virtio device: the plan knows. */
    { .name = "ready-no-announce",
      .kind = HOSTILE_MESSAGE,
      .roles = HOSTILE_NOT(CONSOLE),
      .on_ready = ready_nothing },
    { .name = "ready-no-announce",
      .kind = HOSTILE_LIE,
      .roles = HOSTILE_ONLY(CONSOLE),
      .on_ready = ready_nothing },
    READY("hello-instead", HOSTILE_MESSAGE, ready_later, B(HELLO)),
    READY("activated-instead", HOSTILE_MESSAGE, ready_later, B(ACTIVATED)),
    READY("quiesced-instead", HOSTILE_MESSAGE, ready_later, B(QUIESCED)),
    READY("update-instead", HOSTILE_MESSAGE, ready_later, B(CONFIG_UPDATE)),
    LIE("update-beyond-own", lie_update_beyond, 200),
    { .name = "flood-of-updates",
      .kind = HOSTILE_NUISANCE,
      .roles = HOSTILE_NOT(RNG),
      .run = lie_flood,
      .arg = B(CONFIG_UPDATE) },
    LIE("needs-reset-again", lie_flood, B(NEEDS_RESET)),
    LIE("reset-done", lie_answer, B(RESET_DONE)),
    LIE("quiesced", lie_answer, B(QUIESCED)),
    LIE("ram-changed", lie_answer, B(RAM_CHANGED)),
    { .name = "lie-console-escape",
      .kind = HOSTILE_LIE,
      .roles = HOSTILE_ONLY(CONSOLE),
      .run = lie_answer,
      .arg = B(CONSOLE_ESCAPE) },
};
HOSTILE_TABLE(hostile_messages, actions);
