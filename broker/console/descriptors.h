/* SPDX-License-Identifier: Apache-2.0 */
/* descriptors.h - what bulkhead-console finds open when it starts: it opens nothing. Its one argument is the size,
 * in bytes, at which a log is rotated. */
#pragma once

enum console_fd {
    /* 0 and 1: /dev/null. 2: the write end of the log fifo, so that what it says itself is in the VM's log. */
    CONSOLE_SERIAL = 3, /* connected stream: what the guest's serial port says and hears */
    CONSOLE_FIFO, /* read end: what the VM's broker and spawner log. Both ends O_NONBLOCK, descriptions of its own */
    CONSOLE_ATTACH,    /* stream that listens: whoever connects is attached */
    CONSOLE_GUEST_LOG, /* these four: O_RDWR | O_APPEND */
    CONSOLE_GUEST_LOG_OLD,
    CONSOLE_BROKER_LOG,
    CONSOLE_BROKER_LOG_OLD,
    CONSOLE_LOCK, /* its first byte is locked (F_SETLK) by the one bulkhead-console of this VM, until it ends */
    CONSOLE_FDS,
};

enum { CONSOLE_MIN_LOG_BYTES = 4096, CONSOLE_LOG_BYTES = 1 << 20, CONSOLE_EXIT_TAKEN = 3 };
