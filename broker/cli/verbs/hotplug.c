// SPDX-License-Identifier: Apache-2.0
// hotplug.c - `bulkhead add` and `bulkhead remove`: devices of a VM that runs.
#include "verbs/hotplug.h"
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "client.h"
#include "host_client.h"
#include "options/device_flags.h"
#include "options/flags.h"
#include "options/paths.h"
#include "output.h"

enum { UNDONE_MS = 2000 };
enum { DISK, NET, VSOCK, BALLOON, CONSOLE, FORCE };

static const struct flag add_flags[] = {
    { "disk", 0, FLAG_ONE, "path=P,...", "a disk", DISK },
    { "net", 0, FLAG_ONE, "tap=T[,macvtap],... | user,... | fd=N", "a network interface", NET },
    { "vsock", 0, FLAG_ONE, "cid=N,socket=S", "sockets between host and guest", VSOCK },
    { "balloon", 0, FLAG_ONE, "size=S,...", "memory that can be taken back", BALLOON },
    { "console", 0, FLAG_ONE, "MODE", "virtio-console: null|pty|file=F|socket=S", CONSOLE },
    FLAGS_COMMON_JSON,
};
static const struct flag_list flags_to_add = { add_flags, ARRAY_SIZE(add_flags) };

struct add_args {
    struct vm_options options;
    const char *vm;
    char run_dir
        [CLIENT_RUNDIR_BYTES]; /* of a VM that is to have a passt more, if we may write there */
    int allowed_fd;            /* -1: no passt was asked for, of the host's service */
    unsigned n_devices;
    struct client opener;
    bool help, json;
};

static int on_device(struct vm_options *o, int id, const char *value, struct option_error *err)
{
    switch (id) {
    case DISK:
        return vm_disk_parse(o, value, err);
    case NET:
        return vm_net_parse(o, value, err);
    case VSOCK:
        return vm_vsock_parse(o, value, err);
    case BALLOON:
        return vm_balloon_parse(o, value, err);
    default:
        o->config.console = bag_alloc(&o->bag, sizeof(*o->config.console));
        bulkhead__console_config__init(o->config.console);
        return vm_console_parse(o, "--console", value, o->config.console, err);
    }
}

static int on_add_flag(void *arg, int id, const char *value, struct option_error *err)
{
    struct add_args *a = arg;

    if (id == FLAG_HELP)
        a->help = true;
    else if (id == FLAG_JSON)
        a->json = true;
    else if (id == FLAG_OPERAND && a->vm)
        return option_fail(err, "too many arguments: '%s'", value);
    else if (id == FLAG_OPERAND)
        a->vm = value;
    else if (a->n_devices++ > 0)
        return option_fail(err, "add: one device at a time");
    else
        return on_device(&a->options, id, value, err);
    return 0;
}

/* Asks, and shows what went wrong; EXIT_OK: the answer has that body. */
static int ask(struct client *client, Bulkhead__AddDevice *msg, const int *fds, size_t n_fds,
               Bulkhead__ClientEnvelope__BodyCase want, struct client_answer *ret_answer)
{
    int r;

    CLIENT_ENVELOPE(request, ADD_DEVICE, add_device, msg);
    r = client_call_with(client, &request, fds, n_fds, ret_answer);
    if (r < 0)
        return client_failed(r);
    if (ret_answer->envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY)
        r = client_reply(ret_answer->envelope->reply);
    if (r == EXIT_OK && ret_answer->envelope->body_case != want)
        r = say_error(EXIT_HOST, "the answer doesn't fit the question: is all of one release?");
    return r;
}

static int say_added(const struct add_args *a, const Bulkhead__Reply *reply, const char *pty)
{
    char id[64], address[32];
    json_t *json;

    say_clean(id, sizeof(id), reply->device);
    say_clean(address, sizeof(address), reply->address);
    if (!a->json) {
        say(stdout, "%s: %s %s%s%s\n", a->vm, id, address, pty[0] ? " " : "", pty);
        return EXIT_OK;
    }
    json = json_pack("{s:s,s:s,s:s}", "vm", a->vm, "device", id, "address", address);
    if (json && pty[0])
        json_object_set_new(json, "pty", json_string(pty));
    return say_json(json);
}

/* Where its name is, if it may have one that the user hasn't given; else NULL. */
static char **name_to_give(struct add_args *a)
{
    char **own = a->options.config.n_disks > 0  ? &a->options.config.disks[0]->id
                 : a->options.config.n_nets > 0 ? &a->options.config.nets[0]->id
                                                : NULL;

    return own && (*own)[0] == '\0' ? own : NULL;
}

/* A process with our own rights opens it; a balloon has nothing to open. What is opened follows from what the user has
 * asked for, never from what the broker says: it may have been taken over, or be another user's. */
static int open_device(struct add_args *a, Bulkhead__AddDevice *msg, struct client_answer *opened)
{
    struct client opener = { 0 };
    struct option_error err;
    int r;

    if (a->options.config.balloon)
        return EXIT_OK;
    if (vm_net_fds_check(&a->options, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    r = client_start_opener(&opener);
    r = r < 0 ? client_failed(r)
              : ask(&opener, msg, a->options.net_fds, a->options.n_net_fds,
                    BULKHEAD__CLIENT_ENVELOPE__BODY_ADD_DEVICE, opened);
    a->opener = opener;
    if (r == EXIT_OK)
        msg->backend = opened->envelope->add_device->backend;
    return r;
}

/* Its passt is asked for by the name that it has in the note (spawner/note.h): it keeps that. */
static bool has_passt(const struct add_args *a)
{
    return a->options.config.n_nets > 0 && strcmp(a->options.config.nets[0]->mode, "user") == 0;
}

/* Where the opener writes our word for that passt: "" if we are not at home there. */
static int find_run_dir(struct add_args *a, const struct client *broker)
{
    int r;

    if (!has_passt(a))
        return EXIT_OK;
    if (client_is_private(a->vm)) {
        snprintf(a->run_dir, sizeof(a->run_dir), "%s", broker->run_dir);
        return EXIT_OK;
    }
    r = host_find_rundir(a->vm, a->run_dir, sizeof(a->run_dir));
    if (r < 0)
        return client_failed(r);
    if (access(a->run_dir, W_OK) < 0)
        a->run_dir[0] = '\0';
    return EXIT_OK;
}

/* The user's word for that passt, where the opener can't write it down: the run directories of the host's service are its
 * own. It writes it if this VM's tenant may have one; it counts until we are gone. */
static int have_noted(struct add_args *a, const struct client_answer *opened)
{
    int r;

    if (!has_passt(a) || a->run_dir[0] != '\0')
        return EXIT_OK;
    r = host_allow_passt(a->vm, &opened->envelope->add_device->note, &a->allowed_fd);
    return r < 0 ? client_failed(r) : EXIT_OK;
}

/* The broker says whether it may be, the opener opens it, the broker is given that. */
static int add_with(struct add_args *a, struct client *broker)
{
    Bulkhead__AddDevice msg = BULKHEAD__ADD_DEVICE__INIT;
    struct client_answer checked, opened = { 0 }, added;
    char text[64], **name = name_to_give(a);
    int r;

    msg.device = &a->options.config;
    msg.check_only = true;
    r = ask(broker, &msg, NULL, 0, BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY, &checked);
    if (r != EXIT_OK)
        return r;
    say_clean(text, sizeof(text), checked.envelope->reply->device);
    if (name)
        *name = bag_printf(&a->options.bag, "%s", text);
    msg.check_only = false;
    r = find_run_dir(a, broker);
    msg.run_dir = a->run_dir;
    if (r == EXIT_OK)
        r = open_device(a, &msg, &opened);
    if (r == EXIT_OK)
        r = have_noted(a, &opened);
    if (r != EXIT_OK)
        return r;
    msg.run_dir = (char *)(uintptr_t)protobuf_c_empty_string;
    if (name && !has_passt(a)) /* the broker's to choose, for another may have that one by now */
        *name = bag_printf(&a->options.bag, "%s", "");
    say_clean(text, sizeof(text), msg.backend ? msg.backend->pty_path : "");
    r = ask(broker, &msg, opened.fds, opened.n_fds, BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY, &added);
    return r == EXIT_OK ? say_added(a, added.envelope->reply, text) : r;
}

static int add(struct add_args *a)
{
    struct client broker = { 0 };
    int r = client_connect(&broker, a->vm);

    r = r < 0 ? client_failed(r) : add_with(a, &broker);
    /* With a socket it stays as long as the VM has that. Else, or if it wasn't added, what it made goes first. */
    client_leave(&a->opener, r == EXIT_OK ? 0 : UNDONE_MS);
    client_close(&broker);
    fd_closep(&a->allowed_fd);
    return r;
}

static int run_add(int argc, char **argv)
{
    struct add_args a = { .allowed_fd = -1 };
    struct option_error err;
    int r;

    bulkhead__vm_config__init(&a.options.config);
    if (flags_parse(&flags_to_add, argc, argv, on_add_flag, &a, &err) < 0)
        r = say_error(EXIT_BAD_INPUT, "%s", err.text);
    else if (a.help)
        r = VERB_HELP;
    else if (!a.vm || a.n_devices == 0)
        r = VERB_USAGE;
    else {
        vm_paths_make_absolute(&a.options, NULL); /* the VM's plan names the file */
        r = add(&a);
    }
    bag_free(&a.options.bag);
    return r;
}

static void more_of_add(FILE *out)
{
    fputs("The options of each are those of `bulkhead run`. The guest finds the device while it "
          "runs; its\n"
          "name and PCI address are printed. Not a console at the terminal. What is opened is "
          "opened with\n"
          "your rights; with a socket a process of yours stays, which removes its file when the "
          "device or\n"
          "the VM is gone. A user network's passt is the VM's: its network and its uid are those "
          "of the VM.\n",
          out);
}

const struct verb verb_add = {
    .name = "add",
    .usage = "VM --disk ... | --net ... | --vsock ... | --balloon ... | --console ...",
    .summary = "add a device to a VM that runs",
    .more = more_of_add,
    .operands = { OPERAND_VM },
    .flags = &flags_to_add,
    .run = run_add,
};

struct remove_args {
    struct simple_args simple;
    bool force;
};

static const struct flag remove_flags[] = {
    { "force", 0, FLAG_ONE, NULL, "take it away, whatever the guest does", FORCE },
    FLAGS_COMMON_JSON,
};
static const struct flag_list flags_to_remove = { remove_flags, ARRAY_SIZE(remove_flags) };

static int on_remove_flag(void *arg, int id, const char *value, struct option_error *err)
{
    struct remove_args *a = arg;

    if (id == FLAG_HELP)
        a->simple.help = true;
    else if (id == FLAG_JSON)
        a->simple.json = true;
    else if (id == FORCE)
        a->force = true;
    else if (a->simple.n_operands == 2)
        return option_fail(err, "too many arguments: '%s'", value);
    else
        a->simple.operands[a->simple.n_operands++] = value;
    return 0;
}

static int run_remove(int argc, char **argv)
{
    Bulkhead__RemoveDevice msg = BULKHEAD__REMOVE_DEVICE__INIT;
    struct remove_args a = { 0 };
    struct client client = { 0 };
    struct client_answer answer;
    struct option_error err;
    char device[64];
    int r;

    if (flags_parse(&flags_to_remove, argc, argv, on_remove_flag, &a, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (a.simple.help)
        return VERB_HELP;
    if (a.simple.n_operands != 2)
        return VERB_USAGE;
    CLIENT_ENVELOPE(request, REMOVE_DEVICE, remove_device, &msg);
    snprintf(device, sizeof(device), "%s", a.simple.operands[1]);
    msg.device = device;
    msg.force = a.force;
    r = client_ask(&client, a.simple.operands[0], &request, BULKHEAD__CLIENT_ENVELOPE__BODY_REPLY,
                   &answer);
    if (r != EXIT_OK)
        return r;
    client_close(&client);
    if (a.simple.json)
        return say_json(json_pack("{s:s,s:s,s:s}", "vm", a.simple.operands[0], "device", device,
                                  "result", "removed"));
    say(stdout, "%s: %s was removed\n", a.simple.operands[0], device);
    return EXIT_OK;
}

static void more_of_remove(FILE *out)
{
    fputs("The guest is asked to let go of it, and answers when its driver has; a disk is best "
          "unmounted\n"
          "before. With --force the device is gone at once, and what the guest had in flight may "
          "be lost.\n",
          out);
}

const struct verb verb_remove = {
    .name = "remove",
    .usage = "VM DEVICE [--force]",
    .summary = "take a device out of a VM that runs",
    .more = more_of_remove,
    .operands = { OPERAND_VM, OPERAND_DEVICE },
    .flags = &flags_to_remove,
    .run = run_remove,
};
