-- 001_ledger.sql - the books: facts, transfers, and what belongs to them
--
-- Everything is insert-only (L2, L9); triggers refuse UPDATE, DELETE and TRUNCATE even to the owner, ledger.personal
-- excepted (L11). The roles may insert only the columns that are theirs to say: seq, at and xid are always the
-- database's own.
--
-- xid stands before seq in every table on purpose: defaults are computed in that order, so a row's transaction has its
-- xid before the row has its seq. "All transactions below this xid have ended" then says something about seqs too
-- (read_new_payments; sealing by horizon).
--
-- SQLSTATEs of our own: AQ001 the fail-over fence (run again, L6), AQ002 an insert-only table, AQ003 a transfer that
-- does not fit its fact.

create schema if not exists ledger;
create schema if not exists view;
comment on schema view is 'projections: can be thrown away and rebuilt from ledger (L3)';

-- Group roles, without login; who runs a worker or reads the books is granted one of them.
do $$
declare
    name text;
begin
    foreach name in array array['acquit_worker', 'acquit_reader'] loop
        begin
            if not exists (select from pg_roles where rolname = name) then
                execute format('create role %I nologin', name);
            end if;
        exception when duplicate_object or unique_violation then
            null; -- another database of this cluster is being migrated at this moment
        end;
    end loop;
end $$;

create table ledger.migration (
    name text primary key,
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    at timestamptz not null default clock_timestamp()
);

-- One slot, one fact (L2). Slots and outcomes are described in ledger/saga.h.
create table ledger.event (
    payment_id uuid not null,
    cause uuid not null, -- id of the command whose delivery wrote it (L4)
    xid xid8 not null default pg_current_xact_id(),
    seq bigint not null generated always as identity,
    at timestamptz not null default clock_timestamp(),
    slot text collate "C" not null,
    outcome text collate "C" not null,
    actor text, -- the publisher or the operator
    body jsonb not null default '{}',
    primary key (payment_id, slot),
    constraint event_slot check (slot ~ '^[a-z]+(:[a-z0-9][a-z0-9._-]*)*$' and octet_length(slot) <= 95),
    constraint event_outcome check (outcome ~ '^[a-z][a-z0-9:._-]*$' and octet_length(outcome) <= 31),
    constraint event_decision check (slot <> 'decision' or outcome ~ '^(abort|commit:[1-9][0-9]*)$'), -- L7
    constraint event_body check (jsonb_typeof(body) = 'object')
);
-- Pages of payments, newest first; refunds by the command that asked for them. Indexes on facts that every payment has
-- ten of would be paid ten times a payment, so these are partial.
create unique index event_received on ledger.event (seq) where slot = 'received';
create index event_publisher on ledger.event ((body->>'publisher'), seq) where slot = 'received';
create index event_reference on ledger.event ((body->'reference'->>'id'), seq) where slot = 'received' and body ? 'reference';
create index event_refund on ledger.event (cause) where slot ~ '^refund:[0-9]+$';

-- One row per transfer, with both its accounts (L8): the books balance because no row can be half a transfer.
create table ledger.transfer (
    payment_id uuid not null,
    xid xid8 not null default pg_current_xact_id(),
    seq bigint not null generated always as identity,
    at timestamptz not null default clock_timestamp(),
    amount bigint not null check (amount > 0), -- minor units
    leg smallint not null check (leg > 0),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    slot text collate "C" not null,
    kind text not null, -- a new kind is a migration that replaces the check
    pending_of text collate "C", -- post, void: the slot of the hold
    debit text collate "C" not null,
    credit text collate "C" not null,
    primary key (payment_id, slot, leg),
    constraint transfer_kind check (kind in ('hold', 'post', 'void', 'transfer')),
    constraint transfer_pending check ((kind in ('post', 'void')) = (pending_of is not null)),
    constraint transfer_accounts check (debit <> credit)
);
-- A hold is posted or voided exactly once.
create unique index transfer_pending_of on ledger.transfer (payment_id, pending_of) where pending_of is not null;

-- Every account that was ever used. There is no balance here to fight over: balances are sums of transfers.
create table ledger.account (
    name text collate "C" not null check (name ~ '^[a-z][a-z_]*(:.+)?$' and octet_length(name) <= 95),
    currency char(3) not null check (currency ~ '^[A-Z]{3}$'),
    kind text generated always as (split_part(name, ':', 1)) stored,
    opened_at timestamptz not null default clock_timestamp(),
    primary key (name, currency)
);

-- The commands that publishers gave us (L10): the first body under a key is the only one that ever counts.
create table ledger.command (
    id uuid primary key,
    payment_id uuid not null,
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp(),
    publisher text not null check (octet_length(publisher) between 1 and 63),
    message_id text not null check (octet_length(message_id) between 1 and 128),
    type text not null check (type ~ '^[a-z]+[.][a-z-]+$' and octet_length(type) <= 47),
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'), -- of the canonical body
    outcome text not null default 'accepted', -- what came of it stands in the facts whose cause is this id
    unique (publisher, type, message_id)
);
create index command_payment on ledger.command (payment_id);

-- Personal data, erasable (L11). A fact refers to it by a salted hash only.
create table ledger.personal (
    payment_id uuid primary key,
    at timestamptz not null default clock_timestamp(),
    data jsonb not null check (jsonb_typeof(data) = 'object')
);

-- What could not be done or read, byte for byte (L9), card numbers masked (L11). Its fact is (coalesce(payment_id, id),
-- slot).
create table ledger.dead_letter (
    id uuid primary key,
    payment_id uuid,
    command_id uuid,
    xid xid8 not null default pg_current_xact_id(),
    seq bigint not null generated always as identity unique,
    at timestamptz not null default clock_timestamp(),
    slot text collate "C" not null,
    attempts integer not null check (attempts >= 0),
    queue text not null,
    routing_key text not null,
    type text not null,
    reason text not null check (reason <> ''),
    publisher text not null,
    message_id text not null,
    properties jsonb not null,
    history jsonb not null,
    body bytea not null,
    body_sha256 text not null check (body_sha256 ~ '^[0-9a-f]{64}$') -- of the original bytes, before masking
);
create index dead_letter_payment on ledger.dead_letter (payment_id) where payment_id is not null;

-- Insert-only. `enable always`: session_replication_role does not switch it off.
create function ledger.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception using errcode = 'AQ002',
        message = format('%s of ledger.%s is refused: the ledger is insert-only', tg_op, tg_table_name);
end $$;

do $$
declare
    name text;
begin
    foreach name in array array['event', 'transfer', 'account', 'command', 'dead_letter', 'migration'] loop
        execute format('create trigger insert_only before update or delete or truncate on ledger.%I '
                       'for each statement execute function ledger.refuse_change()', name);
        execute format('alter table ledger.%I enable always trigger insert_only', name);
    end loop;
end $$;

-- The fail-over fence (L6): auth:N, N >= 2, only in the very transaction that won the negative result of auth:N-1.
-- After the row, so that it sees what the same statement inserted, and so that a duplicate, which inserts nothing, is
-- not refused.
create function ledger.fence() returns trigger language plpgsql as $$
declare
    n constant integer := substr(new.slot, 6)::integer;
begin
    if not exists (select from ledger.event e
                   where e.payment_id = new.payment_id and e.slot = 'auth:' || n - 1 || ':result' and e.xid = new.xid
                     and e.outcome in ('declined', 'absent', 'cancelled')) then
        raise exception using errcode = 'AQ001',
            message = format('%s of payment %s is refused: this transaction did not win a negative auth:%s:result',
                             new.slot, new.payment_id, n - 1);
    end if;
    return null;
end $$;
create trigger fence after insert on ledger.event for each row
    when (new.slot ~ '^auth:[0-9]+$' and new.slot <> 'auth:1') execute function ledger.fence();
alter table ledger.event enable always trigger fence;

-- A transfer belongs to a fact of its own transaction, and a hold is resolved by its own accounts, up to its amount
-- (L8). One look per statement instead of a foreign key, which would lock a row per transfer; nothing is ever deleted,
-- so what was true stays true.
create function ledger.check_transfers() returns trigger language plpgsql as $$
declare
    bad record;
begin
    select t.payment_id, t.slot, t.leg into bad from added t
    where (select e.xid from ledger.event e where e.payment_id = t.payment_id and e.slot = t.slot) is distinct from t.xid
       or (t.pending_of is not null
           and not coalesce((select t.amount <= h.amount and (t.kind = 'post' or t.amount = h.amount) and t.debit = h.debit
                                    and t.credit = h.credit and t.currency = h.currency and h.kind = 'hold'
                             from ledger.transfer h
                             where h.payment_id = t.payment_id and h.slot = t.pending_of and h.leg = 1), false))
    limit 1;
    if found then
        raise exception using errcode = 'AQ003',
            message = format('transfer %s of %s of payment %s is refused: it fits neither its fact nor its hold',
                             bad.leg, bad.slot, bad.payment_id);
    end if;
    return null;
end $$;
create trigger check_transfers after insert on ledger.transfer referencing new table as added
    for each statement execute function ledger.check_transfers();
alter table ledger.transfer enable always trigger check_transfers;

grant usage on schema ledger, view to acquit_worker, acquit_reader;
grant select on all tables in schema ledger to acquit_worker, acquit_reader;
grant insert (payment_id, cause, slot, outcome, actor, body) on ledger.event to acquit_worker;
grant insert (payment_id, amount, leg, currency, slot, kind, pending_of, debit, credit) on ledger.transfer to acquit_worker;
grant insert (name, currency) on ledger.account to acquit_worker;
grant insert (id, payment_id, publisher, message_id, type, sha256) on ledger.command to acquit_worker;
grant insert (payment_id, data) on ledger.personal to acquit_worker;
grant insert (id, payment_id, command_id, slot, attempts, queue, routing_key, type, reason, publisher, message_id, properties, history, body,
              body_sha256) on ledger.dead_letter to acquit_worker;
