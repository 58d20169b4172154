-- 003_watch.sql - what the keeper pages over: facts that begin something (ledger/read.c, WATCHED)

create index event_watched on ledger.event (seq) where slot ~ '^(received|refund:[0-9]+|auth:[0-9]+:late)$';
