-- 002_simulated.sql - the books of the simulated payment provider
--
-- A payment provider that needs no network: its payments and refunds live here, in schema sim, and know nothing of the ledger. Only members of the
-- role acquit_sim may call it, and only through the functions at the end; nobody else may write its tables. To run without it, grant that role
-- to nobody.
--
-- What it promises, as a real provider should: a key that comes again gets the first answer, for ever; a key that comes again with other
-- content is refused (idempotency_conflict) and changes nothing; a question never has an effect. How a payment goes is chosen by its test token
-- (docs/test-tokens.md lists them for people, sim.test_token here for the program).

do $$
begin
    if not exists (select from pg_roles where rolname = 'acquit_sim') then
        create role acquit_sim nologin;
    end if;
exception
    when duplicate_object or unique_violation then null; -- roles are of the whole server: another database was migrated at the same moment
end
$$;

create schema sim;

-- What each operation does to a payment that was made with this token: 'done', 'timeout' (it is done, the answer is lost), 'unsent' (the first
-- time nothing is done and nothing is answered), 'action' (the customer is asked), 'expired' (there is nothing left to void), or the code of
-- a refusal.
create table sim.test_token (
    token         text primary key,
    on_authorize  text not null default 'done',
    on_capture    text not null default 'done',
    on_void       text not null default 'done',
    on_refund     text not null default 'done'
);

insert into sim.test_token (token, on_authorize) values
    ('tok_visa', 'done'),
    ('tok_mastercard', 'done'),
    ('tok_declined', 'declined'),
    ('tok_insufficient_funds', 'insufficient_funds'),
    ('tok_expired_card', 'expired_card'),
    ('tok_incorrect_cvc', 'incorrect_cvc'),
    ('tok_lost_card', 'lost_card'),
    ('tok_stolen_card', 'stolen_card'),
    ('tok_processing_error', 'processing_error'),
    ('tok_limit_exceeded', 'limit_exceeded'),
    ('tok_timeout', 'timeout'),
    ('tok_timeout_unsent', 'unsent'),
    ('tok_requires_action', 'action');
insert into sim.test_token (token, on_capture) values ('tok_capture_refused', 'capture_refused'), ('tok_capture_timeout', 'timeout');
insert into sim.test_token (token, on_void) values ('tok_void_expired', 'expired'), ('tok_void_timeout', 'timeout');
insert into sim.test_token (token, on_refund) values ('tok_refund_refused', 'refund_refused'), ('tok_refund_timeout', 'timeout');

create table sim.payment (
    reference   text primary key,               -- the provider's name for it
    key         text not null unique,           -- idempotency key of its authorization
    payment_id  uuid not null,
    token       text references sim.test_token, -- null: none was given. A token that is not in the list is never written down
    amount      bigint not null check (amount > 0),
    currency    text not null check (currency ~ '^[A-Z]{3}$'),
    status      text not null check (status in ('declined', 'requires_action', 'authorized', 'captured', 'voided', 'expired')),
    captured    bigint not null default 0 check (captured between 0 and amount),
    refunded    bigint not null default 0 check (refunded between 0 and captured),
    created_at  timestamptz not null default clock_timestamp(),
    changed_at  timestamptz not null default clock_timestamp()
);
create index payment_of on sim.payment (payment_id);

create table sim.refund (
    reference   text primary key,
    key         text not null unique,
    payment     text not null references sim.payment,
    amount      bigint not null check (amount > 0),
    created_at  timestamptz not null default clock_timestamp()
);
create index refund_of on sim.refund (payment);

-- The first answer under each key, kept for ever. Without an answer, the request was lost on its way ('unsent').
create table sim.kept (
    key         text primary key,
    operation   text not null,
    content     jsonb not null,
    answer      jsonb
);

-- The request log: each arrival, questions and repeats too.
create table sim.request (
    seq         bigint generated always as identity primary key,
    at          timestamptz not null default clock_timestamp(),
    operation   text not null,
    asked       boolean not null,
    key         text not null,
    payment_id  uuid not null,
    outcome     text not null,
    code        text not null
);
create index request_of on sim.request (payment_id);

-- An answer, as workers/providers/simulated.c reads it.
create function sim.answer_of(p_outcome text, p_code text default '', p_reference text default '') returns jsonb
language sql immutable as $$
    select jsonb_build_object('outcome', p_outcome, 'code', p_code, 'reference', p_reference)
$$;

-- The same, of which the caller will not hear.
create function sim.lost(p_answer jsonb) returns jsonb
language sql immutable as $$
    select p_answer || '{"lost": true}'
$$;

-- A prefix and 24 hex digits: the same key always gives the same.
create function sim.reference_of(p_prefix text, p_key text) returns text
language sql immutable as $$
    select p_prefix || left(encode(sha256(convert_to(p_key, 'UTF8')), 'hex'), 24)
$$;

-- Takes the key for a request. `answer` is what to answer at once; null: make one. `fresh`: nobody came with this key before.
create function sim.take_key(p_key text, p_operation text, p_content jsonb, out fresh boolean, out answer jsonb)
language plpgsql as $$
declare
    kept sim.kept;
begin
    insert into sim.kept (key, operation, content) values (p_key, p_operation, p_content) on conflict (key) do nothing;
    fresh := found;
    if fresh then
        return;
    end if;
    -- Whoever was first is committed by now. The lock makes one repeat of a lost request wait for the other.
    select * into kept from sim.kept k where k.key = p_key for update;
    if kept.operation = p_operation and kept.content = p_content then
        answer := kept.answer;
    else
        answer := sim.answer_of('refused', 'idempotency_conflict');
    end if;
end
$$;

-- Keeps the answer under its key, and gives it. A repeat gets it even when it was lost the first time.
create function sim.keep(p_key text, p_answer jsonb, p_way text) returns jsonb
language plpgsql as $$
begin
    update sim.kept set answer = p_answer where key = p_key;
    return case when p_way = 'timeout' then sim.lost(p_answer) else p_answer end;
end
$$;

create function sim.note(p_operation text, p_asked boolean, p_key text, p_payment_id uuid, p_answer jsonb) returns jsonb
language plpgsql as $$
begin
    insert into sim.request (operation, asked, key, payment_id, outcome, code)
        values (p_operation, p_asked, p_key, p_payment_id, case when p_answer ? 'lost' then 'lost' else p_answer ->> 'outcome' end,
                p_answer ->> 'code');
    return p_answer;
end
$$;

-- The payment that an operation is about, locked: by its reference, or by the key of its authorization.
create function sim.find_payment(p_reference text, p_authorization_key text) returns sim.payment
language plpgsql as $$
declare
    payment sim.payment;
begin
    if p_reference <> '' then
        select * into payment from sim.payment p where p.reference = p_reference for update;
    else
        select * into payment from sim.payment p where p.key = p_authorization_key for update;
    end if;
    return payment;
end
$$;

create function sim.content_of(p_payment_id uuid, p_payment sim.payment, p_amount bigint) returns jsonb
language sql immutable as $$
    select jsonb_build_object('payment', p_payment_id, 'of', p_payment.reference, 'amount', p_amount)
$$;

create function sim.set_status(p_reference text, p_status text) returns void
language sql as $$
    update sim.payment set status = p_status, changed_at = clock_timestamp() where reference = p_reference
$$;

-- ---- authorize ----

create function sim.new_payment(p_key text, p_payment_id uuid, p_amount bigint, p_currency text, p_token text, p_way text) returns jsonb
language plpgsql as $$
declare
    v_reference constant text := sim.reference_of('sim_pay_', p_key);
    v_approved constant boolean := p_way in ('done', 'timeout', 'unsent');
    v_asks constant boolean := p_way = 'action';
begin
    insert into sim.payment (reference, key, payment_id, token, amount, currency, status)
        values (v_reference, p_key, p_payment_id, p_token, p_amount, p_currency,
                case when v_approved then 'authorized' when v_asks then 'requires_action' else 'declined' end);
    if v_approved then
        return sim.answer_of('done', '', v_reference);
    elsif v_asks then
        return sim.answer_of('action', 'requires_action', v_reference) || jsonb_build_object(
            'action', jsonb_build_object('type', 'redirect', 'url', 'https://challenge.invalid/' || v_reference));
    end if;
    return sim.answer_of('refused', p_way, v_reference);
end
$$;

create function sim.authorize(p_key text, p_payment_id uuid, p_amount bigint, p_currency text, p_token text) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_token constant text := nullif(p_token, '');
    -- A hash of the token: it may be a real one that came here by mistake.
    v_content constant jsonb := jsonb_build_object('payment', p_payment_id, 'amount', p_amount, 'currency', p_currency, 'token',
                                                   encode(sha256(convert_to(coalesce(p_token, ''), 'UTF8')), 'hex'));
    v_way text := 'done';
    v_fresh boolean;
    v_answer jsonb;
begin
    select fresh, answer into v_fresh, v_answer from sim.take_key(p_key, 'authorize', v_content);
    if v_answer is null then
        if v_token is not null then
            v_way := (select t.on_authorize from sim.test_token t where t.token = v_token);
        end if;
        if v_way is null then
            v_answer := sim.keep(p_key, sim.answer_of('refused', 'invalid_token'), 'done');
        elsif v_way = 'unsent' and v_fresh then
            v_answer := sim.lost(sim.answer_of('unknown'));
        else
            v_answer := sim.keep(p_key, sim.new_payment(p_key, p_payment_id, p_amount, p_currency, v_token, v_way), v_way);
        end if;
    end if;
    return sim.note('authorize', false, p_key, p_payment_id, v_answer);
end
$$;

-- ---- capture, void, refund ----

create function sim.do_capture(p_payment sim.payment, p_amount bigint, p_way text) returns jsonb
language plpgsql as $$
begin
    if p_payment.status <> 'authorized' then
        return sim.answer_of('refused', case p_payment.status when 'captured' then 'already_captured' when 'expired' then
            'authorization_expired' when 'voided' then 'canceled' else 'not_authorized' end);
    elsif p_amount > p_payment.amount then
        return sim.answer_of('refused', 'amount_too_large');
    elsif p_way not in ('done', 'timeout') then
        return sim.answer_of('refused', p_way);
    end if;
    update sim.payment set captured = p_amount where reference = p_payment.reference;
    perform sim.set_status(p_payment.reference, 'captured');
    return sim.answer_of('done', '', p_payment.reference);
end
$$;

create function sim.do_void(p_payment sim.payment, p_way text) returns jsonb
language plpgsql as $$
begin
    if p_payment.status = 'captured' then
        return sim.answer_of('refused', 'already_captured');
    elsif p_payment.status = 'declined' then
        return sim.answer_of('absent');
    elsif p_payment.status = 'expired' or p_way = 'expired' then
        perform sim.set_status(p_payment.reference, 'expired');
        return sim.answer_of('expired', 'authorization_expired', p_payment.reference);
    elsif p_way not in ('done', 'timeout') then
        return sim.answer_of('refused', p_way);
    end if;
    perform sim.set_status(p_payment.reference, 'voided');
    return sim.answer_of('done', '', p_payment.reference);
end
$$;

create function sim.do_refund(p_key text, p_payment sim.payment, p_amount bigint, p_way text) returns jsonb
language plpgsql as $$
declare
    v_reference constant text := sim.reference_of('sim_ref_', p_key);
begin
    if p_payment.status <> 'captured' then
        return sim.answer_of('refused', 'not_captured');
    elsif p_amount > p_payment.captured - p_payment.refunded then
        return sim.answer_of('refused', 'amount_too_large');
    elsif p_way not in ('done', 'timeout') then
        return sim.answer_of('refused', p_way);
    end if;
    insert into sim.refund (reference, key, payment, amount) values (v_reference, p_key, p_payment.reference, p_amount);
    update sim.payment set refunded = refunded + p_amount, changed_at = clock_timestamp() where reference = p_payment.reference;
    return sim.answer_of('done', '', v_reference);
end
$$;

create function sim.way_of(p_token text, p_operation text) returns text
language sql stable as $$
    select coalesce((select case p_operation when 'capture' then on_capture when 'void' then on_void else on_refund end
                     from sim.test_token where token = p_token), 'done')
$$;

-- What capture, void and refund have in common. A payment that is not there leaves no trace under the key: it may still come.
create function sim.change(p_operation text, p_key text, p_payment_id uuid, p_authorization_key text, p_reference text, p_amount bigint)
    returns jsonb
language plpgsql as $$
declare
    v_payment constant sim.payment := sim.find_payment(p_reference, p_authorization_key);
    v_way constant text := sim.way_of(v_payment.token, p_operation);
    v_answer jsonb;
begin
    if v_payment.reference is null then
        v_answer := case p_operation when 'void' then sim.answer_of('absent') else sim.answer_of('unknown', 'reference_not_found') end;
        return sim.note(p_operation, false, p_key, p_payment_id, v_answer);
    end if;
    v_answer := (select answer from sim.take_key(p_key, p_operation, sim.content_of(p_payment_id, v_payment, p_amount)));
    if v_answer is null then
        v_answer := case p_operation when 'capture' then sim.do_capture(v_payment, p_amount, v_way)
                                     when 'void' then sim.do_void(v_payment, v_way)
                                     else sim.do_refund(p_key, v_payment, p_amount, v_way) end;
        v_answer := sim.keep(p_key, v_answer, case when v_answer ->> 'outcome' = 'done' then v_way else 'done' end);
    end if;
    return sim.note(p_operation, false, p_key, p_payment_id, v_answer);
end
$$;

create function sim.capture(p_key text, p_payment_id uuid, p_authorization_key text, p_reference text, p_amount bigint) returns jsonb
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select sim.change('capture', p_key, p_payment_id, p_authorization_key, p_reference, p_amount)
$$;

create function sim.void(p_key text, p_payment_id uuid, p_authorization_key text, p_reference text) returns jsonb
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select sim.change('void', p_key, p_payment_id, p_authorization_key, p_reference, 0)
$$;

create function sim.refund(p_key text, p_payment_id uuid, p_authorization_key text, p_reference text, p_amount bigint) returns jsonb
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select sim.change('refund', p_key, p_payment_id, p_authorization_key, p_reference, p_amount)
$$;

-- ---- questions ----

-- What the payment itself says when nothing is kept under the key of the question.
create function sim.state_answer(p_operation text, p_payment sim.payment) returns jsonb
language sql immutable as $$
    select case
        when p_payment.reference is null or p_operation in ('authorize', 'refund') then sim.answer_of('absent')
        when p_operation = 'capture' and p_payment.status = 'captured' then sim.answer_of('done', '', p_payment.reference)
        when p_operation = 'capture' and p_payment.status = 'expired' then sim.answer_of('refused', 'authorization_expired')
        when p_operation = 'capture' and p_payment.status = 'voided' then sim.answer_of('refused', 'canceled')
        when p_operation = 'void' and p_payment.status = 'voided' then sim.answer_of('done', '', p_payment.reference)
        when p_operation = 'void' and p_payment.status = 'expired' then sim.answer_of('expired', 'authorization_expired', p_payment.reference)
        when p_operation = 'void' and p_payment.status = 'captured' then sim.answer_of('refused', 'already_captured')
        else sim.answer_of('absent')
    end
$$;

create function sim.ask(p_operation text, p_key text, p_payment_id uuid, p_authorization_key text, p_reference text) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_payment sim.payment;
    v_answer jsonb := (select k.answer from sim.kept k where k.key = p_key and k.operation = p_operation);
begin
    select * into v_payment from sim.payment p
        where case when p_reference <> '' then p.reference = p_reference else p.key = p_authorization_key end;
    if p_operation = 'authorize' and v_payment.status = 'expired' then
        v_answer := sim.answer_of('expired', 'authorization_expired', v_payment.reference);
    end if;
    return sim.note(p_operation, true, p_key, p_payment_id, coalesce(v_answer, sim.state_answer(p_operation, v_payment)));
end
$$;

-- ---- the way in ----

create function sim.run_one(r jsonb) returns jsonb
language sql as $$
    select case
        when (r ->> 'ask')::boolean then
            sim.ask(r ->> 'operation', r ->> 'key', (r ->> 'paymentId')::uuid, r ->> 'authorizationKey', r ->> 'reference')
        when r ->> 'operation' = 'authorize' then
            sim.authorize(r ->> 'key', (r ->> 'paymentId')::uuid, (r ->> 'amount')::bigint, r ->> 'currency', r ->> 'token')
        when r ->> 'operation' = 'capture' then
            sim.capture(r ->> 'key', (r ->> 'paymentId')::uuid, r ->> 'authorizationKey', r ->> 'reference', (r ->> 'amount')::bigint)
        when r ->> 'operation' = 'void' then
            sim.void(r ->> 'key', (r ->> 'paymentId')::uuid, r ->> 'authorizationKey', r ->> 'reference')
        when r ->> 'operation' = 'refund' then
            sim.refund(r ->> 'key', (r ->> 'paymentId')::uuid, r ->> 'authorizationKey', r ->> 'reference', (r ->> 'amount')::bigint)
    end
$$;

-- An array of requests, answered by an array in the same order, in one transaction: the worker's calls come in batches. They are done in the order
-- of their payments, so that two batches cannot wait for each other.
create function sim.run(p_requests jsonb) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_answers jsonb[] := array_fill(null::jsonb, array[jsonb_array_length(p_requests)]);
    v_request record;
begin
    for v_request in
        select r.value, r.ordinality from jsonb_array_elements(p_requests) with ordinality r
        order by r.value ->> 'paymentId', r.value ->> 'key', r.ordinality
    loop
        v_answers[v_request.ordinality] := sim.run_one(v_request.value);
    end loop;
    return to_jsonb(v_answers);
end
$$;

-- ---- for tests and demonstrations: what happens at a real provider without us ----

-- The customer answers the challenge of a payment that requires action. False: it requires none.
create function sim.challenge(p_reference text, p_passed boolean) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_payment constant sim.payment := sim.find_payment(p_reference, '');
begin
    if v_payment.status is distinct from 'requires_action' then
        return false;
    end if;
    perform sim.set_status(p_reference, case when p_passed then 'authorized' else 'declined' end);
    update sim.kept set answer = case when p_passed then sim.answer_of('done', '', p_reference)
                                      else sim.answer_of('refused', 'authentication_failed', p_reference) end
        where key = v_payment.key;
    return true;
end
$$;

-- An authorization runs out. False: there is none to run out.
create function sim.expire(p_reference text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_payment constant sim.payment := sim.find_payment(p_reference, '');
begin
    if v_payment.status is null or v_payment.status not in ('authorized', 'requires_action') then
        return false;
    end if;
    perform sim.set_status(p_reference, 'expired');
    return true;
end
$$;

revoke all on all functions in schema sim from public;
grant usage on schema sim to acquit_sim;
grant execute on function sim.run(jsonb), sim.authorize(text, uuid, bigint, text, text), sim.capture(text, uuid, text, text, bigint),
    sim.void(text, uuid, text, text), sim.refund(text, uuid, text, text, bigint), sim.ask(text, text, uuid, text, text),
    sim.challenge(text, boolean), sim.expire(text) to acquit_sim;

-- Whoever audits the ledger may compare it with these books.
do $$
begin
    if exists (select from pg_roles where rolname = 'acquit_reader') then
        grant usage on schema sim to acquit_reader;
        grant select on sim.payment, sim.refund, sim.request, sim.test_token to acquit_reader;
    end if;
end
$$;
