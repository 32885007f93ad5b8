/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.h - `bulkhead doctor`. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_doctor;
