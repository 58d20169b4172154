-- 005_seal.sql - heads: what makes a quiet change of the ledger visible (docs/sealing.md)
--
-- Every fact, with its transfers, is a leaf of one tree (RFC 6962) that only grows. The keeper adds the facts of transactions that have all ended
-- (xid below pg_snapshot_xmin), so no row can appear later among those that are sealed, and no writer ever waits. Each block ends
-- with a signed head, which also goes where the database's owner cannot change it.

create index event_sealing on ledger.event (xid, seq);

create table ledger.seal (
    height bigint primary key check (height >= 0),
    epoch integer not null check (epoch > 0), -- a logical restore begins a new one: transaction ids start anew
    size bigint not null check (size > 0), -- leaves of the tree, with this block
    last_xid xid8 not null, -- the block ends with this row of ledger.event
    last_seq bigint not null,
    head text not null, -- the signed checkpoint
    at timestamptz not null default clock_timestamp()
);
create table ledger.seal_leaf (
    position bigint primary key check (position >= 0),
    payment_id uuid not null,
    slot text collate "C" not null,
    hash bytea not null check (octet_length(hash) = 32),
    unique (payment_id, slot)
);
-- Roots of complete subtrees, of every fourth level; what lies between is computed.
create table ledger.seal_node (
    level smallint not null check (level > 0 and level % 4 = 0),
    position bigint not null check (position >= 0),
    hash bytea not null check (octet_length(hash) = 32),
    primary key (level, position)
);

do $$
declare
    name text;
begin
    foreach name in array array['seal', 'seal_leaf', 'seal_node'] loop
        execute format('create trigger insert_only before update or delete or truncate on ledger.%I '
                       'for each statement execute function ledger.refuse_change()', name);
        execute format('alter table ledger.%I enable always trigger insert_only', name);
    end loop;
    begin
        if not exists (select from pg_roles where rolname = 'acquit_sealer') then
            create role acquit_sealer nologin;
        end if;
    exception when duplicate_object or unique_violation then
        null; -- another database of this cluster is being migrated at this moment
    end;
end $$;
grant usage on schema ledger to acquit_sealer;
grant select on all tables in schema ledger to acquit_sealer;
grant insert (height, epoch, size, last_xid, last_seq, head) on ledger.seal to acquit_sealer;
grant insert on ledger.seal_leaf, ledger.seal_node to acquit_sealer;
grant select on ledger.seal, ledger.seal_leaf, ledger.seal_node to acquit_worker, acquit_reader;
