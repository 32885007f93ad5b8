// SPDX-License-Identifier: Apache-2.0
// cli_options.c - a command line of `bulkhead run`, one argument per line of the input.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "options/run_flags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_ARGUMENTS = 64, MAX_BYTES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[MAX_BYTES + 1];
    char *argv[MAX_ARGUMENTS + 2] = { (char[]){ "run" } };
    struct option_error err = { "" };
    struct vm_options options;
    int argc = 1;

    if (size > MAX_BYTES)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (strstr(text, "--conf")) /* --config opens files: cli_config.c */
        return 0;
    for (char *p = strtok(text, "\n"); p && argc <= MAX_ARGUMENTS; p = strtok(NULL, "\n"))
        argv[argc++] = p;
    if (vm_options_parse(&options, argc, argv, &err) < 0) {
        if (err.text[0] == '\0')
            abort(); /* a refusal says why */
    } else if (!options.help) {
        size_t n = bulkhead__vm_config__get_packed_size(&options.config);
        uint8_t *packed = malloc(n);

        if (packed && bulkhead__vm_config__pack(&options.config, packed) != n)
            abort();
        free(packed);
    }
    vm_options_deinit(&options);
    return 0;
}
