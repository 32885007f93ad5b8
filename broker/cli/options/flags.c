// SPDX-License-Identifier: Apache-2.0
// flags.c - flags of a verb.
#include "options/flags.h"
#include <getopt.h>
#include <stdint.h>
#include <string.h>
#include "options/nearest.h"

enum { FLAGS_MAX = 90, FLAG_INDEX_BASE = 256 };

static int fail_unknown(const struct flag *flags, size_t n_flags, const char *given,
                        struct option_error *err)
{
    const char *name = given + strspn(given, "-");
    char bare[64];
    struct nearest near;

    snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(name, "="), name);
    near = nearest_to(bare);
    for (size_t i = 0; i < n_flags; i++)
        nearest_try(&near, flags[i].name);
    if (given[0] == '-' && given[1] == '-' && nearest_found(&near))
        return option_fail(err, "unknown flag '--%s' (the nearest is '--%s')", bare,
                           nearest_found(&near));
    return option_fail(err, "unknown flag '%s' (see --help)", given);
}

static int fail_getopt(const struct flag *flags, size_t n_flags, int c, char **argv,
                       struct option_error *err)
{
    const char *given = argv[optind - 1];
    char letter[3] = { '-', (char)optopt, '\0' };

    if (c == ':')
        return option_fail(err, "%s needs a value", given);
    if (optopt >= FLAG_INDEX_BASE)
        return option_fail(err, "--%s takes no value", flags[optopt - FLAG_INDEX_BASE].name);
    if (optopt != 0)
        return fail_unknown(flags, n_flags, letter, err);
    return fail_unknown(flags, n_flags, given, err);
}

static int has_value(const struct flag *flag)
{
    if (flag->values == FLAG_MAYBE)
        return optional_argument;
    return flag->value ? required_argument : no_argument;
}

int flags_parse(const struct flag_list *list, int argc, char **argv, flag_fn on_flag, void *arg,
                struct option_error *err)
{
    const struct flag *flags = list->of;
    const size_t n_flags = list->n;
    struct option longs[FLAGS_MAX + 1] = { 0 };
    char letters[2 * FLAGS_MAX + 3] = "+:";
    int c;

    if (n_flags > FLAGS_MAX)
        return option_fail(err, "too many flags");
    for (size_t i = 0; i < n_flags; i++) {
        size_t n = strlen(letters);

        longs[i] =
            (struct option){ flags[i].name, has_value(&flags[i]), NULL, FLAG_INDEX_BASE + (int)i };
        if (flags[i].letter) {
            letters[n++] = flags[i].letter;
            letters[n++] = flags[i].value ? ':' : '\0';
            letters[n] = '\0';
        }
    }
    optind = 0; /* glibc: start afresh, also for a second command line in one process */
    opterr = 0;
    for (;;) {
        const struct flag *flag = NULL;

        c = getopt_long(argc, argv, letters, longs, NULL);
        if (c == -1 && optind < argc) {
            if (on_flag(arg, FLAG_OPERAND, argv[optind++], err) < 0)
                return -1;
            continue;
        }
        if (c == -1)
            return 0;
        if (c == '?' || c == ':')
            return fail_getopt(flags, n_flags, c, argv, err);
        for (size_t i = 0; i < n_flags && !flag; i++)
            if (c == FLAG_INDEX_BASE + (int)i || c == flags[i].letter)
                flag = &flags[i];
        if (!flag)
            return option_fail(err, "unknown flag");
        if (flag->values == FLAG_MAYBE && !optarg && optind < argc && argv[optind][0] != '-')
            optarg = argv[optind++];
        if (on_flag(arg, flag->id, optarg, err) < 0)
            return -1;
        while (flag->values == FLAG_MANY && optind < argc && argv[optind][0] != '-')
            if (on_flag(arg, flag->id, argv[optind++], err) < 0)
                return -1;
    }
}

void flags_print(const struct flag_list *flags, FILE *out)
{
    for (size_t i = 0; i < flags->n; i++) {
        const struct flag *flag = &flags->of[i];
        char left[64];

        if (!flag->help)
            continue;
        snprintf(left, sizeof(left), "%s%c%s--%s%s%s", flag->letter ? "-" : " ",
                 flag->letter ? flag->letter : ' ', flag->letter ? ", " : "  ", flag->name,
                 flag->value ? " " : "", flag->value ? flag->value : "");
        if (strlen(left) <= 28)
            fprintf(out, "  %-28s  ", left);
        else
            fprintf(out, "  %s\n%32s", left, "");
        for (const char *p = flag->help; *p; p++) {
            fputc(*p, out);
            if (*p == '\n')
                fprintf(out, "%32s", "");
        }
        fputc('\n', out);
    }
}

static int on_simple(void *arg, int id, const char *value, struct option_error *err)
{
    struct simple_args *args = arg;

    if (id == FLAG_HELP)
        args->help = true;
    else if (id == FLAG_JSON)
        args->json = true;
    else if (args->n_operands == ARRAY_SIZE(args->operands))
        return option_fail(err, "too many arguments: '%s'", value);
    else
        args->operands[args->n_operands++] = value;
    return 0;
}

static const struct flag simple[] = { FLAGS_COMMON_JSON };
const struct flag_list flags_simple = { simple, ARRAY_SIZE(simple) };

int flags_parse_simple(int argc, char **argv, struct simple_args *ret_args,
                       struct option_error *err)
{
    *ret_args = (struct simple_args){ 0 };
    return flags_parse(&flags_simple, argc, argv, on_simple, ret_args, err);
}
