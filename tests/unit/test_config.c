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

#define SAMPLE "config/acquit.conf"
#define MINIMAL "broker: { url = \"amqp://u:p@127.0.0.1/acquit\"; };\nledger: { url = \"postgresql:///acquit\"; };\n"
#define KEY "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

static const char *const variables[] = {
    "ACQUIT_CONFIG",     "ACQUIT_BROKER_URL",      "ACQUIT_BROKER_MANAGEMENT_URL",
    "ACQUIT_LEDGER_URL", "ACQUIT_LEDGER_READ_URL", "ACQUIT_SIMULATED_URL",
    "ACQUIT_TOKENS_KEY", "ACQUIT_LOG_LEVEL",       "PORT",
    "STRIPE_SECRET_KEY", "CREDENTIALS_DIRECTORY",
};

static char folder[64];

/* Each test has an empty folder and an empty environment. */
static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        unsetenv(variables[i]);
    snprintf(folder, sizeof folder, "/tmp/acquit-test-config-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
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
    refused(with("wroker: { batch = 3; };"), "acquit.conf:3: unknown setting wroker");
    refused(with("retry: { base_mss = 3; };"), "did you mean retry.base_ms?");
    refused(with("worker = 3;"), "unknown setting worker");
    refused(with("worker: { batch_file = \"x\"; };"), "unknown setting worker.batch_file; did you mean worker.batch?");
    refused(with("tokens: { key_fil = \"x\"; };"), "did you mean tokens.key_file?");
    refused(with("worker: { inner: { batch = 3; }; };"), "unknown setting worker.inner");
    refused(with("publishers = ( { name = \"shop\"; mercahnt = \"x\"; } );"),
            "unknown setting mercahnt; did you mean merchant?");
    refused(with("publishers = ( { name = \"shop\"; webhook_secret_fil = \"x\"; } );"),
            "did you mean webhook_secret_file?");
    refused(with("publishers = ( { name = \"shop\"; gateway = []; } );"), "did you mean gateways?");
    refused(with("publishers = ( { name = \"shop\"; merchant_file = \"x\"; } );"), "unknown setting merchant_file");
    refused(with("publisher = ( { name = \"shop\"; } );"), "unknown setting publisher");
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
    refused("broker: { url = \"amqp://x\"; require_user = 1; }; ledger: { url = \"postgresql:///\"; };",
            "broker.require_user must be true or false");
    refused(with("tokens: { key_file = 3; };"), "tokens.key_file must be a text in quotes");
    refused(with("publishers = { name = \"shop\"; };"), "publishers must be a list");
    refused(with("publishers = ( \"shop\" );"), "an element of publishers must be { ... }");
    refused(with("publishers = ( { name = 3; } );"), "name must be a text in quotes");
    refused(with("publishers = ( { name = \"shop\"; amount_max = \"1\"; } );"), "amount_max must be a whole number");
    refused(with("publishers = ( { name = \"shop\"; gateways = \"x\"; } );"),
            "gateways must be a list of providers' names");
    refused(with("publishers = ( { name = \"shop\"; gateways = [1]; } );"),
            "gateways must be a list of providers' names");
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
    refused(with("ingress: { listen = \"\"; };"), "ingress.listen is empty");
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
    refused("broker: { url = \"amqp://x\"; };", "ledger.url is missing");
    refused(with("publishers = ( { merchant = \"x\"; } );"), "acquit.conf:3: name is missing");
    refused(with("providers = ( { name = \"x\"; } );"), "kind is missing");
    refused(with("validators = ( { name = \"x\"; url = \"http://x\"; } );"), "public_key is missing");
}

/* Secrets */

static void test_secret_in_a_public_file(void **state)
{
    (void)state;
    struct err err = {0};
    static const mode_t modes[] = {0644, 0640, 0604, 0620, 0601};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        put("open.conf", MINIMAL, modes[i]);
        assert_null(config_load(path_of("open.conf"), &err));
        assert_int_equal(err.code, ERR_CONFIG);
        assert_non_null(strstr(err.text, "open.conf:1: the secret broker.url stands in a file that others may read"));
        assert_null(strstr(err.text, "u:p@")); /* and the error does not tell it */
        err_clear(&err);
    }
    setenv("ACQUIT_BROKER_URL", "amqp://x", 1);
    setenv("ACQUIT_LEDGER_URL", "postgresql:///", 1);
    put("open.conf",
        "providers = ( { name = \"stripe\"; kind = \"stripe\"; url = \"https://x\"; secret = \"sk_1\"; } );", 0644);
    assert_null(config_load(path_of("open.conf"), &err));
    assert_non_null(strstr(err.text, "the secret secret"));
    put("open.conf", "tokens: { key = \"\"; };", 0644); /* nothing secret about that */
    struct config *config = config_load(path_of("open.conf"), NULL);
    assert_non_null(config);
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
    refused(with("tokens: { key = \"a\"; key_file = \"broker\"; };"), "tokens.key and tokens.key_file are both given");
    refused(with("providers = ( { name = \"a\"; kind = \"k\"; url = \"http://x\"; secret = \"a\"; secret_file = "
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
             "providers = ( { name = \"a\"; kind = \"k\"; url = \"http://x\"; secret_file = \"other\"; } );"));
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
    refused("", "PORT is 70000, it must be from 1 to 65535");
    setenv("PORT", "80x", 1);
    refused("", "PORT in the environment must be a whole number");
    setenv("PORT", "99999999999999999999", 1);
    refused("", "PORT in the environment must be a whole number");
}

/* Lists */

static void test_lists(void **state)
{
    (void)state;
    put("secret", "whsec_1\n", 0600);
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
             "validators = ( { name = \"v1\"; url = \"http://v1\"; public_key = \"" KEY "\"; key = \"k\"; },\n"
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
    refused(with("publishers = ( { name = \"a\"; webhook_url = \"x\"; webhook_secret = \"s\"; } );"),
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
    refused("broker: { url = \"http://x\"; }; ledger: { url = \"postgresql:///\"; };",
            "broker.url must be an amqp:// or amqps:// URL");
    refused("broker: { url = \"amqp://x\"; }; ledger: { url = \"mysql://x\"; };",
            "ledger.url must be a postgresql:// URL");
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
           stands_in(sentence, found, setting->unit) &&
           (!setting->environment || stands_in(sentence, found, setting->environment));
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

static void test_sample_has_every_setting(void **state)
{
    (void)state;
    FILE *file = fopen(SAMPLE, "r");
    assert_non_null(file);
    static char sample[65536];
    sample[fread(sample, 1, sizeof sample - 1, file)] = '\0';
    fclose(file);
    join_comments(sample);
    for (size_t i = 0; i < config_setting_count(); i++)
        if (!sample_names(sample, config_setting(i)))
            fail_msg(SAMPLE
                     ": %s is missing there, or its sentence, unit, range, default or variable differ from the table",
                     config_setting(i)->name);
    static const char *const members[] = {
        "name",
        "kind",
        "url",
        "secret",
        "timeout_ms",
        "visibility_horizon_ms",
        "send_window_ms",
        "api_key_sha256",
        "merchant",
        "flow",
        "payment_method",
        "gateways",
        "commission_ppm",
        "expires_in_ms",
        "webhook_url",
        "webhook_secret",
        "amount_max",
        "public_key",
        "key",
    };
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "\n#   %s ", members[i]);
        if (!strstr(sample, line))
            fail_msg(SAMPLE " does not explain %s", members[i]);
    }
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
        TEST(test_secret_in_a_public_file),
        TEST(test_secret_from_a_file),
        TEST(test_absolute_path),
        TEST(test_credentials_directory),
        TEST(test_environment_comes_first),
        TEST(test_lists),
        TEST(test_what_must_fit_together),
        TEST(test_lists_are_bounded),
        TEST(test_sample_has_every_setting),
        TEST(test_sample_loads),
        TEST(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
