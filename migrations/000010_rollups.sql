-- Edges by the hour and by the day, made of edge_windows behind the watermark, and what says how far that went (DESIGN.md, "Levels").

-- is_rolled: the rows that this batch appended are in the hour's rows. Batches append their marks as before and without knowing of it; a rollup
-- sets it in the statement that reads the windows, so that no reader can see the one without the other. Existing windows are all still to be rolled.
alter table edge_window_batches add column is_rolled boolean not null default false;
insert into edge_window_batches (cluster_id, window_start)
select distinct w.cluster_id, w.window_start from edge_windows w
where not exists (select 1 from edge_window_batches b where b.cluster_id = w.cluster_id and b.window_start = w.window_start);
-- Rollups and retention follow the newest flow, which was not noted before migration 000008.
update ingest_received r set newest_at = (select max(w.last_at) from edge_windows w where w.cluster_id = r.cluster_id)
where not exists (select 1 from ingest_received known where known.cluster_id = r.cluster_id and known.newest_at is not null);

-- Bit i (value 2^i) of presence: the edge was there in the i-th 5 minutes of the hour.
create table edge_hours (
  hour_start timestamptz not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  initiator_id bigint not null,
  responder_id bigint not null,
  flows bigint not null,
  cluster_id integer not null,
  port integer not null,
  initiator_port integer not null,
  evidence smallint not null,
  presence smallint not null,
  is_long_lived boolean not null,
  protocol text not null,
  side text not null,
  observed_verdict text not null
);
create index edge_hours_cluster_id_hour_start_idx on edge_hours (cluster_id, hour_start);

-- The last bit of presence is the first 5 minutes of the day, as in a number. A bit string and not bytea: it takes 36 bytes and 5 of length as well, and
-- the server can merge, shift and count it (bit_or, <<, bit_count).
create table edge_days (
  day_start timestamptz not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  initiator_id bigint not null,
  responder_id bigint not null,
  flows bigint not null,
  cluster_id integer not null,
  port integer not null,
  initiator_port integer not null,
  evidence smallint not null,
  is_long_lived boolean not null,
  protocol text not null,
  side text not null,
  observed_verdict text not null,
  presence bit(288) not null
);
create index edge_days_cluster_id_day_start_idx on edge_days (cluster_id, day_start);

-- One row per hour that has rows in edge_hours. is_rolled: the rows are in the day's rows. The times are the first and last of the rows: they could be
-- computed, but only by reading all rows, and "what was observed at all" is asked with every recommendation.
create table edge_hour_rollups (
  cluster_id integer not null,
  hour_start timestamptz not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  is_rolled boolean not null,
  constraint edge_hour_rollups_pkey primary key (cluster_id, hour_start)
);

-- The same per day.
create table edge_day_rollups (
  cluster_id integer not null,
  day_start timestamptz not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  constraint edge_day_rollups_pkey primary key (cluster_id, day_start)
);

-- How far expiry went: before windows_before hours are the truth and windows only what came later, before hours_before days are. No row: nothing expired.
create table edge_horizons (
  cluster_id integer not null,
  windows_before timestamptz not null default '-infinity',
  hours_before timestamptz not null default '-infinity',
  constraint edge_horizons_pkey primary key (cluster_id)
);

-- Expiry deletes windows hour by hour, in the transaction that moves the horizon. Daily partitions of edge_windows were weighed and left: folding deletes every
-- partial row once anyway, so that expiry adds at most one delete to each row that folding deleted already; a partition holds all clusters, whose
-- retention follows their own flows; and dropping one takes an exclusive lock on the parent, for which every running batch would be waited.
-- No block-range index either: folding and rolling again put rows of one hour wherever there is room, so that blocks soon span days.

-- Tables in which rows are appended, folded and deleted again. The default waits for a fifth of the table to be dead, which here is days of windows.
-- Two per cent and a floor keep the dead rows of folding near what the next minutes need again; the newest windows are analyzed as soon, because
-- they are always outside of the statistics' range.
alter table edge_windows set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000, autovacuum_analyze_scale_factor = 0.02);
alter table external_peers set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000, autovacuum_analyze_scale_factor = 0.02);
alter table edge_hours set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 20000, autovacuum_analyze_scale_factor = 0.05);
alter table edge_days set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 20000, autovacuum_analyze_scale_factor = 0.05);
-- Small tables that turn over entirely every minute: a fixed number of dead rows, because a share of nearly nothing never comes or always does.
alter table external_peer_batches set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table node_hour_batches set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table ingest_totals set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table ingest_received set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table ingest_limits set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
-- And room on the page for is_rolled to change where the row is (a HOT update), which leaves the index alone. All other tables are written once: full pages.
alter table edge_window_batches set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, fillfactor = 60);
alter table edge_hour_rollups set (fillfactor = 60);
