// SPDX-License-Identifier: Apache-2.0
// rights.c - see rights.h.
#include "rights.h"
#include <stddef.h>
#include <string.h>
#include "messages_json.h"

const char rights_verbs[] = "start, stop, reboot, info, wait, events";

static const struct {
    Bulkhead__ControlVerb verb;
    const char *name;
} verbs[] = {
    { BULKHEAD__CONTROL_VERB__CONTROL_START, "start" },
    { BULKHEAD__CONTROL_VERB__CONTROL_STOP, "stop" },
    { BULKHEAD__CONTROL_VERB__CONTROL_REBOOT, "reboot" },
    { BULKHEAD__CONTROL_VERB__CONTROL_INFO, "info" },
    { BULKHEAD__CONTROL_VERB__CONTROL_WAIT, "wait" },
    { BULKHEAD__CONTROL_VERB__CONTROL_EVENTS, "events" },
};

Bulkhead__ControlVerb rights_verb_of(const char *name, struct nearest *near)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (name && strcmp(verbs[i].name, name) == 0)
            return verbs[i].verb;
        nearest_try(near, verbs[i].name);
    }
    return BULKHEAD__CONTROL_VERB__CONTROL_NONE;
}

static const char *name_of(Bulkhead__ControlVerb verb)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (verbs[i].verb == verb)
            return verbs[i].name;
    return "?";
}

const char *rights_text(struct bag *bag, const Bulkhead__ControlRight *right)
{
    const char *text = "";

    for (size_t i = 0; right && i < right->n_verbs; i++)
        text = bag_printf(bag, "%s%s%s", text, i ? ", " : "", name_of(right->verbs[i]));
    for (size_t i = 0; right && i < right->n_vms; i++)
        text = bag_printf(bag, "%s%s%s", text, i ? ", " : ": ", right->vms[i]);
    for (size_t i = 0; right && i < right->n_labels; i++)
        text = bag_printf(bag, "%s%s%s=%s", text,
                          i              ? " and "
                          : right->n_vms ? ", and those with "
                                         : ": those with ",
                          right->labels[i]->key, right->labels[i]->value);
    return text;
}

const char *rights_devices(struct bag *bag, char *const *ids, size_t n)
{
    const char *text = "";

    for (size_t i = 0; i < n; i++)
        text = bag_printf(bag, "%s%s%s", text, i ? ", " : "", ids[i]);
    return text;
}

json_t *rights_json(const Bulkhead__ControlRight *right)
{
    json_t *names = json_array(), *vms = json_array();

    for (size_t i = 0; right && i < right->n_verbs; i++)
        json_array_append_new(names, json_string(name_of(right->verbs[i])));
    for (size_t i = 0; right && i < right->n_vms; i++)
        json_array_append_new(vms, text_json(right->vms[i]));
    if (right)
        return json_pack("{s:o,s:o,s:o}", "verbs", names, "vms", vms, "labels",
                         key_values_json(right->labels, right->n_labels));
    json_decref(names);
    json_decref(vms);
    return json_null();
}
