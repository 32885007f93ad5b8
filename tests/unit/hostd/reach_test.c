/* SPDX-License-Identifier: Apache-2.0 */
/* reach_test.c - one tenant tries to reach another's VM by every request that host.proto and client.proto have, with that VM's
 * name in every field that takes a text. All of it is made from the protocols: who adds a request or a field has it tried
 * here, or is told that nobody has thought about it. */
#include "script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "client.pb-c.h"

enum { ARENA = 1 << 16, DEPTH = 8, FIRST_ANSWER = 40, LONGEST = 4096 };

static struct script s;
static uint64_t acme, beta, nobody;

static int begin(void **state)
{
    (void)state;
    script_open(&s);
    acme = script_connect(&s, UID_ACME);
    beta = script_connect(&s, UID_BETA);
    nobody = script_connect(&s, UID_NOBODY);
    return 0;
}

static int end(void **state)
{
    (void)state;
    script_end(&s);
    return 0;
}

/* ---- messages from their descriptors ---- */

static char arena[ARENA];
static size_t arena_used;

static void *take(size_t size)
{
    void *p = arena + arena_used;

    arena_used += (size + 15) / 16 * 16;
    assert_true(arena_used <= sizeof arena);
    return p;
}

/* With that text in each string, and one of each message; NULL: empty. */
static void *make(const ProtobufCMessageDescriptor *type, const char *text, unsigned depth)
{
    char *message = take(type->sizeof_message);

    type->message_init((ProtobufCMessage *)(void *)message);
    for (unsigned i = 0; text && depth < DEPTH && i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &type->fields[i];
        void *value, **list = take(sizeof *list);

        if (f->type == PROTOBUF_C_TYPE_STRING)
            value = (char *)(uintptr_t)text;
        else if (f->type == PROTOBUF_C_TYPE_MESSAGE)
            value = make(f->descriptor, text, depth + 1);
        else
            continue;
        list[0] = value;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            *(size_t *)(void *)(message + f->quantifier_offset) = 1;
            value = list;
        }
        memcpy(message + f->offset, &value, sizeof value);
    }
    return message;
}

static void *envelope_with(const ProtobufCMessageDescriptor *type,
                           const ProtobufCFieldDescriptor *f, const char *text)
{
    char *e;
    void *body;

    arena_used = 0;
    e = make(type, NULL, 0);
    body = make(f->descriptor, text, 0);
    memcpy(e + f->offset, &body, sizeof body);
    *(unsigned *)(void *)(e + f->quantifier_offset) = f->id; /* which of the oneof it is */
    return e;
}

/* ---- host.proto ---- */

/* All that the session is told: as it would be sent. What is there beside it, the test finds in the log. */
static size_t ask(uint64_t session, const ProtobufCFieldDescriptor *f, const char *text,
                  char *ret_said)
{
    Bulkhead__HostEnvelope *e = envelope_with(&bulkhead__host_envelope__descriptor, f, text);
    int error;

    script_send(&s, session, e);
    error = script_replied(&s, session, s.request);
    if (error >= 0)
        return (size_t)snprintf(ret_said, LONGEST, "%d %s", error, s.text);
    assert_non_null(script_answered(&s, session));
    assert_true(script_happened(&s, HOST_ANSWER));
    s.answer->id = 0;
    assert_true(bulkhead__host_envelope__get_packed_size(s.answer) <= LONGEST);
    return bulkhead__host_envelope__pack(s.answer, (uint8_t *)ret_said);
}

/* The other one's name, as if it were that of none. */
static void replace(char *said, size_t len, const char *name, const char *by)
{
    for (char *at = said; (at = memmem(at, len - (size_t)(at - said), name, strlen(name))) != NULL;)
        memcpy(at, by, strlen(by));
}

static bool is_request(const ProtobufCFieldDescriptor *f)
{
    return f->id >= 10 && f->id < FIRST_ANSWER;
}

static void try_all(const char *state_of_it)
{
    static const struct {
        const char *none, *theirs;
    } texts[] = {
        { "xyz", "web" }, { "acme/xyz", "acme/web" }, { "/acme/xyz", "/acme/web" }, { NULL, NULL }
    };
    const ProtobufCMessageDescriptor *d = &bulkhead__host_envelope__descriptor;
    static char none[LONGEST], theirs[LONGEST];

    for (unsigned i = 0; i < d->n_fields; i++)
        for (unsigned t = 0; is_request(&d->fields[i]) && t < ARRAY_SIZE(texts); t++) {
            size_t n_none = ask(beta, &d->fields[i], texts[t].none, none);
            size_t n_theirs = ask(beta, &d->fields[i], texts[t].theirs, theirs);

            replace(theirs, n_theirs, "web", "xyz");
            if (n_none != n_theirs || memcmp(none, theirs, n_none) != 0)
                fail_msg("%s of a VM that %s: '%.*s', and of none '%.*s'", d->fields[i].name,
                         state_of_it, (int)n_theirs, theirs, (int)n_none, none);
            if ((!texts[t].none || !strstr(texts[t].none, "acme")) &&
                memmem(theirs, n_theirs, "acme", 4))
                fail_msg("%s tells of another tenant: '%.*s'", d->fields[i].name, (int)n_theirs,
                         theirs);
            if (s.n_log != 0)
                fail_msg("%s, for another's: action %d follows", d->fields[i].name, s.log[0].kind);
            (void)ask(nobody, &d->fields[i], texts[t].theirs, theirs);
            assert_int_equal(atoi(theirs), EACCES);
            assert_int_equal(s.n_log, 0);
        }
}

static void no_request_reaches_anothers_vm(void **state)
{
    (void)state;
    script_create(&s, acme, "web", false);
    script_saves(&s);
    s.n_log = 0;
    try_all("is stopped");
    script_ask(&s, acme, BULKHEAD__HOST_ENVELOPE__BODY_START_VM, "web");
    script_runs(&s, "acme", "web");
    s.n_log = 0;
    try_all("runs");
    script_guest_ends(&s, script_vm(&s, "acme", "web"));
    s.n_log = 0;
    try_all("ends");
    assert_int_equal(s.host.n_vms, 1);
}

/* ---- client.proto ---- */

/* That is for a VM's broker: to the service it means nothing. */
static void no_request_of_client_proto_is_the_services(void **state)
{
    const ProtobufCMessageDescriptor *d = &bulkhead__client_envelope__descriptor;
    static uint8_t bytes[ARENA];

    (void)state;
    script_create(&s, acme, "web", true);
    script_runs(&s, "acme", "web");
    s.n_log = 0;
    for (unsigned i = 0; i < d->n_fields; i++) {
        Bulkhead__HostEnvelope *e;
        size_t len;

        if (d->fields[i].type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        len = protobuf_c_message_pack(envelope_with(d, &d->fields[i], "acme/web"), bytes);
        e = bulkhead__host_envelope__unpack(NULL, len, bytes);
        if (!e)
            continue;
        script_send(&s, beta, e);
        assert_int_equal(script_replied(&s, beta, s.request), EINVAL);
        assert_int_equal(s.n_log, 0);
        bulkhead__host_envelope__free_unpacked(e, NULL);
    }
}

/* A session with a broker is with one VM's. So no request may say which VM it means, or bring a path that the broker is to
 * open: each text in one is here, with what it is to the broker. */
static void no_request_of_client_proto_names_a_vm(void **state)
{
    static const struct {
        const char *request, *text;
    } known[] = {
        { "Repair", "device" }, /* one of this VM */
        { "Upgrade", "device" }, { "SetDeviceRateLimit", "device" },
        { "SetLink", "device" }, { "RemoveDevice", "device" },
    };
    const ProtobufCMessageDescriptor *d = &bulkhead__client_envelope__descriptor;
    unsigned found = 0;

    (void)state;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCMessageDescriptor *type = d->fields[i].descriptor;

        /* Answers; and a VM's description, whose files come as descriptors: RunVm is the launcher's, which opens them with
         * the tenant's rights, as whoever adds a device does himself. ServeVm is for a gateway: a broker refuses it. */
        if (d->fields[i].type != PROTOBUF_C_TYPE_MESSAGE ||
            strcmp(type->short_name, "Reply") == 0 || strcmp(type->short_name, "Event") == 0 ||
            strcmp(type->short_name, "VmEnded") == 0 || strcmp(type->short_name, "Plan") == 0 ||
            strcmp(type->short_name, "ProcessList") == 0 ||
            strcmp(type->short_name, "Stats") == 0 || strcmp(type->short_name, "RunVm") == 0 ||
            strcmp(type->short_name, "AddDevice") == 0 ||
            strcmp(type->short_name, "VmDescription") == 0 ||
            strcmp(type->short_name, "ServeVm") == 0)
            continue;
        for (unsigned n = 0; n < type->n_fields; n++) {
            bool is_known = false;

            if (type->fields[n].type != PROTOBUF_C_TYPE_STRING &&
                type->fields[n].type != PROTOBUF_C_TYPE_BYTES)
                continue;
            for (unsigned k = 0; k < ARRAY_SIZE(known); k++)
                is_known = is_known || (strcmp(known[k].request, type->short_name) == 0 &&
                                        strcmp(known[k].text, type->fields[n].name) == 0);
            if (!is_known)
                fail_msg("%s.%s: what may a tenant name by it?", type->short_name,
                         type->fields[n].name);
            found++;
        }
    }
    assert_int_equal(found, ARRAY_SIZE(known));
}

/* ---- what is said of it ---- */

static void every_message_is_documented(void **state)
{
    const ProtobufCMessageDescriptor *d = &bulkhead__host_envelope__descriptor;
    static char text[1 << 17];
    FILE *f = fopen(PROTOCOL_MD, "re");

    (void)state;
    assert_non_null(f);
    assert_in_range(fread(text, 1, sizeof text - 1, f), 1, sizeof text - 2);
    fclose(f);
    for (unsigned i = 0; i < d->n_fields; i++) {
        char row[80];

        if (d->fields[i].type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        snprintf(row, sizeof row, "| `%s` |",
                 ((const ProtobufCMessageDescriptor *)d->fields[i].descriptor)->short_name);
        if (!strstr(text, row))
            fail_msg("docs/protocol.md has no row for %s", row);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_request_reaches_anothers_vm, begin, end),
        cmocka_unit_test_setup_teardown(no_request_of_client_proto_is_the_services, begin, end),
        cmocka_unit_test(no_request_of_client_proto_names_a_vm),
        cmocka_unit_test(every_message_is_documented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
