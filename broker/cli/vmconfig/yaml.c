// SPDX-License-Identifier: Apache-2.0
// yaml.c - see yaml.h.
#include "vmconfig/yaml.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MAX_NODES = 20000, MAX_DEPTH = 32 }; /* an alias counts as all that it stands for */
enum { MAX_PATH_BYTES = 1024 }; /* of a field; those with longer ones have no line of their own */

struct reading {
    const char *name;
    yaml_document_t document;
    unsigned n_nodes;
    struct lines *lines; /* or NULL */
    char path[MAX_PATH_BYTES];
    size_t len;
    struct option_error *err;
};

static json_t *wrong(struct reading *r, const yaml_node_t *node, const char *what)
{
    option_fail(r->err, "%s:%zu: %s", r->name, node->start_mark.line + 1, what);
    return NULL;
}

/* ---- where a field stands ---- */

static void add_line(struct reading *r, yaml_mark_t mark)
{
    if (r->lines && r->len < sizeof(r->path))
        lines_add(r->lines, r->path, mark.line + 1);
}

/* Into a field; *ret_len is the way back. */
static void enter(struct reading *r, size_t *ret_len, const char *dot, const char *key)
{
    *ret_len = r->len;
    if (r->len < sizeof(r->path))
        r->len += (size_t)snprintf(r->path + r->len, sizeof(r->path) - r->len, "%s%s",
                                   r->len > 0 ? dot : "", key);
}

static void leave(struct reading *r, size_t len)
{
    r->len = len;
    if (len < sizeof(r->path))
        r->path[len] = '\0';
}

/* ---- values ---- */

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

/* [-+]?[0-9]+ without a leading 0, which YAML 1.1 took for octal; 0x1f. */
static bool is_integer(const char *text, long long *ret_value)
{
    const char *digits = text + (*text == '-' || *text == '+');
    bool hex = digits[0] == '0' && digits[1] == 'x';
    char *end;

    if (digits[strspn(digits, hex ? "0123456789abcdefABCDEFx" : "0123456789")] != '\0' ||
        *digits == '\0' || (!hex && digits[0] == '0' && digits[1] != '\0'))
        return false;
    errno = 0;
    *ret_value = strtoll(text, &end, hex ? 16 : 10);
    return errno == 0 && *end == '\0';
}

static json_t *scalar(struct reading *r, const yaml_node_t *node)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const trues[] = { "true", "True", "TRUE", NULL };
    static const char *const falses[] = { "false", "False", "FALSE", NULL };
    const char *text = (const char *)node->data.scalar.value;
    long long number;
    json_t *value;

    if (strlen(text) != node->data.scalar.length)
        return wrong(r, node, "a text with a zero byte in it");
    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
        strcmp((const char *)node->tag, YAML_STR_TAG) == 0) {
        if (is_one_of(text, nulls))
            return json_null();
        if (is_one_of(text, trues))
            return json_true();
        if (is_one_of(text, falses))
            return json_false();
        if (is_integer(text, &number))
            return json_integer(number);
    }
    value = json_string(text);
    return value ? value : wrong(r, node, "a text that is not UTF-8");
}

static json_t *convert(struct reading *r, int index, unsigned depth);

static json_t *sequence(struct reading *r, const yaml_node_t *node, unsigned depth)
{
    json_t *list = json_array();

    for (const yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        json_t *value;
        char number[32];
        size_t len;

        snprintf(number, sizeof(number), "[%zu]", json_array_size(list));
        enter(r, &len, "", number);
        add_line(r, yaml_document_get_node(&r->document, *item)->start_mark);
        value = convert(r, *item, depth);
        leave(r, len);
        if (!value || json_array_append_new(list, value) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* The pair's key; NULL: it is none. */
static const char *key_of(struct reading *r, const yaml_node_pair_t *pair, const json_t *seen)
{
    const yaml_node_t *node = yaml_document_get_node(&r->document, pair->key);
    const char *key;

    if (node->type != YAML_SCALAR_NODE) {
        wrong(r, node, "a key that is not a word");
        return NULL;
    }
    key = (const char *)node->data.scalar.value;
    if (json_object_get(seen, key)) {
        option_fail(r->err, "%s:%zu: '%.40s' is given twice", r->name, node->start_mark.line + 1,
                    key);
        return NULL;
    }
    return key;
}

static json_t *mapping(struct reading *r, const yaml_node_t *node, unsigned depth)
{
    json_t *object = json_object();

    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top; pair++) {
        const char *key = key_of(r, pair, object);
        json_t *value = NULL;
        size_t len;

        if (key) {
            enter(r, &len, ".", key);
            add_line(r, yaml_document_get_node(&r->document, pair->key)->start_mark);
            value = convert(r, pair->value, depth);
            leave(r, len);
        }
        if (value && json_object_set_new(object, key, value) < 0) {
            wrong(r, node, "a key that is not UTF-8");
            value = NULL;
        }
        if (!value) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* An alias is the node that it names, once more: what it costs is counted again. */
static json_t *convert(struct reading *r, int index, unsigned depth)
{
    const yaml_node_t *node = yaml_document_get_node(&r->document, index);

    if (depth == MAX_DEPTH)
        return wrong(r, node, "too deep");
    if (++r->n_nodes > MAX_NODES)
        return wrong(r, node, "too much, with all that its aliases stand for");
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return scalar(r, node);
    case YAML_SEQUENCE_NODE:
        return sequence(r, node, depth + 1);
    case YAML_MAPPING_NODE:
        return mapping(r, node, depth + 1);
    case YAML_NO_NODE:
    default:
        return wrong(r, node, "nothing");
    }
}

/* Behind the document there is no other one. */
static bool is_last(yaml_parser_t *parser, struct reading *r)
{
    yaml_document_t next;
    bool last;

    if (!yaml_parser_load(parser, &next)) {
        option_fail(r->err, "%s:%zu: %s", r->name, parser->problem_mark.line + 1, parser->problem);
        return false;
    }
    last = yaml_document_get_root_node(&next) == NULL;
    yaml_document_delete(&next);
    if (!last)
        option_fail(r->err, "%s: several documents: a file has one", r->name);
    return last;
}

static json_t *whole(struct reading *r)
{
    add_line(r, yaml_document_get_root_node(&r->document)->start_mark);
    return convert(r, 1, 0);
}

json_t *yaml_load(const char *name, const char *text, size_t len, struct lines *ret_lines,
                  struct option_error *err)
{
    struct reading r = { .name = name, .lines = ret_lines, .err = err };
    yaml_parser_t parser;
    json_t *root = NULL;

    if (!yaml_parser_initialize(&parser)) {
        option_fail(err, "%s: no memory", name);
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (!yaml_parser_load(&parser, &r.document)) {
        option_fail(err, "%s:%zu: %s", name, parser.problem_mark.line + 1, parser.problem);
    } else {
        if (!yaml_document_get_root_node(&r.document))
            option_fail(err, "%s: empty", name);
        else if (is_last(&parser, &r))
            root = whole(&r);
        yaml_document_delete(&r.document);
    }
    yaml_parser_delete(&parser);
    return root;
}
