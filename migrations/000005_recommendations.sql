-- document is json, not jsonb: it is delivered byte for byte as it was computed.
create table recommendations (
  id bigint generated always as identity,
  cluster_id integer not null,
  created_at timestamptz not null,
  schema text not null,
  content_digest text not null,
  document json not null,
  constraint recommendations_pkey primary key (cluster_id, id)
);
create index recommendations_cluster_id_created_at_idx on recommendations (cluster_id, created_at);
