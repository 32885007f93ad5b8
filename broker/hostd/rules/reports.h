/* SPDX-License-Identifier: Apache-2.0 */
/* reports.h - what the starter says. */
#pragma once

#include "hostd/rules/facts.h"

/* The service begins: what there is is asked for. */
void reports_begin(struct host *host);
/* It answers `ask`, or never will (the event's fault says so). */
void reports_answered(struct host *host, const struct host_event *event);
/* It has that VM. */
void reports_kept(struct host *host, const struct host_event *event);
void reports_console_ended(struct host *host, const struct host_event *event);
void reports_broker_ended(struct host *host, const struct host_event *event);
/* All that is to be known at the start is; false: nothing more. */
bool reports_settle(struct host *host);
/* Those who have not said where they stand by now are waited for no longer. */
void reports_open(struct host *host);
