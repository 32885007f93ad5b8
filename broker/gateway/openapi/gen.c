/* SPDX-License-Identifier: Apache-2.0 */
/* gen.c - runs when Bulkhead is built: an API's document as the tables of openapi.h. Only what that knows may be in the
 * document: all else ends the build. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/compiler.h"
#include "vmconfig/load.h"

static const char *document;

static _Noreturn printf_like(1, 2) void fail(const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", document);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static const json_t *need(const json_t *object, const char *key, const char *where)
{
    const json_t *value = json_object_get(object, key);

    if (!value)
        fail("%s has no %s", where, key);
    return value;
}

static const char *need_text(const json_t *object, const char *key, const char *where)
{
    const char *text = json_string_value(need(object, key, where));

    if (!text)
        fail("%s: %s is not a text", where, key);
    return text;
}

static void put_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++)
        fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    fputc('"', out);
}

/* ---- schemas ---- */

static const char *name_of_ref(const json_t *schema, const char *where)
{
    static const char start[] = "#/components/schemas/";
    const char *ref = need_text(schema, "$ref", where);

    if (strncmp(ref, start, sizeof start - 1) != 0)
        fail("%s: $ref %s is of another place", where, ref);
    return ref + sizeof start - 1;
}

static const char *type_word(const json_t *schema, const char *where)
{
    static const char *const types[][2] = { { "string", "OPENAPI_STRING" },
                                            { "integer", "OPENAPI_INTEGER" },
                                            { "boolean", "OPENAPI_BOOLEAN" },
                                            { "object", "OPENAPI_OBJECT" },
                                            { "array", "OPENAPI_ARRAY" } };
    const char *type;

    if (json_object_get(schema, "$ref"))
        return "OPENAPI_OBJECT";
    type = need_text(schema, "type", where);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        if (strcmp(types[i][0], type) == 0)
            return types[i][1];
    fail("%s: the type %s is not known", where, type);
}

static bool is_required(const json_t *schema, const char *name)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(json_object_get(schema, "required"), i, entry)
    {
        if (strcmp(json_string_value(entry), name) == 0)
            return true;
    }
    return false;
}

static void put_field(FILE *out, const json_t *schema, const char *name, const json_t *field)
{
    const json_t *item = json_object_get(field, "items"), *of = item ? item : field,
                 *minimum = json_object_get(field, "minimum");

    fputs("    { .name = ", out);
    put_string(out, name);
    fprintf(out, ", .type = %s", type_word(field, name));
    if (item)
        fprintf(out, ", .item = %s", type_word(item, name));
    if (json_object_get(of, "$ref"))
        fprintf(out, ", .of = &schema_%s", name_of_ref(of, name));
    if (is_required(schema, name))
        fputs(", .required = true", out);
    if (json_is_integer(minimum))
        fprintf(out, ", .has_minimum = true, .minimum = %lld",
                (long long)json_integer_value(minimum));
    fputs(" },\n", out);
}

static bool is_object(const json_t *schema)
{
    const char *type = json_string_value(json_object_get(schema, "type"));

    return type && strcmp(type, "object") == 0;
}

static void put_schemas(FILE *out, const json_t *schemas)
{
    const char *name, *field_name;
    json_t *schema, *field;

    json_object_foreach((json_t *)(uintptr_t)schemas, name, schema) if (is_object(schema))
        fprintf(out, "static const struct openapi_schema schema_%s;\n", name);
    json_object_foreach((json_t *)(uintptr_t)schemas, name, schema)
    {
        if (!is_object(schema))
            continue;
        fprintf(out, "\nstatic const struct openapi_field fields_%s[] = {\n", name);
        json_object_foreach((json_t *)(uintptr_t)need(schema, "properties", name), field_name,
                            field) put_field(out, schema, field_name, field);
        fprintf(out, "    { .name = NULL },\n};\n");
        fprintf(out,
                "static const struct openapi_schema schema_%s __attribute__((unused)) = "
                "{ \"%s\", fields_%s };\n",
                name, name, name);
    }
}

/* ---- operations ---- */

/* NULL: it has none. */
static const json_t *json_content(const json_t *of, const char *where)
{
    return of ? need(need(of, "content", where), "application/json", where) : NULL;
}

static void put_statuses(FILE *out, unsigned number, const json_t *operation, const char *path)
{
    const char *status;
    json_t *response;

    fprintf(out, "static const int statuses_%u[] = { ", number);
    json_object_foreach((json_t *)(uintptr_t)need(operation, "responses", path), status, response)
    {
        if (atoi(status) < 200 || atoi(status) > 599)
            fail("%s: the status %s is none", path, status);
        fprintf(out, "%d, ", atoi(status));
    }
    fputs("0 };\n", out);
}

static void put_operation(FILE *out, unsigned number, const char *path, const char *method,
                          const json_t *operation)
{
    const json_t *body = json_content(json_object_get(operation, "requestBody"), path),
                 *answer = json_content(
                     json_object_get(json_object_get(operation, "responses"), "200"), path);

    fputs("    { .path = ", out);
    put_string(out, path);
    fprintf(out, ", .method = \"%s\", .handler = ", method);
    put_string(out, need_text(operation, "x-handler", path));
    fprintf(out, ", .statuses = statuses_%u", number);
    if (answer)
        fprintf(out, ", .answer = &schema_%s", name_of_ref(need(answer, "schema", path), path));
    if (body) {
        fprintf(out, ",\n      .body = &schema_%s, .example = ",
                name_of_ref(need(body, "schema", path), path));
        put_string(out, need_text(body, "example", path));
    }
    fputs(" },\n", out);
}

typedef void operation_fn(FILE *out, unsigned number, const char *path, const char *method,
                          const json_t *operation);

static void put_its_statuses(FILE *out, unsigned number, const char *path, const char *method,
                             const json_t *operation)
{
    (void)method;
    put_statuses(out, number, operation, path);
}

static void each_operation(FILE *out, const json_t *paths, operation_fn *fn)
{
    const char *path, *method;
    json_t *methods, *operation;
    unsigned number = 0;

    json_object_foreach((json_t *)(uintptr_t)paths, path, methods)
    {
        json_object_foreach(methods, method, operation)
        {
            if (strcmp(method, "get") != 0 && strcmp(method, "put") != 0)
                fail("%s: the method %s is not known", path, method);
            fn(out, number++, path, method[0] == 'g' ? "GET" : "PUT", operation);
        }
    }
}

int main(int argc, char **argv)
{
    struct option_error err;
    const json_t *paths;
    json_t *root;
    FILE *out;

    if (argc != 4) {
        fprintf(stderr, "usage: openapi_gen DOCUMENT NAME OUTPUT\n");
        return 2;
    }
    document = argv[1];
    root = load_file(document, NULL, &err);
    if (!root)
        fail("%s", err.text);
    out = fopen(argv[3], "w");
    if (!out)
        fail("%s can't be written", argv[3]);
    paths = need(root, "paths", "the document");
    fputs("/* Made by broker/gateway/openapi/gen.c. */\n#include \"openapi/openapi.h\"\n\n", out);
    put_schemas(out, need(need(root, "components", "the document"), "schemas", "the document"));
    each_operation(out, paths, put_its_statuses);
    fprintf(out, "\nconst struct openapi_operation openapi_%s[] = {\n", argv[2]);
    each_operation(out, paths, put_operation);
    fputs("    { .path = NULL },\n};\n", out);
    json_decref(root);
    return fclose(out) == 0 ? 0 : 1;
}
