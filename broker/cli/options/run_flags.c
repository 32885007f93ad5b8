// SPDX-License-Identifier: Apache-2.0
// run_flags.c - flags of run, plan and create.
#include "options/run_flags.h"
#include <ctype.h>
#include <getopt.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "options/device_flags.h"
#include "options/flags.h"
#include "options/labels.h"
#include "options/machine_flags.h"
#include "vmconfig/load.h"
#include "vmconfig/translate.h"

enum flag_id {
    CONFIG,
    KERNEL,
    INITRAMFS,
    CMDLINE,
    CPUS,
    MEMORY,
    LIMITS,
    DISK,
    NET,
    VSOCK,
    BALLOON,
    RNG,
    SERIAL,
    CONSOLE,
    RATE_LIMIT_GROUP,
    NAME,
    EVENT_MONITOR,
    API_SOCKET,
    NO_REBOOT,
    INSECURE,
    AUDIT,
    CRASH_LIMIT,
    CRASH_WINDOW,
    HANG_TIMEOUT,
    STALL_TIMEOUT,
    TRACE_START,
    VERBOSE,
    SECCOMP,
    LANDLOCK,
    DEBUG_CONSOLE,
    LOG_FILE,
    LABEL,
    AUTOSTART,
    START,
    NOT_YET, /* + index in not_yet[] */
};

/* Cloud Hypervisor's, and not here yet: refused by name. */
static const char *const not_yet[] = {
    "dbus-object-path",
    "dbus-service-name",
    "dbus-system-bus",
    "device",
    "firmware",
    "fs",
    "fw-cfg-config",
    "gdb",
    "generic-vhost-user",
    "host-data",
    "igvm",
    "ivshmem",
    "landlock-rules",
    "log-format",
    "memory-zone",
    "no-shutdown",
    "numa",
    "pci-segment",
    "platform",
    "pmem",
    "pvmemcontrol",
    "pvpanic",
    "restore",
    "rtc",
    "tpm",
    "user-device",
    "vdpa",
    "watchdog",
};

/* First what create has alone, then what describes a VM and all three have, then what is of run and plan. */
static const struct flag flags[] = {
    { "label", 0, FLAG_ONE, "KEY=VALUE", "a label, for ls --label; repeat for more", LABEL },
    { "autostart", 0, FLAG_ONE, NULL, "start it whenever the host's service comes up", AUTOSTART },
    { "start", 0, FLAG_ONE, NULL, "start it now", START },
    FLAGS_COMMON_JSON,
    { "config", 0, FLAG_ONE, "FILE",
      "a VM in JSON or YAML, with Cloud Hypervisor's fields\n(VmConfig); flags behind it add or "
      "override",
      CONFIG },
    { "kernel", 0, FLAG_ONE, "PATH", "bzImage or vmlinux with a PVH note", KERNEL },
    { "initramfs", 0, FLAG_ONE, "PATH", "initial RAM file system", INITRAMFS },
    { "cmdline", 0, FLAG_ONE, "TEXT",
      "kernel command line\n(default: the console that fits --serial, --console)", CMDLINE },
    { "cpus", 0, FLAG_ONE, "boot=N[,...]", "default boot=1", CPUS },
    { "memory", 0, FLAG_ONE, "size=S,...", "default size=512M", MEMORY },
    { "limits", 0, FLAG_ONE, "cpu_max=150%,...", "what it may take of the host in all", LIMITS },
    { "disk", 0, FLAG_MANY, "path=P,...", "a disk; repeat for more", DISK },
    { "net", 0, FLAG_MANY, "tap=T,... | user", "a network interface; repeat for more", NET },
    { "vsock", 0, FLAG_ONE, "cid=N,socket=S", "sockets between host and guest", VSOCK },
    { "balloon", 0, FLAG_ONE, "size=S,...", "memory that can be taken back", BALLOON },
    { "rng", 0, FLAG_MAYBE, "src=/dev/urandom | off", "entropy device (default on)", RNG },
    { "serial", 0, FLAG_ONE, "MODE",
      "off|null|tty|pty|file=F|socket=S\n(default tty; null when the console is the tty)", SERIAL },
    { "console", 0, FLAG_ONE, "MODE", "the same for virtio-console (default off)", CONSOLE },
    { "rate-limit-group", 0, FLAG_MANY, "id=G,...", "a rate limit that disks share",
      RATE_LIMIT_GROUP },
    { "name", 0, FLAG_ONE, "NAME", "the VM's name for the other verbs", NAME },
    { "no-reboot", 0, FLAG_ONE, NULL, "a guest reboot ends the run (exit status 4)", NO_REBOOT },
    { "insecure", 0, FLAG_ONE, NULL, "start although the host lacks a sandbox layer", INSECURE },
    { "audit", 0, FLAG_ONE, NULL, "audit after each start and restart", AUDIT },
    { "crash-limit", 0, FLAG_ONE, "N", "deaths that fail a device (default 5) ...", CRASH_LIMIT },
    { "crash-window", 0, FLAG_ONE, "SECONDS", "... within this time (default 60)", CRASH_WINDOW },
    { "hang-timeout", 0, FLAG_ONE, "MS", "silence that counts as death (default 900)",
      HANG_TIMEOUT },
    { "stall-timeout", 0, FLAG_ONE, "MS", "the same while the host's disk is slow (default 30000)",
      STALL_TIMEOUT },
    { "seccomp", 0, FLAG_ONE, "true", "the filters are always on", SECCOMP },
    { "landlock", 0, FLAG_ONE, NULL, NULL, LANDLOCK }, /* always on where the kernel has it */
    { "debug-console", 0, FLAG_ONE, "off", NULL, DEBUG_CONSOLE },
    { "event-monitor", 0, FLAG_ONE, "path=P | fd=N", "write events as JSON lines there",
      EVENT_MONITOR },
    { "api-socket", 0, FLAG_ONE, "PATH | fd=N", "serve Cloud Hypervisor's HTTP API there",
      API_SOCKET },
    { "trace-start", 0, FLAG_ONE, NULL, "say where the milliseconds of the start go", TRACE_START },
    { "verbose", 'v', FLAG_ONE, NULL, "print events on stderr", VERBOSE },
    { "log-file", 0, FLAG_ONE, "PATH", "log lines of the VM's processes go there, not to stderr",
      LOG_FILE },
    { "json", 0, FLAG_ONE, NULL, "run: events as JSON lines on stdout\nplan: print JSON",
      FLAG_JSON },
    FLAGS_COMMON,
};
enum { N_OF_CREATE = 5, N_OF_RUN = 7 };

static int set_text(struct vm_options *o, const char *flag, const char *value, size_t max,
                    char **field, struct option_error *err)
{
    if (*value == '\0')
        return option_fail(err, "%s: empty", flag);
    if (strlen(value) > max)
        return option_fail(err, "%s: longer than %zu bytes", flag, max);
    *field = bag_strndup(&o->bag, value, strlen(value));
    return 0;
}

static int set_u32(const char *flag, const char *value, uint64_t min, uint64_t max, uint32_t *field,
                   struct option_error *err)
{
    uint64_t v;

    if (option_u64(value, &v) < 0 || v < min || v > max)
        return option_fail(err, "%s: '%s' is not a number from %llu to %llu", flag, value,
                           (unsigned long long)min, (unsigned long long)max);
    *field = (uint32_t)v;
    return 0;
}

/* Of create it may be another tenant's: "acme/web". Who may say so is the service's to know. */
static const char *without_tenant(const struct vm_options *o, const char *value)
{
    size_t len = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789._-");

    return o->verb == VM_OPTIONS_CREATE && len > 0 && value[len] == '/' ? value + len + 1 : value;
}

static int set_name(struct vm_options *o, const char *value, struct option_error *err)
{
    const char *name = without_tenant(o, value);
    size_t len = strlen(name);
    bool ok = len >= 1 && len <= 48 && name[0] != '.';

    for (const char *p = name; *p && ok; p++)
        ok = isalnum((unsigned char)*p) || strchr("._-", *p);
    if (!ok)
        return option_fail(err,
                           "--name: '%s' is no name: 1 to 48 letters, digits, '.', '_' or '-', not "
                           "starting with '.'",
                           value);
    o->config.name = bag_strndup(&o->bag, value, strlen(value));
    return 0;
}

struct monitor_args {
    char *path;
    uint32_t fd;
};

static int set_monitor(struct vm_options *o, const char *value, struct option_error *err)
{
    static const struct option_spec specs[] = {
        { "path", OPTION_TEXT, offsetof(struct monitor_args, path), 1, 4095, "file or fifo" },
        { "fd", OPTION_U32, offsetof(struct monitor_args, fd), 0, 65535, "open descriptor" },
    };
    struct monitor_args a = { 0 };
    uint64_t seen = 0;

    if (option_parse("--event-monitor", value, specs, ARRAY_SIZE(specs), &a, &o->bag, &seen, err) <
        0)
        return -1;
    if (!is_power_of_two(seen))
        return option_fail(err, "--event-monitor: give path= or fd=, not both");
    o->event_path = a.path;
    o->event_fd = seen & 2 ? (int)a.fd : -1;
    return 0;
}

/* As Cloud Hypervisor has it: the path alone, path= or fd=. */
static int set_api_socket(struct vm_options *o, const char *value, struct option_error *err)
{
    static const struct option_spec specs[] = {
        { "path", OPTION_TEXT, offsetof(struct monitor_args, path), 1, 4095, "socket" },
        { "fd", OPTION_U32, offsetof(struct monitor_args, fd), 0, 65535, "listening socket" },
    };
    struct monitor_args a = { 0 };
    uint64_t seen = 1;

    if (*value == '\0')
        return option_fail(err, "--api-socket: empty");
    if (!strchr(value, '='))
        a.path = bag_strndup(&o->bag, value, strlen(value));
    else if (option_parse("--api-socket", value, specs, ARRAY_SIZE(specs), &a, &o->bag, &seen,
                          err) < 0)
        return -1;
    if (!is_power_of_two(seen))
        return option_fail(err, "--api-socket: give path= or fd=, not both");
    o->api_path = a.path;
    o->api_fd = seen & 2 ? (int)a.fd : -1;
    return 0;
}

static int on_device_flag(struct vm_options *o, int id, const char *value, struct option_error *err)
{
    switch (id) {
    case CPUS:
        return vm_cpus_parse(o, value, err);
    case MEMORY:
        return vm_memory_parse(o, value, err);
    case LIMITS:
        return vm_limits_parse(o, value, err);
    case DISK:
        return vm_disk_parse(o, value, err);
    case NET:
        return vm_net_parse(o, value, err);
    case VSOCK:
        return vm_vsock_parse(o, value, err);
    case BALLOON:
        return vm_balloon_parse(o, value, err);
    case RNG:
        return vm_rng_parse(o, value, err);
    case SERIAL:
        o->serial_given = true;
        return vm_console_parse(o, "--serial", value, o->config.serial, err);
    case CONSOLE:
        return vm_console_parse(o, "--console", value, o->config.console, err);
    case RATE_LIMIT_GROUP:
        return vm_limit_group_parse(o, value, err);
    default:
        return option_fail(err, "unexpected flag");
    }
}

static int on_only(const char *flag, const char *value, const char *want, const char *else_what,
                   struct option_error *err)
{
    return strcmp(value, want) == 0 ? 0 : option_fail(err, "%s %s: %s", flag, value, else_what);
}

static int parse_flags(struct vm_options *o, int argc, char **argv, struct option_error *err);

/* As if its flags stood here. */
static int on_config(struct vm_options *o, const char *path, struct option_error *err)
{
    struct config_source source = { .file = path, .path = "" };
    struct config_flags words;
    int outer = optind, r;
    struct option_error wrong;
    json_t *config;

    if (o->n_flags > 1)
        return option_fail(err,
                           "--config comes first: flags behind it add to the file or override it");
    config = load_file(path, &source.lines, err);
    r = config ? translate_config(&source, config, &o->bag, &words, err) : -1;
    json_decref(config);
    lines_deinit(&source.lines);
    if (r == 0 && parse_flags(o, words.argc, words.argv, &wrong) < 0)
        r = option_fail(err, "%s: %s", path, wrong.text);
    optind = outer;
    return r;
}

static int on_flag(void *arg, int id, const char *value, struct option_error *err)
{
    struct vm_options *o = arg;
    Bulkhead__VmConfig *c = &o->config;

    o->n_flags += id != LABEL && id != AUTOSTART && id != START; /* those are in no file */
    switch (id) {
    case CONFIG:
        return on_config(o, value, err);
    case FLAG_OPERAND:
        return option_fail(err, "unexpected argument '%s' (see --help)", value);
    case FLAG_HELP:
        o->help = true;
        return 0;
    case FLAG_JSON:
        o->json = true;
        return 0;
    case KERNEL:
        return set_text(o, "--kernel", value, 4095, &c->kernel, err);
    case INITRAMFS:
        return set_text(o, "--initramfs", value, 4095, &c->initramfs, err);
    case CMDLINE:
        return set_text(o, "--cmdline", value, 2047, &c->cmdline, err);
    case NAME:
        return set_name(o, value, err);
    case API_SOCKET:
        return set_api_socket(o, value, err);
    case EVENT_MONITOR:
        return set_monitor(o, value, err);
    case NO_REBOOT:
        c->no_reboot = 1;
        return 0;
    case INSECURE:
        c->insecure = 1;
        return 0;
    case AUDIT:
        c->audit = 1;
        return 0;
    case CRASH_LIMIT:
        return set_u32("--crash-limit", value, 1, 1000000, &c->crash_limit, err);
    case CRASH_WINDOW:
        return set_u32("--crash-window", value, 1, 86400, &c->crash_window_s, err);
    case HANG_TIMEOUT:
        return set_u32("--hang-timeout", value, 300, 600000, &c->hang_timeout_ms, err);
    case STALL_TIMEOUT:
        return set_u32("--stall-timeout", value, 300, 86400000, &c->stall_timeout_ms, err);
    case TRACE_START:
        c->trace_start_ns = clock_ns(CLOCK_MONOTONIC);
        return 0;
    case VERBOSE:
        o->verbose = true;
        return 0;
    case LOG_FILE:
        return set_text(o, "--log-file", value, 4095, &o->log_path, err);
    case SECCOMP:
        return on_only("--seccomp", value, "true",
                       "the filters can't be turned off or weakened: leave it out", err);
    case DEBUG_CONSOLE:
        return on_only("--debug-console", value, "off", "not supported yet: off is", err);
    case LANDLOCK:
        return 0;
    case LABEL:
        return label_parse(&o->bag, value, &o->labels, &o->n_labels, err);
    case AUTOSTART:
        o->autostart = true;
        return 0;
    case START:
        o->start = true;
        return 0;
    default:
        if (id >= NOT_YET)
            return option_fail(err, "--%s is not supported yet", not_yet[id - NOT_YET]);
        return on_device_flag(o, id, value, err);
    }
}

static void set_defaults(struct vm_options *o)
{
    Bulkhead__VmConfig *c = &o->config;

    bulkhead__vm_config__init(c);
    c->cpus = bag_alloc(&o->bag, sizeof(*c->cpus));
    bulkhead__cpus_config__init(c->cpus);
    c->memory = bag_alloc(&o->bag, sizeof(*c->memory));
    bulkhead__memory_config__init(c->memory);
    c->memory->thp = 1;
    c->serial = bag_alloc(&o->bag, sizeof(*c->serial));
    bulkhead__console_config__init(c->serial);
    c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_TTY;
    c->console = bag_alloc(&o->bag, sizeof(*c->console));
    bulkhead__console_config__init(c->console);
    c->rng = bag_alloc(&o->bag, sizeof(*c->rng));
    bulkhead__rng_config__init(c->rng);
    c->rng->enabled = 1;
}

/* What stdout is for: `run --json` says there what happens. */
static bool prints_events(const struct vm_options *o)
{
    return o->verb == VM_OPTIONS_RUN && o->json && !o->event_path && o->event_fd < 0;
}

static int finish_name(struct vm_options *o, struct option_error *err)
{
    Bulkhead__VmConfig *c = &o->config;

    if (c->name[0] != '\0')
        return 0;
    if (o->verb == VM_OPTIONS_CREATE)
        return option_fail(err, "--name is missing: what the other verbs are to call it");
    c->name = bag_printf(&o->bag, "vm%d", (int)getpid());
    return 0;
}

/* What the flags say only together. */
static int finish(struct vm_options *o, struct option_error *err)
{
    Bulkhead__VmConfig *c = &o->config;
    bool console_tty = c->console->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_TTY;

    if (c->kernel[0] == '\0')
        return option_fail(err, "--kernel is missing (a bzImage or vmlinux)");
    if (!o->serial_given && (console_tty || prints_events(o)))
        c->serial->mode = BULKHEAD__CONSOLE_MODE__CONSOLE_NULL;
    if (console_tty && c->serial->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_TTY)
        return option_fail(err, "--serial and --console can't both be the tty");
    if (prints_events(o) && vm_options_uses_tty(o))
        return option_fail(err, "--json and the guest's tty would share stdout: give "
                                "--event-monitor path= or another --serial/--console");
    if (finish_name(o, err) < 0)
        return -1;
    if (o->verb == VM_OPTIONS_CREATE && o->n_net_fds > 0)
        return option_fail(err, "--net fd=: a descriptor can't be kept: name a tap");
    if (o->verb == VM_OPTIONS_CREATE && console_tty)
        return option_fail(err, "--console tty: the service's console is the serial port, which is "
                                "one unless --serial says otherwise");
    if (c->cmdline[0] == '\0') {
        bool serial = c->serial->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF &&
                      c->serial->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_NULL;

        if (serial)
            c->cmdline = bag_printf(&o->bag, "console=ttyS0");
        else if (c->console->mode != BULKHEAD__CONSOLE_MODE__CONSOLE_OFF)
            c->cmdline = bag_printf(&o->bag, "console=hvc0");
    }
    return vm_devices_check(o, err);
}

/* The verb's table, and behind it what is only known by name. */
static size_t all_flags(struct flag *ret_flags, const struct flag_list *of)
{
    memcpy(ret_flags, of->of, of->n * sizeof(*ret_flags));
    for (size_t i = 0; i < ARRAY_SIZE(not_yet); i++)
        ret_flags[of->n + i] = (struct flag){
            .name = not_yet[i], .values = FLAG_MAYBE, .value = "", .id = NOT_YET + (int)i
        };
    return of->n + ARRAY_SIZE(not_yet);
}

static int parse_flags(struct vm_options *o, int argc, char **argv, struct option_error *err)
{
    struct flag all[ARRAY_SIZE(flags) + ARRAY_SIZE(not_yet)];
    const struct flag_list list = { all, all_flags(all, o->verb == VM_OPTIONS_CREATE
                                                            ? &vm_options_create_flags
                                                            : &vm_options_flags) };

    return flags_parse(&list, argc, argv, on_flag, o, err);
}

int vm_options_parse(struct vm_options *o, int argc, char **argv, struct option_error *err)
{
    *o = (struct vm_options){ .event_fd = -1, .api_fd = -1 };
    if (strcmp(argv[0], "plan") == 0)
        o->verb = VM_OPTIONS_PLAN;
    else if (strcmp(argv[0], "create") == 0)
        o->verb = VM_OPTIONS_CREATE;
    set_defaults(o);
    if (parse_flags(o, argc, argv, err) < 0)
        return -1;
    return o->help ? 0 : finish(o, err);
}

void vm_options_deinit(struct vm_options *o)
{
    bag_free(&o->bag);
}

bool vm_options_uses_tty(const struct vm_options *o)
{
    return o->config.serial->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_TTY ||
           o->config.console->mode == BULKHEAD__CONSOLE_MODE__CONSOLE_TTY;
}

const struct flag_list vm_options_flags = { flags + N_OF_CREATE, ARRAY_SIZE(flags) - N_OF_CREATE };
const struct flag_list vm_options_create_flags = { flags, ARRAY_SIZE(flags) - N_OF_RUN };

void vm_options_print_values(FILE *out)
{
    fputs("Options of the flags above, separated by commas (sizes take K, M, G, T):\n", out);
    vm_devices_print_help(out);
}
