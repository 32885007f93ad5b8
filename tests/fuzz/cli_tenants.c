// SPDX-License-Identifier: Apache-2.0
// cli_tenants.c - tenants.yaml: it becomes what the service reads, or is refused in one line that says why.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tenants/check.h"
#include "tenants/read.h"
#include "vmconfig/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct option_error err = { "" };
    struct bag bag = { 0 };
    struct lines lines = { 0 };
    json_t *root = load_text("f", (const char *)data, size, &lines, &err);
    Bulkhead__HostConfig config, *again;
    int r = root ? tenants_read("f", &lines, root, &bag, &config, &err) : -1;

    if (r == 0)
        r = tenants_check("f", &config, 0, &err);
    if (r < 0) {
        if (strncmp(err.text, "f:", 2) != 0)
            abort();
    } else { /* nobody is left out on the way */
        size_t len = bulkhead__host_config__get_packed_size(&config);
        uint8_t *bytes = malloc(len + 1);

        if (!bytes || bulkhead__host_config__pack(&config, bytes) != len)
            abort();
        again = bulkhead__host_config__unpack(NULL, len, bytes);
        if (!again || again->n_tenants != config.n_tenants)
            abort();
        bulkhead__host_config__free_unpacked(again, NULL);
        free(bytes);
    }
    lines_deinit(&lines);
    json_decref(root);
    bag_free(&bag);
    return 0;
}
