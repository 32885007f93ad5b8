/* SPDX-License-Identifier: Apache-2.0 */
/* notes.c - see notes.h. */
#include "hostd/starter/notes.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fd.h"
#include "hostd/starter/places.h"
#include "sandbox/caps.h"
#include "spawner/note.h"

/* ---- who keeps it ---- */

/* Until the client is gone, says anything at all, or has had his time: nothing is read of him. */
static _Noreturn void keep_note(struct note *note, int client_fd, pid_t starter)
{
    const int keep[] = { note->fd, note->place.dir_fd, note->place.base_fd, client_fd };
    struct pollfd client = { .fd = client_fd, .events = POLLIN };

    fd_close_all_but(
        keep, ARRAY_SIZE(keep)); /* so that nobody waits for the end of what else is open here */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == starter && caps_enter(0) == 0)
        while (poll(&client, 1, NOTES_MS) < 0 && errno == EINTR)
            ;
    note_withdraw(note);
    _exit(0);
}

/* ---- who has it written ---- */

static void on_kept(void *arg, int status)
{
    (void)status;
    places_settle(arg);
}

static int check(struct starter *s, const char *tenant, const char *vm, size_t len)
{
    const Bulkhead__Tenant *t = terms_find(&s->terms, tenant);

    if (!t || !places_lives(s, tenant, vm))
        return err_origin(-ENOENT, "the VM %s is not running", vm);
    if (t->host) /* and hostd's word is none for who may write there himself */
        return err_origin(-EPERM, "only who the service is adds a user network to %s: run it so",
                          vm);
    if (!t->user_net)
        return err_origin(-EPERM, "tenant %s may have no user network", tenant);
    if (len != NOTE_BYTES)
        return err_origin(-EINVAL, "a note of %zu bytes: is all of one release?", len);
    return 0;
}

static int write_for(struct place *place, const void *bytes)
{
    const struct starter *s = place->starter;
    char run_dir[sizeof s->folders.vms_path + sizeof place->tenant + sizeof place->vm + 2];
    struct note note;
    struct fault f = { 0 };
    int pair[2], r;
    pid_t pid, own = getpid();

    if (place->note.pid != 0)
        return err_origin(-EBUSY, "a user network is being added to %s: try again", place->vm);
    snprintf(run_dir, sizeof run_dir, "%s/%s/%s", s->folders.vms_path, place->tenant, place->vm);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_origin(-errno, "who has a note written");
    note_init(&note);
    r = note_write_bytes(&note, run_dir, bytes, &f);
    pid = r < 0 ? r : fork();
    if (pid == 0)
        keep_note(&note, pair[0], own);
    if (pid < 0)
        r = err_origin(r < 0 ? r : -errno, "%.180s", r < 0 ? f.text : "keeping a note");
    else
        r = process_watch(&place->note, s->loop, pid, true, on_kept, place);
    if (r < 0)
        note_withdraw(&note);
    else
        note_forget(&note);
    close(pair[0]);
    if (r < 0)
        close(pair[1]);
    return r < 0 ? err_trace(r) : pair[1];
}

int notes_write(struct starter *s, const char *tenant, const char *vm, const void *bytes,
                size_t len)
{
    struct place *place;
    int r = check(s, tenant, vm, len);

    if (r == 0)
        r = places_take(s, tenant, vm, &place);
    if (r < 0)
        return err_trace(r);
    r = write_for(place, bytes);
    places_settle(place);
    return r;
}
