-- 014_watched_wider.sql - the keeper watches what is asked about behind an absence, and what an operator sends again (L4, L6)
--
-- The index of what begins something that may need a look later (003), with two more kinds of slots, which may be written after the end of a payment, as a
-- late approval may: auth:N:late:doubt:K, and replay:<dead letter>:n. A command whose death is on a person's desk is not looked for; once it is
-- sent again, it may get lost like any other.
create index event_watched_wider on ledger.event (seq) where slot ~ '^(received|refund:[0-9]+|auth:[0-9]+:late(:doubt:[0-9]+)?|replay:.*)$';
drop index ledger.event_watched;
alter index ledger.event_watched_wider rename to event_watched;
