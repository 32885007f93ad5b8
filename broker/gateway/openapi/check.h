/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - whether a request's body is of its schema. */
#pragma once

#include "openapi/openapi.h"

/* Fields that are not in the schema, and those that are null, are not looked at. false, with one line that names the
 * field. */
bool check_body(const struct openapi_schema *schema, const json_t *body,
                char ret_fault[OPENAPI_FAULT_BYTES]);
