/* SPDX-License-Identifier: Apache-2.0 */
/* check.c - see check.h. */
#include "openapi/check.h"

#include <stdio.h>

static const char *const type_words[] = {
    [OPENAPI_STRING] = "a text",         [OPENAPI_INTEGER] = "a whole number",
    [OPENAPI_BOOLEAN] = "true or false", [OPENAPI_OBJECT] = "an object",
    [OPENAPI_ARRAY] = "a list",
};

static bool has_type(enum openapi_type type, const json_t *value)
{
    switch (type) {
    case OPENAPI_STRING:
        return json_is_string(value);
    case OPENAPI_INTEGER:
        return json_is_integer(value);
    case OPENAPI_BOOLEAN:
        return json_is_boolean(value);
    case OPENAPI_OBJECT:
        return json_is_object(value);
    case OPENAPI_ARRAY:
        return json_is_array(value);
    default:
        return false;
    }
}

static bool wrong_type(const char *name, enum openapi_type type, char fault[OPENAPI_FAULT_BYTES])
{
    snprintf(fault, OPENAPI_FAULT_BYTES, "%s: is to be %s", name, type_words[type]);
    return false;
}

static bool check_field(const struct openapi_field *f, const json_t *value,
                        char fault[OPENAPI_FAULT_BYTES])
{
    const json_t *entry;
    size_t i;

    if (!has_type(f->type, value))
        return wrong_type(f->name, f->type, fault);
    if (f->has_minimum && json_integer_value(value) < f->minimum) {
        snprintf(fault, OPENAPI_FAULT_BYTES, "%s: is to be %lld or more", f->name, f->minimum);
        return false;
    }
    if (f->type == OPENAPI_OBJECT)
        return !f->of || check_body(f->of, value, fault);
    if (f->type != OPENAPI_ARRAY)
        return true;
    json_array_foreach(value, i, entry)
    {
        if (!has_type(f->item, entry))
            return wrong_type(f->name, f->item, fault);
        if (f->of && !check_body(f->of, entry, fault))
            return false;
    }
    return true;
}

bool check_body(const struct openapi_schema *schema, const json_t *body,
                char ret_fault[OPENAPI_FAULT_BYTES])
{
    if (!json_is_object(body))
        return wrong_type("the body", OPENAPI_OBJECT, ret_fault);
    for (const struct openapi_field *f = schema->fields; f->name; f++) {
        const json_t *value = json_object_get(body, f->name);

        if (value && !json_is_null(value)) {
            if (!check_field(f, value, ret_fault))
                return false;
        } else if (f->required) {
            snprintf(ret_fault, OPENAPI_FAULT_BYTES, "%s: is missing", f->name);
            return false;
        }
    }
    return true;
}
