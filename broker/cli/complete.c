/* SPDX-License-Identifier: Apache-2.0 */
/* complete.c - see complete.h. */
#include "complete.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "client.h"
#include "client/envelope.h"
#include "client/rundir.h"
#include "host_client.h"
#include "options/device_flags.h"
#include "output.h"

enum { PATIENCE_MS = 1000 }; /* of who has pressed a key */

struct typed {
    char **words;
    size_t n;
    const char *last;
};

/* HEAD is what of the word stays. Names come from a broker, so they are cleaned; of what it is, one line. */
static void offer(const struct typed *typed, const char *head, size_t head_len, const char *rest,
                  const char *what)
{
    char fits[512], clean[512];

    if (strncmp(typed->last, head, head_len) != 0 ||
        strncmp(typed->last + head_len, rest, strlen(typed->last + head_len)) != 0)
        return;
    snprintf(fits, sizeof(fits), "%.*s%s", (int)head_len, head, rest);
    printf("%s\t%.*s\n", say_clean(clean, sizeof(clean), fits), (int)strcspn(what, "\n"), what);
}

/* Printed as it is: to whoever typed it. */
static void offer_files(size_t head_len, const char *word)
{
    printf(":files %.*s\n", (int)head_len, word);
}

static void offer_verbs(const struct typed *typed, const struct verb_list *verbs)
{
    for (size_t i = 0; i < verbs->n; i++)
        if (verbs->of[i]->summary)
            offer(typed, "", 0, verbs->of[i]->name, verbs->of[i]->summary);
}

/* The host's own, who sees all, may name another tenant's; a name without a tenant is one's own. */
static bool offer_service_vm(void *arg, const Bulkhead__VmStatus *status)
{
    const struct typed *typed = arg;
    char whole[HOST_NAME_BYTES];

    snprintf(whole, sizeof(whole), "%s/%s", status->tenant, status->name);
    offer(typed, "", 0, strchr(typed->last, '/') ? whole : status->name, "VM");
    return true;
}

static void offer_vms(const struct typed *typed)
{
    static char names[RUNDIR_MAX_VMS][RUNDIR_NAME_BYTES];
    struct host host = { 0 };
    size_t n = rundir_list(names, RUNDIR_MAX_VMS);
    int r;

    for (size_t i = 0; i < n; i++)
        offer(typed, "", 0, names[i], "VM");
    r = host_connect(&host);
    if (r == 0) /* what came until something went wrong is offered */
        r = host_each_vm(&host, NULL, 0, PATIENCE_MS, offer_service_vm, (void *)(uintptr_t)typed);
    host_close(&host);
    (void)r;
}

static void offer_devices(const struct typed *typed, const char *vm)
{
    Bulkhead__ListProcesses msg = BULKHEAD__LIST_PROCESSES__INIT;
    struct client client = { 0 };
    struct client_answer answer;

    CLIENT_ENVELOPE(request, LIST_PROCESSES, list_processes, &msg);
    if (client_connect(&client, vm) < 0)
        return;
    if (client_call(&client, &request, &answer) == 0 &&
        answer.envelope->body_case == BULKHEAD__CLIENT_ENVELOPE__BODY_PROCESS_LIST) {
        const Bulkhead__ProcessList *list = answer.envelope->process_list;

        for (size_t i = 0; i < list->n_processes; i++)
            if (list->processes[i]->role >= BULKHEAD__ROLE__ROLE_BLK)
                offer(typed, "", 0, list->processes[i]->name, "device");
    }
    client_close(&client);
}

/* The option of `specs` that the word's last part names, as "path" in "readonly=on,path=/tm". */
static bool is_path(const char *key, size_t len)
{
    static const char *const keys[] = { "path", "socket", "file" };

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (strlen(keys[i]) == len && strncmp(keys[i], key, len) == 0)
            return true;
    return false;
}

static void offer_value(const struct typed *typed, const struct flag *flag)
{
    char name[64];
    size_t n, head_len;
    const struct option_spec *specs;
    const char *comma = strrchr(typed->last, ','), *part = comma ? comma + 1 : typed->last,
               *is = strchr(part, '=');

    snprintf(name, sizeof(name), "--%s", flag->name);
    specs = vm_devices_specs(name, &n);
    if (!specs) {
        if (strstr(flag->value, "PATH") || strstr(flag->value, "FILE") ||
            strstr(flag->value, "DIR"))
            offer_files(0, typed->last);
        return;
    }
    if (is) {
        if (is_path(part, (size_t)(is - part)))
            offer_files((size_t)(is + 1 - typed->last), typed->last);
        return;
    }
    head_len = (size_t)(part - typed->last);
    for (size_t i = 0; i < n; i++) {
        char rest[64];

        if (specs[i].kind == OPTION_ONLY || specs[i].key[0] == '_')
            continue;
        snprintf(rest, sizeof(rest), "%s%s", specs[i].key, specs[i].kind == OPTION_FLAG ? "" : "=");
        offer(typed, typed->last, head_len, rest, specs[i].help);
    }
}

static void offer_flags(const struct typed *typed, const struct flag_list *flags)
{
    for (size_t i = 0; flags && i < flags->n; i++) {
        char name[64];

        snprintf(name, sizeof(name), "--%s", flags->of[i].name);
        if (flags->of[i].help)
            offer(typed, "", 0, name, flags->of[i].help);
    }
}

/* The flag whose value the last word is, or may be; NULL: none. Operands before it are counted. */
static const struct flag *flag_before(const struct typed *typed, const struct flag_list *flags,
                                      size_t *ret_operands)
{
    const struct flag *takes = NULL;

    *ret_operands = 0;
    for (size_t w = 1; w + 1 < typed->n; w++) {
        const char *word = typed->words[w];

        if (word[0] != '-') {
            *ret_operands += takes == NULL;
            if (takes && takes->values != FLAG_MANY)
                takes = NULL;
            continue;
        }
        takes = NULL;
        for (size_t i = 0; flags && i < flags->n; i++)
            if (strncmp(word, "--", 2) == 0 && strcmp(word + 2, flags->of[i].name) == 0 &&
                flags->of[i].value)
                takes = &flags->of[i];
    }
    return takes;
}

static void offer_words(const struct typed *typed, const char *const *words)
{
    for (; words && *words; words++)
        offer(typed, "", 0, *words, "");
}

static void offer_operand(const struct typed *typed, const struct verb_list *verbs,
                          const struct verb *verb, enum operand what)
{
    switch (what) {
    case OPERAND_VERB:
        offer_verbs(typed, verbs);
        break;
    case OPERAND_VM:
        offer_vms(typed);
        break;
    case OPERAND_DEVICE:
        offer_devices(typed, typed->words[1]);
        break;
    case OPERAND_WORD:
        offer_words(typed, verb->words);
        break;
    case OPERAND_FILE:
        offer_files(0, typed->last);
        break;
    case OPERAND_AGAIN:
    case OPERAND_NONE:
        break;
    }
}

/* What the operand of that number stands for. */
static enum operand operand_at(const struct verb *verb, size_t n)
{
    for (size_t i = 1; i < ARRAY_SIZE(verb->operands) && i <= n; i++)
        if (verb->operands[i] == OPERAND_AGAIN)
            return verb->operands[i - 1];
    return n < ARRAY_SIZE(verb->operands) ? verb->operands[n] : OPERAND_NONE;
}

void complete_print(const struct verb_list *verbs, size_t n_words, char **words)
{
    struct typed typed = { .words = words, .n = n_words };
    const struct verb *verb = NULL;
    const struct flag *flag;
    size_t n_operands;

    if (n_words == 0)
        return;
    typed.last = words[n_words - 1];
    if (n_words == 1) {
        offer_verbs(&typed, verbs);
        return;
    }
    for (size_t i = 0; i < verbs->n; i++)
        if (verbs->of[i]->summary && strcmp(verbs->of[i]->name, words[0]) == 0)
            verb = verbs->of[i];
    if (!verb)
        return;
    flag = flag_before(&typed, verb->flags, &n_operands);
    if (typed.last[0] == '-')
        offer_flags(&typed, verb->flags);
    else if (flag)
        offer_value(&typed, flag);
    else
        offer_operand(&typed, verbs, verb, operand_at(verb, n_operands));
}
