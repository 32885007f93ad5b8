/* SPDX-License-Identifier: Apache-2.0 */
/* screen.h - a screen of text that is drawn again and again, on the terminal's second screen: what was on the first is there
 * afterwards. */
#pragma once

#include <stddef.h>
#include "base/compiler.h"

void screen_open(void);
void screen_close(void);
/* Line by line over the old ones, cut to the window: nothing wraps or scrolls. */
void screen_draw(const char *text);
/* What ends it, as a descriptor (signalfd); negative on failure. */
int screen_signals(void) must_check;
