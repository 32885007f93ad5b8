/* SPDX-License-Identifier: Apache-2.0 */
/* opener.h - bulkhead-broker --open: opens what a device needs that is to be added to a VM which runs.
 *
 * The VM's broker is in its sandbox and can't. This process is started by `bulkhead add`, so it has the rights of
 * who asks, no more; it does what a broker does before its sandbox, for one device, and hands all of it back. It
 * reads one request of who started it, and nothing of any VM. If it made a socket it stays, to keep its file
 * (resources/holder.h). For a user network there is nothing to open: it leaves a note for the VM's spawner, which is
 * to start passt, and stays until its client is gone (spawner/note.h). */
#pragma once

struct sandbox_filter;

/* The client is on that descriptor. holders: the filter of those that stay. An exit status. */
int opener_main(int fd, const struct sandbox_filter *holders);
