-- ledger_raw.sql - the peer of `make bench T=ledger`: tables with the columns, defaults, checks and indexes of schema ledger, in as many
-- partitions, without triggers

create schema raw;
create table raw.payment (like ledger.payment including all);
do $$
declare
    name text;
    part record;
begin
    foreach name in array array['event', 'transfer'] loop
        execute format('create table raw.%1$I (like ledger.%1$I including all) partition by range (began)', name);
        for part in select c.relname, pg_get_expr(c.relpartbound, c.oid) as bound from pg_inherits i join pg_class c on c.oid = i.inhrelid
                    where i.inhparent = ('ledger.' || name)::regclass loop
            execute format('create table raw.%I partition of raw.%I %s', part.relname, name, part.bound);
        end loop;
    end loop;
end $$;
