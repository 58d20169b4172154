/* management.c - the broker's management HTTP API, synchronously */
#include "queues/management.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/mem.h"

enum { PATH_MAX_BYTES = 1024, CONNECT_TIMEOUT_MS = 5000, REASON_MAX = 200 };

struct management {
    CURL *curl;
    char *base; /* no final slash */
    int64_t deadline_ms;
};

struct answer {
    char *text;
    size_t size;
};

struct management *management_new(const char *url, struct err *err)
{
    if (!url || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)) {
        err_set(err, ERR_INVALID, "management URL: must begin with http:// or https://");
        return NULL;
    }
    struct management *management = mem_new(1, sizeof *management);
    management->curl = curl_easy_init();
    management->base = mem_text(url);
    management->deadline_ms = clock_monotonic_ms() + MANAGEMENT_TIMEOUT_MS;
    for (size_t n = strlen(management->base); n && management->base[n - 1] == '/'; n--)
        management->base[n - 1] = '\0';
    if (management->curl)
        return management;
    err_set(err, ERR_INTERNAL, "no HTTP client");
    management_free(management);
    return NULL;
}

void management_free(struct management *management)
{
    if (!management)
        return;
    curl_easy_cleanup(management->curl);
    explicit_bzero(management->base, strlen(management->base));
    free(management->base);
    free(management);
}

static size_t on_data(char *data, size_t one, size_t size, void *userdata)
{
    struct answer *answer = userdata;
    (void)one; /* always 1 */
    if (size > MANAGEMENT_ANSWER_MAX - answer->size)
        return 0;
    answer->text = mem_grow(answer->text, answer->size + size + 1, 1);
    memcpy(answer->text + answer->size, data, size);
    answer->size += size;
    answer->text[answer->size] = '\0';
    return size;
}

/* Puts the names into the path, percent-encoded. */
static void fill_path(struct management *management, const char *path, const char *const *names,
                      char ret[static PATH_MAX_BYTES])
{
    size_t n = 0;
    for (const char *p = path; *p && n < PATH_MAX_BYTES - 1; p++) {
        if (p[0] != '%' || p[1] != 's') {
            ret[n++] = *p;
            continue;
        }
        char *name = curl_easy_escape(management->curl, *names++, 0);
        n += (size_t)snprintf(ret + n, PATH_MAX_BYTES - n, "%s", name ? name : "");
        if (n > PATH_MAX_BYTES - 1)
            n = PATH_MAX_BYTES - 1;
        curl_free(name);
        p++;
    }
    ret[n] = '\0';
}

static enum err_code code_of(long status)
{
    if (status == 401 || status == 403)
        return ERR_DENIED;
    if (status == 404)
        return ERR_NOT_FOUND;
    return status >= 500 ? ERR_AGAIN : ERR_INVALID;
}

/* What the broker says is wrong: {"error":"not_authorised","reason":"..."}. */
static int refused(long status, const char *method, const char *path, const struct answer *answer, struct err *err)
{
    json_t *said = json_loads(answer->text ? answer->text : "", 0, NULL);
    err_set(err, code_of(status), "management API: %s %s: status %ld %.*s", method, path, status, (int)REASON_MAX,
            json_text(said, "reason", ""));
    json_decref(said);
    return -1;
}

static int perform(struct management *management, const char *method, const char *path, struct answer *ret,
                   struct err *err)
{
    CURL *curl = management->curl;
    int64_t left_ms = management->deadline_ms - clock_monotonic_ms();
    char *url = NULL;
    if (left_ms <= 0 || asprintf(&url, "%s%s", management->base, path) < 0)
        return err_set(err, ERR_AGAIN, "management API: %s %s: no time left", method, path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)left_ms);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret);
    CURLcode code = curl_easy_perform(curl);
    explicit_bzero(url, strlen(url));
    free(url);
    if (code != CURLE_OK)
        return err_set(err, ERR_AGAIN, "management API: %s %s: %s", method, path, curl_easy_strerror(code));
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300 ? 0 : refused(status, method, path, ret, err);
}

json_t *management_get(struct management *management, const char *path, const char *const *names, struct err *err)
{
    char filled[PATH_MAX_BYTES];
    struct answer answer = {0};
    json_t *value = NULL;
    fill_path(management, path, names, filled);
    curl_easy_reset(management->curl);
    if (perform(management, "GET", filled, &answer, err) == 0) {
        value = json_loadb(answer.text ? answer.text : "", answer.size, 0, NULL);
        if (!value)
            err_set(err, ERR_AGAIN, "management API: GET %s: the answer is no JSON", filled);
    }
    free(answer.text);
    return value;
}

int management_put(struct management *management, const char *path, const char *const *names, const json_t *body,
                   struct err *err)
{
    char filled[PATH_MAX_BYTES];
    struct answer answer = {0};
    fill_path(management, path, names, filled);
    curl_easy_reset(management->curl);
    char *text = json_encode(body);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    curl_easy_setopt(management->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(management->curl, CURLOPT_POSTFIELDS, text);
    int result = perform(management, "PUT", filled, &answer, err);
    curl_slist_free_all(headers);
    explicit_bzero(text, strlen(text));
    free(text);
    free(answer.text);
    return result;
}
