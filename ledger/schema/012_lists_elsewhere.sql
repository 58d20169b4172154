-- 012_lists_elsewhere.sql - lists by publisher and reference are those of schema view (009); what served them here is paid for by every payment

drop index ledger.event_publisher, ledger.event_reference;
