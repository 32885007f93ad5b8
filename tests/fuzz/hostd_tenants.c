// SPDX-License-Identifier: Apache-2.0
// hostd_tenants.c - see hostd_tenants.h.
#include "hostd_tenants.h"

#define T(text) ((char *)(uintptr_t)(text))

Bulkhead__HostConfig *hostd_tenants(void)
{
    static uint32_t uids[3][1] = { { 1 }, { 2 }, { 0 } };
    static char *trees[3][1] = { { T("/acme") }, { T("/beta") }, { T("/") } };
    static const char *const tenant_names[] = { "acme", "beta", "ops" };
    Bulkhead__Tenant list[3], *pointers[3];
    Bulkhead__TenantQuota quota = BULKHEAD__TENANT_QUOTA__INIT;
    Bulkhead__HostConfig config = BULKHEAD__HOST_CONFIG__INIT;
    uint8_t bytes[512];

    quota.vms = VMS_OF_ACME;
    quota.vcpus = VCPUS_OF_ACME;
    config.tenants = pointers;
    config.n_tenants = 3;
    for (unsigned i = 0; i < 3; i++) {
        pointers[i] = &list[i];
        bulkhead__tenant__init(&list[i]);
        list[i].name = T(tenant_names[i]);
        list[i].uids = uids[i];
        list[i].n_uids = 1;
        list[i].trees = trees[i];
        list[i].n_trees = 1;
        list[i].host = i == 2;
    }
    list[0].quota = &quota;
    return bulkhead__host_config__unpack(NULL, bulkhead__host_config__pack(&config, bytes), bytes);
}

void hostd_give_rights(Bulkhead__VmSpec *spec)
{
    static Bulkhead__ControlVerb verbs[] = { 1, 2, 4, 3, 5, 6 };
    static char *vms[] = { T("a"), T("b") }, *on_request[] = { T("disk0") };
    static Bulkhead__ControlRight right;
    static Bulkhead__VsockConfig vsock;

    bulkhead__control_right__init(&right);
    bulkhead__vsock_config__init(&vsock);
    vsock.enabled = 1;
    vsock.cid = 3;
    vsock.socket = T("/acme/x");
    spec->config->vsock = &vsock;
    right.verbs = verbs;
    right.n_verbs = spec->config->n_disks ? 6 : 3;
    right.vms = vms;
    right.n_vms = 2;
    spec->control = &right;
    spec->on_request = on_request;
    spec->n_on_request = spec->config->n_disks;
}
