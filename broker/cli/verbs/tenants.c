// SPDX-License-Identifier: Apache-2.0
// tenants.c - see tenants.h.
#include "verbs/tenants.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "host_client.h"
#include "host_json.h"
#include "output.h"
#include "tenants/check.h"
#include "tenants/read.h"
#include "tenants/store.h"
#include "vmconfig/load.h"

/* ---- what there is ---- */

/* "3/10", "3" */
static void say_share(char *dst, size_t size, uint32_t used, uint32_t limit)
{
    if (limit)
        snprintf(dst, size, "%u/%u", used, limit);
    else
        snprintf(dst, size, "%u", used);
}

static void add_row(struct table *table, const Bulkhead__TenantUsage *u)
{
    static const Bulkhead__TenantQuota none = BULKHEAD__TENANT_QUOTA__INIT;
    const Bulkhead__Tenant *t = u->tenant;
    const Bulkhead__TenantQuota *q = t->quota ? t->quota : &none;
    char vms[32], vcpus[32], memory[48], disks[32], connections[32], trees[256] = "";
    size_t n = 0;

    say_share(vms, sizeof(vms), u->vms, q->vms);
    say_share(vcpus, sizeof(vcpus), u->vcpus, q->vcpus);
    say_share(disks, sizeof(disks), u->disks, q->disks);
    say_share(connections, sizeof(connections), u->connections, q->connections);
    snprintf(memory, sizeof(memory), "%s%s%s", say_size(u->memory).text, q->memory ? "/" : "",
             q->memory ? say_size(q->memory).text : "");
    for (size_t i = 0; i < t->n_trees && n + 1 < sizeof(trees); i++)
        n += (size_t)snprintf(trees + n, sizeof(trees) - n, "%s%s", n ? " " : "", t->trees[i]);
    table_row(table, (const char *[]){ t->name, vms, vcpus, memory, disks, connections,
                                       t->host ? "yes" : NULL, trees });
}

static int print_list(const Bulkhead__TenantList *list, bool json)
{
    static const char *const titles[] = { "TENANT", "VMS",         "VCPUS", "MEMORY",
                                          "DISKS",  "CONNECTIONS", "HOST",  "TREES" };
    json_t *all = json_array();
    struct table table;

    table_init(&table, ARRAY_SIZE(titles), 0x3e);
    table_row(&table, titles);
    for (size_t i = 0; i < list->n_tenants; i++) {
        if (!list->tenants[i]->tenant)
            continue;
        add_row(&table, list->tenants[i]);
        json_array_append_new(all, host_tenant_json(list->tenants[i]));
    }
    if (!json)
        table_print(&table, stdout);
    table_deinit(&table);
    if (json)
        return say_json(json_pack("{s:o}", "tenants", all));
    json_decref(all);
    return EXIT_OK;
}

static int list(bool json)
{
    Bulkhead__ListTenants msg = BULKHEAD__LIST_TENANTS__INIT;
    struct host_answer answer;
    struct host host = { 0 };
    int r;

    HOST_ENVELOPE(request, LIST_TENANTS, list_tenants, &msg);
    r = host_ask(&host, &request, HOST_TIMEOUT_MS, BULKHEAD__HOST_ENVELOPE__BODY_TENANT_LIST,
                 &answer);
    if (r != EXIT_OK)
        return r;
    r = print_list(answer.envelope->tenant_list, json);
    host_close(&host);
    return r;
}

/* ---- what there is to be ---- */

/* The config lies in the bag. */
static int read_file(const char *path, struct bag *bag, Bulkhead__HostConfig *ret_config)
{
    const char *name = strcmp(path, "-") == 0 ? "stdin" : path;
    struct option_error err;
    struct lines lines = { 0 };
    json_t *root = load_file(path, &lines, &err);
    int r = root ? tenants_read(name, &lines, root, bag, ret_config, &err) : -1;

    lines_deinit(&lines);
    json_decref(root);
    if (r == 0)
        r = tenants_check(name, ret_config, geteuid(), &err);
    return r < 0 ? say_error(EXIT_BAD_INPUT, "%s", err.text) : EXIT_OK;
}

static int say_result(const char *path, size_t n, const char *result, bool json)
{
    if (json)
        return say_json(
            json_pack("{s:s,s:I,s:s}", "file", path, "tenants", (json_int_t)n, "result", result));
    say(stdout, "%s: %zu tenant%s, %s\n", path, n, n == 1 ? "" : "s", result);
    return EXIT_OK;
}

static int check(const char *path, bool json)
{
    Bulkhead__HostConfig config;
    struct bag bag = { 0 };
    int r = read_file(path, &bag, &config);

    if (r == EXIT_OK)
        r = say_result(path, config.n_tenants, "well", json);
    bag_free(&bag);
    return r;
}

/* A service that doesn't take it would not start with it either: what was there is put back. */
static int refused(const struct stored *stored, const Bulkhead__HostReply *reply)
{
    struct option_error err;

    if (tenants_restore(stored, &err) < 0)
        say_error(0, "%s", err.text);
    return host_reply(reply);
}

/* *ret_result: what became of it. */
static int reload(const struct stored *stored, const char **ret_result)
{
    Bulkhead__ReloadTenants msg = BULKHEAD__RELOAD_TENANTS__INIT;
    struct host_answer answer;
    struct host host = { 0 };
    int r = host_connect_own(&host);

    HOST_ENVELOPE(request, RELOAD_TENANTS, reload_tenants, &msg);
    *ret_result = "applied";
    if (r == -ECONNREFUSED) {
        *ret_result = "written; no service runs";
        return EXIT_OK;
    }
    if (r == 0)
        r = host_call(&host, &request, HOST_TIMEOUT_MS, &answer);
    if (r < 0)
        r = host_failed(r);
    else if (answer.envelope->body_case == BULKHEAD__HOST_ENVELOPE__BODY_REPLY &&
             answer.envelope->reply->error != 0)
        r = refused(stored, answer.envelope->reply);
    else
        r = host_expect(&answer, BULKHEAD__HOST_ENVELOPE__BODY_REPLY);
    host_close(&host);
    return r;
}

static int apply(const char *path, bool json)
{
    Bulkhead__HostConfig config;
    struct stored stored = { 0 };
    struct option_error err;
    struct bag bag = { 0 };
    const char *result = NULL;
    int r = read_file(path, &bag, &config);

    if (r == EXIT_OK && tenants_store(&config, &stored, &err) < 0)
        r = say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (r == EXIT_OK)
        r = reload(&stored, &result);
    if (r == EXIT_OK)
        r = say_result(stored.path, config.n_tenants, result, json);
    stored_deinit(&stored);
    bag_free(&bag);
    return r;
}

static int run_tenants(int argc, char **argv)
{
    struct simple_args args;
    struct option_error err;

    if (flags_parse_simple(argc, argv, &args, &err) < 0)
        return say_error(EXIT_BAD_INPUT, "%s", err.text);
    if (args.help)
        return VERB_HELP;
    if (args.n_operands == 0)
        return list(args.json);
    if (args.n_operands == 2 && strcmp(args.operands[0], "check") == 0)
        return check(args.operands[1], args.json);
    if (args.n_operands == 2 && strcmp(args.operands[0], "apply") == 0)
        return apply(args.operands[1], args.json);
    return VERB_USAGE;
}

static void more_of_tenants(FILE *out)
{
    fputs(
        "Without arguments: what the caller's tenant has, of what it may have; the host's own sees "
        "all.\n"
        "check reads a file, apply has the host's service use it, now or when it starts:\n\n"
        "  tenants:\n"
        "  - name: host\n"
        "    users: [root]                  # who speaks for it; groups: [...] too\n"
        "    trees: [/]                     # where its kernels, disks and sockets are\n"
        "    host: true                     # sees all tenants, and may apply this file\n"
        "    taps: [\"*\"]\n"
        "  - name: acme\n"
        "    users: [alice, 1001]\n"
        "    run_as: acme                   # or USER:GROUP: with whose rights its files are "
        "opened\n"
        "    trees: [/srv/acme]\n"
        "    uid_range: {first: 0x70010000, count: 4096}   # of its VMs' processes; default: any\n"
        "    quota: {vms: 10, vcpus: 20, memory: 16G, disks: 20, devices: 8,\n"
        "            connections: 16, requests_per_s: 100}\n"
        "    taps: [acme*]                  # interfaces that it may use\n"
        "    user_net: true                 # --net user\n",
        out);
}

static const char *const words[] = { "check", "apply", NULL };

const struct verb verb_tenants = {
    .name = "tenants",
    .usage = "[check FILE | apply FILE] [--json]",
    .summary = "who may have VMs of the host's service, and how many",
    .more = more_of_tenants,
    .words = words,
    .operands = { OPERAND_WORD, OPERAND_FILE },
    .flags = &flags_simple,
    .run = run_tenants,
};
