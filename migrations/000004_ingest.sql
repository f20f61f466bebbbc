-- What ingest must remember so that nothing is lost and nothing is counted twice.

-- Where a source resumes: next is the first unit (a file's byte, a partition's offset) not yet stored.
create table positions (
  cluster_id integer not null,
  source text not null,
  next bigint not null,
  fingerprint text not null,
  records bigint not null,
  updated_at timestamptz not null default now(),
  constraint positions_pkey primary key (cluster_id, source)
);

-- Contents (bodies, compressed files, streams) that were stored completely, known by SHA-256 of their decompressed bytes.
create table content_digests (
  cluster_id integer not null,
  digest bytea not null,
  source text not null,
  records bigint not null,
  stored_at timestamptz not null default now(),
  constraint content_digests_pkey primary key (cluster_id, digest)
);
create index content_digests_stored_at_idx on content_digests (stored_at);

-- One row per committed batch: its id answers "was it committed?" after a lost connection; digests are the 64-bit digests
-- of its flows, 8 bytes each, by which later batches recognise duplicates. The times are those of last instants.
create table ingest_batches (
  id uuid not null,
  cluster_id integer not null,
  transaction_id xid8 not null default pg_current_xact_id(),
  first_at timestamptz,
  last_at timestamptz,
  committed_at timestamptz not null default now(),
  digest_count integer not null,
  digests bytea not null,
  constraint ingest_batches_pkey primary key (cluster_id, id)
);
-- Digests are noise: compressing them costs time and saves nothing.
alter table ingest_batches alter column digests set storage external;
create index ingest_batches_cluster_id_last_at_idx on ingest_batches (cluster_id, last_at);
create index ingest_batches_committed_at_idx on ingest_batches (committed_at);

-- Records by outcome, appended per batch, summed when read.
create table ingest_totals (
  cluster_id integer not null,
  source text not null,
  format text not null,
  outcome text not null,
  reason text not null,
  records bigint not null,
  recorded_at timestamptz not null default now()
);
create index ingest_totals_cluster_id_idx on ingest_totals (cluster_id);

-- Dead letters: a sample of what was refused, at most 4 KiB each, credentials removed.
create table rejections (
  id bigint generated always as identity,
  cluster_id integer not null,
  source text not null,
  position text not null,
  format text not null,
  reason text not null,
  detail text not null,
  sample text not null,
  rejected_at timestamptz not null default now(),
  constraint rejections_pkey primary key (cluster_id, id)
);
create index rejections_rejected_at_idx on rejections (rejected_at);

-- Signs that observation was incomplete. The key makes storing one twice harmless.
create table coverage_events (
  cluster_id integer not null,
  at timestamptz not null,
  type text not null,
  node text not null,
  lost bigint not null,
  detail text not null,
  constraint coverage_events_pkey primary key (cluster_id, at, type, node, lost, detail)
);
