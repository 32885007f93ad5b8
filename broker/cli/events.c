// SPDX-License-Identifier: Apache-2.0
// events.c - events for people and for programs.
#include "events.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "output.h"

json_t *event_json(const Bulkhead__Event *event)
{
    json_t *properties = json_object();

    for (size_t i = 0; i < event->n_properties; i++)
        json_object_set_new(properties, event->properties[i]->key,
                            json_string(event->properties[i]->value));
    return json_pack("{s:{s:I,s:I},s:s,s:s,s:o}", "timestamp", "secs",
                     (json_int_t)(event->time_ns / 1000000000u), "nanos",
                     (json_int_t)(event->time_ns % 1000000000u), "source", event->source, "event",
                     event->event, "properties", properties);
}

int event_write_json(const Bulkhead__Event *event, int fd)
{
    json_t *value = event_json(event);
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    size_t len = text ? strlen(text) : 0;
    size_t done = 0;
    int r = 0;

    json_decref(value);
    if (!text)
        return -EILSEQ; /* not UTF-8 */
    text[len++] = '\n'; /* in place of the terminator */
    while (done < len && r == 0) {
        ssize_t n = write(fd, text + done, len - done);

        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            r = -errno;
    }
    free(text);
    return r;
}

void event_print(const Bulkhead__Event *event, FILE *out)
{
    time_t secs = (time_t)(event->time_ns / 1000000000u);
    char line[2048];
    char text[256];
    size_t n;
    struct tm tm;

    localtime_r(&secs, &tm);
    n = (size_t)snprintf(line, sizeof(line), "%02d:%02d:%02d.%03d %s ", tm.tm_hour, tm.tm_min,
                         tm.tm_sec, (int)(event->time_ns / 1000000u % 1000),
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

const char *event_property(const Bulkhead__Event *event, const char *key)
{
    for (size_t i = 0; i < event->n_properties; i++)
        if (strcmp(event->properties[i]->key, key) == 0)
            return event->properties[i]->value;
    return NULL;
}
