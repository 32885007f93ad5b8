/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - one line per event on FD_LOG. In a child the broker reads that pipe, cleans the bytes,
 * limits the rate and adds the process's name; a full pipe drops the line and counts it.
 * A line is at most 512 bytes and never allocates. */
#pragma once

#include <stdbool.h>
#include "base/compiler.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* name: printed before each line; "" where the broker adds it. Lines below min are dropped. */
void log_init(const char *name, enum log_level min);
/* Where the other end of the log is the user's, and may block: lines that nobody reads are dropped, and
 * counted. A pipe or a terminal is opened anew, so that nobody who shares it can have us wait: each process that must
 * not wait for another calls this for itself. */
void log_never_wait(void);
/* What is logged goes to journald, as the service manager says: then each line tells its priority there too. */
bool log_is_journal(void);
void log_line(enum log_level level, const char *fmt, ...) printf_like(2, 3);

#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)

/* What a guest can provoke: at most 10 lines per 10 seconds per process, then one that counts. */
void log_guest(const char *fmt, ...) printf_like(1, 2);
