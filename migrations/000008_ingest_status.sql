-- What was received, who reported when, which dead letters can be tried again, and which limits were hit.

-- Records received per source, counted before any of them is judged: what the outcomes in ingest_totals must add up to. newest_at is the
-- last instant of the newest flow. Appended per batch, summed when read.
create table ingest_received (
  cluster_id integer not null,
  source text not null,
  records bigint not null,
  newest_at timestamptz,
  recorded_at timestamptz not null default now()
);
create index ingest_received_cluster_id_idx on ingest_received (cluster_id);
insert into ingest_received (cluster_id, source, records, recorded_at)
select cluster_id, source, sum(records), max(recorded_at) from ingest_totals group by cluster_id, source;

-- Flows per format, node and hour of their last instant; windows has a bit per 5 minutes of the hour in which any was. node is '' where the
-- format names none. Partial rows, joined by folding like those of edge_windows.
create table node_hours (
  cluster_id integer not null,
  hour_start timestamptz not null,
  format text not null,
  node text not null,
  flows bigint not null,
  windows smallint not null
);
create index node_hours_cluster_id_hour_start_idx on node_hours (cluster_id, hour_start);

create table node_hour_batches (
  cluster_id integer not null,
  hour_start timestamptz not null
);
create index node_hour_batches_cluster_id_hour_start_idx on node_hour_batches (cluster_id, hour_start);

-- What a limit kept out of the tables: dead letters beyond their number per batch or minute, names of nodes beyond their number.
create table ingest_limits (
  cluster_id integer not null,
  source text not null,
  limit_name text not null,
  records bigint not null,
  recorded_at timestamptz not null default now()
);
create index ingest_limits_cluster_id_idx on ingest_limits (cluster_id);

-- is_complete: sample is the whole record as it came, nothing cut off or hidden, so that it can be read again.
alter table rejections add column line bigint not null default 0;
alter table rejections add column byte bigint not null default 0;
alter table rejections add column is_complete boolean not null default false;
alter table rejections add column tries integer not null default 0;
update rejections set line = coalesce(substring(position from 'line (\d+)')::bigint, 0), byte = coalesce(substring(position from 'byte (\d+)')::bigint, 0);
alter table rejections drop column position;
create index rejections_cluster_id_rejected_at_idx on rejections (cluster_id, rejected_at);
