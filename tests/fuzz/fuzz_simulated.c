/* fuzz_simulated.c - any JSON as an answer of the simulated provider's books */
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "tests/fuzz/input.h"
#include "workers/providers/simulated.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct provider_answer answer = {0};
    json_t *value = json_decode((const char *)data, size, NULL);
    bool heard = simulated_decode(value, &answer);
    MUST(heard || answer.outcome == PROVIDER_UNKNOWN);
    MUST(answer.outcome <= PROVIDER_UNKNOWN && (json_is_object(value) || answer.outcome == PROVIDER_UNKNOWN));
    MUST(is_code(answer.code, sizeof answer.code) && is_clean(answer.message, sizeof answer.message));
    MUST(is_clean(answer.reference, sizeof answer.reference) && (!answer.action || answer.outcome == PROVIDER_ACTION));
    json_decref(answer.action);
    json_decref(answer.evidence);
    json_decref(value);
    return 0;
}
