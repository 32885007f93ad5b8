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
    json_t *config = load_text("f", (const char *)data, size, &err);
    char **argv = NULL;
    int argc = 0;

    if (!config || translate_config("f", config, &bag, &argv, &argc, &err) < 0) {
        if (strncmp(err.text, "f: ", 3) != 0)
            abort();
    } else {
        for (int i = 1; i < argc; i++)
            if (strncmp(argv[i], "--", 2) != 0)
                abort(); /* each of them is a flag, whatever is in the file */
        if (argv[argc])
            abort();
    }
    json_decref(config);
    bag_free(&bag);
    return 0;
}
