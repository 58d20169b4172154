/* openapi_schemas.c - what the answers of this interface look like, as JSON Schema 2020-12 */
#include "workers/ingress/openapi_schemas.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "ledger/saga.h"
#include "workers/ingress/answer.h"

/* Schemas stand here with ' for ", which none of them needs otherwise. */
static json_t *schema_of(const char *text)
{
    json_error_t error;
    char *copy = mem_text(text);
    for (char *c = copy; *c; c++)
        if (*c == '\'')
            *c = '"';
    json_t *schema = json_loads(copy, 0, &error);
    if (!schema)
        log_panic("schema %s: %s", text, error.text);
    free(copy);
    return schema;
}

/* -- objects, member by member */

/* In which answers about a payment a member stands. */
enum { STATUS = 1, SUMMARY = 2, DETAIL = 4, EVENTS = 8, EVERY = 15 };

#define TIME "{'type':['string','null'],'format':'date-time'}"
#define TEXT "{'type':'string'}"
#define TEXT_OR_NULL "{'type':['string','null']}"
#define UUID "{'type':'string','format':'uuid'}"
#define FLAG "{'type':'boolean'}"
#define MINOR_UNITS "{'type':'integer','minimum':0,'description':'Minor units'}"
#define STATE "{'$ref':'#/components/schemas/State'}"
#define TRANSACTION_ID "{'type':'string','pattern':'^tx_[0-9a-f]{32}$'}"

struct member {
    const char *name, *schema;
    int in;
    bool required; /* else it may be unknown, as in an answer about a payment that is not recorded yet */
};

static const struct member payment_members[] = {
    {"transactionId", TRANSACTION_ID, EVERY, true},
    {"paymentId", UUID, EVERY, true},
    {"status", STATE, EVERY, true},
    {"gateway", TEXT_OR_NULL, EVERY, true},
    {"requiresAction", FLAG, EVERY, true},
    {"amount", MINOR_UNITS, EVERY, false},
    {"currency", TEXT, EVERY, false},
    {"flow", "{'enum':['plain','dual']}", EVERY, false},
    {"reason", TEXT_OR_NULL, EVERY, false},
    {"updatedAt", TIME, EVERY, false},
    {"refundedAmount", MINOR_UNITS, SUMMARY | DETAIL, false},
    {"createdAt", TIME, SUMMARY | DETAIL, false},
    {"merchant", TEXT, SUMMARY | DETAIL, false},
    {"reference",
     "{'type':'object','required':['type','id'],'additionalProperties':false,"
     "'properties':{'type':{'type':'string'},'id':{'type':'string'}}}",
     SUMMARY | DETAIL, false},
    {"description", TEXT, SUMMARY | DETAIL, false},
    {"commandId", UUID, SUMMARY, false},
    {"statusUrl", "{'type':'string','format':'uri-reference'}", SUMMARY, false},
    {"paymentMethod", TEXT, DETAIL, false},
    {"country", TEXT, DETAIL, false},
    {"customerId", TEXT, DETAIL, false},
    {"tokens",
     "{'type':'object','required':['id','quantity'],'additionalProperties':false,"
     "'properties':{'id':{'type':'string'},'quantity':{'type':'integer'}}}",
     DETAIL, false},
    {"metadata", "{'type':'object','additionalProperties':{'type':'string'}}", DETAIL, false},
    {"expiresAt", TIME, DETAIL, false},
    {"capturedAmount", MINOR_UNITS, DETAIL, false},
    {"capturedAt", TIME, DETAIL, false},
    {"ended", FLAG, DETAIL, false},
    {"failure", "{'oneOf':[{'type':'null'},{'$ref':'#/components/schemas/PaymentFailure'}]}", DETAIL, false},
    {"attempts", "{'type':'array','items':{'$ref':'#/components/schemas/Attempt'}}", DETAIL, false},
    {"refunds", "{'type':'array','items':{'$ref':'#/components/schemas/Refund'}}", DETAIL, false},
    {"nextAction",
     "{'type':'object','additionalProperties':false,'properties':{'url':{'type':'string'},'type':{'type':'string'},"
     "'clientSecret':{'type':'string'}}}",
     DETAIL, false},
    {"customer",
     "{'type':'object','additionalProperties':false,'properties':{'customerEmail':{'type':'string'},"
     "'customerName':{'type':'string'},'customerPhone':{'type':'string'}}}",
     DETAIL, false},
    {"events", "{'type':'array','items':{'$ref':'#/components/schemas/Event'}}", EVENTS, true},
};

static json_t *payment_schema(int answer)
{
    json_t *required = json_array(), *properties = json_object();
    for (size_t i = 0; i < sizeof payment_members / sizeof payment_members[0]; i++) {
        const struct member *member = &payment_members[i];
        if (!(member->in & answer))
            continue;
        json_object_set_new(properties, member->name, schema_of(member->schema));
        if (member->required)
            json_array_append_new(required, json_string(member->name));
    }
    return json_pack("{s:s, s:o, s:b, s:o}", "type", "object", "required", required, "additionalProperties", 0,
                     "properties", properties);
}

/* -- the others */

static const struct {
    const char *name, *schema;
} others[] = {
    {"PaymentFailure",
     "{'type':'object','required':['reason','explanation'],'additionalProperties':false,'properties':{"
     "'reason':{'type':'string'},'explanation':{'type':['string','null']},'code':{'type':'string'},"
     "'message':{'type':'string'}}}"},
    {"Attempt",
     "{'type':'object','required':['attempt','gateway','status'],'additionalProperties':false,'properties':{"
     "'attempt':{'type':'integer','minimum':1},'gateway':{'type':['string','null']},'status':{'type':'string'},"
     "'reference':{'type':['string','null']},'code':{'type':['string','null']},"
     "'startedAt':{'type':['string','null'],'format':'date-time'},"
     "'endedAt':{'type':['string','null'],'format':'date-time'}}}"},
    {"Event",
     "{'type':'object','required':['sequence','slot','outcome','at','body'],'additionalProperties':false,'properties':{"
     "'sequence':{'type':'integer','minimum':1},'slot':{'type':'string'},'outcome':{'type':'string'},"
     "'at':{'type':'string','format':'date-time'},'body':{'type':'object'}}}"},
    {"Refund",
     "{'type':'object','required':['refundId','transactionId','paymentId','status'],'additionalProperties':false,"
     "'properties':{'refundId':{'type':'string','pattern':'^rf_[0-9a-f]{32}$'},"
     "'transactionId':{'type':'string','pattern':'^tx_[0-9a-f]{32}$'},'paymentId':{'type':'string','format':'uuid'},"
     "'status':{'enum':['pending','processing','completed','failed']},'amount':{'type':'integer','minimum':0,"
     "'description':'Minor units'},'currency':{'type':'string'},'inDoubt':{'type':'boolean'},"
     "'reason':{'type':'string'},'code':{'type':'string'},'message':{'type':'string'},'reference':{'type':'string'},"
     "'createdAt':{'type':['string','null'],'format':'date-time'},"
     "'updatedAt':{'type':['string','null'],'format':'date-time'},"
     "'commandId':{'type':'string','format':'uuid'},'statusUrl':{'type':'string','format':'uri-reference'}}}"},
    {"PaymentList", "{'type':'object','required':['payments','nextCursor'],'additionalProperties':false,'properties':{"
                    "'payments':{'type':'array','items':{'$ref':'#/components/schemas/Payment'}},"
                    "'nextCursor':{'type':['string','null']}}}"},
    {"Health",
     "{'type':'object','required':['status'],'additionalProperties':false,'properties':{'status':{'const':'ok'}}}"},
    {"HealthDatabase", "{'type':'object','required':['status'],'additionalProperties':false,'properties':{"
                       "'status':{'enum':['ok','down']},'latencyMs':{'type':'integer'},'message':{'type':'string'},"
                       "'retryAfter':{'type':'integer','description':'Seconds'}}}"},
    {"HealthGateways",
     "{'type':'object','required':['status','payments','gateways'],'additionalProperties':false,'properties':{"
     "'status':{'const':'ok'},'payments':{'type':'integer','description':'How many of the newest were looked through'},"
     "'gateways':{'type':'array','items':{'type':'object','additionalProperties':false,"
     "'required':['name','kind','status','leftOut','lastResult','results'],'properties':{'name':{'type':'string'},"
     "'kind':{'type':'string'},"
     "'status':{'enum':['configured','open'],'description':'open: the newest payment that could go there was kept "
     "away'},"
     "'leftOut':{'type':['object','null'],'required':['why','at'],'additionalProperties':false,'properties':{"
     "'why':{'enum':['breaker_open','exposure_limit']},'at':{'type':'string','format':'date-time'}}},"
     "'lastResult':{'type':['object','null'],'required':['operation','outcome','at'],'additionalProperties':false,"
     "'properties':{'operation':{'type':'string'},'outcome':{'type':'string'},"
     "'at':{'type':'string','format':'date-time'}}},"
     "'results':{'type':'object','additionalProperties':{'type':'integer'}}}}}}}"},
    {"HealthDetailed",
     "{'type':'object','additionalProperties':false,"
     "'required':['status','version','uptimeSeconds','draining','database','broker','requests'],'properties':{"
     "'status':{'enum':['ok','degraded']},'version':{'type':'string'},'uptimeSeconds':{'type':'integer'},"
     "'draining':{'type':'boolean'},'database':{'$ref':'#/components/schemas/HealthDatabase'},"
     "'broker':{'type':'object','required':['status','unconfirmed'],'additionalProperties':false,'properties':{"
     "'status':{'enum':['ok','down']},'unconfirmed':{'type':'integer'}}},"
     "'requests':{'type':'object','required':['open','waiting'],'additionalProperties':false,'properties':{"
     "'open':{'type':'integer'},'waiting':{'type':'integer'}}},"
     "'retryAfter':{'type':'integer','description':'Seconds'}}}"},
    {"VoteAnswer", "{'type':'object','required':['success','message'],'additionalProperties':false,"
                   "'properties':{'success':{'const':true},'message':{'type':'string'}}}"},
    {"Document", "{'type':'object','required':['openapi','info','paths','components']}"},
};

static json_t *state_schema(void)
{
    json_t *names = json_array();
    for (int i = 0; i < PUBLIC_STATE_COUNT; i++)
        json_array_append_new(names, json_string(public_state_text((enum public_state)i)));
    return json_pack("{s:s, s:o}", "type", "string", "enum", names);
}

static json_t *codes_schema(void)
{
    json_t *codes = json_array();
    for (int i = 0; i < FAILURE_COUNT; i++)
        json_array_append_new(codes, json_string(failure_kind((enum failure)i)->code));
    return json_pack("{s:s, s:o}", "type", "string", "enum", codes);
}

static json_t *failure_schema(void)
{
    json_t *schema = schema_of(
        "{'type':'object','required':['success','error','error_code','message','details'],"
        "'additionalProperties':false,'properties':{'success':{'const':false},"
        "'error':{'$ref':'#/components/schemas/FailureCode'},'error_code':{'$ref':'#/components/schemas/FailureCode',"
        "'description':'The same as error'},'message':{'type':'string','description':'What is wrong, and what to do'},"
        "'details':{'type':'array','items':{'type':'object','required':['message'],'additionalProperties':false,"
        "'properties':{'field':{'type':'string'},'message':{'type':'string'},"
        "'reason':{'type':'string','description':'Of a payment that failed, as are code and gateway'},"
        "'code':{'type':'string'},'gateway':{'type':'string'}}}},"
        "'retryAfter':{'type':'integer','description':'Seconds'}}}");
    json_object_set_new(json_object_get(schema, "properties"), "data",
                        schema_of("{'$ref':'#/components/schemas/Payment','description':'Of 402: the payment'}"));
    return schema;
}

/* {"success":true,"message":...,"data":...} around one of the objects. */
static void add_envelope(json_t *schemas, const char *name, const char *data)
{
    json_t *schema = schema_of("{'type':'object','required':['success','message','data'],'additionalProperties':false,"
                               "'properties':{'success':{'const':true},'message':{'type':'string'}}}");
    json_object_set_new(json_object_get(schema, "properties"), "data",
                        json_pack("{s:s+}", "$ref", "#/components/schemas/", data));
    json_object_set_new(schemas, name, schema);
}

json_t *openapi_schemas(void)
{
    json_t *schemas = json_object();
    json_object_set_new(schemas, "PaymentStatus", payment_schema(STATUS));
    json_object_set_new(schemas, "Payment", payment_schema(SUMMARY));
    json_object_set_new(schemas, "PaymentDetail", payment_schema(DETAIL));
    json_object_set_new(schemas, "PaymentEvents", payment_schema(EVENTS));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        json_object_set_new(schemas, others[i].name, schema_of(others[i].schema));
    add_envelope(schemas, "PaymentStatusAnswer", "PaymentStatus");
    add_envelope(schemas, "PaymentAnswer", "Payment");
    add_envelope(schemas, "PaymentDetailAnswer", "PaymentDetail");
    add_envelope(schemas, "PaymentEventsAnswer", "PaymentEvents");
    add_envelope(schemas, "PaymentListAnswer", "PaymentList");
    add_envelope(schemas, "RefundAnswer", "Refund");
    json_object_set_new(schemas, "State", state_schema());
    json_object_set_new(schemas, "FailureCode", codes_schema());
    json_object_set_new(schemas, "Failure", failure_schema());
    return schemas;
}

const char *openapi_answer(enum endpoint endpoint)
{
    switch (endpoint) {
    case ENDPOINT_PAYMENT_CREATE:
    case ENDPOINT_PAYMENT_CANCEL:
        return "PaymentAnswer";
    case ENDPOINT_PAYMENT_LIST:
        return "PaymentListAnswer";
    case ENDPOINT_PAYMENT_SHOW:
        return "PaymentDetailAnswer";
    case ENDPOINT_PAYMENT_STATUS:
        return "PaymentStatusAnswer";
    case ENDPOINT_PAYMENT_EVENTS:
        return "PaymentEventsAnswer";
    case ENDPOINT_REFUND_CREATE:
    case ENDPOINT_REFUND_SHOW:
        return "RefundAnswer";
    case ENDPOINT_VOTE_RECEIVE:
        return "VoteAnswer";
    case ENDPOINT_HEALTH:
        return "Health";
    case ENDPOINT_HEALTH_DATABASE:
        return "HealthDatabase";
    case ENDPOINT_HEALTH_GATEWAYS:
        return "HealthGateways";
    case ENDPOINT_HEALTH_DETAILED:
        return "HealthDetailed";
    case ENDPOINT_OPENAPI:
        return "Document";
    }
    log_panic("endpoint %d has no schema", (int)endpoint);
}
