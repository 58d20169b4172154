-- 010_books.sql - the chart of accounts, and floors (docs/adr/0017)
--
-- The name of an account is in the chart (ledger/chart.h). An account may have a floor: what it keeps on its credit side, less what is held, never
-- falls below. Only such an account has a row to lock; all others cost nothing and wait for nobody.
--
-- For a farm that runs: stop it first, as for 007; the transfers are looked through.
--
-- SQLSTATE of our own: AQ005 an account would fall below its floor.

-- LIKE, because it takes a fortieth of what a regular expression takes, and two stand in every transfer.
alter table ledger.account add constraint account_chart
    check (name like 'receivable:_%' or name like 'payable:_%' or name = 'commission' or name like 'in\_doubt:_%'
           or name like 'fees:_%' or name = 'suspense' or name like 'wallet:_%');
alter table ledger.transfer add constraint transfer_chart
    check ((debit like 'receivable:_%' or debit like 'payable:_%' or debit = 'commission' or debit like 'in\_doubt:_%'
           or debit like 'fees:_%' or debit = 'suspense' or debit like 'wallet:_%')
       and (credit like 'receivable:_%' or credit like 'payable:_%' or credit = 'commission' or credit like 'in\_doubt:_%'
           or credit like 'fees:_%' or credit = 'suspense' or credit like 'wallet:_%'));

-- What was declared, the newest counts. A floor is declared when the account is opened, and can be moved later, but never taken away.
create table ledger.account_floor (
    name text collate "C" not null,
    currency char(3) not null,
    declaration integer not null, -- 1, 2, ... of this account; the trigger says which
    floor_minor bigint not null check (abs(floor_minor) <= 1000000000000000000),
    declared_at timestamptz not null default clock_timestamp(),
    declared_by text not null default session_user,
    primary key (name, currency, declaration),
    constraint account_floor_kind check (name like 'wallet:_%')
);

-- A projection of account_floor and transfer: ledger.floor_derived says what must stand here, ledger.rebuild_floors() makes it anew. Kept by the
-- transaction that books, because a floor that is looked at without the lock of this row would let two bookings take the same money. fillfactor:
-- an update finds room on its page, and no index is touched by it.
create table ledger.floor_balance (
    name text collate "C" not null,
    currency char(3) not null,
    declaration integer not null,
    floor_minor bigint not null,
    posted bigint not null, -- credits less debits
    held bigint not null, -- of pending debits
    primary key (name, currency)
) with (fillfactor = 50);

create view ledger.floor_derived as
with newest as (
    select distinct on (f.name, f.currency) f.name, f.currency, f.declaration, f.floor_minor
    from ledger.account_floor f order by f.name, f.currency, f.declaration desc),
side (name, currency, posted, held) as (
    select t.debit, t.currency, -t.amount, 0 from ledger.transfer t where t.kind in ('post', 'transfer')
    union all
    select t.credit, t.currency, t.amount, 0 from ledger.transfer t where t.kind in ('post', 'transfer')
    union all
    select h.debit, h.currency, 0, h.amount from ledger.transfer h where h.kind = 'hold'
    and not exists (select from ledger.transfer r where r.began = h.began and r.payment_id = h.payment_id and r.pending_of = h.slot))
select n.name, n.currency, n.declaration, n.floor_minor, coalesce(sum(s.posted), 0) as posted, coalesce(sum(s.held), 0) as held
from newest n left join side s on s.name = n.name and s.currency = n.currency
group by n.name, n.currency, n.declaration, n.floor_minor;
comment on view ledger.floor_derived is 'what must stand in ledger.floor_balance, from declarations and transfers';

-- The first declaration opens the account, so that nothing can have been booked on it; the next ones wait for who books on it at this moment.
create function ledger.declare_floor() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    now_kept ledger.floor_balance;
begin
    insert into ledger.account (name, currency) values (new.name, new.currency) on conflict do nothing;
    if found then
        now_kept := (new.name, new.currency, 0, 0, 0, 0);
        insert into ledger.floor_balance select now_kept.*;
    else
        select b.* into now_kept from ledger.floor_balance b where b.name = new.name and b.currency = new.currency for no key update;
        if not found then
            raise exception using errcode = 'AQ003',
                message = format('account %s in %s is open and has no floor: one can be declared only when an account is opened',
                                 new.name, new.currency);
        end if;
    end if;
    if now_kept.posted - now_kept.held < new.floor_minor then
        raise exception using errcode = 'AQ005',
            message = format('account %s in %s has %s minor units, less than the floor %s', new.name, new.currency,
                             now_kept.posted - now_kept.held, new.floor_minor);
    end if;
    new.declaration := now_kept.declaration + 1;
    update ledger.floor_balance b set floor_minor = new.floor_minor, declaration = new.declaration
    where b.name = new.name and b.currency = new.currency;
    return new;
end $$;
create trigger declare_floor before insert on ledger.account_floor for each row execute function ledger.declare_floor();

-- An account that may have a floor is open before anything is booked on it, and the floor is kept. All others cost one look at each transfer that
-- was added, no table and no lock. After check_transfers (triggers fire by name): a hold that is resolved is there. Rows are locked in the order of
-- their names, and behind all else that an append may wait for, so no two appends can wait for each other here. With the owner's rights: nobody
-- else may write floor_balance.
create function ledger.keep_floors() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    bad record;
begin
    perform from added t where t.debit like 'wallet:%' or t.credit like 'wallet:%' limit 1;
    if not found then
        return null;
    end if;
    select a.name, a.currency into bad
    from (select t.debit, t.currency from added t union select t.credit, t.currency from added t) as a (name, currency)
    where a.name like 'wallet:%'
      and not exists (select from ledger.account k where k.name = a.name and k.currency = a.currency)
    limit 1;
    if found then
        raise exception using errcode = 'AQ003', message = format('account %s in %s is not open', bad.name, bad.currency);
    end if;

    perform from ledger.floor_balance b
    where (b.name, b.currency) in (select t.debit, t.currency from added t union select t.credit, t.currency from added t)
    order by b.name, b.currency for no key update;
    if not found then
        return null;
    end if;

    select t.debit, t.currency into bad from added t
    where t.kind = 'in_doubt' and exists (select from ledger.floor_balance b where b.name in (t.debit, t.credit) and b.currency = t.currency)
    limit 1;
    if found then
        raise exception using errcode = 'AQ003', message = format('what is in doubt is not booked on account %s, which has a floor', bad.debit);
    end if;

    with side (name, currency, posted, held) as (
        select t.debit, t.currency, case when t.kind in ('post', 'transfer') then -t.amount else 0 end,
               case t.kind when 'hold' then t.amount when 'void' then -t.amount when 'post' then -h.amount else 0 end
        from added t left join ledger.transfer h
        on t.kind = 'post' and h.began = t.began and h.payment_id = t.payment_id and h.slot = t.pending_of and h.leg = 1
        union all
        select t.credit, t.currency, t.amount, 0 from added t where t.kind in ('post', 'transfer')),
    kept as (
        update ledger.floor_balance b set posted = b.posted + s.posted, held = b.held + s.held
        from (select name, currency, sum(posted) as posted, sum(held) as held from side group by name, currency) as s
        where b.name = s.name and b.currency = s.currency
        returning b.name, b.currency, b.floor_minor, b.posted - b.held as left_over)
    select k.name, k.currency, k.floor_minor, k.left_over into bad from kept k
    where k.left_over < k.floor_minor order by k.name, k.currency limit 1;
    if found then
        raise exception using errcode = 'AQ005',
            message = format('account %s in %s would fall to %s minor units, below its floor %s', bad.name, bad.currency, bad.left_over,
                             bad.floor_minor);
    end if;
    return null;
end $$;
create trigger keep_floors after insert on ledger.transfer referencing new table as added
    for each statement execute function ledger.keep_floors();
alter table ledger.transfer enable always trigger keep_floors;

-- For who restores or repairs: nobody can book meanwhile.
create function ledger.rebuild_floors() returns void language sql set search_path = pg_catalog, pg_temp as $$
    lock table ledger.transfer, ledger.account_floor in share mode;
    delete from ledger.floor_balance;
    insert into ledger.floor_balance (name, currency, declaration, floor_minor, posted, held)
    select d.name, d.currency, d.declaration, d.floor_minor, d.posted, d.held from ledger.floor_derived d;
$$;
revoke all on function ledger.rebuild_floors(), ledger.keep_floors(), ledger.declare_floor() from public;

create trigger insert_only before update or delete or truncate on ledger.account_floor
    for each statement execute function ledger.refuse_change();
alter table ledger.account_floor enable always trigger insert_only;
alter table ledger.account_floor enable always trigger declare_floor;

grant select on ledger.account_floor, ledger.floor_balance, ledger.floor_derived to acquit_worker, acquit_reader, acquit_sealer;
