-- 004_in_doubt.sql - what is at stake while nobody knows what a provider did (L6)
--
-- The first doubt about an intent that is not only a challenge for the customer books its amount as a transfer of kind in_doubt. Such a transfer
-- moves no money: like a hold it is pending, and what ends it is the fact that answers the intent. Nothing is booked at the end, because nobody could:
-- the doubt and the answer may be written by two deliveries that do not see each other.
--
-- For a farm that runs: first the index (writers wait for it, readers do not), then, within milliseconds, what locks everybody out. No row of
-- the new kind can be there yet, so the checks need no look at the old ones; 006 has them looked at without a lock on writers.

create index transfer_in_doubt on ledger.transfer (payment_id, slot) where kind = 'in_doubt';
create index transfer_in_doubt_since on ledger.transfer (seq) where kind = 'in_doubt';
alter table ledger.transfer drop constraint transfer_kind;
alter table ledger.transfer add constraint transfer_kind check (kind in ('hold', 'post', 'void', 'transfer', 'in_doubt')) not valid;
alter table ledger.transfer add constraint transfer_in_doubt check (kind <> 'in_doubt' or slot ~ ':doubt:[0-9]+$') not valid;

create view ledger.in_doubt as
select t.payment_id, d.intent, split_part(t.debit, ':', 2) as provider, t.debit, t.credit, t.amount, t.currency, t.at as since
from ledger.transfer t
cross join lateral (select regexp_replace(t.slot, ':doubt:[0-9]+$', '') as intent) d
where t.kind = 'in_doubt'
  and not exists (select from ledger.event e where e.payment_id = t.payment_id
                  and e.slot = d.intent || case when d.intent ~ '^(auth|refund):' then ':result' else '' end);
comment on view ledger.in_doubt is 'intents whose outcome is not known, with the amount at stake';
grant select on ledger.in_doubt to acquit_worker, acquit_reader;
