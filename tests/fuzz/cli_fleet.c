// SPDX-License-Identifier: Apache-2.0
// cli_fleet.c - a fleet's manifest: it becomes VMs in an order, or is refused in lines that say why.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/manifest.h"
#include "fleet/order.h"
#include "vmconfig/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *load(const char *dir, const char *path, struct bag *bag, const char **ret_dir,
                    struct lines *ret_lines, struct option_error *err)
{
    static const char text[] = "payload: {kernel: k}";

    (void)bag;
    *ret_dir = dir;
    return load_text(path, text, sizeof(text) - 1, ret_lines, err);
}

static bool identify(const char *path, uint64_t *ret_dev, uint64_t *ret_ino)
{
    *ret_dev = 0;
    *ret_ino = strlen(path) & 7;
    return strlen(path) & 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest_source source = { .file = "f", .dir = "/d", .load = load };
    struct option_error err = { "" };
    json_t *root = load_text("f", (const char *)data, size, &source.lines, &err);
    struct fleet fleet = { 0 };

    if (root) {
        manifest_read(&fleet, &source, root);
        order_check(&fleet, identify);
        for (size_t i = 0; i < fleet.faults.n; i++)
            if (strncmp(fleet.faults.lines[i], "f:", 2) != 0)
                abort();
        for (size_t i = 0; i < fleet.n && fleet.faults.n == 0; i++)
            for (size_t k = 0; k < fleet.vms[i]->n_after; k++)
                if (fleet.vms[fleet.vms[i]->after[k].vm]->wave >= fleet.vms[i]->wave)
                    abort();
    }
    json_decref(root);
    lines_deinit(&source.lines);
    manifest_free(&fleet);
    return 0;
}
