/* url.c - amqp://user:password@host:port/vhost, taken apart */
#include "queues/url.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

enum { URL_MAX = 4096, PORT_MAX = 65535 };

void amqp_url_clear(struct amqp_url *url)
{
    free(url->user);
    free(url->password);
    free(url->host);
    free(url->vhost);
    free(url->ca_file);
    free(url->certificate_file);
    free(url->key_file);
    memset(url, 0, sizeof *url);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes [begin, end) into *ret. */
static int decode(const char *begin, const char *end, const char *what, char **ret, struct err *err)
{
    char *text = mem_new((size_t)(end - begin) + 1, 1), *at = text;
    for (const char *p = begin; p < end; p++) {
        if (*p != '%') {
            *at++ = *p;
            continue;
        }
        int high = end - p > 2 ? hex_digit(p[1]) : -1, low = high >= 0 ? hex_digit(p[2]) : -1;
        if (low < 0 || high + low == 0) {
            free(text);
            return err_set(err, ERR_INVALID, "broker URL: bad percent-encoding in the %s", what);
        }
        *at++ = (char)(high * 16 + low);
        p += 2;
    }
    free(*ret);
    *ret = text;
    return 0;
}

static int parse_user(const char *begin, const char *end, struct amqp_url *ret, struct err *err)
{
    const char *colon = memchr(begin, ':', (size_t)(end - begin));
    if (decode(begin, colon ? colon : end, "user", &ret->user, err) != 0)
        return -1;
    return colon ? decode(colon + 1, end, "password", &ret->password, err) : 0;
}

static int parse_port(const char *begin, const char *end, int *ret, struct err *err)
{
    int port = 0;
    for (const char *p = begin; p < end && port <= PORT_MAX; p++) {
        if (*p < '0' || *p > '9')
            return err_set(err, ERR_INVALID, "broker URL: the port is no number");
        port = port * 10 + (*p - '0');
    }
    if (port < 1 || port > PORT_MAX)
        return err_set(err, ERR_INVALID, "broker URL: the port must be 1 to %d", (int)PORT_MAX);
    *ret = port;
    return 0;
}

/* "host", "host:port", "[::1]:port" */
static int parse_host(const char *begin, const char *end, struct amqp_url *ret, struct err *err)
{
    const char *host_end;
    if (begin < end && *begin == '[') {
        host_end = memchr(begin, ']', (size_t)(end - begin));
        if (!host_end || (host_end + 1 < end && host_end[1] != ':'))
            return err_set(err, ERR_INVALID, "broker URL: an IPv6 address must stand in [ ]");
        if (decode(begin + 1, host_end++, "host", &ret->host, err) != 0)
            return -1;
    } else {
        const char *colon = memchr(begin, ':', (size_t)(end - begin));
        host_end = colon ? colon : end;
        if (decode(begin, host_end, "host", &ret->host, err) != 0)
            return -1;
    }
    if (!*ret->host)
        return err_set(err, ERR_INVALID, "broker URL: no host");
    return host_end < end ? parse_port(host_end + 1, end, &ret->port, err) : 0;
}

static int parse_setting(const char *begin, const char *end, struct amqp_url *ret, struct err *err)
{
    const struct {
        const char *name;
        char **value;
    } known[] = {{"cacertfile=", &ret->ca_file}, {"certfile=", &ret->certificate_file}, {"keyfile=", &ret->key_file}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t length = strlen(known[i].name);
        if (ret->tls && (size_t)(end - begin) > length && memcmp(begin, known[i].name, length) == 0)
            return decode(begin + length, end, "query", known[i].value, err);
    }
    return err_set(err, ERR_INVALID,
                   "broker URL: only cacertfile, certfile and keyfile may stand in the query, of amqps://");
}

static int parse_query(const char *query, struct amqp_url *ret, struct err *err)
{
    while (*query) {
        const char *end = query + strcspn(query, "&");
        if (parse_setting(query, end, ret, err) != 0)
            return -1;
        query = *end ? end + 1 : end;
    }
    if (!ret->certificate_file != !ret->key_file)
        return err_set(err, ERR_INVALID, "broker URL: certfile and keyfile belong together");
    return 0;
}

static int parse(const char *text, struct amqp_url *ret, struct err *err)
{
    const char *authority_end = text + strcspn(text, "/?#");
    const char *query = text + strcspn(text, "?#");
    if (*query == '#')
        return err_set(err, ERR_INVALID, "broker URL: '#' must be written %%23");
    const char *at = memrchr(text, '@', (size_t)(authority_end - text));
    if (at && parse_user(text, at, ret, err) != 0)
        return -1;
    if (parse_host(at ? at + 1 : text, authority_end, ret, err) != 0)
        return -1;
    if (*authority_end == '/' && query > authority_end + 1) {
        if (memchr(authority_end + 1, '/', (size_t)(query - authority_end - 1)))
            return err_set(err, ERR_INVALID, "broker URL: a '/' in the vhost must be written %%2F");
        if (decode(authority_end + 1, query, "vhost", &ret->vhost, err) != 0)
            return -1;
    }
    return *query ? parse_query(query + 1, ret, err) : 0;
}

int amqp_url_parse(const char *text, struct amqp_url *ret, struct err *err)
{
    memset(ret, 0, sizeof *ret);
    if (!text || strlen(text) > URL_MAX)
        return err_set(err, ERR_INVALID, "broker URL: missing, or longer than %d bytes", (int)URL_MAX);
    if (strncmp(text, "amqp://", 7) == 0)
        text += 7;
    else if (strncmp(text, "amqps://", 8) == 0)
        text += 8, ret->tls = true;
    else
        return err_set(err, ERR_INVALID, "broker URL: must begin with amqp:// or amqps://");
    ret->port = ret->tls ? AMQPS_PORT : AMQP_PORT;
    ret->user = mem_text("guest");
    ret->password = mem_text("guest");
    ret->vhost = mem_text("/");
    return parse(text, ret, err);
}
