/* journal.c - the state file: what survives a restart of the twins
 *
 * A last line without its newline is an effect that was being written when the twin was killed: it is cut off, the
 * books are as before it. Anything else that cannot be read stops the start. Not synced to disk: it survives a killed
 * twin, not a lost power. Changing a record: add members with a default for the old form in the type's apply
 * function; never reuse a name.
 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "limits.h"
#include "text.h"

static int file = -1;
static json_t *pending;

static bool apply_record(const json_t *record, const struct journal_type *types)
{
    const char *name = json_string_value(json_object_get(record, "t"));
    for (const struct journal_type *type = types; name && type->name; type++) {
        if (strcmp(type->name, name) == 0)
            return type->apply(record);
    }
    return false;
}

static bool apply_line(const char *line, size_t length, const struct journal_type *types)
{
    json_t *records = json_loadb(line, length, 0, NULL);
    bool good = json_is_array(records);
    for (size_t i = 0; good && i < json_array_size(records); i++)
        good = apply_record(json_array_get(records, i), types);
    json_decref(records);
    return good;
}

/* Reads all whole lines; *ret_good is where the last of them ends. */
static bool replay(FILE *from, const struct journal_type *types, off_t *ret_good)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool good = true;
    unsigned long number = 0;
    while (good && (length = getline(&line, &room, from)) > 0 && line[length - 1] == '\n') {
        number++;
        good = (size_t)length <= (size_t)LIMIT_STATE_LINE_BYTES && apply_line(line, (size_t)length, types);
        if (good)
            *ret_good += length;
    }
    if (!good)
        fprintf(stderr, "acquit-twins: state file, line %lu: cannot be read\n", number);
    free(line);
    return good;
}

bool journal_open(const char *path, const struct journal_type *types)
{
    file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0 || flock(file, LOCK_EX | LOCK_NB) != 0) {
        fprintf(stderr, "acquit-twins: %s: %s\n", path, strerror(errno));
        return false;
    }
    FILE *from = fopen(path, "re");
    off_t good = 0;
    bool read = from && replay(from, types, &good);
    if (from)
        fclose(from);
    if (read && ftruncate(file, good) != 0)
        read = false;
    pending = json_array();
    return read;
}

bool journal_on(void)
{
    return file >= 0 && pending;
}

void journal_note(json_t *record)
{
    if (journal_on())
        json_array_append_new(pending, record);
    else
        json_decref(record);
}

static void write_all(const char *text, size_t size)
{
    while (size) {
        ssize_t written = write(file, text, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            fprintf(stderr, "acquit-twins: state file: %s\n", strerror(errno));
            exit(1); /* books that cannot be kept are not books */
        }
        text += written;
        size -= (size_t)written;
    }
}

void journal_flush(void)
{
    if (!journal_on() || json_array_size(pending) == 0)
        return;
    char *text = json_dumps(pending, JSON_COMPACT);
    json_array_clear(pending);
    size_t size = text ? strlen(text) : 0;
    char *line = memory_grow(text, size + 2);
    line[size] = '\n';
    write_all(line, size + 1);
    free(line);
}
