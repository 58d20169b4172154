-- 014_late_doubts.sql - the keeper watches what is asked about behind an absence, too (L6)
--
-- The index of what begins something that may need a look later (003), with one more kind of slot: auth:N:late:doubt:K may be written after the end
-- of a payment, as a late approval may.
create index event_watched_wider on ledger.event (seq) where slot ~ '^(received|refund:[0-9]+|auth:[0-9]+:late(:doubt:[0-9]+)?)$';
drop index ledger.event_watched;
alter index ledger.event_watched_wider rename to event_watched;
