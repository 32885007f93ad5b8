/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - see config.h. The message was unpacked with malloc, so that its strings can be
 * replaced one by one. */
#include "config/config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/err.h"

Bulkhead__VmConfig *config_copy(const Bulkhead__VmConfig *from)
{
    size_t len = bulkhead__vm_config__get_packed_size(from);
    uint8_t *bytes = malloc(len + 1);
    Bulkhead__VmConfig *copy;

    if (!bytes)
        return NULL;
    bulkhead__vm_config__pack(from, bytes);
    copy = bulkhead__vm_config__unpack(NULL, len, bytes);
    free(bytes);
    return copy;
}

void config_free(Bulkhead__VmConfig *config)
{
    if (config)
        bulkhead__vm_config__free_unpacked(config, NULL);
}

static int set_text(char **field, const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        return -ENOMEM;
    if ((const char *)*field != protobuf_c_empty_string)
        free(*field);
    *field = copy;
    return 0;
}

bool config_has_id(const Bulkhead__VmConfig *c, const char *id)
{
    for (size_t i = 0; i < c->n_disks; i++)
        if (strcmp(c->disks[i]->id, id) == 0)
            return true;
    for (size_t i = 0; i < c->n_nets; i++)
        if (strcmp(c->nets[i]->id, id) == 0)
            return true;
    return false;
}

static bool is_taken(const Bulkhead__VmConfig *c, const char *id)
{
    return config_has_id(c, id) || (c->vsock->enabled && strcmp(c->vsock->id, id) == 0);
}

/* The first that is free from its own number on: others may have come and gone before it. */
static int fill_id(const Bulkhead__VmConfig *c, char **id, const char *prefix, size_t index)
{
    char text[32];

    if ((*id)[0] != '\0')
        return 0;
    do
        snprintf(text, sizeof text, "%s%zu", prefix, index++);
    while (is_taken(c, text));
    return set_text(id, text);
}

/* A random address, locally administered and not a group's. */
static int fill_mac(ProtobufCBinaryData *mac)
{
    if (mac->len != 0)
        return 0;
    mac->data = malloc(6);
    if (!mac->data)
        return -ENOMEM;
    if (getrandom(mac->data, 6, 0) != 6)
        memset(mac->data, 0x5a, 6);
    mac->data[0] = (uint8_t)((mac->data[0] & 0xfc) | 2);
    mac->len = 6;
    return 0;
}

#define FILL_MESSAGE(field, type)                                                                  \
    do {                                                                                           \
        if (!(field)) {                                                                            \
            (field) = malloc(sizeof *(field));                                                     \
            if (!(field))                                                                          \
                return -ENOMEM;                                                                    \
            type##__init(field);                                                                   \
        }                                                                                          \
    } while (0)

static int fill_messages(Bulkhead__VmConfig *c)
{
    FILL_MESSAGE(c->cpus, bulkhead__cpus_config);
    FILL_MESSAGE(c->memory, bulkhead__memory_config);
    FILL_MESSAGE(c->serial, bulkhead__console_config);
    FILL_MESSAGE(c->console, bulkhead__console_config);
    FILL_MESSAGE(c->rng, bulkhead__rng_config);
    FILL_MESSAGE(c->vsock, bulkhead__vsock_config);
    FILL_MESSAGE(c->balloon, bulkhead__balloon_config);
    FILL_MESSAGE(c->limits, bulkhead__limits_config);
    return 0;
}

int config_fill(Bulkhead__VmConfig *c, const char *fallback_name)
{
    bool no_memory = !c->memory, no_rng = !c->rng;

    if (fill_messages(c) < 0 || (c->name[0] == '\0' && set_text(&c->name, fallback_name) < 0))
        return err_origin(-ENOMEM, "configuration");
    c->memory->thp |= no_memory;
    c->rng->enabled |= no_rng;
    if (c->cpus->boot_vcpus == 0)
        c->cpus->boot_vcpus = 1;
    if (c->memory->size == 0)
        c->memory->size = CONFIG_MEMORY_BYTES;
    for (size_t i = 0; i < c->n_disks; i++) {
        Bulkhead__DiskConfig *disk = c->disks[i];

        if (fill_id(c, &disk->id, "disk", i) < 0)
            return err_origin(-ENOMEM, "configuration");
        disk->num_queues = disk->num_queues ? disk->num_queues : 1;
        disk->queue_size = disk->queue_size ? disk->queue_size : CONFIG_DISK_QUEUE_SIZE;
    }
    for (size_t i = 0; i < c->n_nets; i++) {
        Bulkhead__NetConfig *net = c->nets[i];

        if (fill_id(c, &net->id, "net", i) < 0 || fill_mac(&net->mac) < 0 ||
            (net->mode[0] == '\0' && set_text(&net->mode, "tap") < 0))
            return err_origin(-ENOMEM, "configuration");
        if (net->num_queues == 0)
            net->num_queues = net->num_fds > 1 ? 2 * net->num_fds : 2;
        net->queue_size = net->queue_size ? net->queue_size : CONFIG_NET_QUEUE_SIZE;
    }
    if (c->vsock->enabled && c->vsock->id[0] == '\0' && set_text(&c->vsock->id, "vsock0") < 0)
        return err_origin(-ENOMEM, "configuration");
    c->crash_limit = c->crash_limit ? c->crash_limit : CONFIG_CRASH_LIMIT;
    c->crash_window_s = c->crash_window_s ? c->crash_window_s : CONFIG_CRASH_WINDOW_S;
    c->hang_timeout_ms = c->hang_timeout_ms ? c->hang_timeout_ms : CONFIG_HANG_TIMEOUT_MS;
    if (c->stall_timeout_ms == 0)
        c->stall_timeout_ms = MAX((uint32_t)CONFIG_STALL_TIMEOUT_MS, c->hang_timeout_ms);
    return 0;
}
