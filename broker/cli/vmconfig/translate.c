// SPDX-License-Identifier: Apache-2.0
// translate.c - see translate.h.
#include "vmconfig/translate.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "options/nearest.h"
#include "vmconfig/fields.h"

struct translation {
    const struct config_source *source;
    struct bag *bag;
    char **argv, **where;
    size_t argc, n_where;
    struct option_error *err;
    char **unknown; /* NULL: a field that is not known is an error */
};

/* The path of a field, or of a part of it. */
static char *path_of(const struct translation *t, const char *where, const char *name)
{
    const char *outer = t->source->path;

    return bag_printf(t->bag, "%s%s%s%s%s", outer, *outer && (*where || *name) ? "." : "", where,
                      *where && *name ? "." : "", name);
}

static void add_word(struct translation *t, const char *where, const char *name, char *word)
{
    void **words = (void **)t->argv, **wheres = (void **)t->where;

    bag_append(t->bag, &words, &t->argc, word);
    bag_append(t->bag, &wheres, &t->n_where, path_of(t, where, name));
    t->argv = (char **)words;
    t->where = (char **)wheres;
}

const char *translate_place(const struct config_source *source, struct bag *bag, const char *path)
{
    return bag_printf(bag, "%s%s%s", lines_place(&source->lines, bag, source->file, path),
                      source->what ? ": " : "", source->what ? source->what : "");
}

static const char *place_of(const struct translation *t, const char *where, const char *name)
{
    return translate_place(t->source, t->bag, path_of(t, where, name));
}

/* null, false, 0, "", and lists and objects of nothing but that. */
static bool is_nothing(const json_t *value)
{
    const char *key;
    json_t *part;
    size_t i;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        json_object_foreach((json_t *)(uintptr_t)value, key, part)
        {
            if (!is_nothing(part))
                return false;
        }
        return true;
    case JSON_ARRAY:
        json_array_foreach(value, i, part)
        {
            if (!is_nothing(part))
                return false;
        }
        return true;
    case JSON_STRING:
        return json_string_length(value) == 0;
    case JSON_INTEGER:
        return json_integer_value(value) == 0;
    case JSON_NULL:
    case JSON_FALSE:
        return true;
    case JSON_TRUE:
    case JSON_REAL:
    default:
        return false;
    }
}

static const struct field *find_field(struct translation *t, const char *where,
                                      const struct field *fields, const char *name)
{
    static const struct field left_out = { "", NULL, ANY };
    struct nearest near = nearest_to(name);

    for (; fields->name; fields++) {
        if (strcmp(fields->name, name) == 0)
            return fields;
        nearest_try(&near, fields->name);
    }
    if (t->unknown) {
        *t->unknown = bag_printf(t->bag, "%s%s%s%s%.60s", *t->unknown, **t->unknown ? ", " : "",
                                 where, *where ? "." : "", name);
        return &left_out;
    }
    if (nearest_found(&near))
        option_fail(t->err, "%s: %s%s%.60s: there is no such field: is '%s' meant?",
                    place_of(t, where, name), where, *where ? "." : "", name, nearest_found(&near));
    else
        option_fail(t->err, "%s: %s%s%.60s: there is no such field", place_of(t, where, name),
                    where, *where ? "." : "", name);
    return NULL;
}

static char *wrong(struct translation *t, const char *where, const char *name, const char *what)
{
    option_fail(t->err, "%s: %s%s%s: %s", place_of(t, where, name), where, *where ? "." : "", name,
                what);
    return NULL;
}

static char *word_of(struct bag *bag, const char *text)
{
    char *word = bag_alloc(bag, 2 * strlen(text) + 1);
    size_t n = 0;

    for (const char *p = text; *p; p++) {
        if (p > text && isupper((unsigned char)*p) && islower((unsigned char)p[-1]))
            word[n++] = '-';
        word[n++] = (char)tolower((unsigned char)*p);
    }
    return word;
}

/* The value as a flag takes it; NULL: it is of another type. */
static char *value_of(struct translation *t, const char *where, const struct field *f,
                      const json_t *value)
{
    const char *text = json_string_value(value);

    switch ((int)f->type) {
    case TEXT:
        if (!text)
            return wrong(t, where, f->name, "is to be a text");
        return bag_printf(t->bag, "%s", text);
    case WORD:
        return text ? word_of(t->bag, text) : wrong(t, where, f->name, "is to be a word");
    case BOOL:
    case FLAG:
        if (!json_is_boolean(value))
            return wrong(t, where, f->name, "is to be true or false");
        return bag_printf(t->bag, "%s", json_is_true(value) ? "on" : "off");
    case CPUS:
        if (text && *text && text[strspn(text, "0123456789,-")] == '\0')
            return bag_printf(t->bag, "[%s]", text);
        break;
    case PERCENT:
    case SIZE:
        if (text)
            return bag_printf(t->bag, "%s", text);
        break;
    case NUMBER:
    default:
        break;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return wrong(t, where, f->name,
                     f->type == SIZE      ? "is to be a number of bytes, or a text as in \"512M\""
                     : f->type == CPUS    ? "is to be a text of host CPUs, as in \"0-3,8\""
                     : f->type == PERCENT ? "is to be a number of percent, or a text as in \"150%\""
                                          : "is to be a whole number, 0 or more");
    return bag_printf(t->bag, "%lld", (long long)json_integer_value(value));
}

/* ---- key=value ---- */

static int add_item(struct translation *t, const char *where, const struct field *f, char **items,
                    const char *value)
{
    const char *key = f->key ? f->key : f->name;

    if (strchr(value, '"')) {
        wrong(t, where, f->name, "a double quote can't be given");
        return -1;
    }
    *items = bag_printf(t->bag, "%s%s%s%s%s%s%s", *items, **items ? "," : "", key, *key ? "=" : "",
                        f->type == TEXT ? "\"" : "", value, f->type == TEXT ? "\"" : "");
    return 0;
}

static int add_bucket(struct translation *t, const char *where, const char *kind,
                      const json_t *object, char **items)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return wrong(t, where, kind, "is to be an object: size, refill_time, one_time_burst"), -1;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const struct field *f = find_field(t, where, fields_bucket, name);
        const char *text;
        struct field own;

        if (!f)
            return -1;
        if (json_is_null(value) || f->type == ANY)
            continue;
        own = *f;
        own.key = bag_printf(t->bag, "%s_%s", strcmp(kind, "bandwidth") == 0 ? "bw" : "ops", name);
        text = value_of(t, where, f, value);
        if (!text || add_item(t, where, &own, items, text) < 0)
            return -1;
    }
    return 0;
}

static int add_limiter(struct translation *t, const char *where, const json_t *limiter,
                       char **items)
{
    static const struct field kinds[] = { { "bandwidth", NULL, TEXT },
                                          { "ops", NULL, TEXT },
                                          { NULL, NULL, TEXT } };
    const char *kind;
    json_t *value;

    if (!json_is_object(limiter))
        return wrong(t, where, "rate_limiter_config", "is to be an object: bandwidth, ops"), -1;
    where = bag_printf(t->bag, "%s.rate_limiter_config", where);
    json_object_foreach((json_t *)(uintptr_t)limiter, kind, value)
    {
        const struct field *f = find_field(t, where, kinds, kind);

        if (!f || (f->type != ANY && !json_is_null(value) &&
                   add_bucket(t, where, kind, value, items) < 0))
            return -1;
    }
    return 0;
}

/* What one entry of a list is in the flag's value, or NULL. */
typedef char *entry_fn(struct translation *t, const char *where, const struct field *f, size_t i,
                       const json_t *entry);

static int add_list(struct translation *t, const char *where, const struct field *f,
                    const json_t *list, entry_fn *entry_of, char **items)
{
    char *all = bag_printf(t->bag, "[");
    json_t *entry;
    size_t i;

    if (!json_is_array(list))
        return wrong(t, where, f->name, "is to be a list"), -1;
    json_array_foreach(list, i, entry)
    {
        const char *one = entry_of(t, where, f, i, entry);

        if (!one)
            return -1;
        all = bag_printf(t->bag, "%s%s%s", all, i > 0 ? "," : "", one);
    }
    return i == 0 ? 0 : add_item(t, where, f, items, bag_printf(t->bag, "%s]", all));
}

static char *text_of(struct translation *t, const char *where, const struct field *f, size_t i,
                     const json_t *entry)
{
    (void)i;
    if (!json_is_string(entry) || strpbrk(json_string_value(entry), "\"[],"))
        return wrong(t, where, f->name, "is to be a list of texts without \" [ ] ,");
    return bag_printf(t->bag, "%s", json_string_value(entry));
}

/* "0@[2,3]" */
static char *pinning_of(struct translation *t, const char *where, const struct field *f, size_t at,
                        const json_t *entry)
{
    static const struct field fields[] = { { "vcpu", NULL, NUMBER },
                                           { "host_cpus", NULL, ANY },
                                           { NULL, NULL, TEXT } };
    const json_t *vcpu = json_object_get(entry, "vcpu"),
                 *cpus = json_object_get(entry, "host_cpus");
    char *list;
    const char *key;
    json_t *value;
    size_t i;

    where = bag_printf(t->bag, "%s.%s[%zu]", where, f->name, at);
    json_object_foreach((json_t *)(uintptr_t)entry, key, value)
    {
        if (!find_field(t, where, fields, key))
            return NULL;
    }
    if (!json_is_integer(vcpu) || !json_is_array(cpus))
        return wrong(t, where, "vcpu, host_cpus", "are to be a number and a list of numbers");
    list = bag_printf(t->bag, "%lld@[", (long long)json_integer_value(vcpu));
    json_array_foreach(cpus, i, value)
    {
        if (!json_is_integer(value))
            return wrong(t, where, "host_cpus", "is to be a list of numbers");
        list = bag_printf(t->bag, "%s%s%lld", list, i > 0 ? "," : "",
                          (long long)json_integer_value(value));
    }
    return bag_printf(t->bag, "%s]", list);
}

static int add_field(struct translation *t, const char *where, const struct field *f,
                     const json_t *value, char **items)
{
    const char *text;

    /* A mode of Null that YAML took for nothing at all. */
    if (json_is_null(value) && f->key && *f->key == '\0')
        return add_item(t, where, f, items, "null");
    if (json_is_null(value) || f->type == ANY)
        return 0;
    if (f->type == NOTHING)
        return is_nothing(value) ? 0 : (wrong(t, where, f->name, "is not supported yet"), -1);
    if (f->type == LIMITER)
        return add_limiter(t, where, value, items);
    if (f->type == TEXTS)
        return add_list(t, where, f, value, text_of, items);
    if (f->type == PINNING)
        return add_list(t, where, f, value, pinning_of, items);
    text = value_of(t, where, f, value);
    if (!text)
        return -1;
    /* "" is what clients send for no interface, no id. */
    if (f->type == TEXT && *text == '\0')
        return 0;
    if (f->type == FLAG) {
        if (json_is_true(value))
            *items = bag_printf(t->bag, "%s%s%s", *items, **items ? "," : "", f->name);
        return 0;
    }
    return add_item(t, where, f, items, text);
}

/* Cloud Hypervisor's mode is File or Socket, and the path beside it; ours is the path alone. */
static bool is_said_by_path(const struct field *f, const json_t *object, const json_t *value)
{
    const char *mode = json_string_value(value);

    return f->key && *f->key == '\0' && mode &&
           (strcasecmp(mode, "file") == 0 || strcasecmp(mode, "socket") == 0) &&
           (json_is_string(json_object_get(object, "file")) ||
            json_is_string(json_object_get(object, "socket")));
}

/* NULL: refused. */
static char *items_of(struct translation *t, const struct section *s, const char *where,
                      const json_t *object)
{
    char *items = bag_printf(t->bag, "%s", "");
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return wrong(t, "", where, "is to be an object");
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const struct field *f = find_field(t, where, s->fields, name);

        if (!f)
            return NULL;
        if (!is_said_by_path(f, object, value) && add_field(t, where, f, value, &items) < 0)
            return NULL;
    }
    return items;
}

static int add_device(struct translation *t, const struct section *s, const char *where,
                      const json_t *object)
{
    const char *items = items_of(t, s, where, object);

    if (!items)
        return -1;
    if (*items == '\0' && !s->bare)
        return 0;
    add_word(t, where, "", bag_printf(t->bag, "%s=%s", s->flag, *items ? items : s->bare));
    return 0;
}

static int add_section(struct translation *t, const struct section *s, const json_t *value)
{
    json_t *part;
    size_t i;

    if (json_is_null(value))
        return 0;
    if (!s->is_list)
        return add_device(t, s, s->name, value);
    if (!json_is_array(value))
        return wrong(t, "", s->name, "is to be a list"), -1;
    json_array_foreach(value, i, part)
    {
        if (add_device(t, s, bag_printf(t->bag, "%s[%zu]", s->name, i), part) < 0)
            return -1;
    }
    return 0;
}

/* ---- flags ---- */

static int add_flag(struct translation *t, const char *where, const struct field *f,
                    const json_t *value)
{
    char *text;

    if (json_is_null(value) || f->type == ANY)
        return 0;
    if (f->type == NOTHING)
        return is_nothing(value) ? 0 : (wrong(t, where, f->name, "is not supported yet"), -1);
    text = value_of(t, where, f, value);
    if (!text)
        return -1;
    if ((f->type == FLAG && json_is_false(value)) || *text == '\0')
        return 0;
    add_word(t, where, f->name, bag_printf(t->bag, f->type == FLAG ? "%s" : "%s=%s", f->key, text));
    return 0;
}

static int add_payload(struct translation *t, const json_t *object)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return wrong(t, "", "payload", "is to be an object"), -1;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const struct field *f = find_field(t, "payload", fields_payload, name);

        if (!f || add_flag(t, "payload", f, value) < 0)
            return -1;
    }
    return 0;
}

static int add_top(struct translation *t, const char *name, const json_t *value)
{
    /* All names that there are, for the nearest one. */
    struct field all[FIELDS_SECTIONS + FIELDS_TOP + 1] = { { "payload", NULL, TEXT } };
    const struct field *f;

    for (size_t i = 0; i < FIELDS_SECTIONS; i++) {
        if (strcmp(fields_sections[i].name, name) == 0)
            return add_section(t, &fields_sections[i], value);
        all[1 + i].name = fields_sections[i].name;
    }
    if (strcmp(name, "payload") == 0)
        return json_is_null(value) ? 0 : add_payload(t, value);
    memcpy(&all[1 + FIELDS_SECTIONS], fields_top, sizeof fields_top);
    f = find_field(t, "", all, name);
    return f ? add_flag(t, "", f, value) : -1;
}

int translate_config(const struct config_source *source, const json_t *config, struct bag *bag,
                     struct config_flags *ret_flags, struct option_error *err)
{
    struct translation t = { .source = source, .bag = bag, .err = err };
    const char *key;
    json_t *value;

    if (!json_is_object(config))
        return option_fail(err, "%s: is to be an object: payload, cpus, memory, disks, ...",
                           place_of(&t, "", ""));
    add_word(&t, "", "", bag_printf(bag, "run"));
    json_object_foreach((json_t *)(uintptr_t)config, key, value)
    {
        if (add_top(&t, key, value) < 0)
            return -1;
    }
    ret_flags->argc = (int)t.argc;
    add_word(&t, "", "", NULL); /* argv ends with it */
    ret_flags->argv = t.argv;
    ret_flags->where = t.where;
    return 0;
}

int translate_device(const struct config_source *source, const char *section, const json_t *device,
                     struct bag *bag, char **ret_value, char **unknown, struct option_error *err)
{
    struct translation t = { .source = source, .bag = bag, .err = err, .unknown = unknown };

    for (size_t i = 0; i < FIELDS_SECTIONS; i++) {
        const struct section *s = &fields_sections[i];
        const char *items;

        if (strcmp(s->name, section) != 0)
            continue;
        items = items_of(&t, s, section, device);
        if (!items)
            return -1;
        *ret_value = bag_printf(bag, "%s", *items || !s->bare ? items : s->bare);
        return 0;
    }
    return option_fail(err, "%s: there is no such device", section);
}
