-- 006_in_doubt_valid.sql - the checks of 004 looked at, without a lock on those who write

alter table ledger.transfer validate constraint transfer_kind;
alter table ledger.transfer validate constraint transfer_in_doubt;
