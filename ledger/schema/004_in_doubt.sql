-- 004_in_doubt.sql - what is at stake while nobody knows what a provider did (L6)
--
-- The first doubt about an intent books its amount as a transfer of kind in_doubt. Such a transfer moves no money: like a hold it is pending, and what
-- ends it is the fact that answers the intent. Nothing is booked at the end, because nobody could: the doubt and the answer may be
-- written by two deliveries that do not see each other.

alter table ledger.transfer drop constraint transfer_kind;
alter table ledger.transfer add constraint transfer_kind check (kind in ('hold', 'post', 'void', 'transfer', 'in_doubt'));
alter table ledger.transfer add constraint transfer_in_doubt check (kind <> 'in_doubt' or slot ~ ':doubt:0$');
create index transfer_in_doubt on ledger.transfer (payment_id, slot) where kind = 'in_doubt';

create view ledger.in_doubt as
select t.payment_id, d.intent, split_part(t.debit, ':', 2) as provider, t.debit, t.credit, t.amount, t.currency, t.at as since
from ledger.transfer t
cross join lateral (select left(t.slot, -length(':doubt:0')) as intent) d
where t.kind = 'in_doubt'
  and not exists (select from ledger.event e where e.payment_id = t.payment_id
                  and e.slot = d.intent || case when d.intent ~ '^(auth|refund):' then ':result' else '' end);
comment on view ledger.in_doubt is 'intents whose outcome is not known, with the amount at stake';
grant select on ledger.in_doubt to acquit_worker, acquit_reader;
