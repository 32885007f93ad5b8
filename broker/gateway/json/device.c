/* SPDX-License-Identifier: Apache-2.0 */
/* device.c - see device.h. */
#include "json/device.h"

#include <string.h>
#include "options/device_flags.h"
#include "options/paths.h"
#include "vmconfig/translate.h"

/* Its taps are open: what names or configures one is of no use, and clients send it all the same. */
static void leave_out_tap(json_t *net)
{
    static const char *const fields[] = { "tap", "ip", "mask", "host_mac" };

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        json_object_del(net, fields[i]);
}

/* A number in a text is nobody's descriptor. */
static void leave_out_fds(struct bag *bag, json_t *net, char **unknown)
{
    const json_t *fds = json_object_get(net, "fds");

    if (fds && !json_is_null(fds))
        *unknown = bag_printf(bag, "%s%snet.fds", *unknown, **unknown ? ", " : "");
    json_object_del(net, "fds");
}

static int give_taps(struct vm_options *o, size_t n_fds, struct option_error *err)
{
    Bulkhead__NetConfig *net = o->config.nets[0];

    if (strcmp(net->mode, "tap") != 0)
        return option_fail(err, "net: user and macvtap exclude descriptors");
    if (net->num_queues && n_fds * 2 != net->num_queues)
        return option_fail(err, "net: %zu descriptors don't fit num_queues=%u (two queues each)",
                           n_fds, net->num_queues);
    net->mode = bag_printf(&o->bag, "fd");
    net->num_fds = (uint32_t)n_fds;
    net->n_fd_numbers = n_fds;
    net->fd_numbers = bag_alloc(&o->bag, n_fds * sizeof *net->fd_numbers);
    for (size_t i = 0; i < n_fds; i++)
        net->fd_numbers[i] = (uint32_t)i; /* for messages */
    return 0;
}

static int parse(const char *section, const char *value, struct vm_options *o,
                 struct option_error *err)
{
    if (strcmp(section, "disks") == 0)
        return vm_disk_parse(o, value, err);
    if (strcmp(section, "net") == 0)
        return vm_net_parse(o, value, err);
    return vm_vsock_parse(o, value, err);
}

int device_parse(const char *section, json_t *json, size_t n_fds, const char *dir,
                 struct vm_options *o, char **unknown, struct option_error *err)
{
    const struct config_source source = { .file = "the request", .path = "" };
    bool is_net = strcmp(section, "net") == 0;
    struct option_error wrong;
    char *value;

    if (n_fds > 0 && !is_net)
        return option_fail(err, "descriptors came with the request: only a network takes some");
    if (is_net)
        leave_out_fds(&o->bag, json, unknown);
    if (n_fds > 0) {
        leave_out_tap(json);
        o->taps = VM_OPTIONS_TAPS_YES;
    }
    if (translate_device(&source, section, json, &o->bag, &value, unknown, err) < 0)
        return -1;
    if (*value == '\0')
        return option_fail(err, "nothing is said of the device: see docs/api/vm.yaml");
    if (parse(section, value, o, &wrong) < 0)
        return option_fail(err, "%s",
                           strncmp(wrong.text, "--", 2) == 0 ? wrong.text + 2 : wrong.text);
    if (n_fds > 0 && give_taps(o, n_fds, err) < 0)
        return -1;
    vm_paths_make_absolute(o, dir);
    return 0;
}
