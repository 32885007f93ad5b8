/* SPDX-License-Identifier: Apache-2.0 */
/* info.h - `bulkhead info`: one VM of the host's service, where it stands and how it was described. */
#pragma once

#include "verbs/verb.h"

extern const struct verb verb_info;
