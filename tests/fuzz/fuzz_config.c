/* fuzz_config.c - any bytes as a configuration file: loaded whole or refused, with the reason */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "tests/fuzz/input.h"

/* libconfig forgets what it has read of a text that does not end: 64 bytes for a file that is refused. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so";
}

static char folder[] = "/tmp/acquit-fuzz-config-XXXXXX", path[PATH_MAX];

static void put(const char *name, const void *bytes, size_t size)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    MUST(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0 && chmod(path, 0600) == 0);
}

static void remove_folder(void)
{
    static const char *const names[] = {"acquit.conf", "secret", "validator.pub", "broker.url", "ledger.url"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* What seeds may name as NAME_file. */
static void make_folder(void)
{
    static const char secret[] = "whsec_c2VjcmV0\n", key[] = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n";
    MUST(mkdtemp(folder));
    MUST(setenv("CREDENTIALS_DIRECTORY", folder, 1) == 0);
    put("secret", secret, sizeof secret - 1);
    static const char broker[] = "amqp://u:p@127.0.0.1/acquit\n", ledger[] = "postgresql:///acquit\n";
    put("validator.pub", key, sizeof key - 1);
    put("broker.url", broker, sizeof broker - 1);
    put("ledger.url", ledger, sizeof ledger - 1);
    MUST(atexit(remove_folder) == 0);
}

static void check_scalars(const struct config *config)
{
    for (size_t i = 0; i < config_setting_count(); i++) {
        const struct setting *setting = config_setting(i);
        if (setting->type == CONFIG_TEXT) {
            MUST(config_text(config, setting->name));
        } else if (setting->type == CONFIG_INT) {
            int64_t number = config_int(config, setting->name);
            MUST(number >= setting->least && number <= setting->most);
        } else {
            (void)config_bool(config, setting->name);
        }
    }
}

static void check_lists(const struct config *config)
{
    MUST(config_publisher_count(config) <= CONFIG_PUBLISHERS_MAX &&
         config_provider_count(config) <= CONFIG_PROVIDERS_MAX);
    MUST(config_validator_count(config) <= CONFIG_VALIDATORS_MAX && config_validator_count(config) != 1);
    for (size_t i = 0; i < config_publisher_count(config); i++) {
        const struct publisher_config *publisher = config_publisher(config, i);
        MUST(*publisher->name && config_publisher_find(config, publisher->name) == publisher);
        MUST(publisher->commission_ppm >= 0 && publisher->commission_ppm <= 1000000 && publisher->amount_max > 0);
    }
    for (size_t i = 0; i < config_provider_count(config); i++) {
        const struct provider_config *provider = config_provider(config, i);
        MUST(*provider->name && provider->timeout_ms > 0 && config_provider_find(config, provider->name) == provider);
    }
    for (size_t i = 0; i < config_list_count(); i++)
        MUST(config_list_same(config, config, i) && config_element_count(config, i) <= config_list(i)->max);
    struct retry_config retry = config_retry(config, "pop.validate");
    MUST(retry.attempts >= 1 && retry.base_ms >= 1 && retry.base_ms <= retry.cap_ms);
    for (size_t i = 0; i < config_validator_count(config); i++)
        MUST(*config_validator(config, i)->name && *config_validator(config, i)->url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    if (!made)
        make_folder();
    made = true;
    put("acquit.conf", data, size);
    struct err err = {0};
    struct config *config = config_load(path, &err);
    if (config) {
        check_scalars(config);
        check_lists(config);
    } else {
        MUST(err.code == ERR_CONFIG && is_clean(err.text, sizeof err.text) && *err.text);
    }
    config_free(config);
    return 0;
}
