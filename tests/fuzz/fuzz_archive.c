/* fuzz_archive.c - a file that says it is an archive: the lines, one by one
 *
 * The bytes go through a file, as an operator's would. Whatever is taken fits its own last line; what is written of it again is read as the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ledger/archive_internal.h"
#include "tests/fuzz/input.h"

static char path[64];

static void write_input(const uint8_t *data, size_t size)
{
    if (!*path)
        snprintf(path, sizeof path, "/tmp/fuzz_archive.%d", (int)getpid());
    FILE *file = fopen(path, "we");
    MUST(file && fwrite(data, 1, size, file) == size);
    MUST(fclose(file) == 0);
}

/* Lines do not have to be right as a whole for their parts to be read. */
static void read_parts(const uint8_t *data, size_t size)
{
    json_t *line = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, NULL);
    struct archive_range range = {"first", "", "9999-01-01"};
    struct archive_counts counts;
    struct archive_fact *facts;
    const char *began;
    struct err head = {0}, tail = {0}, payment = {0};
    if (archive_read_head(line, &range, &head) == 0) {
        struct archive_range again;
        json_t *written = archive_head(&range);
        MUST(archive_read_head(written, &again, &head) == 0 && memcmp(&again, &range, sizeof range) == 0);
        json_decref(written);
    }
    if (archive_is_tail(line) && archive_read_tail(line, &counts, &tail) == 0)
        MUST(counts.payments >= 0 && counts.facts >= 0 && counts.transfers >= 0);
    int count = archive_read_payment(line, &range, &began, &facts, &payment);
    MUST((count > 0) == (facts != NULL) && (count > 0 || payment.code != ERR_NONE));
    for (int i = 1; i < count; i++)
        MUST(facts[i].position > facts[i - 1].position);
    free(facts);
    json_decref(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct archive_range range;
    struct archive_counts counts;
    char sha256[SHA256_HEX_SIZE];
    struct err err = {0};
    write_input(data, size);
    if (archive_check(path, &range, &counts, sha256, &err) == 0)
        MUST(strlen(sha256) == SHA256_HEX_SIZE - 1 && archive_name_valid(range.name));
    else
        MUST(err.code != ERR_NONE);
    unlink(path);
    read_parts(data, size);
    return 0;
}
