-- simulated_books.sql - what the simulated provider's books promise; run on a database with ledger/schema/002_simulated.sql
--
--     psql -X -v ON_ERROR_STOP=1 -d DATABASE -f tests/unit/simulated_books.sql
--
-- Changes nothing: everything is rolled back. A broken promise stops the script with the line that says which.

begin;

create function pg_temp.expect(what text, answer jsonb, outcome text, code text default '') returns void
language plpgsql as $$
begin
    if answer ->> 'outcome' is distinct from outcome or answer ->> 'code' is distinct from code then
        raise exception '%: expected % %, got %', what, outcome, code, answer;
    end if;
end
$$;
create function pg_temp.expect_lost(what text, answer jsonb) returns void
language plpgsql as $$
begin
    if not coalesce((answer ->> 'lost')::boolean, false) then
        raise exception '%: expected no answer, got %', what, answer;
    end if;
end
$$;
create function pg_temp.expect_is(what text, holds boolean) returns void
language plpgsql as $$
begin
    if holds is not true then
        raise exception '%', what;
    end if;
end
$$;
create function pg_temp.id(n int) returns uuid language sql as $$ select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
create function pg_temp.auth(n int, token text, amount bigint default 2500) returns jsonb language sql as $$
    select sim.authorize('books:a' || n, pg_temp.id(n), amount, 'EUR', token)
$$;
create function pg_temp.capture(n int, amount bigint default 2500, key text default 'c') returns jsonb language sql as $$
    select sim.capture('books:' || key || n, pg_temp.id(n), 'books:a' || n, '', amount)
$$;
create function pg_temp.void(n int, key text default 'v') returns jsonb language sql as $$
    select sim.void('books:' || key || n, pg_temp.id(n), 'books:a' || n, '')
$$;
create function pg_temp.refund(n int, amount bigint, key text) returns jsonb language sql as $$
    select sim.refund('books:' || key || n, pg_temp.id(n), 'books:a' || n, '', amount)
$$;
create function pg_temp.ask(n int, operation text, key text) returns jsonb language sql as $$
    select sim.ask(operation, 'books:' || key || n, pg_temp.id(n), 'books:a' || n, '')
$$;

-- Every token says what docs/test-tokens.md says.
select pg_temp.expect('no token', pg_temp.auth(1, ''), 'done'), pg_temp.expect('null token', pg_temp.auth(2, null), 'done'),
       pg_temp.expect('visa', pg_temp.auth(3, 'tok_visa'), 'done'), pg_temp.expect('mastercard', pg_temp.auth(4, 'tok_mastercard'), 'done');
select pg_temp.expect(t.token, pg_temp.auth(100 + row_number() over (order by t.token)::int, t.token), 'refused', t.code)
from (values ('tok_declined', 'declined'), ('tok_insufficient_funds', 'insufficient_funds'), ('tok_expired_card', 'expired_card'),
             ('tok_incorrect_cvc', 'incorrect_cvc'), ('tok_lost_card', 'lost_card'), ('tok_stolen_card', 'stolen_card'),
             ('tok_processing_error', 'processing_error'), ('tok_limit_exceeded', 'limit_exceeded'),
             ('tok_never_heard_of', 'invalid_token'), ('4242', 'invalid_token')) t (token, code);
select pg_temp.expect_is('an unknown token is not written down',
    not exists (select from sim.payment where token = 'tok_never_heard_of') and
    not exists (select from sim.kept where content::text like '%never_heard%' or answer::text like '%never_heard%') and
    not exists (select from sim.request r where r::text like '%never_heard%'));

-- Keys: the first answer again, for ever; other content is refused and changes nothing.
select pg_temp.expect_is('a repeat gets the first answer', pg_temp.auth(3, 'tok_visa') = pg_temp.auth(3, 'tok_visa'));
select pg_temp.expect('other amount', pg_temp.auth(3, 'tok_visa', 2501), 'refused', 'idempotency_conflict'),
       pg_temp.expect('other token', pg_temp.auth(3, 'tok_mastercard'), 'refused', 'idempotency_conflict'),
       pg_temp.expect('other operation', sim.capture('books:a3', pg_temp.id(3), 'books:a3', '', 2500), 'refused', 'idempotency_conflict'),
       pg_temp.expect('a decline is kept', pg_temp.auth(101, 'tok_visa'), 'refused', 'idempotency_conflict');
select pg_temp.expect_is('one payment per key', (select count(*) = 1 and min(status) = 'authorized' from sim.payment where key = 'books:a3'));

-- Capture, refund, and what no longer goes.
select pg_temp.expect('too much', pg_temp.capture(3, 2501, 'big'), 'refused', 'amount_too_large'), pg_temp.expect('capture', pg_temp.capture(3), 'done'),
       pg_temp.expect('again, same key', pg_temp.capture(3), 'done'), pg_temp.expect('again, other key', pg_temp.capture(3, 2500, 'd'), 'refused', 'already_captured'),
       pg_temp.expect('void after capture', pg_temp.void(3), 'refused', 'already_captured'), pg_temp.expect('refund', pg_temp.refund(3, 1000, 'r'), 'done'),
       pg_temp.expect('again, same key', pg_temp.refund(3, 1000, 'r'), 'done'), pg_temp.expect('more than left', pg_temp.refund(3, 1501, 's'), 'refused', 'amount_too_large'),
       pg_temp.expect('the rest', pg_temp.refund(3, 1500, 't'), 'done'), pg_temp.expect('one more', pg_temp.refund(3, 1, 'u'), 'refused', 'amount_too_large');
select pg_temp.expect_is('the sums', (select captured = 2500 and refunded = 2500 from sim.payment where key = 'books:a3') and
    (select sum(amount) = 2500 and count(*) = 2 from sim.refund where payment = (select reference from sim.payment where key = 'books:a3')));

-- Void.
select pg_temp.expect('refund before capture', pg_temp.refund(4, 1, 'r'), 'refused', 'not_captured'), pg_temp.expect('void', pg_temp.void(4), 'done'),
       pg_temp.expect('again', pg_temp.void(4), 'done'), pg_temp.expect('other key', pg_temp.void(4, 'w'), 'done'),
       pg_temp.expect('capture after void', pg_temp.capture(4), 'refused', 'canceled');
select pg_temp.expect('void of nothing', pg_temp.void(99), 'absent'), pg_temp.expect('then it comes', pg_temp.auth(99, ''), 'done'),
       pg_temp.expect('and the same void finds it', pg_temp.void(99), 'done');
select pg_temp.expect('void of a declined one', sim.void('books:v101', pg_temp.id(101), 'books:a101', ''), 'absent');
select pg_temp.expect('capture of nothing', pg_temp.capture(98), 'unknown', 'reference_not_found');

-- Lost answers: the effect is there, a question finds it, a repeat hears it.
select pg_temp.expect_lost('timeout', pg_temp.auth(10, 'tok_timeout')), pg_temp.expect('asked', pg_temp.ask(10, 'authorize', 'a'), 'done'),
       pg_temp.expect('sent again', pg_temp.auth(10, 'tok_timeout'), 'done');
select pg_temp.expect_lost('unsent', pg_temp.auth(11, 'tok_timeout_unsent')), pg_temp.expect('asked', pg_temp.ask(11, 'authorize', 'a'), 'absent');
select pg_temp.expect_is('no effect', not exists (select from sim.payment where key = 'books:a11'));
select pg_temp.expect('sent again', pg_temp.auth(11, 'tok_timeout_unsent'), 'done'), pg_temp.expect('and again', pg_temp.auth(11, 'tok_timeout_unsent'), 'done'),
       pg_temp.expect('asked', pg_temp.ask(11, 'authorize', 'a'), 'done');
select pg_temp.expect('auth', pg_temp.auth(12, 'tok_capture_timeout'), 'done'), pg_temp.expect('not yet', pg_temp.ask(12, 'capture', 'c'), 'absent'),
       pg_temp.expect_lost('capture', pg_temp.capture(12)), pg_temp.expect('asked', pg_temp.ask(12, 'capture', 'c'), 'done');
select pg_temp.expect('auth', pg_temp.auth(13, 'tok_void_timeout'), 'done'), pg_temp.expect_lost('void', pg_temp.void(13)),
       pg_temp.expect('asked', pg_temp.ask(13, 'void', 'v'), 'done');
select pg_temp.expect('auth', pg_temp.auth(14, 'tok_refund_timeout'), 'done'), pg_temp.expect('capture', pg_temp.capture(14), 'done'),
       pg_temp.expect('not yet', pg_temp.ask(14, 'refund', 'r'), 'absent'), pg_temp.expect_lost('refund', pg_temp.refund(14, 500, 'r')),
       pg_temp.expect('asked', pg_temp.ask(14, 'refund', 'r'), 'done');

-- Definitive refusals later on.
select pg_temp.expect('auth', pg_temp.auth(15, 'tok_capture_refused'), 'done'), pg_temp.expect('capture', pg_temp.capture(15), 'refused', 'capture_refused'),
       pg_temp.expect('asked', pg_temp.ask(15, 'capture', 'c'), 'refused', 'capture_refused'), pg_temp.expect('void', pg_temp.void(15), 'done');
select pg_temp.expect('auth', pg_temp.auth(16, 'tok_refund_refused'), 'done'), pg_temp.expect('capture', pg_temp.capture(16), 'done'),
       pg_temp.expect('refund', pg_temp.refund(16, 100, 'r'), 'refused', 'refund_refused');
select pg_temp.expect('auth', pg_temp.auth(17, 'tok_void_expired'), 'done'), pg_temp.expect('void', pg_temp.void(17), 'expired', 'authorization_expired'),
       pg_temp.expect('asked', pg_temp.ask(17, 'void', 'v'), 'expired', 'authorization_expired');

-- The challenge, and an authorization that runs out.
select pg_temp.expect('auth', pg_temp.auth(18, 'tok_requires_action'), 'action', 'requires_action'),
       pg_temp.expect('not authorized yet', pg_temp.capture(18, 2500, 'early'), 'refused', 'not_authorized');
select pg_temp.expect_is('passed', sim.challenge((select reference from sim.payment where key = 'books:a18'), true));
select pg_temp.expect('asked', pg_temp.ask(18, 'authorize', 'a'), 'done'), pg_temp.expect('capture', pg_temp.capture(18), 'done');
select pg_temp.expect('auth', pg_temp.auth(19, 'tok_requires_action'), 'action', 'requires_action');
select pg_temp.expect_is('failed', sim.challenge((select reference from sim.payment where key = 'books:a19'), false));
select pg_temp.expect('asked', pg_temp.ask(19, 'authorize', 'a'), 'refused', 'authentication_failed');
select pg_temp.expect('auth', pg_temp.auth(20, ''), 'done');
select pg_temp.expect_is('expires', sim.expire((select reference from sim.payment where key = 'books:a20')));
select pg_temp.expect('asked', pg_temp.ask(20, 'authorize', 'a'), 'expired', 'authorization_expired'),
       pg_temp.expect('capture', pg_temp.capture(20), 'refused', 'authorization_expired'), pg_temp.expect('void', pg_temp.void(20), 'expired', 'authorization_expired');

-- A batch is answered in its order, whatever the order it is done in.
select pg_temp.expect_is('batch', sim.run(jsonb_build_array(
    jsonb_build_object('operation', 'authorize', 'ask', false, 'paymentId', pg_temp.id(31), 'key', 'books:a31', 'amount', 5, 'currency', 'XOF', 'token', 'tok_declined'),
    jsonb_build_object('operation', 'authorize', 'ask', false, 'paymentId', pg_temp.id(30), 'key', 'books:a30', 'amount', 5, 'currency', 'XOF', 'token', ''),
    jsonb_build_object('operation', 'authorize', 'ask', true, 'paymentId', pg_temp.id(32), 'key', 'books:a32', 'authorizationKey', 'books:a32', 'reference', '')))
    @@ '$[0].outcome == "refused" && $[1].outcome == "done" && $[2].outcome == "absent" && $.size() == 3');
select pg_temp.expect_is('empty batch', sim.run('[]') = '[]');

-- A question never has an effect.
select pg_temp.expect_is('asked about nothing', not exists (select from sim.payment where key = 'books:a32') and not exists (select from sim.kept where key = 'books:a32'));
select pg_temp.expect_is('all arrivals are in the log', (select count(*) from sim.request where payment_id = pg_temp.id(11)) = 5);

-- Who may what.
create role simulated_books_nobody;
create role simulated_books_caller in role acquit_sim;
select pg_temp.expect_is('nobody may call', not has_function_privilege('simulated_books_nobody', 'sim.run(jsonb)', 'execute') and
    not has_schema_privilege('simulated_books_nobody', 'sim', 'usage') and not has_table_privilege('simulated_books_nobody', 'sim.payment', 'select'));
select pg_temp.expect_is('members may call and no more', has_function_privilege('simulated_books_caller', 'sim.run(jsonb)', 'execute') and
    not has_function_privilege('simulated_books_caller', 'sim.keep(text, jsonb, text)', 'execute') and
    not has_table_privilege('simulated_books_caller', 'sim.payment', 'select') and not has_table_privilege('simulated_books_caller', 'sim.kept', 'update'));
set local role simulated_books_caller;
select sim.run('[{"operation":"authorize","ask":false,"paymentId":"00000000-0000-4000-8000-000000000040","key":"books:a40","amount":5,"currency":"EUR","token":""}]') -> 0 ->> 'outcome' = 'done'
    as the_role_works \gset
reset role;
select pg_temp.expect_is('a member runs a batch', :'the_role_works');

rollback;
\echo the books keep their promises
