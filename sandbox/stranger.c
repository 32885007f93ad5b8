/* SPDX-License-Identifier: Apache-2.0 */
/* stranger.c - see stranger.h. */
#include "sandbox/stranger.h"

#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>
#include "sandbox/ids.h"

uint32_t stranger_uid(void)
{
    uint32_t number = 0;

    if (geteuid() != 0 || !sandbox_ids_mapped(STRANGER_UID_FIRST, STRANGER_UID_COUNT) ||
        getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number)
        return 0;
    return (uint32_t)STRANGER_UID_FIRST + number % STRANGER_UID_COUNT;
}
