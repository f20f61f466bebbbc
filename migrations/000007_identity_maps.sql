-- Versions of the identity map of each cluster: the label rules, and the label keys that are not identity, each with its reason. What was ingested
-- keeps its raw identities; a version only says how they are read. document is json, not jsonb: it is delivered as it was computed.
create table identity_maps (
  cluster_id integer not null,
  version integer not null,
  created_at timestamptz not null,
  content_digest text not null,
  document json not null,
  constraint identity_maps_pkey primary key (cluster_id, version),
  constraint identity_maps_content_key unique (cluster_id, content_digest)
);
