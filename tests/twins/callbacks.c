/* callbacks.c - votes that a validator sends later: a queue and a thread with libcurl
 *
 * The timer's thread only puts them into the queue, so that a receiver who takes his time delays nobody's answer.
 */
#include "callbacks.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "limits.h"
#include "text.h"
#include "timer.h"

enum { URL_SIZE = 512 };

struct callback {
    char url[URL_SIZE];
    char *body;
    int tries;
    struct callback *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_t thread;
static bool running;
static struct callback *first, *last;

static void forget(struct callback *callback)
{
    free(callback->body);
    free(callback);
}

static size_t ignore(char *bytes, size_t size, size_t count, void *with)
{
    (void)bytes;
    (void)with;
    return size * count;
}

/* False: not taken, and not refused either. */
static bool deliver(CURL *curl, const struct callback *callback)
{
    long status = 0;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, callback->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, callback->body);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)LIMIT_CALLBACK_MS);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    return code == CURLE_OK && status >= 200 && status < 500;
}

static void enqueue(void *with)
{
    struct callback *callback = with;
    pthread_mutex_lock(&lock);
    callback->next = NULL;
    if (first)
        last->next = callback;
    else
        first = callback;
    last = callback;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static struct callback *take(void)
{
    struct callback *callback = NULL;
    pthread_mutex_lock(&lock);
    while (running && !first)
        pthread_cond_wait(&changed, &lock);
    if (running) {
        callback = first;
        first = callback->next;
    }
    pthread_mutex_unlock(&lock);
    return callback;
}

static void *run(void *with)
{
    (void)with;
    CURL *curl = curl_easy_init();
    struct callback *callback;
    while (curl && (callback = take())) {
        bool over = deliver(curl, callback) || ++callback->tries >= LIMIT_CALLBACK_TRIES;
        if (over || !timer_add(LIMIT_CALLBACK_AGAIN_MS, enqueue, callback))
            forget(callback);
    }
    curl_easy_cleanup(curl);
    return NULL;
}

static bool start(void)
{
    pthread_mutex_lock(&lock);
    if (!running)
        running = pthread_create(&thread, NULL, run, NULL) == 0;
    bool started = running;
    pthread_mutex_unlock(&lock);
    return started;
}

void callbacks_send(const char *url, json_t *vote, int64_t delay_ms)
{
    struct callback *callback = memory_new(sizeof *callback);
    callback->body = json_dumps(vote, JSON_COMPACT);
    json_decref(vote);
    if (!callback->body || !text_copy(callback->url, sizeof callback->url, url) || !start() ||
        !timer_add(delay_ms, enqueue, callback))
        forget(callback);
}

void callbacks_stop(void)
{
    pthread_mutex_lock(&lock);
    bool stops = running;
    running = false;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    if (stops)
        pthread_join(thread, NULL);
}
