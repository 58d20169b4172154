/* evidence.c - see evidence.h */
#include "workers/operator/evidence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "common/mem.h"
#include "common/pan.h"

/* The beginning that fits and does not cut a character in two. */
static size_t text_size(const char *bytes, size_t size)
{
    if (size <= EVIDENCE_TEXT_MAX)
        return size;
    size_t cut = EVIDENCE_TEXT_MAX;
    while (cut > 0 && ((unsigned char)bytes[cut] & 0xc0) == 0x80)
        cut--;
    return cut;
}

static int keep(const char *bytes, size_t size, json_t *body, struct err *err)
{
    char digest[SHA256_HEX_SIZE];
    if (size == 0)
        return err_set(err, ERR_INVALID, "--evidence: there is nothing in it");
    if (pan_count(bytes, size) > 0)
        return err_set(err, ERR_INVALID, "--evidence: it holds what looks like a card number; take that out first");
    sha256_hex(bytes, size, digest);
    json_object_set_new(body, "evidenceSha256", json_string(digest));
    json_t *text = memchr(bytes, 0, size) ? NULL : json_stringn(bytes, text_size(bytes, size));
    if (text)
        json_object_set_new(body, "evidence", text);
    return 0;
}

static int read_file(const char *name, char *bytes, size_t *ret_size, struct err *err)
{
    FILE *file = fopen(name, "re");
    if (!file)
        return err_set(err, ERR_INVALID, "--evidence: %s: %s", name, strerror(errno));
    *ret_size = fread(bytes, 1, EVIDENCE_FILE_MAX + 1, file);
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    if (failed)
        return err_set(err, ERR_INVALID, "--evidence: %s: %s", name, strerror(failed));
    if (*ret_size > EVIDENCE_FILE_MAX)
        return err_set(err, ERR_INVALID, "--evidence: %s is larger than %d bytes", name, EVIDENCE_FILE_MAX);
    return 0;
}

static int keep_file(const char *path, json_t *body, struct err *err)
{
    size_t size = 0;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    json_t *shown = json_string(name);
    if (!shown || strlen(name) > EVIDENCE_NAME_MAX || pan_count(name, strlen(name)) > 0) {
        json_decref(shown);
        return err_set(err, ERR_INVALID,
                       "--evidence: the file's name must be UTF-8 of at most %d bytes, no card number",
                       EVIDENCE_NAME_MAX);
    }
    json_object_set_new(body, "evidenceName", shown);
    char *bytes = mem_new(EVIDENCE_FILE_MAX + 1, 1);
    int r = read_file(path, bytes, &size, err);
    if (r == 0)
        r = keep(bytes, size, body, err);
    free(bytes);
    return r;
}

int evidence_read(const char *given, json_t *body, struct err *err)
{
    if (*given == '@')
        return keep_file(given + 1, body, err);
    size_t size = strlen(given);
    if (size > EVIDENCE_TEXT_MAX)
        return err_set(err, ERR_INVALID,
                       "--evidence: at most %d bytes of text; of a file (@NAME) the beginning is kept",
                       EVIDENCE_TEXT_MAX);
    if (keep(given, size, body, err) != 0)
        return -1;
    if (!json_object_get(body, "evidence"))
        return err_set(err, ERR_INVALID, "--evidence: must be UTF-8");
    return 0;
}
