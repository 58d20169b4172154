-- 013_map.sql - what was not recorded, and a new key for the heads (docs/sealing.md, docs/adr/0014, 0015)
--
-- The sorted map of all payments and their slots is computed from ledger.seal_leaf; heads state its root. What is kept of it stands in schema
-- view: it can be thrown away, and the keeper builds it anew.

-- Parts of the map (ledger/map_parts.h).
create table view.map_part (
    first uuid primary key, -- the lowest id that may stand in it
    depth smallint not null check (depth between 0 and 124 and depth % 4 = 0), -- bits that all its ids have in common
    root bytea not null check (octet_length(root) = 33), -- empty, one payment or more (0, 1, 2), and the hash
    children bytea not null check (octet_length(children) = 544)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05); -- room for a row's next version beside it
alter table view.map_part alter column children set storage external; -- hashes: there is nothing to compress
comment on table view.map_part is 'parts of the sorted map, kept by the keeper; truncate it and they are built anew';

-- Statements in which a key names its successor; each is a leaf of the tree, slot key:<n> of the payment that is none.
create table ledger.seal_key (
    position bigint primary key check (position >= 0), -- of its leaf
    statement text not null check (octet_length(statement) < 2048),
    at timestamptz not null default clock_timestamp()
);
create trigger insert_only before update or delete or truncate on ledger.seal_key
    for each statement execute function ledger.refuse_change();
alter table ledger.seal_key enable always trigger insert_only;

-- Leaves by payment, with their position: what a map of fewer leaves had is read from the index alone.
alter table ledger.seal_leaf drop constraint seal_leaf_payment_id_slot_key;
alter table ledger.seal_leaf add constraint seal_leaf_slot unique (payment_id, slot) include (position);

-- Transfers in the order in which facts are sealed: a block reads those of its transactions at once.
create index transfer_sealing on ledger.transfer (xid, seq);

grant usage on schema view to acquit_sealer, acquit_reader;
grant select on view.map_part to acquit_sealer, acquit_reader;
grant insert, update, delete, truncate on view.map_part to acquit_sealer;
grant select on ledger.seal_key to acquit_sealer, acquit_reader, acquit_worker;
grant insert (position, statement) on ledger.seal_key to acquit_sealer;
