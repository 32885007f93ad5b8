// SPDX-License-Identifier: Apache-2.0
// test_host.c - verbs of the host's service: what is asked, and what is printed of the answer, in both forms.
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_host.h"

#define BODY(name) BULKHEAD__HOST_ENVELOPE__BODY_##name

/* ---- create ---- */

static void test_create(void **state)
{
    struct fake_host *f = *state;
    const Bulkhead__HostEnvelope *e;
    const Bulkhead__CreateVm *create;
    struct channel *c;

    fake_host_run(
        f,
        "create --label tier=front --name acme/web --kernel ../boot/vmlinuz --disk path=a.img "
        "path=.//b.img path=//./c.img --vsock cid=3,socket=s --label zone=1 --autostart --start",
        "/usr/lib", false);
    c = fake_host_accept(f);
    fake_host_tell_tenant(c, "acme");
    e = fake_host_expect(c, BODY(CREATE_VM));
    create = e->create_vm;
    assert_true(create->start);
    assert_true(create->spec->autostart);
    assert_int_equal(create->spec->n_labels, 2);
    assert_string_equal(create->spec->labels[0]->key, "tier");
    assert_string_equal(create->spec->labels[1]->value, "1");
    assert_string_equal(create->spec->config->name, "acme/web");
    assert_string_equal(create->spec->config->kernel, "/usr/boot/vmlinuz");
    assert_string_equal(create->spec->config->disks[0]->path, "/usr/lib/a.img");
    assert_string_equal(create->spec->config->disks[1]->path, "/usr/lib/b.img");
    assert_string_equal(create->spec->config->disks[2]->path, "/c.img");
    assert_string_equal(create->spec->config->vsock->socket, "/usr/lib/s");
    assert_int_equal(create->spec->config->serial->mode, BULKHEAD__CONSOLE_MODE__CONSOLE_TTY);
    assert_string_equal(create->spec->config->cmdline, "console=ttyS0");
    fake_host_reply(c, e->id, 0, false, "");
    assert_int_equal(fake_host_finish(f), 0);
    assert_string_equal(f->text, "acme/web: running\n");
    channel_free(c);
}

static void test_create_from_file(void **state)
{
    struct fake_host *f = *state;
    char line[128], path[96];
    const Bulkhead__HostEnvelope *e;
    struct channel *c;
    FILE *file;

    snprintf(path, sizeof(path), "%s/web.yaml", f->dir);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs("name: web\npayload: {kernel: vmlinuz}\ndisks: [{path: root.img}]\n", file);
    assert_int_equal(fclose(file), 0);
    snprintf(line, sizeof(line), "create --config %s --json", path);
    fake_host_run(f, line, "/usr", false);
    c = fake_host_accept(f);
    fake_host_tell_tenant(c, "acme");
    e = fake_host_expect(c, BODY(CREATE_VM));
    assert_false(e->create_vm->start);
    assert_string_equal(e->create_vm->spec->config->kernel, "/usr/vmlinuz");
    assert_string_equal(e->create_vm->spec->config->disks[0]->path, "/usr/root.img");
    fake_host_reply(c, e->id, 0, false, "");
    assert_int_equal(fake_host_finish(f), 0);
    assert_string_equal(f->text, "{\"vm\": \"web\", \"result\": \"created\"}\n");
    channel_free(c);
}

/* What takes long says so, at a terminal alone. */
static void test_progress(void **state)
{
    static const struct {
        const char *line;
        Bulkhead__HostEnvelope__BodyCase body;
        const char *says, *ends;
    } cases[] = {
        { "create --name web --kernel /k", BODY(CREATE_VM), "\rweb: creating, 1 s\033[K",
          "\r\033[Kweb: created\r\n" },
        { "create --name web --kernel /k --start", BODY(CREATE_VM), "\rweb: starting, 1 s\033[K",
          "\r\033[Kweb: running\r\n" },
        { "start web", BODY(START_VM), "\rweb: starting, 1 s\033[K", "\r\033[Kweb: running\r\n" },
        { "stop web --grace 60", BODY(HALT_VM), "\rweb: stopping, 1 s\033[K",
          "\r\033[Kweb: stopped\r\n" },
    };
    struct fake_host *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const Bulkhead__HostEnvelope *e;
        struct channel *c;
        uint32_t id;

        fake_host_run_tty(f, cases[i].line);
        c = fake_host_accept(f);
        if (cases[i].body == BODY(CREATE_VM))
            fake_host_tell_tenant(c, "acme");
        e = fake_host_expect(c, cases[i].body);
        id = e->id;
        fake_host_await(f, cases[i].says);
        fake_host_reply(c, id, 0, false, "");
        fake_host_await(f, cases[i].ends);
        close(f->in);
        f->in = -1;
        assert_int_equal(fake_host_finish(f), 0);
        channel_free(c);
    }
}

/* Who the service is leaves word of what he describes, in its state; not of what comes to nothing. */
static void test_create_vouches(void **state)
{
    static const struct {
        int error;
        bool vouched;
    } cases[] = { { 0, true }, { EEXIST, false } };
    struct fake_host *f = *state;
    char kept[80], path[160];

    snprintf(kept, sizeof(kept), "%s/state", f->dir);
    assert_int_equal(mkdir(kept, 0700), 0);
    snprintf(kept, sizeof(kept), "%s/state/vms", f->dir);
    assert_int_equal(mkdir(kept, 0700), 0);
    snprintf(path, sizeof(path), "%s/acme/web/vouched.0", kept);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const Bulkhead__HostEnvelope *e;
        struct channel *c;
        struct stat st;

        fake_host_run(f, "create --name web --kernel k", NULL, false);
        c = fake_host_accept(f);
        fake_host_tell_tenant(c, "acme");
        e = fake_host_expect(c, BODY(CREATE_VM));
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size,
                         bulkhead__vm_config__get_packed_size(e->create_vm->spec->config));
        assert_int_equal(st.st_mode & 0777, 0600);
        fake_host_reply(c, e->id, cases[i].error, true, "no");
        assert_int_equal(fake_host_finish(f), cases[i].error ? 2 : 0);
        assert_int_equal(stat(path, &st), cases[i].vouched ? 0 : -1);
        channel_free(c);
        if (!cases[i].vouched)
            continue;
        fake_host_run(f, "rm web", NULL, false);
        c = fake_host_accept(f);
        fake_host_tell_tenant(c, "acme");
        e = fake_host_expect(c, BODY(REMOVE_VM));
        fake_host_reply(c, e->id, 0, false, "");
        assert_int_equal(fake_host_finish(f), 0);
        assert_int_equal(stat(path, &st), -1);
        channel_free(c);
    }
}

/* ---- start, stop, reboot, rm ---- */

static const char *vm_of(const Bulkhead__HostEnvelope *e)
{
    switch ((int)e->body_case) {
    case BODY(START_VM):
        return e->start_vm->vm;
    case BODY(HALT_VM):
        return e->halt_vm->vm;
    case BODY(REBOOT_VM):
        return e->reboot_vm->vm;
    default:
        return e->remove_vm->vm;
    }
}

static void test_one(void **state)
{
    static const struct {
        const char *line;
        Bulkhead__HostEnvelope__BodyCase body;
        int error;
        bool bad_input;
        const char *text;
        int status;
        const char *output;
    } cases[] = {
        { "start web", BODY(START_VM), 0, false, "", 0, "web: running\n" },
        { "start acme/web --json", BODY(START_VM), 0, false, "", 0,
          "{\"vm\": \"acme/web\", \"result\": \"running\"}\n" },
        { "start web", BODY(START_VM), EBUSY, true, "it runs", 2, "bulkhead: it runs\n" },
        { "start web", BODY(START_VM), EIO, false, "no\033[2J\nluck", 1,
          "bulkhead: no?[2J?luck\n" },
        { "start web", BODY(START_VM), ENOMEM, false, "", 1, "bulkhead: Cannot allocate memory\n" },
        { "stop web", BODY(HALT_VM), 0, false, "", 0, "web: stopped\n" },
        { "stop --grace 7 web --json", BODY(HALT_VM), 0, false, "web is stopped", 0,
          "{\"vm\": \"web\", \"result\": \"stopped\"}\n" },
        { "reboot web", BODY(REBOOT_VM), 0, false, "", 0, "web: running\n" },
        { "rm web", BODY(REMOVE_VM), 0, false, "", 0, "web: removed\n" },
        { "rm web --force", BODY(REMOVE_VM), ENOENT, true, "no VM 'web'", 2,
          "bulkhead: no VM 'web'\n" },
    };
    struct fake_host *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const Bulkhead__HostEnvelope *e;
        struct channel *c;
        int status;

        fake_host_run(f, cases[i].line, NULL, false);
        c = fake_host_accept(f);
        e = fake_host_expect(c, cases[i].body);
        assert_non_null(strstr(cases[i].line, vm_of(e)));
        if (cases[i].body == BODY(HALT_VM))
            assert_int_equal(e->halt_vm->grace_ms, strstr(cases[i].line, "--grace") ? 7000 : 0);
        if (cases[i].body == BODY(REMOVE_VM))
            assert_int_equal(e->remove_vm->force, strstr(cases[i].line, "--force") != NULL);
        fake_host_reply(c, e->id, cases[i].error, cases[i].bad_input, cases[i].text);
        status = fake_host_finish(f);
        channel_free(c);
        if (status != cases[i].status || strcmp(f->text, cases[i].output) != 0)
            fail_msg("'%s': status %d, output '%s'", cases[i].line, status, f->text);
    }
}

/* All are asked for before the first is answered; the worst is the exit status. */
static void test_several(void **state)
{
    struct fake_host *f = *state;
    struct channel *c;
    uint32_t ids[3];

    fake_host_run(f, "start one two three", NULL, false);
    c = fake_host_accept(f);
    for (unsigned i = 0; i < 3; i++)
        ids[i] = fake_host_expect(c, BODY(START_VM))->id;
    fake_host_reply(c, ids[2], 0, false, "");
    fake_host_await(f, "three: running\n");
    fake_host_reply(c, ids[0], EIO, false, "one is broken");
    fake_host_reply(c, ids[1], 0, false, "");
    assert_int_equal(fake_host_finish(f), 1);
    channel_free(c);
    assert_non_null(strstr(f->text, "bulkhead: one is broken\n"));
    assert_non_null(strstr(f->text, "two: running\n"));
}

/* ---- ls ---- */

/* Two pages. */
static void answer_list(struct channel *c, size_t n_labels)
{
    for (unsigned i = 0; i < 2; i++) {
        Bulkhead__HostEnvelope answer = BULKHEAD__HOST_ENVELOPE__INIT;
        Bulkhead__VmList list = BULKHEAD__VM_LIST__INIT;
        Bulkhead__VmStatus *vms[] = { fake_host_status(i) };
        const Bulkhead__HostEnvelope *e = fake_host_expect(c, BODY(LIST_VMS));

        assert_string_equal(e->list_vms->after, i == 0 ? "" : "acme/web");
        assert_int_equal(e->list_vms->n_labels, n_labels);
        if (n_labels)
            assert_string_equal(e->list_vms->labels[0]->value, "front");
        list.vms = vms;
        list.n_vms = 1;
        list.more = i == 0;
        answer.id = e->id;
        answer.body_case = BODY(VM_LIST);
        answer.vm_list = &list;
        fake_host_send(c, &answer, NULL, 0);
    }
}

static void list(struct fake_host *f, const char *line, const char *tenant, size_t n_labels)
{
    struct channel *c;

    fake_host_run(f, line, NULL, false);
    c = fake_host_accept(f);
    fake_host_tell_tenant(c, tenant);
    answer_list(c, n_labels);
    assert_int_equal(fake_host_finish(f), 0);
    channel_free(c);
}

static void test_ls(void **state)
{
    struct fake_host *f = *state;

    list(f, "ls", "acme", 0);
    assert_string_equal(f->text,
                        "NAME  STATE    VCPUS  MEMORY  DEVICES        UP  ENDED  LABELS\n"
                        "web   running      2    1.0G  1 disk, 1 net  2h  -      tier=front\n"
                        "\n1 stopped: bulkhead ls --all\n");
    list(f, "ls --all --label tier=front", "host", 1);
    assert_string_equal(
        f->text,
        "TENANT  NAME  STATE    VCPUS  MEMORY  DEVICES         UP  ENDED                          "
        "LABELS\n"
        "acme    web   running      2    1.0G  1 disk, 1 net   2h  -                              "
        "tier=front\n"
        "acme    db    stopped      2    1.0G  2 disks, 1 net   -  crashed: triple fault, 2m ago  "
        "-\n");
}

static void test_ls_json(void **state)
{
    struct fake_host *f = *state;
    json_t *root, *vm;

    list(f, "ls --all --json", "acme", 0);
    root = json_loads(f->text, 0, NULL);
    assert_int_equal(json_array_size(root), 2);
    vm = json_array_get(root, 0);
    assert_string_equal(json_string_value(json_object_get(vm, "name")), "web");
    assert_string_equal(json_string_value(json_object_get(vm, "state")), "running");
    assert_string_equal(json_string_value(json_object_get(json_object_get(vm, "labels"), "tier")),
                        "front");
    assert_true(json_is_null(json_object_get(vm, "ended")));
    assert_true(json_is_false(json_object_get(vm, "private")));
    vm = json_array_get(root, 1);
    assert_string_equal(json_string_value(json_object_get(json_object_get(vm, "ended"), "how")),
                        "crashed");
    json_decref(root);
}

/* ---- what is wrong ---- */

static void test_refusals(void **state)
{
    static char line_of_300[320];
    const struct {
        const char *line, *output;
    } cases[] = {
        { "start", "usage: bulkhead start VM..." },
        { "start a/b/c", "'a/b/c' is no VM's name" },
        { "start ../web", "'../web' is no VM's name" },
        { "start .web", "'.web' is no VM's name" },
        { "start /web", "'/web' is no VM's name" },
        { "start acme/", "'acme/' is no VM's name" },
        { line_of_300, "is no VM's name: 1 to 48 letters" },
        { "start web web", "'web' is given twice" },
        { "stop web --grace soon", "--grace: 'soon' is not a number of seconds" },
        { "stop web --grce 1", "the nearest is '--grace'" },
        { "create --kernel k", "--name is missing" },
        { "create --name a/b/c --kernel k", "--name: 'a/b/c' is no name" },
        { "create --name A/b --kernel k", "--name: 'A/b' is no name" },
        { "create --name web", "--kernel is missing" },
        { "create --name web --kernel k --label tier", "'tier' is no label: KEY=VALUE" },
        { "create --name web --kernel k --label =x", "'=x' is no label" },
        { "create --name web --kernel k --label a!b=x", "'a!b=x' is no label" },
        { "create --name web --kernel k --label a=1 --label a=2", "'a' is given twice" },
        { "create --name web --kernel k --net fd=0", "a descriptor can't be kept" },
        { "create --name web --kernel k --console tty",
          "the service's console is the serial port" },
        { "create --name web --kernel k --verbose", "unknown flag '--verbose'" },
        { "create --name web --kernel k --labl a=b", "the nearest is '--label'" },
        { "create --name web --kernel k --firmware f", "--firmware is not supported yet" },
        { "ls web", "see bulkhead info web" },
        { "ls --label x", "'x' is no label" },
    };
    struct fake_host *f = *state;

    snprintf(line_of_300, sizeof(line_of_300), "rm %0300d", 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int status;

        fake_host_run(f, cases[i].line, NULL, false);
        status = fake_host_finish(f);
        if (status != 2 || strncmp(f->text, "bulkhead: ", 10) != 0 ||
            !strstr(f->text, cases[i].output) ||
            strchr(f->text, '\n') != f->text + strlen(f->text) - 1)
            fail_msg("'%s': status %d, output '%s'", cases[i].line, status, f->text);
    }
}

static void test_no_service(void **state)
{
    static const char *const lines[] = { "start web",      "rm web",
                                         "reboot web",     "create --name web --kernel k",
                                         "ls --label a=b", "pause acme/web" };
    struct fake_host *f = *state;
    char path[96];

    for (unsigned gone = 0; gone < 2; gone++) { /* who left its socket behind, then none at all */
        close(f->listener);
        f->listener = -1;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
            fake_host_run(f, lines[i], NULL, false);
            assert_int_equal(fake_host_finish(f), 2);
            assert_string_equal(f->text, "bulkhead: no service runs here: start bulkhead-hostd, or "
                                         "use bulkhead run\n");
        }
        fake_host_run(f, "stop web", NULL, false); /* of one of run's, perhaps */
        assert_int_equal(fake_host_finish(f), 2);
        assert_string_equal(f->text, "bulkhead: no VM 'web' of bulkhead run, and no service runs "
                                     "here: see bulkhead ls\n");
        fake_host_run(f, "ls", NULL, false);
        assert_int_equal(fake_host_finish(f), 0);
        assert_string_equal(f->text, "no VM\n");
        snprintf(path, sizeof(path), "%s/host.sock", f->dir);
        unlink(path);
    }
}

/* Of who is no tenant: he has VMs of `run`, or none. */
static void test_stranger(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *output;
    } cases[] = {
        { "ls", 0, "no VM\n" },
        { "ps", 0, "no VM is running\n" },
        { "top", 2, "bulkhead: no VM is running\n" },
        { "ls --label a=b", 2, "bulkhead: uid 7 speaks for no tenant\n" },
        { "start web", 2, "bulkhead: uid 7 speaks for no tenant\n" },
        { "pause acme/web", 2, "bulkhead: uid 7 speaks for no tenant\n" },
        { "pause web", 2, "bulkhead: no VM 'web': none is running\n" },
    };
    struct fake_host *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        unsigned n = strcmp(cases[i].line, "pause web") == 0 ? 2 : 1;
        int status;

        fake_host_run(f, cases[i].line, NULL, false);
        for (unsigned k = 0; k < n; k++) {
            struct channel *c = fake_host_accept(f);

            fake_host_reply(c, fake_host_next(c)->id, EACCES, true, "uid 7 speaks for no tenant");
            channel_free(c);
        }
        status = fake_host_finish(f);
        if (status != cases[i].status || strcmp(f->text, cases[i].output) != 0)
            fail_msg("'%s': status %d, output '%s'", cases[i].line, status, f->text);
    }
}

/* In the middle of a request; and an answer that is none. */
static void test_service_goes(void **state)
{
    static const char *const lines[] = { "start web", "create --name web --kernel k", "ls" };
    struct fake_host *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct channel *c;

        fake_host_run(f, lines[i], NULL, false);
        c = fake_host_accept(f);
        fake_host_expect(c, i == 0 ? BODY(START_VM) : BODY(GET_HOST));
        channel_free(c);
        assert_int_equal(fake_host_finish(f), 1);
        assert_string_equal(f->text,
                            "bulkhead: the host's service has closed the connection: ask again\n");
    }
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct channel *c;

        fake_host_run(f, lines[i], NULL, false);
        c = fake_host_accept(f);
        assert_int_equal(send(channel_fd(c), "\xff\xff\xff", 3, 0), 3);
        assert_int_equal(fake_host_finish(f), 1);
        channel_free(c);
        assert_string_equal(f->text, "bulkhead: the host's service gave an answer that is none\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_create, fake_host_setup, fake_host_teardown),
        cmocka_unit_test_setup_teardown(test_create_from_file, fake_host_setup, fake_host_teardown),
        cmocka_unit_test_setup_teardown(test_progress, fake_host_setup, fake_host_teardown),
        cmocka_unit_test_setup_teardown(test_create_vouches, fake_host_setup, fake_host_teardown),
        cmocka_unit_test_setup_teardown(test_one, fake_host_setup, fake_host_teardown),
        cmocka_unit_test_setup_teardown(test_several, fake_host_setup, fake_host_teardown),
        cmocka_unit_test_setup_teardown(test_ls, fake_host_setup, fake_host_teardown),
        cmocka_unit_test_setup_teardown(test_ls_json, fake_host_setup, fake_host_teardown),
        cmocka_unit_test_setup_teardown(test_refusals, fake_host_setup, fake_host_teardown),
        cmocka_unit_test_setup_teardown(test_no_service, fake_host_setup, fake_host_teardown),
        cmocka_unit_test_setup_teardown(test_stranger, fake_host_setup, fake_host_teardown),
        cmocka_unit_test_setup_teardown(test_service_goes, fake_host_setup, fake_host_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
