/* SPDX-License-Identifier: Apache-2.0 */
/* hostfwd.c - "tcp:127.0.0.1:2222-:22", a port of the host that leads to the guest. */
#include "config/hostfwd.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static bool parse_port(const char *text, size_t len, uint16_t *ret_port)
{
    unsigned long value = 0;

    if (len == 0 || len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (unsigned long)(text[i] - '0');
    }
    if (value == 0 || value > 65535)
        return false;
    *ret_port = (uint16_t)value;
    return true;
}

int validate_hostfwd(const char *text, struct validate_hostfwd *ret_forward, struct fault *f)
{
    struct validate_hostfwd forward = { 0 };
    const char *rest = text, *dash = strchr(text, '-'), *colon;
    struct in_addr address;

    if (strncmp(rest, "udp:", 4) == 0)
        forward.udp = true;
    else if (strncmp(rest, "tcp:", 4) != 0)
        goto bad;
    rest += 4;
    if (!dash || dash < rest || dash[1] != ':')
        goto bad;
    colon = memchr(rest, ':', (size_t)(dash - rest));
    if (!colon || (size_t)(colon - rest) >= sizeof forward.address)
        goto bad;
    memcpy(forward.address, rest, (size_t)(colon - rest));
    if (forward.address[0] != '\0' && inet_pton(AF_INET, forward.address, &address) != 1)
        goto bad;
    if (!parse_port(colon + 1, (size_t)(dash - colon - 1), &forward.host_port) ||
        !parse_port(dash + 2, strlen(dash + 2), &forward.guest_port))
        goto bad;
    *ret_forward = forward;
    return 0;
bad:
    return fault_input(f, "hostfwd '%.60s' is not usable: write it like tcp:127.0.0.1:2222-:22",
                       text);
}
