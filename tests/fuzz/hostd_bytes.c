// SPDX-License-Identifier: Apache-2.0
// hostd_bytes.c - what the service decodes, byte by byte: a client's message, tenants.pb, and the description of a VM that was
// kept. The first byte says which. Each of them is refused in a line, or taken, and the service is in a state that it can
// tell: fuzz_hostd has what follows.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hostd/rules/answers.h"
#include "hostd/rules/spec.h"
#include "hostd/rules/step.h"
#include "hostd/rules/tenants.h"
#include "hostd/starter/terms.h"
#include "hostd_tenants.h"
#include "ipc/arena.h"

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "hostd_bytes: not so: %s\n", #what);                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { ARENA = 512 * 1024, UID = 1 }; /* acme speaks */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct host host;
static uint64_t now;

static void happen(struct host_event *e)
{
    e->now = ++now * UINT64_C(1000000);
    e->realtime = now;
    host_step(&host, e);
}

static uint32_t asked(enum ask_kind kind)
{
    for (size_t i = 0; i < host.actions.n; i++)
        if (host.actions.list[i].kind == HOST_ASK && host.actions.list[i].asks == kind)
            return host.actions.list[i].ask;
    return 0;
}

/* Up to where it hears what is kept. */
static uint32_t begin(void)
{
    struct host_event e = { .kind = HOST_BEGIN };
    Bulkhead__HostConfig *config = hostd_tenants();
    uint32_t terms, load;

    memset(&host, 0, sizeof host);
    host_init(&host, "0", UINT64_C(1) << 40);
    happen(&e);
    terms = asked(ASK_TERMS);
    load = asked(ASK_LOAD);
    e = (struct host_event){ .kind = HOST_REPORTED, .ask = terms, .config = &config };
    happen(&e);
    CHECK(host.config && !config);
    return load;
}

static void check_answer(const struct host_action *a, const Bulkhead__HostEnvelope *request)
{
    struct answer *answer = answers_make(&host, a, request);
    const Bulkhead__HostEnvelope *e = answer ? answers_envelope(answer) : NULL;

    CHECK(e && bulkhead__host_envelope__get_packed_size(e) <= 65536);
    answers_free(answer);
}

/* ---- a client's message ---- */

static void on_message(const uint8_t *data, size_t size)
{
    static uint8_t block[ARENA];
    struct arena arena;
    struct host_event e = { .kind = HOST_REPORTED, .ask = begin() };
    Bulkhead__HostEnvelope *request;
    Bulkhead__VmSpec *spec = NULL;
    uint64_t session = 0;
    unsigned answers = 0;

    happen(&e);
    e = (struct host_event){ .kind = HOST_CONNECTED, .uid = UID, .ret_session = &session };
    happen(&e);
    CHECK(session != 0);
    arena_init(&arena, block, sizeof block);
    request = bulkhead__host_envelope__unpack(&arena.allocator, size, data);
    if (!request)
        return;
    if (request->body_case == BULKHEAD__HOST_ENVELOPE__BODY_CREATE_VM && request->create_vm &&
        request->create_vm->spec)
        spec = spec_copy(request->create_vm->spec);
    e = (struct host_event){
        .kind = HOST_REQUEST, .session = session, .request = request, .spec = &spec
    };
    happen(&e);
    for (size_t i = 0; i < host.actions.n; i++) {
        const struct host_action *a = &host.actions.list[i];

        CHECK(a->kind != HOST_QUIT);
        if (a->kind == HOST_ANSWER)
            check_answer(a, request);
        if (a->kind == HOST_REPLY)
            CHECK(a->error == 0 || (a->text[0] != '\0' && !strchr(a->text, '\n')));
        answers += a->kind == HOST_ANSWER || a->kind == HOST_REPLY;
    }
    CHECK(answers <= 1 && (answers == 1 || asked(ASK_SAVE) != 0 || asked(ASK_TERMS) != 0));
    if (spec)
        bulkhead__vm_spec__free_unpacked(spec, NULL);
}

/* ---- tenants.pb ---- */

/* Both halves look at it, each for itself: what the starter takes hostd takes, or nobody speaks to the service any more. */
static void on_tenants(const uint8_t *data, size_t size)
{
    Bulkhead__HostConfig *config = bulkhead__host_config__unpack(NULL, size, data);
    struct fault f = { 0 }, g = { 0 };
    uint32_t gid = 1;

    if (!config)
        return;
    if (terms_check(config, 0, &f) < 0)
        CHECK(f.error != 0 && f.text[0] != '\0');
    else
        CHECK(tenants_check(config, &g) == 0);
    if (tenants_check(config, &g) == 0)
        for (size_t i = 0; i < config->n_tenants; i++)
            CHECK(tenants_find(config, config->tenants[i]->name) == config->tenants[i]);
    (void)tenants_who(config, UID, &gid, 1);
    bulkhead__host_config__free_unpacked(config, NULL);
}

/* ---- what is kept ---- */

static void on_kept(const uint8_t *data, size_t size, bool lives)
{
    uint32_t load = begin();
    Bulkhead__VmDetails *kept = bulkhead__vm_details__unpack(NULL, size, data);
    struct host_event e = {
        .kind = HOST_KEPT, .tenant = "acme", .name = "a", .lives = lives, .kept = &kept
    };
    Bulkhead__VmSpec *filled;
    uint64_t session = 0;

    if (kept && kept->spec) {
        filled = spec_copy(kept->spec);
        bulkhead__vm_spec__free_unpacked(kept->spec, NULL);
        kept->spec = filled;
    }
    happen(&e);
    if (kept)
        bulkhead__vm_details__free_unpacked(kept, NULL);
    e = (struct host_event){ .kind = HOST_REPORTED, .ask = load };
    happen(&e);
    for (size_t i = 0; i < host.actions.n; i++)
        CHECK(host.actions.list[i].kind != HOST_QUIT);
    e = (struct host_event){ .kind = HOST_CONNECTED, .uid = UID, .ret_session = &session };
    happen(&e);
    for (unsigned i = 0; i < host.n_vms && host.vms[i]->spec; i++) {
        const struct host_action a = { .kind = HOST_ANSWER,
                                       .answer = ANSWER_DETAILS,
                                       .ticket = { session, 1 },
                                       .vm = host.vms[i]->serial };

        check_answer(&a, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    switch (data[0] % 4) {
    case 0:
        on_message(data + 1, size - 1);
        break;
    case 1:
        on_tenants(data + 1, size - 1);
        break;
    default:
        on_kept(data + 1, size - 1, data[0] % 4 == 3);
        break;
    }
    host_deinit(&host);
    memset(&host, 0, sizeof host);
    return 0;
}
