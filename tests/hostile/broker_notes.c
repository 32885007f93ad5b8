/* SPDX-License-Identifier: Apache-2.0 */
/* broker_notes.c - see broker_notes.h. Each note is a good one but for one thing. */
#include "broker_notes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/compiler.h"
#include "spawner/note.h"

enum { PORT = 8022, OTHER_PORT = 8023, OTHER_UID = 12345 };

static void describe(struct spawner_slot *slot, const char *name)
{
    *slot = (struct spawner_slot){ .role = BULKHEAD__ROLE__ROLE_PASST,
                                   .pids_max = 8,
                                   .mtu = 1400,
                                   .n_forwards = 1,
                                   .forwards = { { .host_port = PORT, .guest_port = 22 } } };
    snprintf(slot->name, sizeof slot->name, "%s-passt", name);
}

/* Locked by this process until it ends. */
static int write_note(const char *run_dir, const char *name)
{
    struct spawner_slot slot;
    struct fault f = { 0 };
    struct note note;

    describe(&slot, name);
    note_init(&note);
    if (note_write(&note, run_dir, &slot, &f) < 0)
        broker_die(f.text);
    close(note.place.base_fd);
    close(note.place.dir_fd);
    return note.fd;
}

static void path_of(const struct broker *b, const char *name, char path[120])
{
    snprintf(path, 120, "%s/%s-passt", b->dir, name);
}

/* A user who is not the VM's may be this test's own as well: then its mode is what is wrong. */
static void give_away(int fd)
{
    if (geteuid() == 0 ? fchown(fd, OTHER_UID, OTHER_UID) < 0 : fchmod(fd, 0644) < 0)
        broker_die("a note of somebody else");
}

void broker_write_notes(const struct broker *b)
{
    char path[120], target[120];
    int fd;

    (void)write_note(b->dir, "good");
    give_away(write_note(b->dir, "theirs"));
    if (fchmod(write_note(b->dir, "open"), 0666) < 0)
        broker_die("a mode");
    close(write_note(b->dir, "left")); /* its writer is gone */
    (void)write_note(b->dir, "link");
    path_of(b, "link", path);
    path_of(b, "target", target);
    if (rename(path, target) < 0 || symlink("target-passt", path) < 0)
        broker_die(path);
    (void)write_note(b->dir, "second");
    path_of(b, "second", path);
    path_of(b, "name", target);
    if (link(path, target) < 0)
        broker_die(target);
    path_of(b, "fifo", path);
    if (mkfifo(path, 0600) < 0)
        broker_die(path);
    fd = write_note(b->dir, "long");
    if (pwrite(fd, "", 1, lseek(fd, 0, SEEK_END)) != 1)
        broker_die("a longer note");
    if (ftruncate(write_note(b->dir, "short"), 100) < 0)
        broker_die("a shorter note");
}

static enum broker_verdict ask(struct broker *b, uint32_t slot, const struct spawner_slot *setup)
{
    struct spawner_request r = { .kind = SPAWNER_SLOT, .slot = slot, .setup = *setup };

    broker_send_request(b, &r);
    return broker_start_honest(b, slot);
}

enum broker_verdict broker_use_note(struct broker *b)
{
    struct spawner_slot slot;

    describe(&slot, "good");
    return ask(b, SLOT_PASST + 1, &slot);
}

static enum broker_verdict note(struct broker *b, long which)
{
    static const char *const names[] = { "none",   "theirs", "open", "left", "link",
                                         "second", "fifo",   "long", "short" };
    struct spawner_slot slot;

    describe(&slot, names[which]);
    return ask(b, SLOT_PASST + 1, &slot);
}

static enum broker_verdict used_twice(struct broker *b, long freed)
{
    if (broker_use_note(b) != BROKER_LET)
        broker_die("an honest note");
    broker_kill_and_wait(b, b->next_id - 1);
    broker_free(b, freed ? SLOT_PASST + 1 : SLOT_PASST);
    return freed ? broker_use_note(b) : broker_start_honest(b, SLOT_PASST);
}

enum { A_PORT, AN_ADDRESS, A_PROTOCOL, A_PORT_MORE, NO_PORT, AN_MTU, PORTS_WITHOUT_END };

static enum broker_verdict changed(struct broker *b, long what)
{
    struct spawner_slot slot;

    describe(&slot, "good");
    if (what == A_PORT)
        slot.forwards[0].host_port = OTHER_PORT;
    else if (what == AN_ADDRESS)
        slot.forwards[0].has_address = 1;
    else if (what == A_PROTOCOL)
        slot.forwards[0].udp = 1;
    else if (what == A_PORT_MORE)
        slot.forwards[slot.n_forwards++] =
            (struct spawner_forward){ .host_port = OTHER_PORT, .guest_port = 22 };
    else if (what == NO_PORT)
        slot.n_forwards = 0;
    else if (what == AN_MTU)
        slot.mtu = 1500;
    else
        slot.n_forwards = ~0u;
    return ask(b, SLOT_PASST + 1, &slot);
}

/* A note for another device's passt is none for this one's, were it named by its path. */
static enum broker_verdict named(struct broker *b, long which)
{
    static const char *const names[] = { "lock", "control.sock", "../vm/good-passt", "-passt",
                                         "../victim/lock" };
    struct spawner_slot slot;

    describe(&slot, "good");
    memset(slot.name, 0, sizeof slot.name);
    snprintf(slot.name, sizeof slot.name, "%s", names[which]);
    return ask(b, SLOT_PASST + 1, &slot);
}

/* It is a word about passt alone: neither for another's place nor for another role. */
static enum broker_verdict elsewhere(struct broker *b, long number)
{
    struct spawner_slot slot;

    describe(&slot, "good");
    return ask(b, (uint32_t)number, &slot) == BROKER_LET && number == SLOT_PASST
               ? broker_start_honest(b, SLOT_PASST +
                                            1) /* that one is of the start, and runs as it did */
               : BROKER_REFUSED;
}

static enum broker_verdict another_role(struct broker *b, long role)
{
    struct spawner_slot slot;

    describe(&slot, "good");
    slot.role = (uint32_t)role;
    return ask(b, role == BULKHEAD__ROLE__ROLE_CORE ? SLOT_FREE : SLOT_PASST + 1, &slot);
}

static const struct broker_action actions[] = {
    ASK("passt-without-a-note", note, 0),
    ASK("passt-with-another-user's-note", note, 1),
    ASK("passt-with-a-note-all-may-write", note, 2),
    ASK("passt-with-a-note-that-was-left", note, 3),
    ASK("passt-with-a-link-to-a-note", note, 4),
    ASK("passt-with-a-note-of-two-names", note, 5),
    ASK("passt-with-a-pipe", note, 6),
    ASK("passt-with-a-longer-note", note, 7),
    ASK("passt-with-a-shorter-note", note, 8),
    ASK("passt-with-a-note-used-twice", used_twice, true),
    ASK("passt-of-the-start-freed", used_twice, false),
    ASK("passt-with-another-port", changed, A_PORT),
    ASK("passt-with-another-address", changed, AN_ADDRESS),
    ASK("passt-with-another-protocol", changed, A_PROTOCOL),
    ASK("passt-with-a-port-more", changed, A_PORT_MORE),
    ASK("passt-without-its-port", changed, NO_PORT),
    ASK("passt-with-another-mtu", changed, AN_MTU),
    ASK("passt-with-ports-without-end", changed, PORTS_WITHOUT_END),
    ASK("passt-named-as-the-lock", named, 0),
    ASK("passt-named-as-the-socket", named, 1),
    ASK("passt-named-by-a-path", named, 2),
    ASK("passt-named-by-nothing", named, 3),
    ASK("passt-named-as-another's-file", named, 4),
    ASK("passt-in-the-place-of-another", elsewhere, SLOT_PASST),
    ASK("passt-out-of-range", elsewhere, SPAWNER_MAX_SLOTS),
    ASK("a-core-with-a-note", another_role, BULKHEAD__ROLE__ROLE_CORE),
    ASK("a-device-with-a-note", another_role, BULKHEAD__ROLE__ROLE_NET),
};

const struct broker_table broker_notes = { actions, ARRAY_SIZE(actions) };
