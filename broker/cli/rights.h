/* SPDX-License-Identifier: Apache-2.0 */
/* rights.h - named rights, for people and as JSON. */
#pragma once

#include <jansson.h>
#include "host.pb-c.h"
#include "options/bag.h"
#include "options/nearest.h"

extern const char rights_verbs[]; /* "start, stop, ..." */

/* name may be NULL. CONTROL_NONE: it is none, and `near` knows the nearest. */
Bulkhead__ControlVerb rights_verb_of(const char *name, struct nearest *near);
/* "start, stop: web, db; those with role=web"; "": it has none. */
const char *rights_text(struct bag *bag, const Bulkhead__ControlRight *right);
/* "data, lan1"; "": none. */
const char *rights_devices(struct bag *bag, char *const *ids, size_t n);
/* A new reference; null without one. */
json_t *rights_json(const Bulkhead__ControlRight *right);
