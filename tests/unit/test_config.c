/* test_config.c - config: what a file may say, what is refused and how it is said, where secrets come from; run from
 * the project's root */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "workers/operator/manual.h"

#define SAMPLE "config/acquit.conf"
#define BROKER "broker: { url_file = \"broker.url\"; };\n"
#define MINIMAL BROKER "ledger: { url_file = \"ledger.url\"; };\n"
#define KEY "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

/* Beside those that the tables name. */
static const char *const variables[] = {
    "ACQUIT_CONFIG", "CREDENTIALS_DIRECTORY", "DB_HOST", "DB_PORT", "DB_NAME", "DB_USER", "DB_PASSWORD",
};

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *content, mode_t mode)
{
    FILE *file = fopen(path_of(name), "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
    assert_int_equal(chmod(path_of(name), mode), 0);
}

static void forget(const struct setting *setting)
{
    for (size_t i = 0; setting->environment[i]; i++)
        unsetenv(setting->environment[i]);
}

static void forget_variables(void)
{
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    for (size_t i = 0; i < config_setting_count(); i++)
        forget(config_setting(i));
    for (size_t i = 0; i < config_list_count(); i++)
        for (size_t m = 0; config_member(i, m); m++)
            forget(config_member(i, m));
    for (size_t i = 0; config_never(i); i++)
        unsetenv(config_never(i)->name);
}

/* Each test has an empty environment, and a folder with what must be given. */
static int set_up(void **state)
{
    (void)state;
    forget_variables();
    snprintf(folder, sizeof folder, "/tmp/acquit-test-config-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    put("broker.url", "amqp://u:p@127.0.0.1/acquit\n", 0600);
    put("ledger.url", "postgresql:///acquit\n", 0600);
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct config *load(const char *content, struct err *err)
{
    put("acquit.conf", content, 0600);
    return config_load(path_of("acquit.conf"), err);
}

static struct config *load_good(const char *content)
{
    struct err err = {0};
    struct config *config = load(content, &err);
    if (!config)
        fail_msg("%s\nrefused: %s", content, err.text);
    return config;
}

/* The file is refused, as bad configuration, and the text says so in these words. */
static void refused(const char *content, const char *says)
{
    struct err err = {0};
    struct config *config = load(content, &err);
    if (config)
        fail_msg("accepted: %s", content);
    assert_int_equal(err.code, ERR_CONFIG);
    assert_int_equal(err_exit_code(&err), 78);
    if (!strstr(err.text, says))
        fail_msg("%s\nsays \"%s\", not \"%s\"", content, err.text, says);
}

/* A minimal file plus these lines, which begin at line 3. */
static const char *with(const char *lines)
{
    static char text[65536];
    snprintf(text, sizeof text, "%s%s", MINIMAL, lines);
    return text;
}

static void test_defaults(void **state)
{
    (void)state;
    struct config *config = load_good(MINIMAL);
    assert_string_equal(config_text(config, "broker.url"), "amqp://u:p@127.0.0.1/acquit");
    assert_string_equal(config_text(config, "broker.internal_users"), "acquit-worker,acquit-keeper,acquit-operator");
    assert_string_equal(config_text(config, "broker.management_url"), "");
    assert_true(config_bool(config, "broker.require_user"));
    assert_int_equal(config_int(config, "worker.batch"), 64);
    assert_int_equal(config_int(config, "ingress.port"), 3003);
    assert_string_equal(config_text(config, "log.level"), "info");
    assert_string_equal(config_text(config, "ledger.read_url"), "postgresql:///acquit"); /* as ledger.url */
    assert_string_equal(config_text(config, "simulated.url"), "postgresql:///acquit");
    assert_int_equal(config_publisher_count(config), 0);
    assert_int_equal(config_provider_count(config), 0);
    assert_int_equal(config_validator_count(config), 0);
    config_free(config);
    config_free(NULL);
}

static void test_given_values(void **state)
{
    (void)state;
    struct config *config = load_good(with("worker: { batch = 256; batch_wait_ms = 0x10; };\n"
                                           "log: { level = \"debug\"; };\n"));
    assert_int_equal(config_int(config, "worker.batch"), 256);
    assert_int_equal(config_int(config, "worker.batch_wait_ms"), 16);
    assert_string_equal(config_text(config, "log.level"), "debug");
    config_free(config);
}

static void test_path_from_the_environment(void **state)
{
    (void)state;
    put("other.conf", MINIMAL, 0600);
    setenv("ACQUIT_CONFIG", path_of("other.conf"), 1);
    struct err err = {0};
    struct config *config = config_load(NULL, &err);
    assert_non_null(config);
    config_free(config);
    setenv("ACQUIT_CONFIG", "/no/such/file", 1);
    assert_null(config_load(NULL, &err));
    assert_int_equal(err.code, ERR_CONFIG);
    assert_string_equal(err.text, "/no/such/file: No such file or directory");
    err_clear(&err);
    assert_null(config_load(folder, &err));
    assert_non_null(strstr(err.text, "not a file"));
}

static void test_wrong_key_names_the_nearest(void **state)
{
    (void)state;
    refused(with("\nworker: { bach = 3; };"), "acquit.conf:4: unknown setting worker.bach; did you mean worker.batch?");
    refused(with("wrker: { batch = 3; };"), "acquit.conf:3: unknown setting wrker; did you mean worker?");
    refused(with("retry: { base_mss = 3; };"), "did you mean retry.base_ms?");
    refused(with("worker = 3;"), "acquit.conf:3: worker must be a group: worker: { ... };");
    refused(with("validator = ( );"), "acquit.conf:3: unknown setting validator; did you mean validators?");
    refused(with("retry_type = ( );"), "unknown setting retry_type; did you mean retry_types?");
    refused(with("worker: { batch_file = \"x\"; };"), "unknown setting worker.batch_file; did you mean worker.batch?");
    refused(with("tokens: { key_fil = \"x\"; };"), "did you mean tokens.key_file?");
    refused(with("worker: { inner: { batch = 3; }; };"), "unknown setting worker.inner");
    refused(with("publishers = ( { name = \"shop\"; mercahnt = \"x\"; } );"),
            "unknown setting mercahnt; did you mean merchant?");
    refused(with("publishers = ( { name = \"shop\"; webhook_secret_fil = \"x\"; } );"),
            "did you mean webhook_secret_file?");
    refused(with("publishers = ( { name = \"shop\"; gateway = []; } );"), "did you mean gateways?");
    refused(with("publishers = ( { name = \"shop\"; merchant_file = \"x\"; } );"), "unknown setting merchant_file");
    refused(with("publisher = ( { name = \"shop\"; } );"), "unknown setting publisher; did you mean publishers?");
    refused(with("worker: { "
                 "a_key_that_is_much_longer_than_any_setting_we_have_could_ever_be_so_that_no_buffer_of_ours_holds_it "
                 "= 3; };"),
            "unknown setting worker.a_key");
}

static void test_wrong_type(void **state)
{
    (void)state;
    refused(with("worker: { batch = \"3\"; };"), "acquit.conf:3: worker.batch must be a whole number");
    refused(with("worker: { batch = 3.5; };"), "worker.batch must be a whole number");
    refused(with("worker: { batch = true; };"), "worker.batch must be a whole number");
    refused(with("log: { level = 3; };"), "log.level must be a text in quotes");
    refused(with("broker: { require_user = 1; };") + sizeof BROKER - 1, "broker.require_user must be true or false");
    refused(with("tokens: { key_file = 3; };"), "tokens.key_file must be a text in quotes");
    refused(with("publishers = { name = \"shop\"; };"), "publishers must be a list");
    refused(with("publishers = ( \"shop\" );"), "an element of publishers must be { ... }");
    refused(with("publishers = ( { name = 3; } );"), "name must be a text in quotes");
    refused(with("publishers = ( { name = \"shop\"; amount_max = \"1\"; } );"), "amount_max must be a whole number");
    refused(with("publishers = ( { name = \"shop\"; gateways = \"x\"; } );"), "gateways must be a list of names");
    refused(with("publishers = ( { name = \"shop\"; gateways = [1]; } );"), "gateways must be a list of names");
}

static void test_out_of_range(void **state)
{
    (void)state;
    refused(with("worker: { batch = 0; };"), "acquit.conf:3: worker.batch is 0, it must be from 1 to 256 deliveries");
    refused(with("worker: { batch = 257; };"), "it must be from 1 to 256");
    refused(with("worker: { batch = -1; };"), "worker.batch is -1");
    refused(with("worker: { batch = 4294967360; };"), "worker.batch is 4294967360"); /* 2^32 + 64 */
    refused(with("worker: { batch = 0x100000040; };"), "worker.batch is 4294967360");
    refused(with("\nworker: { batch = 99999999999999999999; };"), "acquit.conf:4: this number is too large");
    refused(with("worker: { batch = 18446744073709551680L; };"), "worker.batch"); /* 2^64 + 64 */
    refused(with("retry: { base_ms = 500; cap_ms = 400; };"), "retry.base_ms is 500, more than retry.cap_ms (400)");
    refused(with("log: { level = \"loud\"; };"), "log.level is \"loud\", it must be one of debug, info, warn, error");
    refused(with("ingress: { listen = \"\"; };"), "ingress.listen is \"\", it must be an IP address");
    refused(with("ingress: { listen = \"a\\nb\"; };"), "control character");
    refused(with("publishers = ( { name = \"shop\"; commission_ppm = 1000001; } );"), "commission_ppm is 1000001");
    refused(with("publishers = ( { name = \"\"; } );"), "name has 0 bytes");
}

/* Numbers beyond 32 bits: libconfig by itself would keep the low half. */
static void test_large_numbers(void **state)
{
    (void)state;
    struct config *config =
        load_good(with("publishers = ( { name = \"shop-1\"; amount_max = 5000000000; },\n"
                       "  { name = \"a\"; amount_max = 1000000000000000L; merchant = \"0x1 12345678901 # x\"; } );"
                       "# 99999999999999999999999\n// 99999999999999999999999\n/* 99999999999999999999999 */\n"));
    assert_true(config_publisher(config, 0)->amount_max == INT64_C(5000000000));
    assert_string_equal(config_publisher(config, 0)->name, "shop-1");
    assert_true(config_publisher(config, 1)->amount_max == INT64_C(1000000000000000));
    assert_string_equal(config_publisher(config, 1)->merchant, "0x1 12345678901 # x");
    config_free(config);
}

static void test_syntax(void **state)
{
    (void)state;
    refused(with("worker: { batch = 3; \n\n log: {"), "acquit.conf:5: ");
    refused(with("worker: { batch = 3; batch = 4; };"), "acquit.conf:3: ");
    refused(with("@include \"x\"\n"), "acquit.conf:3: @include is not supported");
    refused(with("log: { level = \"in"), "acquit.conf:");
    refused(with("\n/* never ends\nworker: { };"), "acquit.conf:4: this comment does not end");
}

static void test_file_is_bounded(void **state)
{
    (void)state;
    struct err err = {0};
    FILE *file = fopen(path_of("large.conf"), "w");
    for (int i = 0; i < 1024 * 1024; i++)
        fputs("# ", file);
    fclose(file);
    assert_null(config_load(path_of("large.conf"), &err));
    assert_non_null(strstr(err.text, "larger than 1 MiB"));
    err_clear(&err);
    file = fopen(path_of("nul.conf"), "w");
    fwrite("log\0: {};", 1, 9, file);
    fclose(file);
    assert_null(config_load(path_of("nul.conf"), &err));
    assert_non_null(strstr(err.text, "NUL"));
}

static void test_what_must_be_given(void **state)
{
    (void)state;
    refused("", "broker.url is missing: name its file as broker.url_file, or set ACQUIT_BROKER_URL");
    refused(BROKER, "ledger.url is missing: name its file as ledger.url_file, or set ACQUIT_LEDGER_URL");
    refused(with("publishers = ( { merchant = \"x\"; } );"), "acquit.conf:3: name is missing");
    refused(with("providers = ( { name = \"x\"; } );"), "kind is missing");
    refused(with("validators = ( { name = \"x\"; url = \"http://x\"; } );"), "public_key is missing");
}

/* Secrets */

/* Whatever the file's mode, and without telling it. */
static void refuses_secret(const char *content, const char *says)
{
    static const mode_t modes[] = {0600, 0644};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct err err = {0};
        put("acquit.conf", content, modes[i]);
        assert_null(config_load(path_of("acquit.conf"), &err));
        assert_int_equal(err_exit_code(&err), 78);
        if (!strstr(err.text, says) || strstr(err.text, "hush"))
            fail_msg("%s\nsays \"%s\", not \"%s\"", content, err.text, says);
    }
}

/* The programs that do without it read the same file and do not find it. */
static void test_a_secret_of_one_program(void **state)
{
    (void)state;
    struct config *config = load_good(with("seal: { origin = \"a\"; key_file = \"not-here\"; };"));
    assert_string_equal(config_text(config, "seal.key"), "");
    config_free(config);
    refused(with("tokens: { key_file = \"not-here\"; };"), "not-here");
}

static void test_secret_in_the_configuration(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct setting *setting = config_setting(i);
        char text[256], says[256];
        const char *key = strchr(setting->name, '.') + 1;
        if (!setting->secret)
            continue;
        snprintf(text, sizeof text, "\n%.*s: { %s = \"hush\"; };", (int)(key - 1 - setting->name), setting->name, key);
        snprintf(says, sizeof says,
                 "acquit.conf:2: the secret %s must not stand in the configuration: name a file that holds it in "
                 "%s_file, or set %s",
                 setting->name, setting->name, setting->environment[0]);
        refuses_secret(text, says);
    }
#define PROVIDER "name = \"s\"; kind = \"stripe\"; url = \"https://x\"; "
    refuses_secret(with("providers = ( { " PROVIDER "\n secret = \"hush\"; } );"),
                   "acquit.conf:4: the secret secret must not stand in the configuration: name a file that holds it in "
                   "secret_file, or set STRIPE_SECRET_KEY");
    refuses_secret(with("publishers = ( { name = \"a\"; webhook_secret = \"hush\"; } );"),
                   "acquit.conf:3: the secret webhook_secret");
    refuses_secret(
        with("validators = ( { name = \"a\"; url = \"http://v\"; public_key = \"" KEY "\"; key = \"hush\"; } );"),
        "acquit.conf:3: the secret key");
    setenv("STRIPE_SECRET_KEY", "sk", 1); /* what comes first does not make it good */
    refuses_secret(with("providers = ( { " PROVIDER " secret = \"hush\"; } );"), "the secret secret");
    /* a URL that is none may not hold one */
    refuses_secret(with("\ntokens: { url = \"http://u:hush@x\"; };"), "acquit.conf:4: tokens.url must not hold a user");
    refuses_secret(with("mail: { url = \"smtp://u:hush@x\"; from = \"a@b\"; };"), "mail.url must not hold a user");
    refuses_secret(with("providers = ( { name = \"s\"; kind = \"stripe\"; url = \"https://u:hush@x\"; } );"),
                   "acquit.conf:3: url must not hold a user");
    refuses_secret(with("validators = ( { name = \"a\"; url = \"http://hush@v\"; public_key = \"" KEY "\"; } );"),
                   "url must not hold a user");
    struct config *config = load_good(with("tokens: { key = \"\"; url = \"http://x/a@b\"; };")); /* nothing secret */
    config_free(config);
}

static void test_secret_from_a_file(void **state)
{
    (void)state;
    put("broker", "amqp://from-file\n", 0600);
    put("ledger", "postgresql:///x\r\n", 0600);
    put("two-lines", "a\nb\n", 0600);
    put("empty", "\n", 0600);
    struct err err = {0};
    put("acquit.conf", "broker: { url_file = \"broker\"; }; ledger: { url_file = \"ledger\"; };", 0644);
    struct config *config = config_load(path_of("acquit.conf"), &err); /* beside the file, whatever the mode of that */
    assert_non_null(config);
    assert_string_equal(config_text(config, "broker.url"), "amqp://from-file");
    assert_string_equal(config_text(config, "ledger.url"), "postgresql:///x");
    config_free(config);
    refused(with("tokens: { key_file = \"none\"; };"), "acquit.conf:3: tokens.key_file: ");
    refused(with("tokens: { key_file = \"two-lines\"; };"), "control character");
    refused(with("tokens: { key_file = \"empty\"; };"), "is empty");
    refused(with("\ntokens: { key = \"\"; key_file = \"broker\"; };"),
            "acquit.conf:4: tokens.key and tokens.key_file are both given");
    refused(with("providers = ( { name = \"a\"; kind = \"stripe\"; url = \"http://x\"; secret = \"\"; secret_file = "
                 "\"broker\"; } );"),
            "secret and secret_file are both given");
}

static void test_absolute_path(void **state)
{
    (void)state;
    put("key", "k1", 0600);
    char lines[256];
    snprintf(lines, sizeof lines, "tokens: { key_file = \"%s\"; };", path_of("key"));
    struct config *config = load_good(with(lines));
    assert_string_equal(config_text(config, "tokens.key"), "k1");
    config_free(config);
}

static void test_credentials_directory(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path_of("credentials"), 0700), 0);
    put("credentials/key", "from-credentials\n", 0400);
    put("key", "from-folder\n", 0600);
    put("other", "other\n", 0600);
    setenv("CREDENTIALS_DIRECTORY", path_of("credentials"), 1);
    struct config *config = load_good(
        with("tokens: { key_file = \"key\"; };\n"
             "providers = ( { name = \"a\"; kind = \"stripe\"; url = \"http://x\"; secret_file = \"other\"; } );"));
    assert_string_equal(config_text(config, "tokens.key"), "from-credentials");
    assert_string_equal(config_provider(config, 0)->secret, "other"); /* not there: beside the file */
    config_free(config);
}

static void test_environment_comes_first(void **state)
{
    (void)state;
    setenv("ACQUIT_BROKER_URL", "amqps://from-environment", 1);
    setenv("ACQUIT_LEDGER_URL", "host=127.0.0.1 dbname=acquit", 1);
    setenv("ACQUIT_LEDGER_READ_URL", "postgresql://replica/", 1);
    setenv("PORT", "8080", 1);
    setenv("ACQUIT_LOG_LEVEL", "warn", 1);
    setenv("STRIPE_SECRET_KEY", "sk_env", 1);
    struct config *config = load_good(
        "broker: { url_file = \"/no/such/file\"; };\ningress: { port = 1; };\n"
        "providers = ( { name = \"stripe\"; kind = \"stripe\"; url = \"https://x\"; secret_file = \"none\"; },\n"
        "  { name = \"sim\"; kind = \"simulated\"; } );");
    assert_string_equal(config_text(config, "broker.url"), "amqps://from-environment");
    assert_string_equal(config_text(config, "ledger.url"), "host=127.0.0.1 dbname=acquit");
    assert_string_equal(config_text(config, "ledger.read_url"), "postgresql://replica/");
    assert_int_equal(config_int(config, "ingress.port"), 8080);
    assert_string_equal(config_text(config, "log.level"), "warn");
    assert_string_equal(config_provider_find(config, "stripe")->secret, "sk_env");
    assert_string_equal(config_provider_find(config, "sim")->secret, "");
    config_free(config);
    setenv("PORT", "", 1); /* empty is not given */
    config = load_good("ingress: { port = 7; };");
    assert_int_equal(config_int(config, "ingress.port"), 7);
    config_free(config);
    setenv("PORT", "70000", 1);
    refused("", "environment: PORT is 70000, it must be from 1 to 65535");
    setenv("PORT", "80x", 1);
    refused("", "environment: PORT must be a whole number");
    setenv("PORT", "99999999999999999999", 1);
    refused("", "environment: PORT must be a whole number");
}

static void test_the_first_variable_wins(void **state)
{
    (void)state;
    size_t several = 0;
    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct setting *setting = config_setting(i);
        if (setting->type != CONFIG_INT || !setting->environment[0] || !setting->environment[1])
            continue;
        several++;
        for (size_t k = 0; setting->environment[k]; k++) {
            char number[8];
            snprintf(number, sizeof number, "%zu", 4000 + k);
            setenv(setting->environment[k], number, 1);
        }
        for (size_t k = 0; setting->environment[k]; k++) { /* one after the other is taken away */
            char origin[64];
            struct config *config = load_good(MINIMAL);
            snprintf(origin, sizeof origin, "$%s", setting->environment[k]);
            assert_int_equal(config_int(config, setting->name), 4000 + k);
            assert_string_equal(config_origin(config, i), origin);
            size_t idle = 0;
            while (setting->environment[k + 1 + idle])
                idle++;
            assert_int_equal(config_idle_count(config), idle);
            snprintf(origin, sizeof origin, "%s comes first", setting->environment[k]);
            for (size_t n = 0; n < idle; n++) {
                assert_string_equal(config_idle(config, n)->name, setting->environment[k + 1 + n]);
                assert_string_equal(config_idle(config, n)->why, origin);
            }
            config_free(config);
            unsetenv(setting->environment[k]);
        }
    }
    assert_int_equal(several, 2);
}

static void test_wrong_value_names_its_variable(void **state)
{
    (void)state;
    static const struct {
        const char *variable, *value, *says;
    } cases[] = {
        {"PAYMENT_SERVICE_PORT", "0", "environment: PAYMENT_SERVICE_PORT is 0, it must be from 1 to 65535 port"},
        {"METRICS_PORT", "x", "environment: METRICS_PORT must be a whole number"},
        {"ENABLE_METRICS", "yes", "environment: ENABLE_METRICS must be true or false"},
        {"LOG_LEVEL", "loud", "environment: LOG_LEVEL is \"loud\", it must be one of debug, info, warn, error"},
        {"DATABASE_URL", "mysql://hush", "environment: DATABASE_URL must be a postgresql:// URL"},
        {"ACQUIT_BROKER_URL", "http://hush", "environment: ACQUIT_BROKER_URL must be an amqp:// or amqps:// URL"},
        {"ACQUIT_BROKER_MANAGEMENT_URL", "hush", "environment: ACQUIT_BROKER_MANAGEMENT_URL must be an http://"},
        {"ACQUIT_MAIL_URL", "hush", "environment: ACQUIT_MAIL_URL must be an smtp:// or smtps:// URL"},
        {"ACQUIT_TOKENS_KEY", "hush\n", "environment: ACQUIT_TOKENS_KEY holds a control character"},
        {"STRIPE_SECRET_KEY", "hush\n", "environment: STRIPE_SECRET_KEY holds a control character"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        setenv(cases[i].variable, cases[i].value, 1);
        refuses_secret(with("providers = ( { name = \"s\"; kind = \"stripe\"; url = \"https://x\"; } );"),
                       cases[i].says);
        unsetenv(cases[i].variable);
    }
    static char large[2000];
    memset(large, 'k', sizeof large - 1);
    setenv("STRIPE_SECRET_KEY", large, 1);
    refused(with("providers = ( { name = \"s\"; kind = \"stripe\"; url = \"https://x\"; } );"),
            "environment: STRIPE_SECRET_KEY has 1999 bytes, it must have from 0 to 1024");
}

static void test_database_in_parts(void **state)
{
    (void)state;
    setenv("DB_HOST", "db.example", 1);
    setenv("DB_NAME", "a'b\\c", 1);
    refused(BROKER,
            "ledger.url is missing, and to make it DB_HOST, DB_NAME and DB_USER must all be set: DB_USER is not");
    setenv("DB_USER", "u", 1);
    struct config *config = load_good(BROKER);
    assert_string_equal(config_text(config, "ledger.url"), "host='db.example' dbname='a\\'b\\\\c' user='u'");
    assert_string_equal(config_text(config, "ledger.read_url"), config_text(config, "ledger.url"));
    assert_int_equal(config_idle_count(config), 0);
    config_free(config);
    setenv("DB_PORT", "5433", 1);
    setenv("DB_PASSWORD", "p w", 1);
    config = load_good(BROKER);
    assert_string_equal(config_text(config, "ledger.url"),
                        "host='db.example' port='5433' dbname='a\\'b\\\\c' user='u' password='p w'");
    config_free(config);
    config = load_good(MINIMAL); /* ledger.url has one */
    assert_string_equal(config_text(config, "ledger.url"), "postgresql:///acquit");
    assert_int_equal(config_idle_count(config), 5);
    assert_string_equal(config_idle(config, 0)->name, "DB_HOST");
    assert_string_equal(config_idle(config, 0)->why, "ledger.url is given (file of line 2)");
    config_free(config);
    setenv("DB_PORT", "65536", 1);
    refused(BROKER, "environment: DB_PORT is 65536, it must be from 1 to 65535");
    setenv("DB_PORT", "5432a", 1);
    refused(BROKER, "environment: DB_PORT must be a whole number");
    setenv("DB_PORT", "5432", 1);
    setenv("DB_PASSWORD", "hush\n", 1);
    refuses_secret(BROKER, "environment: DB_PASSWORD holds a control character");
    setenv("DATABASE_URL", "postgresql://one", 1); /* before any of them */
    config = load_good(BROKER);
    assert_string_equal(config_text(config, "ledger.url"), "postgresql://one");
    assert_string_equal(config_idle(config, 4)->why, "ledger.url is given ($DATABASE_URL)");
    config_free(config);
}

/* What changes nothing is named with its reason, and nothing else is. */
static void test_variables_without_effect(void **state)
{
    (void)state;
    struct config *config = load_good(MINIMAL);
    assert_int_equal(config_idle_count(config), 0);
    config_free(config);
    size_t count = 0;
    for (; config_never(count); count++) {
        setenv(config_never(count)->name, "x", 1);
        config = load_good(MINIMAL);
        assert_int_equal(config_idle_count(config), 1);
        assert_string_equal(config_idle(config, 0)->name, config_never(count)->name);
        assert_string_equal(config_idle(config, 0)->why, config_never(count)->why);
        config_free(config);
        setenv(config_never(count)->name, "", 1); /* empty is not set */
    }
    assert_true(count > 20);
    setenv("STRIPE_SECRET_KEY", "sk", 1);
    config = load_good(MINIMAL);
    assert_string_equal(config_idle(config, 0)->name, "STRIPE_SECRET_KEY");
    assert_string_equal(config_idle(config, 0)->why, "no provider of kind stripe is configured");
    config_free(config);
}

static void test_metrics_are_switched_off(void **state)
{
    (void)state;
    static const char lines[] = "worker: { metrics_port = 9100; }; ingress: { metrics_port = 9200; };\n"
                                "keeper: { metrics_port = 9300; };\n";
    setenv("METRICS_PORT", "9093", 1);
    setenv("ENABLE_METRICS", "true", 1);
    struct config *config = load_good(with(lines));
    assert_int_equal(config_int(config, "ingress.metrics_port"), 9093);
    assert_int_equal(config_int(config, "worker.metrics_port"), 9100);
    assert_int_equal(config_idle_count(config), 0);
    config_free(config);
    setenv("ENABLE_METRICS", "false", 1);
    config = load_good(with(lines));
    assert_int_equal(config_int(config, "worker.metrics_port"), 0);
    assert_int_equal(config_int(config, "ingress.metrics_port"), 0);
    assert_int_equal(config_int(config, "keeper.metrics_port"), 0);
    assert_int_equal(config_idle_count(config), 1);
    assert_string_equal(config_idle(config, 0)->name, "METRICS_PORT");
    assert_string_equal(config_idle(config, 0)->why, "metrics.enabled is false ($ENABLE_METRICS)");
    config_free(config);
    unsetenv("METRICS_PORT");
    setenv("ENABLE_METRICS", "true", 1);
    config = load_good(MINIMAL);
    assert_int_equal(config_idle_count(config), 1);
    assert_string_equal(config_idle(config, 0)->name, "ENABLE_METRICS");
    config_free(config);
}

/* Lists */

static void test_lists(void **state)
{
    (void)state;
    put("secret", "whsec_1\n", 0600);
    put("key", "k\n", 0600);
    put("public", KEY "\n", 0644);
    struct config *config = load_good(
        with("payment: { expires_in_ms = 60000; };\n"
             "publishers = (\n"
             "  { name = \"shop\"; api_key_sha256 = "
             "\"E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855\"; merchant = \"m\";\n"
             "    flow = \"dual\"; payment_method = \"wallet\"; gateways = [ \"b\", \"a\" ]; commission_ppm = 25000; "
             "expires_in_ms = 5000;\n"
             "    webhook_url = \"https://shop.example/hook\"; webhook_secret_file = \"secret\"; amount_max = 500; },\n"
             "  { name = \"bare\"; } );\n"
             "providers = ( { name = \"a\"; kind = \"simulated\"; },\n"
             "  { name = \"b\"; kind = \"stripe\"; url = \"http://127.0.0.1:1/base\"; timeout_ms = 50; "
             "visibility_horizon_ms = 0; send_window_ms = 100; } );\n"
             "validators = ( { name = \"v1\"; url = \"http://v1\"; public_key = \"" KEY "\"; key_file = \"key\"; },\n"
             "  { name = \"v2\"; url = \"https://v2\"; public_key_file = \"public\"; } );\n"
             "pop: { quorum = 2; };\n"));
    const struct publisher_config *shop = config_publisher_find(config, "shop"), *bare = config_publisher(config, 1);
    assert_int_equal(config_publisher_count(config), 2);
    assert_string_equal(shop->merchant, "m");
    assert_string_equal(shop->flow, "dual");
    assert_string_equal(shop->payment_method, "wallet");
    assert_string_equal(shop->gateways[0], "b");
    assert_string_equal(shop->gateways[1], "a");
    assert_null(shop->gateways[2]);
    assert_int_equal(shop->commission_ppm, 25000);
    assert_int_equal(shop->expires_in_ms, 5000);
    assert_string_equal(shop->webhook_secret, "whsec_1");
    assert_int_equal(shop->amount_max, 500);
    assert_string_equal(bare->name, "bare");
    assert_string_equal(bare->api_key_sha256, "");
    assert_string_equal(bare->flow, "plain");
    assert_string_equal(bare->payment_method, "card");
    assert_string_equal(bare->webhook_url, "");
    assert_null(bare->gateways[0]);
    assert_int_equal(bare->expires_in_ms, 60000); /* payment.expires_in_ms */
    assert_int_equal(bare->amount_max, 99999999);
    assert_int_equal(config_provider_count(config), 2);
    assert_string_equal(config_provider_find(config, "b")->url, "http://127.0.0.1:1/base");
    assert_int_equal(config_provider_find(config, "b")->send_window_ms, 100);
    assert_int_equal(config_provider(config, 0)->timeout_ms, 10000);
    assert_null(config_provider_find(config, "c"));
    assert_null(config_publisher_find(config, "c"));
    assert_int_equal(config_validator_count(config), 2);
    assert_string_equal(config_validator(config, 0)->key, "k");
    assert_string_equal(config_validator(config, 1)->key, "");
    assert_int_equal(config_validator(config, 0)->public_key[0], 0xd7);
    assert_memory_equal(config_validator(config, 0)->public_key, config_validator(config, 1)->public_key, 32);
    config_free(config);
}

static const char *known_type(size_t i)
{
    static const char *const types[] = {"pop.validate", "pop.revoke", "token.activate", NULL};
    return types[i];
}

static void test_retry_types(void **state)
{
    (void)state;
    struct config *config =
        load_good(with("retry: { attempts = 4; base_ms = 300; };\n"
                       "retry_types = ( { type = \"pop.validate\"; attempts = 8; base_ms = 500; cap_ms = 30000; },\n"
                       "  { type = \"token.activate\"; cap_ms = 400; },\n  { type = \"pop.revok\"; } );\n"));
    struct retry_config retry = config_retry(config, "pop.validate");
    assert_true(retry.attempts == 8 && retry.base_ms == 500 && retry.cap_ms == 30000);
    retry = config_retry(config, "token.activate"); /* what is not given is that of retry */
    assert_true(retry.attempts == 4 && retry.base_ms == 300 && retry.cap_ms == 400);
    retry = config_retry(config, "authorize.start");
    assert_true(retry.attempts == 4 && retry.base_ms == 300 && retry.cap_ms == 60000);
    assert_int_equal(config_retry_count(config), 3);
    struct err err = {0};
    assert_int_equal(config_check_types(config, known_type, &err), -1);
    assert_int_equal(err_exit_code(&err), 78);
    assert_non_null(
        strstr(err.text, "acquit.conf:6: there is no command type \"pop.revok\"; did you mean pop.revoke?"));
    config_free(config);
    config = load_good(with("retry_types = ( { type = \"pop.revoke\"; } );"));
    assert_int_equal(config_retry(config, "pop.revoke").attempts, 3);
    assert_int_equal(config_check_types(config, known_type, NULL), 0);
    config_free(config);
#define RETRY(members) with("\nretry_types = ( { type = \"pop.validate\"; " members " } );")
    refused(RETRY("atempts = 3;"), "acquit.conf:4: unknown setting atempts; did you mean attempts?");
    refused(RETRY("attempts = 0;"), "acquit.conf:4: attempts is 0, it must be from 1 to 20 attempts");
    refused(RETRY("attempts = 21;"), "attempts is 21, it must be from 1 to 20");
    refused(RETRY("attempts = \"3\";"), "attempts must be a whole number");
    refused(RETRY("base_ms = 0;"), "base_ms is 0, it must be from 1 to 60000 ms");
    refused(RETRY("cap_ms = 3600001;"), "cap_ms is 3600001, it must be from 1 to 3600000 ms");
    refused(RETRY("\ncap_ms = 100;"), "acquit.conf:5: base_ms of pop.validate is 200, more than its cap_ms (100)");
    refused(RETRY("base_ms = 900; cap_ms = 100;"), "acquit.conf:4: base_ms of pop.validate is 900");
    refused(with("retry_types = ( { attempts = 3; } );"), "acquit.conf:3: type is missing");
    refused(with("retry_types = ( { type = \"a\"; },\n { type = \"a\"; } );"),
            "acquit.conf:4: retry_types has two elements named a");
    refused(with("retry_types = { type = \"a\"; };"), "retry_types must be a list");
}

/* The line is the member's, not that of its element. */
static void test_wrong_members_name_their_line(void **state)
{
    (void)state;
#define PUBLISHER(member) with("publishers = (\n{ name = \"a\";\n" member " } );"), "acquit.conf:5: "
    refused(PUBLISHER("flow = \"triple\";"));
    refused(PUBLISHER("payment_method = \"cash\";"));
    refused(PUBLISHER("api_key_sha256 = \"12\";"));
    refused(PUBLISHER("webhook_url = \"x\";"));
    refused(PUBLISHER("webhook_url = \"https://x\";"));
    refused(PUBLISHER("amount_max = 0;"));
    refused(PUBLISHER("email = 1;"));
    refused(PUBLISHER("gateways = [ \"nobody\" ];"));
    refused(with("providers = (\n{ name = \"a\";\nkind = \"strip\"; } );"),
            "acquit.conf:5: kind is \"strip\", it must be one of simulated, stripe");
    refused(with("providers = ( { name = \"a\"; kind = \"stripe\";\nurl = \"x\"; } );"), "acquit.conf:4: ");
    refused(with("validators = ( { name = \"a\"; public_key = \"" KEY "\";\nurl = \"x\"; } );"), "acquit.conf:4: ");
    refused(with("validators = ( { name = \"a\"; url = \"http://x\";\npublic_key = \"x\"; } );"), "acquit.conf:4: ");
    refused(with("providers = ( { name = \"simulated\"; kind = \"simulated\"; } );\n"
                 "publishers = ( { name = \"a\"; gateways = [ \"simulate\" ]; } );"),
            "acquit.conf:4: gateways names \"simulate\", which is no configured provider; did you mean simulated?");
    refused(with("\nmail: { tls = \"on\"; };"), "acquit.conf:4: mail.tls is \"on\", it must be one of required");
    refused(with("\nmail: { url = \"smtp://x\"; };"), "acquit.conf:4: mail.url needs mail.from");
    refused(with("\ningress: { listen = \"\"; };"), "acquit.conf:4: ingress.listen is \"\", it must be an IP");
    refused(with("\nquestion: { cap_ms = 400; };"),
            "acquit.conf:4: question.base_ms is 500, more than question.cap_ms");
    refused(with("\ningress: { listen = \"localhost\"; };"), "acquit.conf:4: ingress.listen is \"localhost\"");
    static const char *const ports[] = {
        "http://x:0", "http://x:65536", "http://x:", "http://x:8a/y", "http://[::1]:0", "http://x:123456"};
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "\ntokens: { url = \"%s\"; };", ports[i]);
        refused(with(text), "acquit.conf:4: tokens.url: the port must be 1 to 65535");
    }
    config_free(load_good(with("tokens: { url = \"http://[::1]\"; };")));
    config_free(load_good(with("tokens: { url = \"http://x:65535/a:b\"; };")));
    refused(with("\npop: { callback_url = \"x\"; };"), "acquit.conf:4: pop.callback_url must be an http://");
    refused(with("\ntokens: { url = \"x\"; };"), "acquit.conf:4: tokens.url must be an http:// or https:// URL");
}

static void test_lists_are_compared(void **state)
{
    (void)state;
#define SAME(gateways, ppm, type)                                                                                      \
    "providers = ( { name = \"a\"; kind = \"simulated\"; }, { name = \"b\"; kind = \"simulated\"; } );\n"              \
    "publishers = ( { name = \"p\"; gateways = " gateways "; commission_ppm = " ppm "; } );\n"                         \
    "retry_types = ( { type = \"" type "\"; } );\n"
    static const struct {
        const char *lines;
        bool publishers, retries;
    } cases[] = {
        {SAME("[ \"a\" ]", "5", "x.y"), true, true},
        {SAME("[ \"b\" ]", "5", "x.y"), false, true},
        {SAME("[ \"a\", \"b\" ]", "5", "x.y"), false, true},
        {SAME("[ \"a\" ]", "6", "x.z"), false, false},
        {"providers = ( { name = \"a\"; kind = \"simulated\"; }, { name = \"b\"; kind = \"simulated\"; } );", false,
         false},
    };
    struct config *one = load_good(with(cases[0].lines));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct config *other = load_good(with(cases[i].lines));
        for (size_t k = 0; k < config_list_count(); k++) {
            const char *name = config_list(k)->name;
            bool same = strcmp(name, "publishers") == 0    ? cases[i].publishers
                        : strcmp(name, "retry_types") == 0 ? cases[i].retries
                                                           : true;
            assert_int_equal(config_list_same(one, other, k), same);
        }
        config_free(other);
    }
    config_free(one);
}

static void test_what_must_fit_together(void **state)
{
    (void)state;
#define V(name) "{ name = \"" name "\"; url = \"http://v\"; public_key = \"" KEY "\"; }"
    refused(with("publishers = ( { name = \"a\"; }, { name = \"b\"; },\n { name = \"a\"; } );"),
            "acquit.conf:4: publishers has two elements named a");
    refused(with("providers = ( { name = \"a\"; kind = \"simulated\"; }, { name = \"a\"; kind = \"simulated\"; } );"),
            "two elements named a");
    refused(with("validators = ( " V("a") ", " V("a") " );"), "two elements named a");
    refused(with("validators = ( " V("a") " );"), "it must have from 2 to 16, or none");
    refused(with("validators = ( " V("a") ", " V("b") " ); pop: { quorum = 3; };"),
            "acquit.conf:3: pop.quorum is 3, but there are only 2 validators");
    refused(with("pop: { quorum = 1; };"), "pop.quorum is 1, but there are only 0 validators");
    refused(with("publishers = ( { name = \"a\"; gateways = [ \"nobody\" ]; } );"),
            "gateways names \"nobody\", which is no configured provider");
    refused(with("publishers = ( { name = \"a\"; gateways = [ \"1\", \"2\", \"3\", \"4\", \"5\", \"6\", \"7\", \"8\" "
                 "]; } );"),
            "at most 7");
    refused(with("publishers = ( { name = \"a b\"; } );"), "only letters, digits");
    refused(with("publishers = ( { name = \"a\"; flow = \"triple\"; } );"),
            "flow is \"triple\", it must be one of plain, dual");
    refused(with("publishers = ( { name = \"a\"; payment_method = \"cash\"; } );"),
            "card, mobile_money, wallet, bank_transfer");
    refused(with("publishers = ( { name = \"a\"; api_key_sha256 = \"12\"; } );"), "64 hex digits");
    refused(with("publishers = ( { name = \"a\"; webhook_url = \"https://x/\"; } );"),
            "webhook_url needs webhook_secret_file");
    refused(with("publishers = ( { name = \"a\"; webhook_url = \"x\"; webhook_secret_file = \"broker.url\"; } );"),
            "http:// or https://");
    refused(with("publishers = ( { name = \"a\"; api_key_sha256 = "
                 "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"; },"
                 "{ name = \"b\"; api_key_sha256 = "
                 "\"E3B0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"; } );"),
            "publishers a and b have the same api_key_sha256");
    refused(with("providers = ( { name = \"a\"; kind = \"stripe\"; } );"), "provider a needs a url");
    refused(with("providers = ( { name = \"a\"; kind = \"stripe\"; url = \"https://x/\"; } );"),
            "url must not end with a slash");
    refused(with("providers = ( { name = \"a\"; kind = \"stripe\"; url = \"ftp://x\"; } );"),
            "url must be an http:// or https:// URL");
    refused(with("providers = ( { name = \"a\"; kind = \"stripe\"; url = \"https:///x\"; } );"),
            "url must be an http:// or https:// URL");
    refused(with("tokens: { url = \"http://x/\"; };"), "tokens.url must not end with a slash");
    refused(with("validators = ( { name = \"a\"; url = \"http://v\"; public_key = \"AAAA\"; } );"),
            "base64 of the 32 bytes");
    put("wrong.url", "http://x", 0600);
    refused("\nbroker: { url_file = \"wrong.url\"; }; ledger: { url_file = \"ledger.url\"; };",
            "acquit.conf:2: broker.url must be an amqp:// or amqps:// URL");
    refused(BROKER "ledger: { url_file = \"wrong.url\"; };", "acquit.conf:2: ledger.url must be a postgresql:// URL");
}

#define TWO                                                                                                            \
    "providers = ( { name = \"a\"; kind = \"simulated\"; }, { name = \"b\"; kind = \"simulated\"; } );\n"              \
    "publishers = ( { name = \"shop\"; } );\n"

/* A rule of the two providers with these members; line 5. */
static const char *rule(const char *members)
{
    static char text[1024];
    snprintf(text, sizeof text, TWO "routes = ( { name = \"r\"; providers = [ \"a\", \"b\" ]; %s } );", members);
    return with(text);
}

static void test_routes(void **state)
{
    (void)state;
    struct config *config =
        load_good(rule("currencies = [ \"EUR\" ]; order = \"cost\"; costs = [ \"b=25+14000\", \"a=0+1000000\" ];"
                       "shares = [ \"b=7\" ]; preferred = \"only\"; unavailable = \"refuse\"; failover = [ \"absent\", "
                       "\"refused\" ];"));
    const struct route_config *route = config_route(config, 0);
    assert_int_equal(config_route_count(config), 1);
    assert_int_equal(route->amount_to, 9000000000000000);
    assert_true(route->order == ROUTE_BY_COST && route->preferred == ROUTE_PREFERRED_ONLY && route->refuses);
    assert_true(route->cost_fixed[0] == 0 && route->cost_ppm[0] == 1000000 && route->share[0] == 0);
    assert_true(route->cost_fixed[1] == 25 && route->cost_ppm[1] == 14000 && route->share[1] == 7);
    assert_int_equal(route->failover, FAILOVER_ABSENT | FAILOVER_REFUSED);
    config_free(config);
    config = load_good(rule(""));
    assert_int_equal(config_route(config, 0)->failover, FAILOVER_ALL & ~FAILOVER_DECLINED);
    config_free(config);
    config = load_good(rule("failover = [ \"none\" ];"));
    assert_int_equal(config_route(config, 0)->failover, 0);
    config_free(config);
}

static void test_wrong_routes(void **state)
{
    (void)state;
    refused(rule("order = \"cheap\";"), "acquit.conf:5: order is \"cheap\", it must be one of listed, cost, share");
    refused(rule("order = \"cost\";"), "costs of r must name a, too");
    refused(rule("costs = [ \"a=0+5\" ];"), "costs of r must name b, too");
    refused(rule("costs = [ \"a=1+5\", \"b=0+5\" ];"), "must name exactly one currency");
    refused(rule("costs = [ \"a=1+5\", \"b=0+5\" ]; currencies = [ \"EUR\", \"USD\" ];"), "exactly one currency");
    refused(rule("costs = [ \"a=0+1000001\" ];"), "is not like a=25+14000");
    refused(rule("costs = [ \"a=-1+5\" ];"), "is not like a=25+14000");
    refused(rule("costs = [ \"a=5\" ];"), "is not like a=25+14000");
    refused(rule("order = \"share\";"), "order of r is share: give shares");
    refused(rule("order = \"share\"; shares = [ \"a=0\" ];"), "order of r is share: give shares");
    refused(rule("shares = [ \"c=1\" ];"), "does not begin with one of its providers and =");
    refused(rule("shares = [ \"a=x\" ];"), "has no whole number up to 1000000");
    refused(rule("shares = [ \"a=1000001\" ];"), "has no whole number up to 1000000");
    refused(rule("currencies = [ \"eur\" ];"), "currencies: \"eur\" is no currency: three upper-case letters");
    refused(rule("countries = [ \"DEU\" ];"), "countries: \"DEU\" is no country: two upper-case letters");
    refused(rule("methods = [ \"cash\" ];"), "methods is \"cash\"");
    refused(rule("publishers = [ \"nobody\" ];"), "which is no configured publisher");
    refused(rule("amount_from = 5; amount_to = 4;"), "amount_from of r is more than its amount_to");
    refused(rule("failover = [ \"timeout\" ];"), "must be one of declined, refused, cancelled, absent, none");
    refused(rule("unavailable = \"fail\";"), "it must be one of wait, refuse");
    refused(rule("preferred = \"no\";"), "it must be one of first, only, ignored");
    refused(rule("provider = [];"), "did you mean providers?");
    refused(with(TWO "routes = ( { name = \"r\"; } );"), "rule r needs providers");
    refused(with(TWO "routes = ( { name = \"r\"; providers = [ \"a\", \"a\" ]; } );"), "rule r names a twice");
    refused(with(TWO "routes = ( { name = \"r\"; providers = [ \"c\" ]; } );"), "which is no configured provider");
}

static void test_limits_of_providers(void **state)
{
    (void)state;
    struct config *config =
        load_good(with("providers = ( { name = \"a\"; kind = \"simulated\"; currencies = [ \"EUR\" ];"
                       " exposure_limit = [ \"EUR=500000\", \"JPY=0\" ]; } );"));
    const struct provider_config *provider = config_provider(config, 0);
    assert_string_equal(provider->currencies[0], "EUR");
    assert_null(provider->currencies[1]);
    assert_string_equal(provider->limits[0].currency, "EUR");
    assert_int_equal(provider->limits[0].amount, 500000);
    assert_string_equal(provider->limits[1].currency, "JPY");
    assert_int_equal(provider->limits[1].amount, 0);
    assert_string_equal(provider->limits[2].currency, "");
    config_free(config);
    static const char *const wrong[] = {
        "EUR", "EUR=", "EUR=x", "EUR=1x", "EUR=-1", "EUR 1", "EUR=99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char lines[256];
        snprintf(lines, sizeof lines,
                 "providers = ( { name = \"a\"; kind = \"simulated\"; exposure_limit = [ \"%s\" ]; } );", wrong[i]);
        refused(with(lines), "is not like EUR=500000");
    }
    refused(with("providers = ( { name = \"a\"; kind = \"simulated\"; exposure_limit = [ \"EUR=1\", \"EUR=2\" ]; } );"),
            "exposure_limit names EUR twice");
    refused(with("providers = ( { name = \"a\"; kind = \"simulated\"; exposure_limit = [ \"eur=1\" ]; } );"),
            "is no currency");
    refused(with("providers = ( { name = \"a\"; kind = \"simulated\"; currencies = [ \"EURO\" ]; } );"),
            "is no currency");
}

static void test_lists_are_bounded(void **state)
{
    (void)state;
    static char lines[32768];
    size_t n = (size_t)snprintf(lines, sizeof lines, "publishers = ( ");
    for (int i = 0; i <= CONFIG_PUBLISHERS_MAX; i++)
        n += (size_t)snprintf(lines + n, sizeof lines - n, "%s{ name = \"p%d\"; }", i ? "," : "", i);
    snprintf(lines + n, sizeof lines - n, " );");
    refused(with(lines), "publishers has 257 elements, at most 256 are allowed");
}

/* Does the text stand before `end`? */
static bool stands_in(const char *begin, const char *end, const char *text)
{
    const char *found = strstr(begin, text);
    return found && found < end;
}

/* "environment: A, B", all of them in their order, or none. */
static bool names_variables(const char *begin, const char *end, const struct setting *setting)
{
    char text[256] = "";
    size_t n = 0;
    for (size_t i = 0; setting->environment[i]; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? ", " : "environment: ", setting->environment[i]);
    return n ? stands_in(begin, end, text) : !stands_in(begin, end, "environment: ");
}

/* The sample and the table tell the same: every setting stands in the file, active or as an example, and has the
 * default that it shows. */
static bool sample_names(const char *sample, const struct setting *setting)
{
    const char *key = strchr(setting->name, '.') + 1;
    char group[64], line[128];
    snprintf(group, sizeof group, "\n%.*s: {", (int)(key - 1 - setting->name), setting->name);
    const char *begin = strstr(sample, group);
    const char *end = begin ? strstr(begin, "\n};") : NULL;
    if (!end)
        return false;
    if (setting->secret)
        snprintf(line, sizeof line, "%s_file = ", key);
    else
        snprintf(line, sizeof line, "\n    %s = %s;", key, setting->fallback);
    const char *found = strstr(begin, line), *sentence = strstr(begin, setting->sentence);
    char range[64];
    snprintf(range, sizeof range, "%lld to %lld", (long long)setting->least, (long long)setting->most);
    if (!found || found > end || !sentence || sentence > found)
        return false;
    return (setting->type != CONFIG_INT || stands_in(sentence, found, range)) &&
           stands_in(sentence, found, setting->unit) && names_variables(sentence, found, setting) &&
           stands_in(sentence, found, "(secret") == (setting->secret != CONFIG_OPEN);
}

/* Makes one line of a comment of several, in place: "# a\n    # b" becomes "# a b". */
static void join_comments(char *text)
{
    static const char between[] = "\n    # ";
    for (char *at = text; (at = strstr(at, between));) {
        *at++ = ' ';
        memmove(at, at + sizeof between - 2, strlen(at + sizeof between - 2) + 1);
    }
}

static char *read_sample(void)
{
    FILE *file = fopen(SAMPLE, "r");
    assert_non_null(file);
    static char sample[65536];
    sample[fread(sample, 1, sizeof sample - 1, file)] = '\0';
    fclose(file);
    return sample;
}

static void test_sample_has_every_setting(void **state)
{
    (void)state;
    char *sample = read_sample();
    join_comments(sample);
    for (size_t i = 0; i < config_setting_count(); i++)
        if (!sample_names(sample, config_setting(i)))
            fail_msg(SAMPLE
                     ": %s is missing there, or its sentence, unit, range, default or variable differ from the table",
                     config_setting(i)->name);
}

/* The comment before a list explains each member: sentence, unit, range, default, variables. */
static bool sample_explains(const char *begin, const char *end, const struct setting *member)
{
    char text[128];
    snprintf(text, sizeof text, "\n#   %s ", member->name);
    const char *at = strstr(begin, text);
    if (!at || at > end)
        return false;
    const char *next = strstr(at + 1, "\n");
    if (member->type == CONFIG_INT) {
        snprintf(text, sizeof text, "(%s; %lld to %lld; ", member->unit, (long long)member->least,
                 (long long)member->most);
        if (!stands_in(at, next, text))
            return false;
    }
    snprintf(text, sizeof text, "default %s", member->fallback ? member->fallback : "");
    return stands_in(at, next, member->sentence) && stands_in(at, next, text) == (member->fallback != NULL) &&
           stands_in(at, next, "(secret") == member->secret && names_variables(at, next, member);
}

/* Makes one line of a list's comment of several: "# a (b\n#          c)" becomes "# a (b c)". */
static void join_members(char *text)
{
    static const char between[] = "\n#     ";
    for (char *at = text; (at = strstr(at, between));) {
        size_t blanks = strspn(at + 2, " ");
        *at++ = ' ';
        memmove(at, at + 1 + blanks, strlen(at + 1 + blanks) + 1);
    }
}

static void test_sample_explains_every_list(void **state)
{
    (void)state;
    char *sample = read_sample();
    join_members(sample);
    for (size_t i = 0; i < config_list_count(); i++) {
        char text[64], most[64];
        snprintf(text, sizeof text, "\n%s = (", config_list(i)->name);
        snprintf(most, sizeof most, "(%zu at most)", config_list(i)->max);
        const char *end = strstr(sample, text), *begin = end;
        while (begin && begin > sample && strncmp(begin, "\n# --- ", 7) != 0)
            begin--;
        if (!end || (strcmp(config_list(i)->name, "validators") != 0 && !stands_in(begin, end, most)))
            fail_msg(SAMPLE ": %s, or how many there may be, is missing", config_list(i)->name);
        for (size_t m = 0; config_member(i, m); m++)
            if (!sample_explains(begin, end, config_member(i, m)))
                fail_msg(SAMPLE ": %s of %s is missing, or its sentence, unit, range, default or variable differ",
                         config_member(i, m)->name, config_list(i)->name);
    }
}

/* -- the manual */

/* Blanks and line ends are one blank. */
static char *joined(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (*from != '\n' && (*from != ' ' || to == text || to[-1] != ' '))
            *to++ = *from;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    *to = '\0';
    return text;
}

/* Its entry stands in the manual, behind `at`; where it ends. */
static const char *manual_tells(const char *at, const struct setting *setting)
{
    char entry[1024], range[96] = "";
    static const char *const types[] = {"text", "whole number", "true or false", "list of names"};
    snprintf(entry, sizeof entry, " %s %s %s", setting->name, setting->sentence, types[setting->type]);
    const char *begin = strstr(at, entry);
    if (!begin)
        fail_msg("the manual has no entry \"%s\" where it belongs", entry);
    begin += strlen(entry);
    if (setting->type == CONFIG_INT)
        snprintf(range, sizeof range, "%s%s; %lld to %lld", *setting->unit ? " of " : "", setting->unit,
                 (long long)setting->least, (long long)setting->most);
    size_t n =
        (size_t)snprintf(entry, sizeof entry, "%s; %s%s", range, setting->fallback ? "default " : "must be given",
                         setting->fallback ? setting->fallback : "");
    for (size_t i = 0; setting->environment[i]; i++)
        n += (size_t)snprintf(entry + n, sizeof entry - n, "%s%s",
                              i ? ", " : "; environment: ", setting->environment[i]);
    const char *dot = strchr(setting->name, '.');
    if (setting->secret)
        n += (size_t)snprintf(entry + n, sizeof entry - n, "; secret: only from %s_file%s",
                              dot ? dot + 1 : setting->name, setting->environment[0] ? " or the environment" : "");
    snprintf(entry + n, sizeof entry - n, "%s ", setting->reloadable ? "; reloadable" : "");
    if (strncmp(begin, entry, strlen(entry)) != 0)
        fail_msg("the manual says of %s \"%.100s\", not \"%s\"", setting->name, begin, entry);
    return begin;
}

static void test_manual_tells_the_table(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    manual_print(out);
    fclose(out);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        assert_in_range(strcspn(line, "\n"), 0, 120);
    const char *at = joined(text);
    for (size_t i = 0; i < config_setting_count(); i++)
        at = manual_tells(at, config_setting(i));
    for (size_t i = 0; i < config_list_count(); i++) {
        assert_non_null(at = strstr(at, config_list(i)->name));
        assert_non_null(strstr(at, config_list(i)->sentence));
        for (size_t m = 0; config_member(i, m); m++)
            at = manual_tells(at, config_member(i, m));
    }
    for (size_t i = 0; config_never(i); i++) {
        assert_non_null(at = strstr(at, config_never(i)->name));
        assert_non_null(strstr(at, config_never(i)->why));
    }
    free(text);
}

static void test_sample_loads(void **state)
{
    (void)state;
    setenv("ACQUIT_BROKER_URL", "amqp://x", 1);
    setenv("ACQUIT_LEDGER_URL", "postgresql:///", 1);
    struct err err = {0};
    struct config *config = config_load(SAMPLE, &err);
    if (!config)
        fail_msg("%s", err.text);
    assert_string_equal(config_publisher(config, 0)->name, "shop");
    assert_string_equal(config_provider(config, 0)->kind, "simulated");
    config_free(config);
}

/* The table itself: defaults within their ranges, names once. */
static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct setting *setting = config_setting(i);
        assert_non_null(strchr(setting->name, '.'));
        assert_true(strlen(setting->sentence) > 10);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(setting->name, config_setting(k)->name);
        if (setting->type == CONFIG_INT)
            assert_in_range(strtoll(setting->fallback, NULL, 10) - setting->least, 0, setting->most - setting->least);
        if (setting->type == CONFIG_TEXT && setting->fallback)
            assert_true(setting->fallback[0] == '"' && setting->fallback[strlen(setting->fallback) - 1] == '"');
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults),
        TEST(test_given_values),
        TEST(test_path_from_the_environment),
        TEST(test_wrong_key_names_the_nearest),
        TEST(test_wrong_type),
        TEST(test_out_of_range),
        TEST(test_large_numbers),
        TEST(test_syntax),
        TEST(test_file_is_bounded),
        TEST(test_what_must_be_given),
        TEST(test_a_secret_of_one_program),
        TEST(test_secret_in_the_configuration),
        TEST(test_secret_from_a_file),
        TEST(test_absolute_path),
        TEST(test_credentials_directory),
        TEST(test_environment_comes_first),
        TEST(test_the_first_variable_wins),
        TEST(test_wrong_value_names_its_variable),
        TEST(test_database_in_parts),
        TEST(test_variables_without_effect),
        TEST(test_metrics_are_switched_off),
        TEST(test_lists),
        TEST(test_retry_types),
        TEST(test_wrong_members_name_their_line),
        TEST(test_lists_are_compared),
        TEST(test_what_must_fit_together),
        TEST(test_routes),
        TEST(test_wrong_routes),
        TEST(test_limits_of_providers),
        TEST(test_lists_are_bounded),
        TEST(test_sample_has_every_setting),
        TEST(test_sample_explains_every_list),
        TEST(test_manual_tells_the_table),
        TEST(test_sample_loads),
        TEST(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
