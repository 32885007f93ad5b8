// SPDX-License-Identifier: Apache-2.0
// events.c - events for people and for programs.
#include "events.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "messages_json.h"
#include "output.h"

json_t *event_json(const Bulkhead__Event *event)
{
    return json_pack("{s:{s:I,s:I},s:o,s:o,s:o}", "timestamp", "secs",
                     (json_int_t)(event->time_ns / 1000000000u), "nanos",
                     (json_int_t)(event->time_ns % 1000000000u), "source", text_json(event->source),
                     "event", text_json(event->event), "properties",
                     key_values_json(event->properties, event->n_properties));
}

/* One line of it, ended and terminated, on the heap; NULL: it is not UTF-8. Takes the reference. */
static char *line_of(json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    char *line = text ? malloc(strlen(text) + 2) : NULL;

    if (line)
        sprintf(line, "%s\n", text);
    json_decref(value);
    free(text);
    return line;
}

static int write_line(json_t *value, int fd)
{
    char *line = line_of(value);
    size_t len = line ? strlen(line) : 0;
    size_t done = 0;
    int r = 0;

    if (!line)
        return -EILSEQ;
    while (done < len && r == 0) {
        ssize_t n = write(fd, line + done, len - done);

        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            r = -errno;
    }
    free(line);
    return r;
}

char *event_line(const Bulkhead__Event *event)
{
    return line_of(event_json(event));
}

int event_write_json(const Bulkhead__Event *event, int fd)
{
    return write_line(event_json(event), fd);
}

static const Bulkhead__Event *event_of(const Bulkhead__HostEvent *event)
{
    static const Bulkhead__Event none = BULKHEAD__EVENT__INIT;

    return event->event ? event->event : &none;
}

int event_write_host_json(const Bulkhead__HostEvent *event, int fd)
{
    json_t *object = event_json(event_of(event));

    json_object_update_new(object,
                           json_pack("{s:I,s:o,s:o,s:I}", "sequence", (json_int_t)event->sequence,
                                     "tenant", text_json(event->tenant), "vm", text_json(event->vm),
                                     "lost", (json_int_t)event->lost));
    return write_line(object, fd);
}

/* whose: "acme/web ", or "". */
static void print(const char *whose, const Bulkhead__Event *event, FILE *out)
{
    time_t secs = (time_t)(event->time_ns / 1000000000u);
    char line[2048];
    char text[256];
    size_t n;
    struct tm tm;

    localtime_r(&secs, &tm);
    n = (size_t)snprintf(line, sizeof(line), "%02d:%02d:%02d.%03d %s", tm.tm_hour, tm.tm_min,
                         tm.tm_sec, (int)(event->time_ns / 1000000u % 1000),
                         say_clean(text, sizeof(text), whose));
    n += (size_t)snprintf(line + n, sizeof(line) - n, "%s ",
                          say_clean(text, sizeof(text), event->source));
    n += (size_t)snprintf(line + n, sizeof(line) - n, "%s",
                          say_clean(text, sizeof(text), event->event));
    for (size_t i = 0; i < event->n_properties && n < sizeof(line) - 2 * sizeof(text) - 4; i++) {
        n += (size_t)snprintf(line + n, sizeof(line) - n,
                              " %s=", say_clean(text, sizeof(text), event->properties[i]->key));
        n += (size_t)snprintf(line + n, sizeof(line) - n, "%s",
                              say_clean(text, sizeof(text), event->properties[i]->value));
    }
    /* In one piece: others write to the same terminal. */
    line[n] = '\n';
    fwrite(line, 1, n + 1, out);
    fflush(out);
}

void event_print(const Bulkhead__Event *event, FILE *out)
{
    print("", event, out);
}

void event_print_host(const Bulkhead__HostEvent *event, FILE *out)
{
    char whose[160] = "";

    if (event->lost > 0)
        fprintf(out, "%llu events were lost\n", (unsigned long long)event->lost);
    if (event->vm[0])
        snprintf(whose, sizeof(whose), "%.60s/%.60s ", event->tenant, event->vm);
    print(whose, event_of(event), out);
}

const char *event_property(const Bulkhead__Event *event, const char *key)
{
    for (size_t i = 0; i < event->n_properties; i++)
        if (strcmp(event->properties[i]->key, key) == 0)
            return event->properties[i]->value;
    return NULL;
}
