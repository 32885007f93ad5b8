/* SPDX-License-Identifier: Apache-2.0 */
/* answer.h - what is sent: status line, headers, body; and an error's body, in Cloud Hypervisor's form. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The whole answer; *ret_len bytes, for free(). NULL: no memory. ignored: NULL, or what a header of that name is to say.
 * no_body: its length is told, and it isn't sent (HEAD). */
char *answer_text(int status, const char *body, size_t body_len, const char *ignored,
                  bool keep_alive, size_t *ret_len);
/* ["Bad Request","TEXT"]; for free(). */
char *answer_fault(int status, const char *text);
const char *answer_reason(int status);
