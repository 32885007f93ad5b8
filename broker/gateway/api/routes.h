/* SPDX-License-Identifier: Apache-2.0 */
/* routes.h - what is asked for by method and path, and whether its body is what it is to be: docs/api/vm.yaml says that, the
 * build makes a table of it (openapi/). */
#pragma once

#include "api/call.h"

/* Answers at once or later. */
void routes_take(struct calls *calls, const struct server_request *request);
