-- Aggregates. Batches append partial rows by COPY; folding joins the rows of one window (or day) later. Readers always
-- group, so they see both. Nothing here is unique: a unique key would make consumers wait for each other on busy edges.

create table edge_windows (
  window_start timestamptz not null,
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
  observed_verdict text not null
);
create index edge_windows_cluster_id_window_start_idx on edge_windows (cluster_id, window_start);

-- One row per batch that appended to a window; folding leaves one. Two or more say that there is something to fold.
create table edge_window_batches (
  cluster_id integer not null,
  window_start timestamptz not null
);
create index edge_window_batches_cluster_id_window_start_idx on edge_window_batches (cluster_id, window_start);

-- Outside addresses per edge and UTC day. ip_hash orders them when there are too many: the smallest are kept.
create table external_peers (
  day_start timestamptz not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  initiator_id bigint not null,
  responder_id bigint not null,
  flows bigint not null,
  ip_hash bigint not null,
  cluster_id integer not null,
  port integer not null,
  initiator_port integer not null,
  protocol text not null,
  side text not null,
  observed_verdict text not null,
  ip text collate "C" not null
);
create index external_peers_cluster_id_day_start_idx on external_peers (cluster_id, day_start);

create table external_peer_batches (
  cluster_id integer not null,
  day_start timestamptz not null
);
create index external_peer_batches_cluster_id_day_start_idx on external_peer_batches (cluster_id, day_start);

-- Edges that had more outside addresses on a day than are kept.
create table external_overflows (
  cluster_id integer not null,
  day_start timestamptz not null,
  initiator_id bigint not null,
  responder_id bigint not null,
  protocol text not null,
  port integer not null,
  initiator_port integer not null,
  constraint external_overflows_pkey primary key (cluster_id, day_start, initiator_id, responder_id, protocol, port, initiator_port)
);
