// SPDX-License-Identifier: Apache-2.0
// keyvalue.c - table-driven "key=value,..." parser.
#include "options/keyvalue.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "options/nearest.h"

struct parse {
    const char *what;
    struct bag *bag;
    struct option_error *err;
};

int option_fail(struct option_error *err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    return -1;
}

int option_u64(const char *text, uint64_t *ret_value)
{
    char *end = NULL;
    unsigned long long v;

    /* strtoull accepts signs and blanks; an option's value has neither. */
    if (!isdigit((unsigned char)text[0]))
        return -1;
    errno = 0;
    v = strtoull(text, &end, text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10);
    if (errno != 0 || *end != '\0')
        return -1;
    *ret_value = v;
    return 0;
}

int option_size(const char *text, uint64_t *ret_bytes)
{
    static const char suffixes[] = "KMGT";
    size_t len = strlen(text);
    char digits[32];
    const char *s;
    unsigned shift = 0;
    uint64_t v;

    if (len == 0 || len >= sizeof(digits))
        return -1;
    s = strchr(suffixes, toupper((unsigned char)text[len - 1]));
    if (s && *s) {
        shift = 10u * (unsigned)(s - suffixes + 1);
        len--;
    }
    memcpy(digits, text, len);
    digits[len] = '\0';
    if (option_u64(digits, &v) < 0 || v > UINT64_MAX >> shift)
        return -1;
    *ret_bytes = v << shift;
    return 0;
}

int option_mac(const char *text, uint8_t ret_bytes[6])
{
    uint8_t mac[6];

    for (unsigned i = 0; i < 6; i++) {
        char pair[3];

        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
            return -1;
        pair[0] = text[0];
        pair[1] = text[1];
        pair[2] = '\0';
        mac[i] = (uint8_t)strtoul(pair, NULL, 16);
        if (text[2] != (i < 5 ? ':' : '\0'))
            return -1;
        text += 3;
    }
    memcpy(ret_bytes, mac, sizeof(mac));
    return 0;
}

/* The end of one item: the next comma outside quotes and brackets; NULL when one stays open. */
static const char *item_end(const char *p)
{
    bool quoted = false;
    unsigned depth = 0;

    for (; *p; p++) {
        if (*p == '"')
            quoted = !quoted;
        else if (!quoted && *p == '[')
            depth++;
        else if (!quoted && *p == ']')
            depth = depth > 0 ? depth - 1 : 0;
        else if (!quoted && depth == 0 && *p == ',')
            break;
    }
    return quoted || depth > 0 ? NULL : p;
}

static char *unquote(struct bag *bag, const char *text, size_t len)
{
    char *copy = bag_alloc(bag, len + 1);
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        if (text[i] != '"')
            copy[n++] = text[i];
    return copy;
}

static void list_add(struct parse *p, struct option_list *list, const char *text, size_t len)
{
    void **items = (void **)list->items;

    bag_append(p->bag, &items, &list->n_items, unquote(p->bag, text, len));
    list->items = (char **)items;
}

static int store_list(struct parse *p, const struct option_spec *spec, const char *text,
                      void *field)
{
    struct option_list *list = field;
    size_t len = strlen(text);
    const char *end;

    if (len < 2 || text[0] != '[' || text[len - 1] != ']') {
        list_add(p, list, text, len);
        return 0;
    }
    for (const char *item = text + 1; item < text + len; item = end + 1) {
        end = item;
        for (unsigned depth = 0; end < text + len - 1 && (*end != ',' || depth > 0); end++)
            depth = *end == '[' ? depth + 1 : *end == ']' && depth > 0 ? depth - 1 : depth;
        if (end == item)
            return option_fail(p->err, "%s: %s= has an empty entry", p->what, spec->key);
        list_add(p, list, item, (size_t)(end - item));
    }
    return 0;
}

static int store_number(struct parse *p, const struct option_spec *spec, const char *text,
                        void *field)
{
    bool size = spec->kind == OPTION_SIZE;
    size_t len = strlen(text);
    uint64_t v = 0;

    if (spec->kind == OPTION_PERCENT && len > 1 && text[len - 1] == '%')
        text = bag_strndup(p->bag, text, len - 1);

    if ((size ? option_size(text, &v) : option_u64(text, &v)) < 0)
        return option_fail(p->err, "%s: %s=%s is not a %s", p->what, spec->key, text,
                           size ? "size (a number, then K, M, G or T if wanted)" : "number");
    if (v < spec->min || v > spec->max)
        return option_fail(p->err, "%s: %s=%s is out of range (%llu to %llu)", p->what, spec->key,
                           text, (unsigned long long)spec->min, (unsigned long long)spec->max);
    if (spec->kind == OPTION_U32 || spec->kind == OPTION_PERCENT)
        *(uint32_t *)field = (uint32_t)v;
    else
        *(uint64_t *)field = v;
    return 0;
}

static int store_switch(struct parse *p, const struct option_spec *spec, const char *text,
                        int *field)
{
    if (strcmp(text, "on") == 0 || strcmp(text, "true") == 0)
        *field = 1;
    else if (strcmp(text, "off") == 0 || strcmp(text, "false") == 0)
        *field = 0;
    else
        return option_fail(p->err, "%s: %s=%s: say on or off", p->what, spec->key, text);
    return 0;
}

/* Is the word one of "a|b|c"? */
static bool is_one_of(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = words; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (strncasecmp(p, word, len) == 0 && (p[len] == '|' || p[len] == '\0'))
            return true;
    return false;
}

static int store_only(struct parse *p, const struct option_spec *spec, const char *text)
{
    if (is_one_of(spec->help, text))
        return 0;
    if (!spec->help)
        return option_fail(p->err, "%s: %s= is not supported yet: leave it out", p->what,
                           spec->key);
    return option_fail(p->err, "%s: %s=%s is not supported yet: %s is", p->what, spec->key, text,
                       spec->help);
}

static int store(struct parse *p, const struct option_spec *spec, const char *text, void *field)
{
    struct option_mac *mac = field;
    struct in_addr addr;

    switch (spec->kind) {
    case OPTION_FLAG:
        return option_fail(p->err, "%s: %s takes no value", p->what, spec->key);
    case OPTION_SWITCH:
        return store_switch(p, spec, text, field);
    case OPTION_U32:
    case OPTION_U64:
    case OPTION_SIZE:
    case OPTION_PERCENT:
        return store_number(p, spec, text, field);
    case OPTION_TEXT:
        if (strlen(text) < spec->min || strlen(text) > spec->max)
            return option_fail(p->err, "%s: %s= is %zu bytes long (%llu to %llu are allowed)",
                               p->what, spec->key, strlen(text), (unsigned long long)spec->min,
                               (unsigned long long)spec->max);
        *(char **)field = bag_strndup(p->bag, text, strlen(text));
        return 0;
    case OPTION_LIST:
        return store_list(p, spec, text, field);
    case OPTION_MAC:
        if (option_mac(text, mac->bytes) < 0)
            return option_fail(p->err, "%s: %s=%s is not a MAC address (aa:bb:cc:dd:ee:ff)",
                               p->what, spec->key, text);
        mac->given = true;
        return 0;
    case OPTION_IPV4:
        if (inet_pton(AF_INET, text, &addr) != 1)
            return option_fail(p->err, "%s: %s=%s is not an IPv4 address", p->what, spec->key,
                               text);
        *(uint32_t *)field = ntohl(addr.s_addr);
        return 0;
    case OPTION_ONLY:
        return store_only(p, spec, text);
    }
    return option_fail(p->err, "%s: %s: unknown kind", p->what, spec->key);
}

static int fail_unknown(struct parse *p, const char *key, const struct option_spec *specs, size_t n)
{
    struct nearest near = nearest_to(key);

    for (size_t i = 0; i < n; i++)
        nearest_try(&near, specs[i].key);
    if (strcmp(specs[0].key, "path") == 0 && strpbrk(key, "./"))
        return option_fail(p->err, "%s: unknown option '%s': is path=%s meant?", p->what, key, key);
    if (nearest_found(&near))
        return option_fail(p->err, "%s: unknown option '%s' (the nearest is '%s')", p->what, key,
                           nearest_found(&near));
    return option_fail(p->err, "%s: unknown option '%s' (see bulkhead help run)", p->what, key);
}

static int parse_item(struct parse *p, const char *item, size_t len,
                      const struct option_spec *specs, size_t n_specs, void *dst, uint64_t *seen)
{
    const char *eq = memchr(item, '=', len);
    char *key = bag_strndup(p->bag, item, eq ? (size_t)(eq - item) : len);
    const struct option_spec *spec = NULL;
    const char *value;
    void *field;

    if (*key == '\0')
        return option_fail(p->err, "%s: an empty option in its value", p->what);
    for (size_t i = 0; i < n_specs && !spec; i++)
        if (strcmp(specs[i].key, key) == 0)
            spec = &specs[i];
    if (!spec)
        return fail_unknown(p, key, specs, n_specs);
    if ((*seen & 1ull << (spec - specs)) && spec->kind != OPTION_LIST)
        return option_fail(p->err, "%s: %s is given twice", p->what, key);
    *seen |= 1ull << (spec - specs);
    field = (char *)dst + spec->offset;
    if (spec->kind == OPTION_FLAG && !eq) {
        *(int *)field = (int)spec->min;
        return 0;
    }
    if (!eq)
        return option_fail(p->err, "%s: %s needs a value (%s=...)", p->what, key, key);
    len -= (size_t)(eq + 1 - item);
    value =
        spec->kind == OPTION_LIST ? bag_strndup(p->bag, eq + 1, len) : unquote(p->bag, eq + 1, len);
    if (*value == '\0' && (spec->kind == OPTION_MAC || spec->kind == OPTION_IPV4) && spec->min) {
        *seen &= ~(1ull << (spec - specs));
        return 0;
    }
    if (*value == '\0' && !(spec->kind == OPTION_TEXT && spec->min == 0))
        return option_fail(p->err, "%s: %s= is empty", p->what, key);
    return store(p, spec, value, field);
}

int option_parse(const char *what, const char *arg, const struct option_spec *specs, size_t n_specs,
                 void *dst, struct bag *bag, uint64_t *ret_seen, struct option_error *err)
{
    struct parse p = { .what = what, .bag = bag, .err = err };
    uint64_t seen = 0;

    for (const char *item = arg;; item++) {
        const char *end = item_end(item);

        if (!end)
            return option_fail(err, "%s: a quote or bracket is left open", what);
        if (parse_item(&p, item, (size_t)(end - item), specs, n_specs, dst, &seen) < 0)
            return -1;
        item = end;
        if (*end == '\0')
            break;
    }
    if (ret_seen)
        *ret_seen = seen;
    return 0;
}
