-- 009_views.sql - what people list and ask for, made from the facts; and who of the operators did what (docs/ledger.md)
--
-- The tables of schema view are projections: ledger/project.c says what the facts of a payment give, the keeper writes it, `acquit ledger rebuild`
-- writes it again. Nothing in them is true by itself. `facts` says of how many facts a row was made: facts only grow, so of two rows of one payment
-- that with more facts is the newer one, whoever writes first. Nothing but keys is unique in them, so that a row put there by hand stops nobody.
--
-- ledger.act is no projection: acts of operators that leave no fact. It is insert-only like the rest of the ledger, and written by
-- ledger.note_act alone, which says itself when, in which transaction and under which login.

create table view.payment (
    payment_id uuid primary key,
    seq bigint not null, -- of `received`; with created_at the key of pages, newest first
    facts integer not null,
    publisher text collate "C" not null,
    merchant text collate "C" not null,
    flow text not null check (flow in ('plain', 'dual')),
    status text collate "C" not null check (status in ('pending', 'processing', 'requires_action', 'authorized', 'completed', 'failed', 'cancelled',
                                                       'partially_refunded', 'refunded')),
    reason text, -- why it failed or was cancelled, one of the saga's reasons
    error_code text, -- the provider's words for it
    error_message text,
    decided_by text, -- the actor of the decision
    decided_at timestamptz,
    contradiction boolean not null, -- the facts contradict each other: nothing is concluded from them, a person has to look
    currency text collate "C" not null,
    exponent smallint not null, -- digits after the point
    amount bigint not null, -- minor units, like all amounts here
    captured_amount bigint not null,
    refunded_amount bigint not null,
    payment_method text check (payment_method in ('card', 'mobile_money', 'wallet', 'bank_transfer')),
    provider text collate "C", -- of the captured authorization, else of the last one tried
    provider_reference text,
    customer_id text,
    reference_type text collate "C",
    reference_id text collate "C",
    description text,
    metadata jsonb,
    expires_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
) with (fillfactor = 80); -- later facts mostly change what no index has
create index payment_publisher on view.payment (publisher, created_at, seq);
create index payment_status on view.payment (status, created_at, seq);
create index payment_provider on view.payment (provider, created_at, seq) where provider is not null;
create index payment_currency on view.payment (currency, created_at, seq);
create index payment_merchant on view.payment (merchant, created_at, seq);
create index payment_reference on view.payment (reference_id, created_at, seq) where reference_id is not null;
create index payment_reference_type on view.payment (reference_type, created_at, seq) where reference_type is not null;
create index payment_created on view.payment (created_at, seq);

create table view.attempt (
    payment_id uuid not null,
    attempt_number integer not null check (attempt_number > 0), -- N of auth:N
    attempt_id uuid not null,
    provider text collate "C" not null,
    status text not null check (status in ('processing', 'requires_action', 'in_doubt', 'approved', 'declined', 'cancelled', 'absent', 'voided', 'expired',
                                           'nothing')),
    provider_reference text,
    error_code text,
    error_message text,
    gateway_response jsonb, -- the evidence: times, hashes, the provider's request id
    doubts integer not null, -- how often the outcome was found to be unknown
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (payment_id, attempt_number)
) with (fillfactor = 80);

create table view.refund (
    payment_id uuid not null,
    refund_number integer not null check (refund_number > 0), -- N of refund:N
    refund_id uuid not null, -- of the command that asked for it
    actor text,
    status text not null check (status in ('pending', 'processing', 'completed', 'failed')),
    amount bigint not null,
    commission_amount bigint not null, -- given back with it
    reason text,
    provider_reference text,
    error_code text,
    error_message text,
    gateway_response jsonb,
    doubts integer not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (payment_id, refund_number)
) with (fillfactor = 80);
create index refund_id on view.refund (refund_id);
create index refund_created on view.refund (created_at);

create table view.commission (
    payment_id uuid not null,
    capture_number integer not null check (capture_number > 0),
    commission_id uuid not null,
    rate_ppm integer not null, -- parts per million of what was captured
    amount bigint not null check (amount > 0),
    reversed_amount bigint not null, -- given back with refunds
    type text not null, -- what was sold: type of the reference and '_sale'
    status text not null check (status in ('completed', 'partially_reversed', 'reversed')),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (payment_id, capture_number)
) with (fillfactor = 80);

-- How far the keeper is: the facts of ended transactions up to this one are in the tables above.
create table view.progress (
    one boolean primary key default true check (one),
    last_xid xid8 not null,
    last_seq bigint not null
);
insert into view.progress (last_xid, last_seq) values ('0', 0);

-- Who writes takes its turn at view.progress, so that no older row overtakes a newer one.
--
-- keep: rows of payments that were made of more facts than what stands there; then the keeper has come to (new_xid, new_seq), unless that is null.
create function view.keep(payments jsonb, attempts jsonb, refunds jsonb, commissions jsonb, new_xid xid8, new_seq bigint)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    written uuid[]; -- what goes with a row that was not written is older, too, or there already
begin
    perform from view.progress for update;
    with made as (
        insert into view.payment as t
        select w.* from jsonb_populate_recordset(null::view.payment, payments) w
        on conflict (payment_id) do update set
            seq = excluded.seq, facts = excluded.facts, publisher = excluded.publisher, merchant = excluded.merchant, flow = excluded.flow,
            status = excluded.status, reason = excluded.reason, error_code = excluded.error_code, error_message = excluded.error_message,
            decided_by = excluded.decided_by, decided_at = excluded.decided_at, contradiction = excluded.contradiction, currency = excluded.currency,
            exponent = excluded.exponent, amount = excluded.amount, captured_amount = excluded.captured_amount,
            refunded_amount = excluded.refunded_amount, payment_method = excluded.payment_method, provider = excluded.provider,
            provider_reference = excluded.provider_reference, customer_id = excluded.customer_id, reference_type = excluded.reference_type,
            reference_id = excluded.reference_id, description = excluded.description, metadata = excluded.metadata, expires_at = excluded.expires_at,
            created_at = excluded.created_at, updated_at = excluded.updated_at
        where t.facts < excluded.facts
        returning payment_id)
    select array_agg(payment_id) into written from made;
    insert into view.attempt as t
    select w.* from jsonb_populate_recordset(null::view.attempt, attempts) w where w.payment_id = any(written)
    on conflict (payment_id, attempt_number) do update set
        attempt_id = excluded.attempt_id, provider = excluded.provider, status = excluded.status, provider_reference = excluded.provider_reference,
        error_code = excluded.error_code, error_message = excluded.error_message, gateway_response = excluded.gateway_response,
        doubts = excluded.doubts, created_at = excluded.created_at, updated_at = excluded.updated_at
    where t.* is distinct from excluded.*;
    insert into view.refund as t
    select w.* from jsonb_populate_recordset(null::view.refund, refunds) w where w.payment_id = any(written)
    on conflict (payment_id, refund_number) do update set
        refund_id = excluded.refund_id, actor = excluded.actor, status = excluded.status, amount = excluded.amount,
        commission_amount = excluded.commission_amount, reason = excluded.reason, provider_reference = excluded.provider_reference,
        error_code = excluded.error_code, error_message = excluded.error_message, gateway_response = excluded.gateway_response,
        doubts = excluded.doubts, created_at = excluded.created_at, updated_at = excluded.updated_at
    where t.* is distinct from excluded.*;
    insert into view.commission as t
    select w.* from jsonb_populate_recordset(null::view.commission, commissions) w where w.payment_id = any(written)
    on conflict (payment_id, capture_number) do update set
        commission_id = excluded.commission_id, rate_ppm = excluded.rate_ppm, amount = excluded.amount, reversed_amount = excluded.reversed_amount,
        type = excluded.type, status = excluded.status, created_at = excluded.created_at, updated_at = excluded.updated_at
    where t.* is distinct from excluded.*;
    update view.progress set last_xid = new_xid, last_seq = new_seq where (last_xid, last_seq) < (new_xid, new_seq);
end $$;

-- replace: the rows of these payments, whatever stands there, if they were made of all `facts` that the ledger has of each by now; which were.
create function view.replace(ids uuid[], facts integer[], payments jsonb, attempts jsonb, refunds jsonb, commissions jsonb)
returns uuid[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    whole uuid[];
begin
    perform from view.progress for update;
    whole := array(select made.id from unnest(ids, facts) as made (id, facts)
                     where made.facts = (select count(*) from ledger.payment home
                                         join ledger.event e on e.began = home.began and e.payment_id = home.payment_id
                                         where home.payment_id = made.id));
    delete from view.payment where payment_id = any(whole);
    insert into view.payment select w.* from jsonb_populate_recordset(null::view.payment, payments) w where w.payment_id = any(whole);
    delete from view.attempt where payment_id = any(whole);
    insert into view.attempt select w.* from jsonb_populate_recordset(null::view.attempt, attempts) w where w.payment_id = any(whole);
    delete from view.refund where payment_id = any(whole);
    insert into view.refund select w.* from jsonb_populate_recordset(null::view.refund, refunds) w where w.payment_id = any(whole);
    delete from view.commission where payment_id = any(whole);
    insert into view.commission select w.* from jsonb_populate_recordset(null::view.commission, commissions) w where w.payment_id = any(whole);
    return whole;
end $$;

-- The same with the names that other systems ask for, and decimal amounts.
create view view.payments as
select payment_id as id,
       case when reference_type = 'booking' and reference_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then reference_id::uuid end as booking_id,
       reference_type, reference_id,
       round(amount / 10::numeric ^ exponent, exponent) as amount,
       currency, status, payment_method, provider as gateway_provider, provider_reference as gateway_transaction_id, created_at, updated_at,
       publisher, merchant, flow, reason, round(captured_amount / 10::numeric ^ exponent, exponent) as captured_amount,
       round(refunded_amount / 10::numeric ^ exponent, exponent) as refunded_amount
from view.payment;

create view view.transactions as
select p.payment_id as id, p.customer_id as user_id,
       case when p.reference_type = 'event' and p.reference_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p.reference_id::uuid end as event_id,
       p.amount, p.currency, p.status, p.payment_method, p.provider_reference as provider_transaction_id,
       (select a.gateway_response from view.attempt a where a.payment_id = p.payment_id order by a.attempt_number desc limit 1) as provider_response,
       p.metadata, p.created_at, p.updated_at
from view.payment p;

create view view.payment_attempts as
select attempt_id as id, payment_id, attempt_number, status, error_code, error_message, gateway_response, created_at, provider as gateway_provider
from view.attempt;

create view view.refunds as
select r.refund_id as id, r.payment_id, round(r.amount / 10::numeric ^ p.exponent, p.exponent) as amount, r.reason, r.status,
       r.provider_reference as gateway_refund_id, r.created_at, p.currency, r.refund_number, r.error_code
from view.refund r join view.payment p using (payment_id);

create view view.commissions as
select c.commission_id as id, c.payment_id as transaction_id, round(c.rate_ppm / 1000000::numeric, 4)::numeric(5, 4) as commission_rate,
       c.amount as commission_amount, c.type as commission_type, c.status, c.created_at, c.reversed_amount, p.currency
from view.commission c join view.payment p using (payment_id);

-- Acts of operators.
create table ledger.act (
    id uuid primary key default gen_random_uuid(),
    xid xid8 not null default ledger.xid(),
    seq bigint not null generated always as identity unique,
    at timestamptz not null default clock_timestamp(),
    role text not null default session_user, -- the login at the database, whatever actor_id says
    actor_type text not null check (actor_type in ('user', 'system', 'operator')),
    actor_id text not null check (octet_length(actor_id) between 1 and 128),
    action text not null check (action ~ '^[a-z_]+([.][a-z_]+)+$' and octet_length(action) <= 47),
    object_type text not null check (object_type ~ '^[a-z_]+$' and octet_length(object_type) <= 31),
    object_id text not null check (octet_length(object_id) between 1 and 255),
    reason text check (octet_length(reason) <= 500),
    diff jsonb not null default '{}' check (jsonb_typeof(diff) = 'object' and octet_length(diff::text) <= 65536)
);
create index act_at on ledger.act (at);
create trigger insert_only before update or delete or truncate on ledger.act for each statement execute function ledger.refuse_change();
alter table ledger.act enable always trigger insert_only;

-- (actor type, actor, action, object type, object, reason, diff)
create function ledger.note_act(text, text, text, text, text, text, jsonb)
returns uuid language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    insert into ledger.act (actor_type, actor_id, action, object_type, object_id, reason, diff)
    values ($1, $2, $3, $4, $5, $6, coalesce($7, '{}'))
    returning id;
end;

-- Whoever erases personal data, with `acquit payment erase` or by hand, leaves an act.
create function ledger.note_erasure() returns trigger language plpgsql as $$
begin
    perform ledger.note_act('operator', coalesce(nullif(current_setting('acquit.actor', true), ''), session_user), 'personal.' || lower(tg_op), 'payment',
                            old.payment_id::text, nullif(current_setting('acquit.reason', true), ''),
                            jsonb_build_object('members', (select coalesce(jsonb_agg(k order by k), '[]') from jsonb_object_keys(old.data) k)));
    return null;
end $$;
create trigger erasure after update or delete on ledger.personal for each row execute function ledger.note_erasure();
alter table ledger.personal enable always trigger erasure;
create trigger no_truncate before truncate on ledger.personal for each statement execute function ledger.refuse_change();
alter table ledger.personal enable always trigger no_truncate;

-- Words of operators on dead letters are facts; this finds them by time.
create index event_word on ledger.event (at) where slot like 'replay:%';

-- Who did what: acts of operators, their words on dead letters, and what publishers (users) or the farm (system) gave back or cancelled.
create view view.audit as
select id, at as created_at, actor_type, actor_id, action, object_type, object_id, reason, diff, role from ledger.act
union all
select cause, at, 'operator', coalesce(actor, 'unknown'), case outcome when 'replayed' then 'deadletter.replay' else 'deadletter.discard' end, 'dead_letter',
       split_part(slot, ':', 2), body->>'reason', jsonb_build_object('paymentId', payment_id), null
from ledger.event where slot like 'replay:%'
union all
select r.refund_id, r.created_at, case when r.actor = p.publisher then 'user' else 'system' end, coalesce(r.actor, 'unknown'), 'payment.refund', 'payment',
       r.payment_id::text, r.reason, jsonb_build_object('refund', r.refund_number, 'amount', r.amount, 'currency', p.currency, 'status', r.status), null
from view.refund r join view.payment p using (payment_id)
union all
select payment_id, coalesce(decided_at, created_at), case when decided_by = publisher then 'user' else 'system' end, coalesce(decided_by, 'unknown'),
       'payment.cancel', 'payment', payment_id::text, error_message, '{}', null
from view.payment where status = 'cancelled';

-- Who writes the projections; the keeper does, and so may whoever it is that runs `acquit ledger rebuild`.
do $$
begin
    if not exists (select from pg_roles where rolname = 'acquit_projector') then
        create role acquit_projector nologin;
    end if;
exception when duplicate_object or unique_violation then
    null; -- another database of this cluster is being migrated at this moment
end $$;
do $$
begin
    if not pg_has_role('acquit_sealer', 'acquit_projector', 'member') then
        grant acquit_projector to acquit_sealer; -- a keeper that was there before can do its new work
    end if;
exception when unique_violation then
    null;
end $$;
grant usage on schema ledger, view to acquit_projector, acquit_sealer;
grant select on ledger.event, ledger.payment, ledger.migration to acquit_projector;
grant select on all tables in schema view to acquit_reader, acquit_projector;
grant insert, update, delete on view.payment, view.attempt, view.refund, view.commission to acquit_projector;
grant update on view.progress to acquit_projector;
grant select on ledger.act to acquit_reader;
revoke execute on function ledger.note_act, view.keep, view.replace from public;
grant execute on function view.keep, view.replace to acquit_projector;
grant execute on function ledger.note_act to acquit_reader, acquit_projector;
