-- 011_archive.sql - partitions that left the database for a file, and came back (docs/archive.md)
--
-- What is archived keeps its place: ledger.payment and ledger.command stay (L2, L10), its leaves stay in the sealed tree, its balances stand
-- here. Only facts and transfers are in the file, whose hash is here. A payment that has a row in ledger.payment and no facts is archived.
--
-- SQLSTATE of our own: AQ006 a partition that went on while it was archived.

create table ledger.archive (
    id bigint primary key generated always as identity,
    name text not null check (name ~ '^(first|[0-9]{4}q[1-4])$'), -- of the partitions
    act text not null check (act in ('archived', 'restored')),
    began_from date, -- null: all before
    began_to date not null, -- the first day that is not in it
    payments bigint not null check (payments >= 0),
    facts bigint not null check (facts >= 0),
    transfers bigint not null check (transfers >= 0),
    leaves text not null check (leaves ~ '^[0-9a-f]{64}$'), -- SHA-256 over its leaves, by payment and position
    file text not null, -- as it was called then
    file_sha256 text not null check (file_sha256 ~ '^[0-9a-f]{64}$'),
    actor text not null default session_user,
    at timestamptz not null default clock_timestamp()
);

-- What the archived transfers moved.
create table ledger.archive_balance (
    archive_id bigint not null references ledger.archive (id),
    account text collate "C" not null,
    currency char(3) not null,
    debits bigint not null check (debits >= 0),
    credits bigint not null check (credits >= 0),
    primary key (archive_id, currency, account)
);

-- What is in files now.
create view ledger.archived as
select a.* from ledger.archive a
where a.act = 'archived' and not exists (select from ledger.archive later where later.name = a.name and later.id > a.id);
comment on view ledger.archived is 'partitions that are in files now';

-- Floors count what is away (010).
create or replace view ledger.floor_derived as
with newest as (
    select distinct on (f.name, f.currency) f.name, f.currency, f.declaration, f.floor_minor
    from ledger.account_floor f order by f.name, f.currency, f.declaration desc),
side (name, currency, posted, held) as (
    select t.debit, t.currency, -t.amount, 0 from ledger.transfer t where t.kind in ('post', 'transfer')
    union all
    select t.credit, t.currency, t.amount, 0 from ledger.transfer t where t.kind in ('post', 'transfer')
    union all
    select b.account, b.currency, b.credits - b.debits, 0 from ledger.archive_balance b join ledger.archived a on a.id = b.archive_id
    union all
    select h.debit, h.currency, 0, h.amount from ledger.transfer h where h.kind = 'hold'
    and not exists (select from ledger.transfer r where r.began = h.began and r.payment_id = h.payment_id and r.pending_of = h.slot))
select n.name, n.currency, n.declaration, n.floor_minor, coalesce(sum(s.posted), 0) as posted, coalesce(sum(s.held), 0) as held
from newest n left join side s on s.name = n.name and s.currency = n.currency
group by n.name, n.currency, n.declaration, n.floor_minor;

do $$
declare
    name text;
begin
    foreach name in array array['archive', 'archive_balance'] loop
        execute format('create trigger insert_only before update or delete or truncate on ledger.%I '
                       'for each statement execute function ledger.refuse_change()', name);
        execute format('alter table ledger.%I enable always trigger insert_only', name);
    end loop;
end $$;

grant select on ledger.archive, ledger.archive_balance, ledger.archived to acquit_worker, acquit_reader, acquit_sealer;
