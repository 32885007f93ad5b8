/* SPDX-License-Identifier: Apache-2.0 */
/* broker_slots.c - what a broker that was taken over has the spawner change of what it may start, after the seal:
 * slots more, and slots emptied. Each changes one thing of a request that is granted otherwise. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/compiler.h"
#include "broker.h"
#include "sandbox/ring.h"

enum broker_verdict broker_add(struct broker *b, uint32_t slot, Bulkhead__Role role,
                               const char *name)
{
    broker_tell_slot(b, slot, role, name);
    return broker_start_honest(b, slot);
}

void broker_free(struct broker *b, uint32_t slot)
{
    struct spawner_request r = { .kind = SPAWNER_FREE, .slot = slot };

    broker_send_request(b, &r);
}

/* A slot more, after the seal, in a place that is not a device's: it stays empty. */
static enum broker_verdict slot_after_the_seal(struct broker *b, long number)
{
    return broker_add(
        b, (uint32_t)number,
        number == SLOT_PASST + 1 ? BULKHEAD__ROLE__ROLE_PASST : BULKHEAD__ROLE__ROLE_RNG, "more");
}

/* Another role than a worker's, in a place where a device may be. */
static enum broker_verdict role_after_the_seal(struct broker *b, long role)
{
    return broker_add(b, SLOT_FREE, (Bulkhead__Role)role, "more");
}

static enum broker_verdict name_after_the_seal(struct broker *b, long which)
{
    static const char *const names[] = { "disk0", "../more", "cgroup.procs", "memory.max" };

    return broker_add(b, SLOT_FREE, BULKHEAD__ROLE__ROLE_RNG, names[which]);
}

/* An upgrade has two in one place. */
static enum broker_verdict third_in_a_slot(struct broker *b, long unused)
{
    struct start start;

    (void)unused;
    if (broker_start_honest(b, SLOT_RNG) != BROKER_LET)
        broker_die("an honest start");
    broker_settle(b);
    broker_prepare(b, &start, SLOT_RNG);
    start.request.uid_slot = UID_SPARE + 1;
    return broker_start(b, &start);
}

/* A disk's io_uring for who has no disk. */
static enum broker_verdict ring_after_the_seal(struct broker *b, long unused)
{
    struct spawner_request r = { .kind = SPAWNER_SLOT, .slot = SLOT_FREE };

    (void)unused;
    r.setup.role = BULKHEAD__ROLE__ROLE_CONSOLE;
    r.setup.pids_max = 1;
    r.setup.ring = RING_DISK;
    snprintf(r.setup.name, sizeof r.setup.name, "more");
    broker_send_request(b, &r);
    return broker_start_honest(b, SLOT_FREE);
}

static enum broker_verdict added_with_uid(struct broker *b, long uid_slot)
{
    struct start start;

    broker_tell_slot(b, SLOT_FREE, BULKHEAD__ROLE__ROLE_RNG, "more");
    broker_prepare(b, &start, SLOT_FREE);
    start.request.uid_slot = (uint32_t)uid_slot;
    return broker_start(b, &start);
}

static const char *name_of(long slot)
{
    return slot == SLOT_CORE    ? "core"
           : slot == SLOT_PASST ? "net0-passt"
           : slot == SLOT_RNG   ? "rng"
                                : "loader";
}

/* Whether it was freed shows by its name, which another may have then. */
static enum broker_verdict free_slot(struct broker *b, long number)
{
    if ((number == SLOT_RNG || number == SLOT_PASST) &&
        broker_start_honest(b, (uint32_t)number) != BROKER_LET) {
        if (number == SLOT_PASST) /* the host makes no user namespace: there never is one */
            return BROKER_REFUSED;
        broker_die("an honest start");
    }
    broker_free(b, (uint32_t)number);
    return broker_add(b, SLOT_FREE, BULKHEAD__ROLE__ROLE_RNG, name_of(number));
}

/* The io_uring of a dead disk goes with its slot: not to the next device there. */
static enum broker_verdict ring_of_the_freed(struct broker *b, long unused)
{
    uint32_t dead = b->next_id;
    struct start start;

    (void)unused;
    if (broker_start_honest(b, SLOT_DISK) != BROKER_LET)
        broker_die("an honest start");
    broker_kill_and_wait(b, dead);
    broker_free(b, SLOT_DISK);
    broker_tell_slot(b, SLOT_DISK, BULKHEAD__ROLE__ROLE_BLK, "disk7");
    broker_prepare(b, &start, SLOT_DISK);
    start.request.ring_of = dead;
    return broker_start(b, &start);
}

static unsigned count_groups(const struct broker *b)
{
    int again = openat(b->group_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    struct dirent *entry;
    unsigned n = 0;

    if (!dir)
        broker_die("its control group");
    while ((entry = readdir(dir)) != NULL)
        n += entry->d_type == DT_DIR && entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* A host has room for 65535 groups with a limit of memory, and their memory is the kernel's. */
enum broker_verdict broker_leave_groups(struct broker *b)
{
    for (unsigned i = 0; i < 8; i++) {
        struct start start;
        char name[16];

        snprintf(name, sizeof name, "more%u", i);
        broker_tell_slot(b, SLOT_FREE, BULKHEAD__ROLE__ROLE_RNG, name);
        broker_prepare(b, &start, SLOT_FREE);
        if (i % 2 == 0)
            start.request.ring_of = UINT32_MAX; /* of nobody */
        if ((broker_start(b, &start) == BROKER_LET) != (i % 2 == 1))
            return BROKER_NO_ANSWER;
        if (i % 2 == 1)
            broker_kill_and_wait(b, start.request.id);
        else if (!strstr(b->text, "io_uring"))
            return BROKER_NO_ANSWER;
        broker_free(b, SLOT_FREE);
    }
    broker_settle(b);
    return count_groups(b) == 1 ? BROKER_REFUSED : BROKER_LET; /* of who settled it */
}

static const struct broker_action actions[] = {
    ASK("slot-after-the-seal", slot_after_the_seal, SLOT_EMPTY),
    ASK("device-in-passt's-place-after-the-seal", slot_after_the_seal, SLOT_PASST + 2),
    ASK("core-after-the-seal", role_after_the_seal, BULKHEAD__ROLE__ROLE_CORE),
    ASK("loader-after-the-seal", role_after_the_seal, BULKHEAD__ROLE__ROLE_LOADER),
    ASK("passt-as-a-device-after-the-seal", role_after_the_seal, BULKHEAD__ROLE__ROLE_PASST),
    ASK("broker-after-the-seal", role_after_the_seal, BULKHEAD__ROLE__ROLE_BROKER),
    ASK("role-huge-after-the-seal", role_after_the_seal, -1),
    ASK("name-of-another-after-the-seal", name_after_the_seal, 0),
    ASK("name-of-a-path-after-the-seal", name_after_the_seal, 1),
    ASK("name-of-a-group's-processes", name_after_the_seal, 2),
    ASK("name-of-a-group's-limit", name_after_the_seal, 3),
    ASK("third-in-a-slot", third_in_a_slot, 0),
    ASK("ring-after-the-seal", ring_after_the_seal, 0),
    ASK("added-with-passt's-uid", added_with_uid, SLOT_PASST),
    ASK("added-with-a-uid-out-of-range", added_with_uid, SPAWNER_MAX_SLOTS),
    ASK("free-the-core", free_slot, SLOT_CORE),
    ASK("free-the-loader", free_slot, SLOT_LOADER),
    ASK("free-the-living-passt", free_slot, SLOT_PASST),
    ASK("free-the-living", free_slot, SLOT_RNG),
    ASK("free-out-of-range", free_slot, SPAWNER_MAX_SLOTS),
    ASK("ring-of-the-freed", ring_of_the_freed, 0),
    ASK("passt-after-the-seal", slot_after_the_seal, SLOT_PASST + 1),
};

const struct broker_table broker_slots = { actions, ARRAY_SIZE(actions) };
