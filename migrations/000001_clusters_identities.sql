-- Clusters and raw identities. Every key of every table carries cluster_id, so that the tables can be spread over servers by it.

create table clusters (
  id integer generated always as identity primary key,
  name text not null,
  created_at timestamptz not null default now(),
  constraint clusters_name_key unique (name)
);

-- id is the first 64 bits of SHA-256 over key, signed. key is the identity itself (canonical JSON text); the other columns
-- only repeat parts of it for people and filters, with NUL characters replaced, which text cannot hold.
create table identities (
  cluster_id integer not null,
  id bigint not null,
  key text not null,
  kind text not null,
  namespace text not null,
  name text not null,
  workload_kind text not null,
  workload_name text not null,
  label_quality text not null,
  labels jsonb not null,
  first_stored_at timestamptz not null default now(),
  constraint identities_pkey primary key (cluster_id, id)
);
create index identities_cluster_id_namespace_idx on identities (cluster_id, namespace);

-- Networks (/24 of IPv4, /64 of IPv6) in which addresses of pods were seen.
create table pod_networks (
  cluster_id integer not null,
  network text not null,
  first_stored_at timestamptz not null default now(),
  constraint pod_networks_pkey primary key (cluster_id, network)
);
