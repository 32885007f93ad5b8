/* SPDX-License-Identifier: Apache-2.0 */
/* api_body.c - a body of JSON, held against each schema of the document and read as each kind of device: a VmConfig with that
 * one device, or one line that says why not. The first byte says how many descriptors came with it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "openapi/check.h"
#include "json/device.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as(const char *section, const json_t *body, size_t n_fds)
{
    struct vm_options o = { .event_fd = -1, .taps = VM_OPTIONS_TAPS_YES };
    char *unknown = (char *)(uintptr_t) "";
    struct option_error err = { "" };
    json_t *copy = json_deep_copy(body);

    bulkhead__vm_config__init(&o.config);
    if (device_parse(section, copy, n_fds, "/", &o, &unknown, &err) < 0) {
        if (err.text[0] == '\0' || strchr(err.text, '\n'))
            abort();
    } else if (o.config.n_disks + o.config.n_nets + (o.config.vsock != NULL) != 1) {
        abort();
    }
    bag_free(&o.bag);
    json_decref(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const sections[] = { "disks", "net", "vsock" };
    json_t *body = size > 1
                       ? json_loadb((const char *)data + 1, size - 1, JSON_REJECT_DUPLICATES, NULL)
                       : NULL;

    for (const struct openapi_operation *o = openapi_vm; body && o->path; o++) {
        char fault[OPENAPI_FAULT_BYTES] = "";

        if (o->body && check_body(o->body, body, fault) == (fault[0] != '\0'))
            abort();
    }
    for (size_t i = 0; json_is_object(body) && i < ARRAY_SIZE(sections); i++)
        read_as(sections[i], body, data[0] % 4);
    json_decref(body);
    return 0;
}
