-- 007_partitions.sql - facts and transfers by the day their payment began, so that old payments can leave whole (docs/adr/0013)
--
-- A payment's rows all stand in one partition: ledger.payment says since when it is known, that day is in the key of each of its facts and
-- transfers, and the database refuses any other. So (payment_id, slot) stays unique without an index over all partitions (L2), and a fact for
-- a payment whose partition is no longer here is refused.
--
-- For a farm that runs: stop it first. What is there becomes the first partition; nothing is copied, but its keys are built anew.
--
-- Also here: ledger.xid() and ledger.horizon(), which stand between us and the server's transaction ids. After a restore from a dump those
-- start anew, and a new epoch adds to them (ledger/epoch.h).
--
-- SQLSTATE of our own: AQ004 a row that is not where its payment lives.

-- --- transaction ids ---

create table ledger.epoch (
    epoch integer primary key check (epoch > 1), -- the first has no row
    xid_offset bigint not null check (xid_offset > 0), -- what ledger.xid() adds from here on
    reason text not null check (reason <> ''),
    actor text not null default session_user,
    at timestamptz not null default clock_timestamp()
);

create function ledger.xid() returns xid8 language sql stable parallel safe as 'select pg_current_xact_id()';
comment on function ledger.xid() is 'the transaction''s id, above all that were ever stored';
create function ledger.horizon() returns xid8 language sql stable parallel safe as 'select pg_snapshot_xmin(pg_current_snapshot())';
comment on function ledger.horizon() is 'every transaction below has ended';
create function ledger.next_xid() returns xid8 language sql stable parallel safe as 'select pg_snapshot_xmax(pg_current_snapshot())';
comment on function ledger.next_xid() is 'no transaction that has not begun is below';

alter table ledger.command alter column xid set default ledger.xid();
alter table ledger.dead_letter alter column xid set default ledger.xid();

-- --- where a payment lives ---

create table ledger.payment (
    payment_id uuid primary key, -- or the id of a dead letter that belongs to no payment
    began date not null default (clock_timestamp() at time zone 'UTC')::date
);

-- --- the first partitions: what is there ---

drop view ledger.in_doubt;
drop trigger fence on ledger.event;
drop trigger check_transfers on ledger.transfer;

do $$
declare
    rest constant date := (date_trunc('quarter', clock_timestamp() at time zone 'UTC') + interval '3 months')::date;
    today constant date := (clock_timestamp() at time zone 'UTC')::date;
    name text;
    last_seq bigint;
    used boolean;
    old record;
begin
    foreach name in array array['event', 'transfer'] loop
        execute format('select last_value, is_called from %s', pg_get_serial_sequence('ledger.' || name, 'seq')) into last_seq, used;
        execute format('alter table ledger.%I rename to %I', name, name || '_first');
        execute format('alter table ledger.%I alter column seq drop identity', name || '_first');
        execute format('alter table ledger.%I drop constraint %I', name || '_first', name || '_pkey');
        -- a constant for the rows that are there: no row is written anew
        execute format('alter table ledger.%I add column began date not null default %L', name || '_first', today);
        execute format('alter table ledger.%I alter column began drop default', name || '_first');
        execute format('alter table ledger.%I alter column xid set default ledger.xid()', name || '_first');
        for old in select indexrelid::regclass as index, c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
                   where i.indrelid = ('ledger.' || name || '_first')::regclass loop
            if old.relname in ('event_received', 'transfer_pending_of') then
                execute format('drop index %s', old.index); -- unique, without the day
            else
                execute format('alter index %s rename to %I', old.index, replace(old.relname, name || '_', name || '_first_'));
            end if;
        end loop;
        execute format('create table ledger.%1$I (like ledger.%2$I including defaults including constraints including comments) '
                       'partition by range (began)', name, name || '_first');
        execute format('alter table ledger.%I alter column seq add generated always as identity', name);
        execute format('select setval(%L, %s, %L)', pg_get_serial_sequence('ledger.' || name, 'seq'), last_seq, used);
        execute format('revoke all on ledger.%I from acquit_worker, acquit_reader, acquit_sealer', name || '_first');
        execute format('revoke insert (%s) on ledger.%I from acquit_worker',
                       case name when 'event' then 'payment_id, cause, slot, outcome, actor, body'
                                 else 'payment_id, amount, leg, currency, slot, kind, pending_of, debit, credit' end, name || '_first');
    end loop;
    alter table ledger.event add primary key (payment_id, slot, began);
    alter table ledger.transfer add primary key (payment_id, slot, leg, began);
    create index event_received on ledger.event (seq) where slot = 'received';
    create index event_publisher on ledger.event ((body->>'publisher'), seq) where slot = 'received';
    create index event_reference on ledger.event ((body->'reference'->>'id'), seq) where slot = 'received' and body ? 'reference';
    create index event_refund on ledger.event (cause) where slot ~ '^refund:[0-9]+$';
    create index event_watched on ledger.event (seq) where slot ~ '^(received|refund:[0-9]+|auth:[0-9]+:late)$';
    create index event_sealing on ledger.event (xid, seq);
    create unique index transfer_pending_of on ledger.transfer (payment_id, pending_of, began) where pending_of is not null; -- once
    create index transfer_in_doubt on ledger.transfer (payment_id, slot) where kind = 'in_doubt';
    create index transfer_in_doubt_since on ledger.transfer (seq) where kind = 'in_doubt';
    foreach name in array array['event', 'transfer'] loop
        execute format('alter table ledger.%I attach partition ledger.%I for values from (minvalue) to (%L)', name, name || '_first', rest);
    end loop;
end $$;

insert into ledger.payment (payment_id, began) select distinct payment_id, began from ledger.event;

create view ledger.in_doubt as
select t.payment_id, d.intent, split_part(t.debit, ':', 2) as provider, t.debit, t.credit, t.amount, t.currency, t.at as since
from ledger.transfer t
cross join lateral (select regexp_replace(t.slot, ':doubt:[0-9]+$', '') as intent) d
where t.kind = 'in_doubt'
  and not exists (select from ledger.event e where e.began = t.began and e.payment_id = t.payment_id
                  and e.slot = d.intent || case when d.intent ~ '^(auth|refund):' then ':result' else '' end);
comment on view ledger.in_doubt is 'intents whose outcome is not known, with the amount at stake';

-- --- what is refused ---

-- The fail-over fence (L6), as in 001, in the payment's partition.
create or replace function ledger.fence() returns trigger language plpgsql as $$
declare
    n constant integer := substr(new.slot, 6)::integer;
begin
    if not exists (select from ledger.event e
                   where e.began = new.began and e.payment_id = new.payment_id and e.slot = 'auth:' || n - 1 || ':result'
                     and e.xid = new.xid and e.outcome in ('declined', 'absent', 'cancelled')) then
        raise exception using errcode = 'AQ001',
            message = format('%s of payment %s is refused: this transaction did not win a negative auth:%s:result',
                             new.slot, new.payment_id, n - 1);
    end if;
    return null;
end $$;
create trigger fence after insert on ledger.event for each row
    when (new.slot ~ '^auth:[0-9]+$' and new.slot <> 'auth:1') execute function ledger.fence();
alter table ledger.event enable always trigger fence;

-- All facts of a payment stand where ledger.payment says (L2).
create function ledger.check_home() returns trigger language plpgsql as $$
declare
    bad record;
begin
    select a.payment_id, a.slot, a.began into bad from added a
    where (select p.began from ledger.payment p where p.payment_id = a.payment_id) is distinct from a.began
    limit 1;
    if found then
        raise exception using errcode = 'AQ004',
            message = format('%s of payment %s is refused: the payment did not begin on %s', bad.slot, bad.payment_id, bad.began);
    end if;
    return null;
end $$;
create trigger check_home after insert on ledger.event referencing new table as added
    for each statement execute function ledger.check_home();
alter table ledger.event enable always trigger check_home;

-- Transfers (L8), as in 001, beside their fact.
create or replace function ledger.check_transfers() returns trigger language plpgsql as $$
declare
    bad record;
begin
    select t.payment_id, t.slot, t.leg into bad from added t
    where (select e.xid from ledger.event e
           where e.began = t.began and e.payment_id = t.payment_id and e.slot = t.slot) is distinct from t.xid
       or (t.pending_of is not null
           and not coalesce((select t.amount <= h.amount and (t.kind = 'post' or t.amount = h.amount) and t.debit = h.debit
                                    and t.credit = h.credit and t.currency = h.currency and h.kind = 'hold'
                             from ledger.transfer h
                             where h.began = t.began and h.payment_id = t.payment_id and h.slot = t.pending_of and h.leg = 1), false))
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

do $$
declare
    name text;
begin
    foreach name in array array['event', 'transfer', 'payment', 'epoch'] loop
        execute format('create trigger insert_only before update or delete or truncate on ledger.%I '
                       'for each statement execute function ledger.refuse_change()', name);
        execute format('alter table ledger.%I enable always trigger insert_only', name);
    end loop;
end $$;

-- --- partitions to come ---

-- A quarter of a year each, until one holds the day `until`; how many were made. Made beside and then attached, which locks nobody out.
-- Each has what its parent has, and refuses changes for itself: a statement that names it does not come by its parent's triggers.
create function ledger.add_partitions(until date) returns integer language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
declare
    made integer := 0;
    name text;
    part text;
    first date;
    next date;
begin
    if until > clock_timestamp() + interval '10 years' then
        raise exception using errcode = '22023', message = 'partitions are made for at most 10 years ahead';
    end if;
    foreach name in array array['event', 'transfer'] loop
        perform pg_advisory_xact_lock(hashtext('ledger.add_partitions'));
        loop
            -- where the last one ends
            select max((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([0-9-]+)''\)'))[1]::date) into first
            from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = ('ledger.' || name)::regclass;
            exit when first > until;
            next := (date_trunc('quarter', first) + interval '3 months')::date;
            part := name || to_char(first, '"_"YYYY"q"Q');
            execute format('create table ledger.%I (like ledger.%I including defaults including constraints including comments)', part, name);
            execute format('create trigger insert_only before update or delete or truncate on ledger.%I '
                           'for each statement execute function ledger.refuse_change()', part);
            execute format('alter table ledger.%I enable always trigger insert_only', part);
            execute format('alter table ledger.%I attach partition ledger.%I for values from (%L) to (%L)', name, part, first, next);
            made := made + 1;
        end loop;
    end loop;
    return made;
end $$;
revoke all on function ledger.add_partitions(date) from public;
select ledger.add_partitions((clock_timestamp() + interval '1 year')::date);

-- --- grants ---

grant select on ledger.event, ledger.transfer, ledger.payment, ledger.epoch, ledger.in_doubt to acquit_worker, acquit_reader, acquit_sealer;
grant insert (payment_id) on ledger.payment to acquit_worker;
grant insert (payment_id, cause, slot, outcome, actor, body, began) on ledger.event to acquit_worker;
grant insert (payment_id, amount, leg, currency, slot, kind, pending_of, debit, credit, began) on ledger.transfer to acquit_worker;
grant execute on function ledger.add_partitions(date) to acquit_sealer;
