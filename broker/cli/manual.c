/* SPDX-License-Identifier: Apache-2.0 */
/* manual.c - see manual.h. */
#include "manual.h"

#include <ctype.h>
#include <stdlib.h>
#include "version.h"

/* Text is text: no macro, no escape, and a hyphen that can be copied to a command line. */
static void put(FILE *out, const char *text)
{
    bool begins = true;

    for (; *text; text++) {
        if (begins && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
        begins = *text == '\n';
    }
}

static void put_title(FILE *out, const char *verb)
{
    fputs(".TH BULKHEAD", out);
    if (verb)
        fputc('-', out);
    for (const char *p = verb; p && *p; p++)
        fputc(toupper((unsigned char)*p), out);
    fputs(" 1 \"\" \"bulkhead " BULKHEAD_VERSION "\" \"Bulkhead\"\n", out);
}

static void put_flags(FILE *out, const struct flag_list *flags)
{
    fputs(".SH OPTIONS\n", out);
    for (size_t i = 0; i < flags->n; i++) {
        const struct flag *flag = &flags->of[i];

        if (!flag->help)
            continue;
        fputs(".TP\n\\fB", out);
        if (flag->letter)
            fprintf(out, "\\-%c\\fR, \\fB", flag->letter);
        fputs("\\-\\-", out);
        put(out, flag->name);
        fputs("\\fR", out);
        if (flag->value) {
            fputs(" \\fI", out);
            put(out, flag->value);
            fputs("\\fR", out);
        }
        fputc('\n', out);
        put(out, flag->help);
        fputc('\n', out);
    }
}

static void put_more(FILE *out, const struct verb *verb)
{
    char *text = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&text, &len);

    if (!memory)
        return;
    verb->more(memory);
    if (fclose(memory) == 0) {
        fputs(".SH NOTES\n.nf\n", out);
        put(out, text);
        fputs(".fi\n", out);
    }
    free(text);
}

void manual_of_verb(const struct verb *verb, FILE *out)
{
    put_title(out, verb->name);
    fputs(".SH NAME\nbulkhead\\-", out);
    put(out, verb->name);
    fputs(" \\- ", out);
    put(out, verb->summary);
    fputs("\n.SH SYNOPSIS\n\\fBbulkhead ", out);
    put(out, verb->name);
    fputs("\\fR ", out);
    put(out, verb->usage);
    fputc('\n', out);
    if (verb->flags)
        put_flags(out, verb->flags);
    if (verb->more)
        put_more(out, verb);
    fputs(".SH SEE ALSO\n\\fBbulkhead\\fR(1)\n", out);
}

void manual_print(const struct verb_list *verbs, FILE *out)
{
    put_title(out, NULL);
    fputs(".SH NAME\nbulkhead \\- virtual machines as fleets of small sandboxed processes\n"
          ".SH SYNOPSIS\n\\fBbulkhead\\fR \\fIVERB\\fR [\\fIARGUMENTS\\fR]\n.SH VERBS\n",
          out);
    for (size_t i = 0; i < verbs->n; i++) {
        if (!verbs->of[i]->summary)
            continue;
        fputs(".TP\n\\fB", out);
        put(out, verbs->of[i]->name);
        fputs("\\fR ", out);
        put(out, verbs->of[i]->usage);
        fputc('\n', out);
        put(out, verbs->of[i]->summary);
        fputc('\n', out);
    }
    fputs(".SH EXAMPLE\n.nf\n", out);
    put(out,
        "bulkhead run --kernel vmlinuz --initramfs initrd.img --disk path=disk.img --net user\n");
    fputs(".fi\n.SH SEE ALSO\nEach verb has a page of its own, as \\fBbulkhead\\-run\\fR(1).\n",
          out);
}
