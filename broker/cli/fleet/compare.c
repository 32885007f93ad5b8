// SPDX-License-Identifier: Apache-2.0
// compare.c - see compare.h. By the messages' own descriptions, so that no field is forgotten.
#include "fleet/compare.h"
#include <stdbool.h>
#include <string.h>

enum { MAX_DEPTH = 8 };

/* What the service gives a value that nobody gave it (broker/config). `never`: it says nothing of the VM. */
static const struct filled {
    const ProtobufCMessageDescriptor *message;
    const char *field;
    bool never;
} filled[] = {
    { &bulkhead__vm_config__descriptor, "trace_start_ns", true },
    { &bulkhead__vm_config__descriptor, "crash_limit", false },
    { &bulkhead__vm_config__descriptor, "crash_window_s", false },
    { &bulkhead__vm_config__descriptor, "hang_timeout_ms", false },
    { &bulkhead__vm_config__descriptor, "stall_timeout_ms", false },
    { &bulkhead__cpus_config__descriptor, "boot_vcpus", false },
    { &bulkhead__memory_config__descriptor, "size", false },
    { &bulkhead__disk_config__descriptor, "id", false },
    { &bulkhead__disk_config__descriptor, "num_queues", false },
    { &bulkhead__disk_config__descriptor, "queue_size", false },
    { &bulkhead__net_config__descriptor, "id", false },
    { &bulkhead__net_config__descriptor, "mode", false },
    { &bulkhead__net_config__descriptor, "mac", false },
    { &bulkhead__net_config__descriptor, "num_queues", false },
    { &bulkhead__net_config__descriptor, "queue_size", false },
    { &bulkhead__vsock_config__descriptor, "id", false },
    { &bulkhead__vsock_config__descriptor, "service_port", true }, /* as `control` says */
};

static const struct filled *find_filled(const ProtobufCMessageDescriptor *d, const char *field)
{
    for (size_t i = 0; i < ARRAY_SIZE(filled); i++)
        if (filled[i].message == d && strcmp(filled[i].field, field) == 0)
            return &filled[i];
    return NULL;
}

static size_t size_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
    default:
        return 4;
    }
}

static const char *text_at(const void *value)
{
    const char *text = *(char *const *)value;

    return text ? text : "";
}

static bool is_unset(ProtobufCType type, const void *value)
{
    static const char zero[sizeof(ProtobufCBinaryData)];

    if (type == PROTOBUF_C_TYPE_STRING)
        return text_at(value)[0] == '\0';
    if (type == PROTOBUF_C_TYPE_BYTES)
        return ((const ProtobufCBinaryData *)value)->len == 0;
    return memcmp(value, zero, size_of(type)) == 0;
}

static const char *differ(struct bag *bag, const ProtobufCMessageDescriptor *d, const void *a,
                          const void *b, const char *path, unsigned depth);

static const void *message_at(struct bag *bag, const ProtobufCMessageDescriptor *d,
                              const void *value)
{
    ProtobufCMessage *message = *(ProtobufCMessage *const *)value;

    if (!message) { /* is one of nothing but defaults */
        message = bag_alloc(bag, d->sizeof_message);
        d->message_init(message);
    }
    return message;
}

/* One value of each; the path of what is another, or NULL. */
static const char *differ_at(struct bag *bag, const ProtobufCFieldDescriptor *f, const void *a,
                             const void *b, const char *path, unsigned depth)
{
    bool same;

    switch ((int)f->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return differ(bag, f->descriptor, message_at(bag, f->descriptor, a),
                      message_at(bag, f->descriptor, b), path, depth + 1);
    case PROTOBUF_C_TYPE_STRING:
        same = strcmp(text_at(a), text_at(b)) == 0;
        break;
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *x = a, *y = b;

        same = x->len == y->len && (x->len == 0 || memcmp(x->data, y->data, x->len) == 0);
        break;
    }
    default:
        same = memcmp(a, b, size_of(f->type)) == 0;
        break;
    }
    return same ? NULL : path;
}

static const char *differ_in(struct bag *bag, const ProtobufCFieldDescriptor *f, const void *a,
                             const void *b, const char *path, unsigned depth)
{
    const char *x = (const char *)a + f->offset, *y = (const char *)b + f->offset, *found = NULL;
    size_t n, size = size_of(f->type);

    if (f->label != PROTOBUF_C_LABEL_REPEATED)
        return differ_at(bag, f, x, y, path, depth);
    n = *(const size_t *)((const char *)a + f->quantifier_offset);
    if (n != *(const size_t *)((const char *)b + f->quantifier_offset))
        return path;
    for (size_t i = 0; i < n && !found; i++)
        found = differ_at(bag, f, *(const char *const *)x + i * size,
                          *(const char *const *)y + i * size, bag_printf(bag, "%s[%zu]", path, i),
                          depth);
    return found;
}

static const char *differ(struct bag *bag, const ProtobufCMessageDescriptor *d, const void *a,
                          const void *b, const char *path, unsigned depth)
{
    const char *found = NULL;

    for (unsigned i = 0; i < d->n_fields && depth < MAX_DEPTH && !found; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        const struct filled *left = find_filled(d, f->name);

        if (left && (left->never || is_unset(f->type, (const char *)a + f->offset)))
            continue;
        found = differ_in(bag, f, a, b, bag_printf(bag, "%s.%s", path, f->name), depth);
    }
    return found;
}

/* In any order. */
static bool has_labels(const Bulkhead__VmSpec *a, const Bulkhead__VmSpec *b)
{
    for (size_t i = 0; i < a->n_labels; i++) {
        bool found = false;

        for (size_t k = 0; k < b->n_labels; k++)
            found |= strcmp(a->labels[i]->key, b->labels[k]->key) == 0 &&
                     strcmp(a->labels[i]->value, b->labels[k]->value) == 0;
        if (!found)
            return false;
    }
    return true;
}

const char *compare_specs(struct bag *bag, const Bulkhead__VmSpec *ours,
                          const Bulkhead__VmSpec *kept)
{
    const char *control;

    if (!kept || !kept->config)
        return "config";
    if (!has_labels(ours, kept) || !has_labels(kept, ours))
        return "labels";
    if (ours->autostart != kept->autostart)
        return "autostart";
    if (ours->n_on_request != kept->n_on_request)
        return "on_request";
    for (size_t i = 0; i < ours->n_on_request; i++)
        if (strcmp(ours->on_request[i], kept->on_request[i]) != 0)
            return "on_request";
    if (!ours->control != !kept->control)
        return "control";
    control = ours->control ? differ(bag, &bulkhead__control_right__descriptor, ours->control,
                                     kept->control, "control", 0)
                            : NULL;
    if (control)
        return control;
    return differ(bag, &bulkhead__vm_config__descriptor, ours->config, kept->config, "config", 0);
}
