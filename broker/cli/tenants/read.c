// SPDX-License-Identifier: Apache-2.0
// read.c - see read.h. One table of a tenant's fields: what is read, and by whom.
#include "tenants/read.h"
#include <errno.h>
#include <string.h>
#include "options/nearest.h"
#include "tenants/ids.h"

struct reading {
    const char *file;
    const struct lines *lines;
    struct bag *bag;
    Bulkhead__Tenant *tenant;
    Bulkhead__TenantQuota *quota;
    bool has_run_as;
    struct option_error *err;
};

struct field {
    const char *name;
    int (*read)(struct reading *r, const char *where, const json_t *value);
};

/* "tenants.yaml:12" */
static const char *place(const struct reading *r, const char *where)
{
    return lines_place(r->lines, r->bag, r->file, where);
}

static int wrong(struct reading *r, const char *where, const char *what)
{
    return option_fail(r->err, "%s: %s: %s", place(r, where), where, what);
}

static const struct field *find_field(struct reading *r, const char *where,
                                      const struct field *fields, const char *name)
{
    struct nearest near = nearest_to(name);
    bool found;

    for (; fields->name; fields++) {
        if (strcmp(fields->name, name) == 0)
            return fields;
        nearest_try(&near, fields->name);
    }
    found = nearest_found(&near) != NULL;
    option_fail(r->err, "%s: %s%s%.60s: there is no such field%s%s%s",
                place(r, bag_printf(r->bag, "%s%s%s", where, *where ? "." : "", name)), where,
                *where ? "." : "", name, found ? ": is '" : "", found ? nearest_found(&near) : "",
                found ? "' meant?" : "");
    return NULL;
}

static int read_object(struct reading *r, const char *where, const struct field *fields,
                       const json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const struct field *f = find_field(r, where, fields, name);

        if (!f ||
            (!json_is_null(value) &&
             f->read(r, bag_printf(r->bag, "%s%s%s", where, *where ? "." : "", name), value) < 0))
            return -1;
    }
    return 0;
}

/* ---- kinds of values ---- */

static int read_bool(struct reading *r, const char *where, const json_t *value,
                     protobuf_c_boolean *ret)
{
    if (!json_is_boolean(value))
        return wrong(r, where, "is to be true or false");
    *ret = json_is_true(value);
    return 0;
}

static int read_number(struct reading *r, const char *where, const json_t *value, uint64_t max,
                       uint64_t *ret)
{
    json_int_t n = json_integer_value(value);

    if (!json_is_integer(value) || n < 0)
        return wrong(r, where, "is to be a whole number, 0 or more");
    if ((uint64_t)n > max)
        return option_fail(r->err, "%s: %s: %lld is more than %llu", place(r, where), where,
                           (long long)n, (unsigned long long)max);
    *ret = (uint64_t)n;
    return 0;
}

/* Calls fn for each text of the list; a number is one too. */
static int each_text(struct reading *r, const char *where, const json_t *list, const char *what,
                     int (*fn)(struct reading *r, const char *where, const char *text))
{
    json_t *part;
    size_t i;

    if (!json_is_array(list))
        return wrong(r, where, bag_printf(r->bag, "is to be a list of %s", what));
    json_array_foreach(list, i, part)
    {
        const char *text = json_string_value(part), *at = bag_printf(r->bag, "%s[%zu]", where, i);

        if (json_is_integer(part))
            text = bag_printf(r->bag, "%lld", (long long)json_integer_value(part));
        if (!text || text[0] == '\0')
            return wrong(r, at, bag_printf(r->bag, "is to be one of %s", what));
        if (fn(r, at, text) < 0)
            return -1;
    }
    return 0;
}

static int unknown(struct reading *r, const char *where, const char *what, const char *name,
                   int error)
{
    if (error == -ENOENT)
        return option_fail(r->err, "%s: %s: this host knows no %s '%.64s'", place(r, where), where,
                           what, name);
    if (error == -EINVAL)
        return option_fail(r->err, "%s: %s: '%.64s' is no name of a %s", place(r, where), where,
                           name, what);
    return option_fail(r->err, "%s: %s: %s '%.64s' can't be looked up with getent: %s",
                       place(r, where), where, what, name, strerror(-error));
}

static void add_id(struct bag *bag, uint32_t **ids, size_t *n, uint32_t id)
{
    uint32_t *grown = bag_alloc(bag, (*n + 1) * sizeof(*grown));

    if (*n > 0)
        memcpy(grown, *ids, *n * sizeof(*grown));
    grown[(*n)++] = id;
    *ids = grown;
}

static void add_text(struct bag *bag, char ***texts, size_t *n, const char *text)
{
    void **array = (void **)*texts;

    bag_append(bag, &array, n, bag_printf(bag, "%s", text));
    *texts = (char **)array;
}

/* ---- a tenant's fields ---- */

static int read_name(struct reading *r, const char *where, const json_t *value)
{
    const char *text = json_string_value(value);

    if (!text)
        return wrong(r, where, "is to be a text");
    r->tenant->name = bag_printf(r->bag, "%s", text);
    return 0;
}

static int add_user(struct reading *r, const char *where, const char *name)
{
    uint32_t uid;
    int e = ids_user(name, &uid, NULL);

    if (e < 0)
        return unknown(r, where, "user", name, e);
    add_id(r->bag, &r->tenant->uids, &r->tenant->n_uids, uid);
    return 0;
}

static int read_users(struct reading *r, const char *where, const json_t *value)
{
    return each_text(r, where, value, "users, by name or number", add_user);
}

static int add_group(struct reading *r, const char *where, const char *name)
{
    uint32_t gid;
    int e = ids_group(name, &gid);

    if (e < 0)
        return unknown(r, where, "group", name, e);
    add_id(r->bag, &r->tenant->gids, &r->tenant->n_gids, gid);
    return 0;
}

static int read_groups(struct reading *r, const char *where, const json_t *value)
{
    return each_text(r, where, value, "groups, by name or number", add_group);
}

/* "acme", "acme:images", 1000, "1000:1000" */
static int read_run_as(struct reading *r, const char *where, const json_t *value)
{
    const char *text = json_string_value(value);
    char *user, *group;
    int e;

    if (json_is_integer(value))
        text = bag_printf(r->bag, "%lld", (long long)json_integer_value(value));
    if (!text)
        return wrong(r, where, "is to be a user, or USER:GROUP");
    user = bag_printf(r->bag, "%s", text);
    group = strchr(user, ':');
    if (group)
        *group++ = '\0';
    e = ids_user(user, &r->tenant->uid, group ? NULL : &r->tenant->gid);
    if (e < 0)
        return unknown(r, where, "user", user, e);
    e = group ? ids_group(group, &r->tenant->gid) : 0;
    if (e < 0)
        return unknown(r, where, "group", group, e);
    r->has_run_as = true;
    return 0;
}

static int add_tree(struct reading *r, const char *where, const char *path)
{
    (void)where;
    add_text(r->bag, &r->tenant->trees, &r->tenant->n_trees, path);
    return 0;
}

static int read_trees(struct reading *r, const char *where, const json_t *value)
{
    return each_text(r, where, value, "folders", add_tree);
}

static int read_first(struct reading *r, const char *where, const json_t *value)
{
    uint64_t n = 0;
    int e = read_number(r, where, value, UINT32_MAX, &n);

    r->tenant->uid_first = (uint32_t)n;
    return e;
}

static int read_count(struct reading *r, const char *where, const json_t *value)
{
    uint64_t n = 0;
    int e = read_number(r, where, value, UINT32_MAX, &n);

    r->tenant->uid_count = (uint32_t)n;
    return e;
}

static int read_range(struct reading *r, const char *where, const json_t *value)
{
    static const struct field fields[] = { { "first", read_first },
                                           { "count", read_count },
                                           { NULL, NULL } };

    if (!json_is_object(value) || json_object_size(value) != 2)
        return wrong(r, where, "is to be an object: first, count");
    return read_object(r, where, fields, value);
}

/* To the service 0 is no limit, and to whoever writes it nothing at all. */
static int read_limit(struct reading *r, const char *where, const json_t *value, uint32_t *ret)
{
    uint64_t n = 0;

    if (read_number(r, where, value, UINT32_MAX, &n) < 0)
        return -1;
    if (n == 0)
        return wrong(r, where, "0 would be nothing at all: leave it out for no limit");
    *ret = (uint32_t)n;
    return 0;
}

#define LIMIT(field)                                                                               \
    static int read_##field(struct reading *r, const char *where, const json_t *value)             \
    {                                                                                              \
        return read_limit(r, where, value, &r->quota->field);                                      \
    }
LIMIT(vms)
LIMIT(vcpus)
LIMIT(disks)
LIMIT(devices)
LIMIT(connections)
LIMIT(requests_per_s)

static int read_memory(struct reading *r, const char *where, const json_t *value)
{
    const char *text = json_string_value(value);
    uint64_t bytes = 0;

    if (text && option_size(text, &bytes) < 0)
        return option_fail(r->err, "%s: %s: '%.40s' is no size, as 512M or 16G", place(r, where),
                           where, text);
    if (!text && read_number(r, where, value, INT64_MAX, &bytes) < 0)
        return -1;
    if (bytes == 0)
        return wrong(r, where, "0 would be nothing at all: leave it out for no limit");
    r->quota->memory = bytes;
    return 0;
}

static int read_quota(struct reading *r, const char *where, const json_t *value)
{
    static const struct field fields[] = {
        { "vms", read_vms },
        { "vcpus", read_vcpus },
        { "memory", read_memory },
        { "disks", read_disks },
        { "devices", read_devices },
        { "connections", read_connections },
        { "requests_per_s", read_requests_per_s },
        { NULL, NULL },
    };

    if (!json_is_object(value))
        return wrong(r, where, "is to be an object: vms, vcpus, memory, disks, ...");
    r->quota = bag_alloc(r->bag, sizeof(*r->quota));
    bulkhead__tenant_quota__init(r->quota);
    r->tenant->quota = r->quota;
    return read_object(r, where, fields, value);
}

static int add_tap(struct reading *r, const char *where, const char *name)
{
    size_t len = strlen(name), star = strcspn(name, "*");

    if (len > 15 || strchr(name, '/') || (star < len && star + 1 != len))
        return option_fail(r->err,
                           "%s: %s: '%.40s' is no interface: at most 15 letters, with '*' at the "
                           "end for all that begin so",
                           place(r, where), where, name);
    add_text(r->bag, &r->tenant->taps, &r->tenant->n_taps, name);
    return 0;
}

static int read_taps(struct reading *r, const char *where, const json_t *value)
{
    return each_text(r, where, value, "interfaces", add_tap);
}

static int read_user_net(struct reading *r, const char *where, const json_t *value)
{
    return read_bool(r, where, value, &r->tenant->user_net);
}

static int read_host(struct reading *r, const char *where, const json_t *value)
{
    return read_bool(r, where, value, &r->tenant->host);
}

static const struct field fields_of_tenant[] = {
    { "name", read_name },     { "users", read_users }, { "groups", read_groups },
    { "run_as", read_run_as }, { "trees", read_trees }, { "uid_range", read_range },
    { "quota", read_quota },   { "taps", read_taps },   { "user_net", read_user_net },
    { "host", read_host },     { NULL, NULL },
};

/* Whose rights, if it isn't said: there is but one user it could be. */
static int find_run_as(struct reading *r, const char *where)
{
    Bulkhead__Tenant *t = r->tenant;
    const char *number;

    if (r->has_run_as)
        return 0;
    if (t->n_uids != 1)
        return wrong(r, where,
                     "run_as is missing: the user with whose rights its files are opened");
    number = bag_printf(r->bag, "%u", t->uids[0]);
    t->uid = t->uids[0];
    if (ids_user(number, &t->uid, &t->gid) < 0)
        return option_fail(r->err,
                           "%s: %s: run_as is missing: say USER:GROUP, since this host doesn't "
                           "know the group of user %s",
                           place(r, where), where, number);
    return 0;
}

static int read_tenant(struct reading *r, const char *where, const json_t *value)
{
    r->quota = NULL;
    r->has_run_as = false;
    r->tenant = bag_alloc(r->bag, sizeof(*r->tenant));
    bulkhead__tenant__init(r->tenant);
    if (!json_is_object(value))
        return wrong(r, where, "is to be an object: name, users, trees, ...");
    if (read_object(r, where, fields_of_tenant, value) < 0)
        return -1;
    if (r->tenant->name[0] == '\0')
        return wrong(r, where, "name is missing");
    return find_run_as(r, where);
}

int tenants_read(const char *name, const struct lines *lines, const json_t *root, struct bag *bag,
                 Bulkhead__HostConfig *ret_config, struct option_error *err)
{
    static const struct field top[] = { { "tenants", NULL }, { NULL, NULL } };
    struct reading r = { .file = name, .lines = lines, .bag = bag, .err = err };
    const json_t *list = json_object_get(root, "tenants");
    void **tenants = NULL;
    const char *key;
    json_t *part;
    size_t i;

    bulkhead__host_config__init(ret_config);
    if (!json_is_object(root))
        return option_fail(err, "%s: is to be an object: tenants", place(&r, ""));
    json_object_foreach((json_t *)(uintptr_t)root, key, part)
    {
        if (!find_field(&r, "", top, key))
            return -1;
    }
    if (!json_is_array(list) || json_array_size(list) == 0)
        return option_fail(err, "%s: tenants: is to be a list, with one at least",
                           place(&r, "tenants"));
    json_array_foreach(list, i, part)
    {
        if (read_tenant(&r, bag_printf(bag, "tenants[%zu]", i), part) < 0)
            return -1;
        bag_append(bag, &tenants, &ret_config->n_tenants, r.tenant);
    }
    ret_config->tenants = (Bulkhead__Tenant **)tenants;
    return 0;
}
