-- Cluster state: who was who in the cluster at which time. Documents are Kubernetes objects reduced to what policies and flows need.

-- One row per cluster: the last moment anything is known of, and a counter that rises with every change of the tables below.
create table cluster_state_heads (
  cluster_id integer not null,
  confirmed_until timestamptz not null,
  revision bigint not null,
  constraint cluster_state_heads_pkey primary key (cluster_id)
);

-- Spans in which all objects were known at every moment: a point for a full state, longer for a watch.
create table cluster_state_spans (
  cluster_id integer not null,
  source text not null,
  covered_from timestamptz not null,
  covered_until timestamptz not null,
  objects integer not null,
  -- Has namespaces, nodes, pods and services: only then does a missing address belong to nobody.
  is_complete boolean not null,
  digest text not null,
  saved_at timestamptz not null default now(),
  constraint cluster_state_spans_pkey primary key (cluster_id, covered_from)
);

-- One row per version of an object. It was so from valid_from (the first version of an instance: from the object's own creation, which
-- holds_from repeats for filters) to confirmed_until; null means as far as the cluster's head. valid_to is the exact end where a watch saw it.
create table cluster_state_versions (
  id bigint generated always as identity,
  valid_from timestamptz not null,
  confirmed_until timestamptz,
  valid_to timestamptz,
  holds_from timestamptz not null,
  cluster_id integer not null,
  kind text not null,
  namespace text not null,
  name text not null,
  -- The uid, or what stands for it.
  instance text not null,
  face text not null,
  digest text not null,
  document jsonb not null,
  constraint cluster_state_versions_pkey primary key (cluster_id, id)
);
create index cluster_state_versions_cluster_id_instance_idx on cluster_state_versions (cluster_id, instance);
create index cluster_state_versions_cluster_id_confirmed_until_idx on cluster_state_versions (cluster_id, confirmed_until);
