// SPDX-License-Identifier: Apache-2.0
// order.c - see order.h.
#include "fleet/order.h"
#include <string.h>
#include "fleet/control.h"
#include "options/nearest.h"

static const char *place_of(struct fleet *fleet, const struct fleet_vm *vm, const char *field)
{
    return lines_place(&vm->lines, &fleet->bag, vm->file,
                       bag_printf(&fleet->bag, "%s.%s", vm->path, field));
}

static void fault_of(struct fleet *fleet, const struct fleet_vm *vm, const char *field,
                     const char *fmt, ...) printf_like(4, 5);

/* Said at the line of that field of the VM. */
static void fault_of(struct fleet *fleet, const struct fleet_vm *vm, const char *field,
                     const char *fmt, ...)
{
    char text[800];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    faults_add(&fleet->faults, "%s: %s: %s", place_of(fleet, vm, field), vm->name, text);
}

/* ---- names ---- */

static bool find(const struct fleet *fleet, const char *name, size_t *ret_vm)
{
    for (size_t i = 0; i < fleet->n; i++)
        if (strcmp(fleet->vms[i]->name, name) == 0) {
            *ret_vm = i;
            return true;
        }
    return false;
}

static void check_names(struct fleet *fleet)
{
    size_t first;

    for (size_t i = 0; i < fleet->n; i++)
        if (find(fleet, fleet->vms[i]->name, &first) && first != i)
            fault_of(fleet, fleet->vms[i], "name", "there is a VM of that name in %s already",
                     place_of(fleet, fleet->vms[first], "name"));
}

static const char *after_at(struct fleet *fleet, const struct fleet_after *after)
{
    return bag_printf(&fleet->bag, "after[%zu]", after->number);
}

static void fault_unknown(struct fleet *fleet, const struct fleet_vm *vm,
                          const struct fleet_after *after)
{
    struct nearest near = nearest_to(after->name);
    const char *at = after_at(fleet, after);

    for (size_t i = 0; i < fleet->n; i++)
        if (fleet->vms[i] != vm)
            nearest_try(&near, fleet->vms[i]->name);
    if (nearest_found(&near))
        fault_of(fleet, vm, at, "after: there is no VM '%.80s' in the manifests: is '%s' meant?",
                 after->name, nearest_found(&near));
    else
        fault_of(fleet, vm, at, "after: there is no VM '%.80s' in the manifests", after->name);
}

static void find_after(struct fleet *fleet, struct fleet_vm *vm)
{
    size_t n = 0;

    for (size_t i = 0; i < vm->n_after; i++) {
        struct fleet_after *a = &vm->after[i];
        const struct fleet_vm *other;

        if (!find(fleet, a->name, &a->vm)) {
            fault_unknown(fleet, vm, a);
            continue;
        }
        other = fleet->vms[a->vm];
        if (a->when == WHEN_READY && other->ready.kind == READY_NONE)
            fault_of(fleet, vm, after_at(fleet, a),
                     "after: '%s' has no ready condition: give it one, or say when: started",
                     a->name);
        if (a->when == WHEN_DEFAULT)
            a->when = other->ready.kind == READY_NONE ? WHEN_STARTED : WHEN_READY;
        vm->after[n++] = *a;
    }
    vm->n_after = n;
}

/* ---- circles and waves ---- */

enum mark { UNSEEN, ON_THE_WAY, SEEN };

struct walk {
    struct fleet *fleet;
    enum mark marks[FLEET_MAX_VMS];
    size_t way[FLEET_MAX_VMS];  /* from where it began to where it is */
    size_t next[FLEET_MAX_VMS]; /* which of its `after` is looked at next, by VM */
    size_t n;
};

/* The way from `vm` on leads back to it. */
static void fault_circle(struct walk *w, size_t vm)
{
    struct fleet *fleet = w->fleet;
    const struct fleet_vm *first = fleet->vms[vm];
    char text[700];
    size_t n, i = w->n;

    while (w->way[--i] != vm)
        ;
    n = (size_t)snprintf(text, sizeof(text), "%s", first->name);
    for (i++; i < w->n && n < sizeof(text) - 120; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, " after %s", fleet->vms[w->way[i]]->name);
    snprintf(text + n, sizeof(text) - n, "%s after %s", i < w->n ? " ..." : "", first->name);
    fault_of(fleet, first, "after", "they wait for each other in a circle: %s", text);
}

static void enter(struct walk *w, size_t vm)
{
    w->marks[vm] = ON_THE_WAY;
    w->way[w->n++] = vm;
}

static void leave(struct walk *w)
{
    struct fleet_vm *vm = w->fleet->vms[w->way[--w->n]];

    w->marks[w->way[w->n]] = SEEN;
    for (size_t i = 0; i < vm->n_after; i++)
        vm->wave = MAX(vm->wave, w->fleet->vms[vm->after[i].vm]->wave + 1);
}

static void find_waves(struct fleet *fleet)
{
    struct walk *w = bag_alloc(&fleet->bag, sizeof(*w));

    w->fleet = fleet;
    for (size_t root = 0; root < fleet->n; root++) {
        if (w->marks[root] == UNSEEN)
            enter(w, root);
        while (w->n > 0) {
            size_t at = w->way[w->n - 1];
            const struct fleet_vm *vm = fleet->vms[at];

            if (w->next[at] == vm->n_after) {
                leave(w);
                continue;
            }
            at = vm->after[w->next[at]++].vm;
            if (w->marks[at] == ON_THE_WAY)
                fault_circle(w, at);
            else if (w->marks[at] == UNSEEN)
                enter(w, at);
        }
    }
}

unsigned order_n_waves(const struct fleet *fleet)
{
    unsigned n = 0;

    for (size_t i = 0; i < fleet->n; i++)
        n = MAX(n, fleet->vms[i]->wave + 1);
    return n;
}

/* ---- what two can't have ---- */

enum claim_kind { CLAIM_DISK, CLAIM_SOCKET, CLAIM_FILE, CLAIM_TAP };

struct claim {
    const struct fleet_vm *vm;
    enum claim_kind kind;
    const char *text;
    const char *field; /* of its configuration */
    bool shared;       /* with others that share it */
    bool known;
    uint64_t dev, ino;
};

struct claims {
    struct bag *bag;
    struct claim *of;
    size_t n, room;
    order_identify_fn identify;
};

/* Of a configuration in a file of its own the line is that of the file's name. */
static const char *config_field(struct bag *bag, const struct fleet_vm *vm, const char *list,
                                size_t number)
{
    return vm->has_file ? "config_file" : bag_printf(bag, "config.%s[%zu]", list, number);
}

static void claim(struct claims *claims, const struct fleet_vm *vm, enum claim_kind kind,
                  const char *field, const char *text, bool shared)
{
    struct claim *c, *grown;

    if (!text || !*text)
        return;
    if (claims->n == claims->room) {
        claims->room = 2 * claims->room + 64;
        grown = bag_alloc(claims->bag, claims->room * sizeof(*grown));
        if (claims->n > 0)
            memcpy(grown, claims->of, claims->n * sizeof(*grown));
        claims->of = grown;
    }
    c = &claims->of[claims->n++];
    *c = (struct claim){ .vm = vm, .kind = kind, .field = field, .text = text, .shared = shared };
    if (kind == CLAIM_DISK)
        c->known = claims->identify(text, &c->dev, &c->ino);
}

static void claim_console(struct claims *claims, const struct fleet_vm *vm, const char *field,
                          const Bulkhead__ConsoleConfig *c)
{
    if (c->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_SOCKET)
        claim(claims, vm, CLAIM_SOCKET, field, c->path, false);
    if (c->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_FILE)
        claim(claims, vm, CLAIM_FILE, field, c->path, false);
}

static void claim_all(struct claims *claims, const struct fleet_vm *vm)
{
    const Bulkhead__VmConfig *c = &vm->options.config;

    for (size_t i = 0; i < c->n_disks; i++)
        claim(claims, vm, CLAIM_DISK, config_field(claims->bag, vm, "disks", i), c->disks[i]->path,
              c->disks[i]->readonly);
    for (size_t i = 0; i < c->n_nets; i++)
        claim(claims, vm, CLAIM_TAP, config_field(claims->bag, vm, "net", i), c->nets[i]->tap,
              false);
    claim_console(claims, vm, vm->has_file ? "config_file" : "config.serial", c->serial);
    claim_console(claims, vm, vm->has_file ? "config_file" : "config.console", c->console);
    if (c->vsock && c->vsock->enabled)
        claim(claims, vm, CLAIM_SOCKET, vm->has_file ? "config_file" : "config.vsock",
              c->vsock->socket, false);
}

static bool is_same(const struct claim *a, const struct claim *b)
{
    return a->vm != b->vm && a->kind == b->kind && !(a->shared && b->shared) &&
           (strcmp(a->text, b->text) == 0 ||
            (a->known && b->known && a->dev == b->dev && a->ino == b->ino));
}

static void check_claims(struct fleet *fleet, order_identify_fn identify)
{
    static const char *const names[] = {
        [CLAIM_DISK] = "the disk",
        [CLAIM_SOCKET] = "the socket",
        [CLAIM_FILE] = "the console's file",
        [CLAIM_TAP] = "the interface",
    };
    struct claims claims = { .bag = &fleet->bag, .identify = identify };

    for (size_t i = 0; i < fleet->n; i++)
        if (fleet->vms[i]->is_whole)
            claim_all(&claims, fleet->vms[i]);
    for (size_t i = 0; i < claims.n; i++)
        for (size_t k = 0; k < i; k++) {
            const struct claim *c = &claims.of[i], *other = &claims.of[k];

            if (!is_same(c, other))
                continue;
            fault_of(fleet, c->vm, c->field, "%s %.300s is that of '%s' too%s", names[c->kind],
                     c->text, other->vm->name,
                     c->kind == CLAIM_DISK ? ": only what is readonly in both can be shared" : "");
            break;
        }
}

void order_check(struct fleet *fleet, order_identify_fn identify)
{
    check_names(fleet);
    for (size_t i = 0; i < fleet->n; i++)
        find_after(fleet, fleet->vms[i]);
    find_waves(fleet);
    check_claims(fleet, identify);
    control_check(fleet);
}
