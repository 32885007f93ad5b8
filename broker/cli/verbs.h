/* SPDX-License-Identifier: Apache-2.0 */
/* verbs.h - one function per verb: argv[0] is the verb, the result an exit status (say.h). */
#pragma once

#include <stdio.h>

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;       /* after the name */
    const char *summary;     /* one line */
    void (*help)(FILE *out); /* more than usage and summary; may be NULL */
};

const struct verb *verb_find(const char *name); /* main.c; NULL when unknown */
/* Prints "usage: bulkhead NAME ..." and the rest; EXIT_OK. */
int verb_help(const char *name);

int verb_run(int argc, char **argv);
int verb_plan(int argc, char **argv);
int verb_ps(int argc, char **argv);
int verb_top(int argc, char **argv);
int verb_events(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_audit(int argc, char **argv);
int verb_repair(int argc, char **argv);
int verb_upgrade(int argc, char **argv);
int verb_pause(int argc, char **argv);
int verb_resume(int argc, char **argv);
int verb_stop(int argc, char **argv);
int verb_power_button(int argc, char **argv);
int verb_set(int argc, char **argv);

void verb_doctor_help(FILE *out);
void verb_set_help(FILE *out);
void verb_run_help(FILE *out);
