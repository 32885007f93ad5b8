// SPDX-License-Identifier: Apache-2.0
// cli_config.c - a VM in a file of JSON or YAML: it becomes flags, or is refused in one line that says why.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmconfig/load.h"
#include "vmconfig/translate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct option_error err = { "" };
    struct bag bag = { 0 };
    struct config_source source = { .file = "f", .path = "" };
    json_t *config = load_text("f", (const char *)data, size, &source.lines, &err);
    struct config_flags flags = { 0 };

    if (!config || translate_config(&source, config, &bag, &flags, &err) < 0) {
        if (strncmp(err.text, "f:", 2) != 0)
            abort();
    } else {
        for (int i = 1; i < flags.argc; i++)
            if (strncmp(flags.argv[i], "--", 2) != 0)
                abort(); /* each of them is a flag, whatever is in the file */
        if (flags.argv[flags.argc])
            abort();
    }
    json_decref(config);
    lines_deinit(&source.lines);
    bag_free(&bag);
    return 0;
}
