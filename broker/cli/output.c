// SPDX-License-Identifier: Apache-2.0
// output.c - errors, tables and JSON of the command line.
#include "output.h"
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *say_clean(char *dst, size_t size, const char *src)
{
    size_t i = 0;

    for (unsigned char before = 0; src && src[i] && i + 1 < size; i++) {
        unsigned char c = (unsigned char)src[i];
        /* As terminals know them: one byte, or two of UTF-8. */
        bool control =
            c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xa0 && (before < 0x80 || before == 0xc2));

        dst[i] = c == '\t' ? ' ' : control ? '?' : src[i];
        before = c;
    }
    dst[i] = '\0';
    return dst;
}

void say(FILE *out, const char *fmt, ...)
{
    size_t first = strspn(fmt, "\n"), last = strlen(fmt), len;
    char *text = NULL;
    va_list ap;
    int n;

    while (last > first && fmt[last - 1] == '\n')
        last--;
    last = strlen(fmt) - last;
    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        exit(say_error(EXIT_HOST, "out of memory"));
    len = (size_t)n - last;
    fwrite(text, 1, first, out);
    text[len] = '\0';
    say_clean(text, len + 1, text);
    if (len > first)
        fputs(text + first, out);
    fputs(fmt + strlen(fmt) - last, out);
    free(text);
}

/* Every function may have an error to say, without being handed where to. */
static FILE *errors;

void say_errors_to(FILE *out)
{
    errors = out;
}

int say_error(int status, const char *fmt, ...)
{
    char raw[1024];
    char clean[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(raw, sizeof(raw), fmt, ap);
    va_end(ap);
    fflush(stdout);
    fprintf(errors ? errors : stderr, "bulkhead: %s\n", say_clean(clean, sizeof(clean), raw));
    return status;
}

struct say_size say_size(uint64_t bytes)
{
    static const char suffix[] = "BKMGTPE";
    struct say_size s = { "" };
    double v = (double)bytes;
    unsigned i = 0;

    for (; v >= 1024 && i < 6; i++)
        v /= 1024;
    if (i == 0)
        snprintf(s.text, sizeof(s.text), "%uB", (unsigned)bytes);
    else
        snprintf(s.text, sizeof(s.text), v < 10 ? "%.1f%c" : "%.0f%c", v, suffix[i]);
    return s;
}

struct say_span say_span(int64_t seconds)
{
    static const struct {
        int64_t seconds;
        char unit;
    } units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' } };
    struct say_span s;

    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (seconds >= 2 * units[i].seconds) {
            snprintf(s.text, sizeof(s.text), "%lld%c", (long long)(seconds / units[i].seconds),
                     units[i].unit);
            return s;
        }
    snprintf(s.text, sizeof(s.text), "%llds", (long long)MAX(seconds, (int64_t)0));
    return s;
}

static void *must_alloc(size_t n, size_t size)
{
    void *p = calloc(n, size);

    if (!p)
        exit(say_error(EXIT_HOST, "out of memory"));
    return p;
}

void table_init(struct table *table, size_t n_columns, unsigned right)
{
    *table =
        (struct table){ .n_columns = MIN(n_columns, (size_t)TABLE_MAX_COLUMNS), .right = right };
}

void table_row(struct table *table, const char *const *cells)
{
    char ***rows = must_alloc(table->n_rows + 1, sizeof(*rows));
    char **row = must_alloc(table->n_columns, sizeof(*row));

    for (size_t i = 0; i < table->n_columns; i++) {
        const char *cell = cells[i] ? cells[i] : "-";
        size_t size = strlen(cell) + 1;

        row[i] = must_alloc(1, size);
        say_clean(row[i], size, cell);
    }
    if (table->n_rows > 0)
        memcpy(rows, table->rows, table->n_rows * sizeof(*rows));
    free(table->rows);
    rows[table->n_rows++] = row;
    table->rows = rows;
}

void table_print(const struct table *table, FILE *out)
{
    size_t width[TABLE_MAX_COLUMNS] = { 0 };

    for (size_t r = 0; r < table->n_rows; r++)
        for (size_t c = 0; c < table->n_columns; c++)
            width[c] = MAX(width[c], strlen(table->rows[r][c]));
    for (size_t r = 0; r < table->n_rows; r++) {
        for (size_t c = 0; c < table->n_columns; c++) {
            int w = (int)width[c];

            if (table->right & (1u << c))
                fprintf(out, "%*s", w, table->rows[r][c]);
            else if (c + 1 < table->n_columns)
                fprintf(out, "%-*s", w, table->rows[r][c]);
            else
                fputs(table->rows[r][c], out);
            fputs(c + 1 < table->n_columns ? "  " : "\n", out);
        }
    }
}

void table_deinit(struct table *table)
{
    for (size_t r = 0; r < table->n_rows; r++) {
        for (size_t c = 0; c < table->n_columns; c++)
            free(table->rows[r][c]);
        free(table->rows[r]);
    }
    free(table->rows);
    *table = (struct table){ 0 };
}

int say_json(json_t *value)
{
    int r = value ? json_dumpf(value, stdout, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) : -1;

    json_decref(value);
    if (r < 0 || putchar('\n') == EOF || fflush(stdout) != 0)
        return say_error(EXIT_HOST, "cannot write to standard output: %s", strerror(errno));
    return EXIT_OK;
}
