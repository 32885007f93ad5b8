// SPDX-License-Identifier: Apache-2.0
// screen.c - see screen.h.
#include "screen.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Without a cursor. */
void screen_open(void)
{
    fputs("\033[?1049h\033[?25l", stdout);
}

void screen_close(void)
{
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
}

void screen_draw(const char *text)
{
    struct winsize size = { 0 };
    size_t rows = 24;
    size_t columns = 80;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        rows = size.ws_row;
        columns = size.ws_col;
    }
    fputs("\033[H", stdout);
    for (size_t row = 0; row < rows && *text; row++) {
        size_t len = strcspn(text, "\n");

        printf("%s%.*s\033[K", row ? "\r\n" : "", (int)MIN(len, columns), text);
        text += len + (text[len] == '\n');
    }
    fputs("\033[J", stdout);
    fflush(stdout);
}

int screen_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}
