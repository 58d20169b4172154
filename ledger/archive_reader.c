/* archive_reader.c - an archive, line by line; nothing of it is believed before its tail fits */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "ledger/archive_internal.h"

/* The next line as JSON; NULL with an error when there is none that can be read. */
static json_t *read_line(struct archive_reader *reader, struct err *err)
{
    ssize_t size = getline(&reader->line, &reader->room, reader->file);
    reader->number++;
    if (size < 0 || size > ARCHIVE_LINE_MAX) {
        err_set(err, ERR_CONFLICT, "line %" PRId64 ": %s", reader->number,
                size > 0               ? "is too long"
                : ferror(reader->file) ? strerror(errno)
                                       : "the archive ends before its last line");
        return NULL;
    }
    sha256_add(reader->sha256, reader->line, (size_t)size);
    json_t *line = json_loadb(reader->line, (size_t)size, JSON_REJECT_DUPLICATES, NULL);
    if (!line) /* jansson's own text would quote it (L11) */
        err_set(err, ERR_CONFLICT, "line %" PRId64 ": is no JSON", reader->number);
    return line;
}

int archive_reader_open(struct archive_reader *reader, const char *path, struct err *err)
{
    *reader = (struct archive_reader){.file = fopen(path, "re")};
    if (!reader->file)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_DENIED, "%s: %s", path, strerror(errno));
    reader->sha256 = sha256_begin();
    reader->sums = archive_sums_new();
    json_auto_t *head = read_line(reader, err);
    if (head && archive_read_head(head, &reader->range, err) == 0)
        return 0;
    char unused[SHA256_HEX_SIZE];
    archive_reader_close(reader, unused);
    return err_prefix(err, "%s", path);
}

static int check_tail(struct archive_reader *reader, const json_t *line, struct err *err)
{
    struct archive_counts said;
    if (archive_read_tail(line, &said, err) != 0)
        return -1;
    archive_sums_end(reader->sums, &reader->counts);
    if (said.payments != reader->counts.payments || said.facts != reader->counts.facts ||
        said.transfers != reader->counts.transfers || strcmp(said.leaves, reader->counts.leaves) != 0)
        return err_set(err, ERR_CONFLICT, "line %" PRId64 ": the last line does not fit what stands before it",
                       reader->number);
    if (fgetc(reader->file) != EOF)
        return err_set(err, ERR_CONFLICT, "line %" PRId64 ": there is something behind the last line",
                       reader->number + 1);
    return 0;
}

json_t *archive_reader_next(struct archive_reader *reader, const char **ret_began, struct archive_fact **ret_facts,
                            int *ret_count, struct err *err)
{
    json_t *line = read_line(reader, err);
    *ret_facts = NULL;
    *ret_count = -1;
    if (!line)
        return NULL;
    if (archive_is_tail(line)) {
        *ret_count = check_tail(reader, line, err) == 0 ? 0 : -1;
    } else {
        *ret_count = archive_read_payment(line, &reader->range, ret_began, ret_facts, err);
        if (*ret_count < 0)
            err_prefix(err, "line %" PRId64, reader->number);
    }
    if (*ret_count <= 0) {
        json_decref(line);
        return NULL;
    }
    for (int i = 0; i < *ret_count; i++)
        archive_sums_fact(reader->sums, &(*ret_facts)[i]);
    archive_sums_payment(reader->sums);
    return line;
}

void archive_reader_close(struct archive_reader *reader, char ret_sha256[static SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    ret_sha256[0] = '\0';
    if (reader->sha256) {
        sha256_end(reader->sha256, digest);
        if (*reader->counts.leaves)
            hex_encode(digest, sizeof digest, ret_sha256);
    }
    archive_sums_free(reader->sums);
    free(reader->line);
    if (reader->file)
        fclose(reader->file);
    *reader = (struct archive_reader){0};
}

int archive_check(const char *path, struct archive_range *ret_range, struct archive_counts *ret_counts,
                  char ret_sha256[static SHA256_HEX_SIZE], struct err *err)
{
    struct archive_reader reader;
    struct archive_fact *facts;
    const char *began;
    int count;
    json_t *line;
    if (archive_reader_open(&reader, path, err) != 0)
        return -1;
    while ((line = archive_reader_next(&reader, &began, &facts, &count, err)) != NULL) {
        free(facts);
        json_decref(line);
    }
    *ret_range = reader.range;
    *ret_counts = reader.counts;
    archive_reader_close(&reader, ret_sha256);
    return count == 0 ? 0 : err_prefix(err, "%s", path);
}
